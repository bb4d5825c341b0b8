package clientcert

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// published are the certificates of RFC 8705 appendix A and RFC 9440 appendix A
// with their digests.
type published struct {
	MTLS       string `json:"rfc8705_cert_der_b64"`
	MTLSDigest string `json:"rfc8705_x5t_S256"`
	Field      string `json:"rfc9440_client_cert_header"`
	Digest     string `json:"rfc9440_cert_x5t_S256"`
}

func publishedVectors(t testing.TB) (p published) {
	t.Helper()
	text, err := os.ReadFile("../../validator/testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Vectors *published `json:"rfc_vectors"`
	}
	all.Vectors = &p
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return p
}

// armour writes base64 as PEM.
func armour(t testing.TB, text string) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func hexDigest(t testing.TB, text string) string {
	t.Helper()
	digest, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(digest)
}

// escapeAsALB leaves the plus and the equals sign and the slash as they are.
func escapeAsALB(text string) string {
	return strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/").Replace(url.PathEscape(text))
}

func reader(t testing.TB, form, name, element string) *Reader {
	t.Helper()
	c, err := New(form, name, element)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificateForms(t *testing.T) {
	v := publishedVectors(t)
	other := strings.Trim(v.Field, ":")
	one, two := armour(t, v.MTLS), armour(t, other)
	escaped, hash := url.QueryEscape(one), hexDigest(t, v.MTLSDigest)
	escaped = strings.ReplaceAll(escaped, "+", "%20") // nginx and Envoy know no plus sign for a space
	for _, c := range []struct{ name, form, element, field, text, want string }{
		{"RFC 9440", "client-cert", "", "Client-Cert", v.Field, v.Digest},
		{"client-cert", "client-cert", "", "Client-Cert", ":" + v.MTLS + ":", v.MTLSDigest},
		{"nginx", "nginx", "", "X-Ssl-Client-Cert", escaped, v.MTLSDigest},
		{"nginx, Windows lines", "nginx", "", "X-Ssl-Client-Cert", strings.ReplaceAll(escaped, "%0A", "%0D%0A"), v.MTLSDigest},
		{"HAProxy", "haproxy", "", "X-Ssl-Client-Der", v.MTLS, v.MTLSDigest},
		{"ALB", "alb", "", "X-Amzn-Mtls-Clientcert", escapeAsALB(one), v.MTLSDigest},
		{"ALB chain", "alb", "", "X-Amzn-Mtls-Clientcert", escapeAsALB(one + two), v.MTLSDigest},
		{"Traefik", "traefik", "", "X-Forwarded-Tls-Client-Cert", v.MTLS, v.MTLSDigest},
		{"Traefik escaped", "traefik", "", "X-Forwarded-Tls-Client-Cert", url.QueryEscape(v.MTLS), v.MTLSDigest},
		{"Traefik chain", "traefik", "", "X-Forwarded-Tls-Client-Cert", v.MTLS + "," + other, v.MTLSDigest},
		{"Hash", "xfcc", "only", "X-Forwarded-Client-Cert", "By=spiffe://a/b;Hash=" + hash + `;Subject="";URI=spiffe://c/d`, v.MTLSDigest},
		{"Hash in capitals", "xfcc", "only", "X-Forwarded-Client-Cert", "hash=" + strings.ToUpper(hash), v.MTLSDigest},
		{"Cert", "xfcc", "only", "X-Forwarded-Client-Cert", `Cert="` + escaped + `"`, v.MTLSDigest},
		{"Hash and Cert", "xfcc", "only", "X-Forwarded-Client-Cert", "Hash=" + hash + `;Cert="` + escaped + `"`, v.MTLSDigest},
		{"quotes", "xfcc", "only", "X-Forwarded-Client-Cert", `Subject="CN=a\",Hash=b\;c\\";Hash=` + hash, v.MTLSDigest},
		{"first", "xfcc", "first", "X-Forwarded-Client-Cert", "Hash=" + hash + ", Hash=" + strings.Repeat("0", 64), v.MTLSDigest},
		{"last", "xfcc", "last", "X-Forwarded-Client-Cert", "By=x;Hash=" + strings.Repeat("0", 64) + ",Hash=" + hash, v.MTLSDigest},
		{"first says nothing", "xfcc", "last", "X-Forwarded-Client-Cert", "By=x,Hash=" + hash, v.MTLSDigest},
		{"absent", "client-cert", "", "Client-Cert-Chain", v.Field, ""},
		{"another spelling", "client-cert", "", "Client_cert", v.Field, ""},
		{"empty", "haproxy", "", "X-Ssl-Client-Der", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := reader(t, c.form, "", c.element).Read(http.Header{c.field: {c.text}})
			if got != c.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	t.Run("name", func(t *testing.T) {
		h := http.Header{"X-Amzn-Mtls-Clientcert-Leaf": {escapeAsALB(one)}, "X-Amzn-Mtls-Clientcert": {escapeAsALB(two)}}
		if got, err := reader(t, "alb", "X-Amzn-Mtls-Clientcert-LEAF", "").Read(h); got != v.MTLSDigest || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// M-07: what is not exactly the form names no certificate, and the log is told
// why without a word of it.
func TestCertificateFormsRefuse(t *testing.T) {
	v := publishedVectors(t)
	other := strings.Trim(v.Field, ":")
	one, two := armour(t, v.MTLS), armour(t, other)
	hash, zeros := hexDigest(t, v.MTLSDigest), strings.Repeat("0", 64)
	escape := func(text string) string { return url.PathEscape(text) }
	long := strings.Repeat("A", maxCertificate)
	request := armour(t, base64.StdEncoding.EncodeToString([]byte{0x30, 0}))
	type lines = []string
	for form, cases := range map[string]map[string]lines{
		"client-cert": {
			"two lines": {v.Field, v.Field}, "list": {v.Field + ", " + v.Field}, "parameter": {v.Field + ";a=1"},
			"no colons": {other}, "one colon": {":" + other}, "end only": {other + ":"}, "colon": {":"}, "colons": {"::"}, "string": {`"` + other + `"`},
			"no padding": {strings.TrimSuffix(":"+v.MTLS, "=") + ":"}, "URL alphabet": {strings.NewReplacer("+", "-", "/", "_").Replace(v.Field)},
			"space": {": " + other + ":"}, "not a certificate": {":AAAA:"}, "cut": {":" + other[:400] + ":"}, "long": {":" + long + ":"},
			"odd bits": {strings.Replace(":"+v.MTLS+":", "SY=:", "SZ=:", 1)}, "escaped": {strings.ReplaceAll(v.Field, "+", "%2B")},
			"trailing octet": {":" + base64.StdEncoding.EncodeToString(append(unarmour(t, one), 0)) + ":"}, "PEM": {escape(one)},
		},
		"nginx": {
			"two lines": {escape(one), escape(one)}, "two blocks": {escape(one + two)}, "encoded twice": {escape(escape(one))},
			"junk before": {"x" + escape(one)}, "junk behind": {escape(one) + "x"}, "bare": {v.MTLS}, "bad escape": {"%" + escape(one)},
			"cut escape": {escape(one) + "%0"}, "header": {escape(strings.Replace(one, "\n", "\nProc-Type: 4\n\n", 1))}, "long": {long},
			"another block": {escape(strings.ReplaceAll(one, "CERTIFICATE", "PUBLIC KEY"))}, "no end": {escape(strings.Replace(one, "END", "FIN", 1))},
			"bad base64": {escape(strings.Replace(one, "MIIB", "MI*B", 1))}, "no certificate": {escape(request)}, "lone return": {escape(strings.Replace(one, "MIIB", "MI\rIB", 1))},
			"no beginning": {escape(strings.TrimPrefix(one, "-----BEGIN CERTIFICATE-----\n"))}, "no end at all": {escape(one[:strings.Index(one, "\n-----END")])},
			"space for plus": {strings.ReplaceAll(escape(one), "+", " ")}, "one line": {escape(strings.ReplaceAll(one, "\n", ""))},
		},
		"haproxy": {
			"two lines": {v.MTLS, v.MTLS}, "list": {v.MTLS + "," + v.MTLS}, "colons": {v.Field}, "hex": {hash}, "PEM": {escape(one)},
			"escaped": {url.QueryEscape(v.MTLS)}, "long": {long},
		},
		"alb": {
			"junk behind": {escape(one) + "x"}, "chain with junk": {escape(one + "x" + two)}, "broken issuer": {escape(one + strings.Replace(two, "MIIB", "MI*B", 1))},
			"encoded twice": {escape(escape(one))}, "two lines": {escape(one), escape(two)}, "blank line": {escape(one + "\n" + two)},
			"no line between": {escape(strings.TrimSuffix(one, "\n") + two)},
		},
		"traefik": {
			"empty leaf": {"," + v.MTLS}, "empty issuer": {v.MTLS + ","}, "broken issuer": {v.MTLS + ",x"}, "encoded twice": {url.QueryEscape(url.QueryEscape(v.MTLS))},
			"line": {strings.Replace(v.MTLS, "MIIB", "MI%0AIB", 1)}, "two lines": {v.MTLS, v.MTLS}, "bad escape": {v.MTLS + "%"},
		},
		"xfcc": {
			"two elements": {"Hash=" + hash + ",Hash=" + hash}, "two lines": {"Hash=" + hash, "Hash=" + hash}, "Hash twice": {"Hash=" + hash + ";Hash=" + zeros},
			"hash twice": {"Hash=" + hash + ";hash=" + zeros}, "disagree": {"Hash=" + zeros + ";Cert=" + escape(one)}, "short": {"Hash=00"},
			"no hex": {"Hash=" + strings.Repeat("g", 64)}, "nothing": {"By=x;URI=y"}, "no pair": {hash}, "open quote": {`Subject="a;Hash=` + hash},
			"quote ends early": {`Subject="CN=a"b;Hash=` + hash}, "quote runs on": {`Subject="CN=a"bHash=` + hash}, "quote inside": {`URI=a"b;Hash=` + hash}, "backslash at end": {`Hash=` + hash + `;Subject="a\`},
			"closing semicolon": {"Hash=" + hash + ";"}, "closing comma": {"Hash=" + hash + ","}, "odd key": {"Hash=" + hash + ";a b=c"}, "key with a bracket": {"Hash=" + hash + ";a[=c"}, "key with a brace": {"Hash=" + hash + ";a{=c"},
			"key alone": {"Hash=" + hash + ";By"}, "quote before a key": {`URI=a"b=c;Hash=` + hash},
			"empty key": {"=" + hash}, "bare Cert": {"Cert=" + v.MTLS}, "two blocks": {"Cert=" + escape(one+two)}, "Chain only": {"Chain=" + escape(one)},
			"long": {"Hash=" + hash + ";By=" + long},
		},
	} {
		for name, values := range cases {
			t.Run(form+" "+name, func(t *testing.T) {
				c := reader(t, form, "", "only")
				got, err := c.Read(http.Header{c.name: values})
				if got != "" || err == nil {
					t.Fatalf("got %q, %v, want an error", got, err)
				}
				if len(values[0]) > 20 && strings.Contains(err.Error(), values[0][:20]) {
					t.Errorf("the error quotes the field: %v", err)
				}
			})
		}
	}
}

// What has another outermost structure than a certificate is none, and the log is
// told apart what was wrong.
func TestWhyThereIsNoCertificate(t *testing.T) {
	v := publishedVectors(t)
	const sequence, signature = "\x30\x00", "\x03\x02\x00\x01"
	of := func(parts ...string) string {
		inner := strings.Join(parts, "")
		return base64.StdEncoding.EncodeToString(append([]byte{0x30, byte(len(inner))}, inner...))
	}
	for _, row := range []struct {
		name, form, text string
		want             error
	}{
		{"all parts", "haproxy", of(sequence, sequence, signature), nil},
		{"no signature", "haproxy", of(sequence, sequence), errCertificateDER},
		{"a number is signed", "haproxy", of("\x02\x01\x01", sequence, signature), errCertificateDER},
		{"a number for an algorithm", "haproxy", of(sequence, "\x02\x01\x01", signature), errCertificateDER},
		{"a set is signed", "haproxy", of("\x31\x00", sequence, signature), errCertificateDER},
		{"another class is signed", "haproxy", of("\xb0\x00", sequence, signature), errCertificateDER},
		{"no parts are signed", "haproxy", of("\x10\x00", sequence, signature), errCertificateDER},
		{"colon inside", "client-cert", ":" + v.MTLS + ":" + v.MTLS + ":", errCertificateBase64},
		{"cut escape", "traefik", v.MTLS + "%", errCertificateForm},
		{"bad escape", "traefik", v.MTLS + "%zz", errCertificateForm},
		{"bad escape of PEM", "nginx", "%zz", errCertificateForm},
		{"PEM in base64", "haproxy", "-----BEGIN", errCertificateBase64},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := reader(t, row.form, "", "")
			if got, err := c.Read(http.Header{c.name: {row.text}}); !errors.Is(err, row.want) || (got == "") != (err != nil) {
				t.Errorf("%q, %v, want %v", got, err, row.want)
			}
		})
	}
}

func unarmour(t testing.TB, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

func TestNew(t *testing.T) {
	for _, c := range [][2]string{{"f5", "only"}, {"", "only"}, {"xfcc", "second"}, {"xfcc", ""}} {
		if _, err := New(c[0], "", c[1]); err == nil {
			t.Errorf("%q is taken", c)
		}
	}
}

// FuzzReader: whatever is taken is the digest of one certificate that
// stands in the field, or for Hash a digest that does.
func FuzzReader(f *testing.F) {
	v := publishedVectors(f)
	one, two := armour(f, v.MTLS), armour(f, strings.Trim(v.Field, ":"))
	forms := []string{"client-cert", "nginx", "haproxy", "alb", "traefik", "xfcc"}
	for i, text := range []string{
		v.Field, url.PathEscape(one), v.MTLS, escapeAsALB(one + two), v.MTLS + "," + v.MTLS,
		`By=a;Hash=` + hexDigest(f, v.MTLSDigest) + `;Subject="CN=\"a";Cert="` + url.PathEscape(one) + `"`,
	} {
		f.Add(uint8(i), text)
	}
	f.Fuzz(func(t *testing.T, form uint8, text string) {
		name := forms[int(form)%len(forms)]
		for _, element := range []string{"only", "first", "last"} {
			c := reader(t, name, "", element)
			got, err := c.Read(http.Header{c.name: {text}})
			if err != nil || text == "" {
				if got != "" {
					t.Fatalf("%q and %v", got, err)
				}
				continue
			}
			digest, bad := base64.RawURLEncoding.Strict().DecodeString(got)
			if bad != nil || len(digest) != 32 {
				t.Fatalf("%q is no digest", got)
			}
			if name == "xfcc" && strings.Contains(strings.ToLower(text), hex.EncodeToString(digest)) {
				continue
			}
			if !slices.ContainsFunc(certificatesIn(text), func(der []byte) bool { return isCertificate(der) && Thumbprint(der) == got }) {
				t.Fatalf("%s of %q is of no certificate in it", got, text)
			}
		}
	})
}

// certificatesIn finds every certificate in text another way: by everything
// that could end base64, once escapes are undone.
func certificatesIn(text string) (list [][]byte) {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	for {
		at := strings.Index(text, "-----BEGIN CERTIFICATE-----")
		if at < 0 {
			break
		}
		block, rest := pem.Decode([]byte(text[at:])) // which looks at beginnings of lines only
		if block == nil {
			break
		}
		list, text = append(list, block.Bytes), string(rest)
	}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(`:,;"`, r) }) {
		if der, err := base64.StdEncoding.DecodeString(part); err == nil {
			list = append(list, der)
		}
	}
	return list
}

// TestXFCCBorders: Envoy writes the names in a certificate as they are, so a
// client that chooses them can write borders of elements.
func TestXFCCBorders(t *testing.T) {
	mine, victim := strings.Repeat("a", 64), strings.Repeat("b", 64)
	edge := "By=spiffe://edge;Hash=" + mine
	for _, row := range []struct {
		name, field, element string
		good                 bool
	}{
		{"URI ends it", "Hash=" + mine + ";URI=urn:x,Hash=" + victim, "last", false},
		{"DNS ends it", "Hash=" + mine + ";dns=x,By=y;Hash=" + victim, "last", false},
		{"quotes after it", "Hash=" + mine + `;URI=x;A="q",Hash=` + victim, "last", false},
		{"a key of tomorrow", "Hash=" + mine + ";Email=x,Hash=" + victim, "last", false},
		{"several in one", "Hash=" + mine + ";URI=urn:x,Hash=" + victim, "only", false},
		{"first is before it", "Hash=" + mine + ";URI=urn:x,Hash=" + victim, "first", true},
		{"names in the last", edge + ",Hash=" + mine + ";URI=urn:x;DNS=y", "last", true},
		{"quoted names", edge + `;Subject="CN=a,\",Hash=b";URI="urn:x",Hash=` + mine, "last", true},
		{"no names", edge + "," + edge + "," + edge, "last", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := New("xfcc", "", row.element)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Read(http.Header{"X-Forwarded-Client-Cert": {row.field}})
			if want := x5tOf(t, mine); row.good && (got != want || err != nil) || !row.good && (got != "" || err == nil) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func x5tOf(t *testing.T, hash string) string {
	t.Helper()
	digest, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(digest)
}
