package token

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// compact writes a JWS with the given header and payload texts. Its signature
// is 64 octets long, and nobody looks at it here.
func compact(header, payload string) string {
	return b64(header) + "." + b64(payload) + "." + b64(strings.Repeat("s", 64))
}

const sampleHeader = `{"alg":"ES256","kid":"e1","typ":"at+jwt"}`

func TestParseJWTTakes(t *testing.T) {
	long := strings.Repeat("k", MaxKeyID)
	for _, row := range []struct{ name, header, algorithm, typ, kid string }{
		{"sample", sampleHeader, "ES256", "at+jwt", "e1"},
		{"RFC 9068 spelling", `{"typ":"at+JWT","alg":"RS256"}`, "RS256", "at+jwt", ""},
		{"media type", `{"typ":"application/at+jwt","alg":"RS256"}`, "RS256", "at+jwt", ""},
		{"media type in capitals", `{"typ":"APPLICATION/AT+JWT","alg":"RS256"}`, "RS256", "at+jwt", ""},
		{"no typ", `{"alg":"RS256"}`, "RS256", "", ""},
		{"empty typ", `{"alg":"RS256","typ":""}`, "RS256", "", ""},
		{"prefix once", `{"alg":"RS256","typ":"application/application/at+jwt"}`, "RS256", "application/at+jwt", ""},
		{"other type", `{"alg":"RS256","typ":"text/at+jwt"}`, "RS256", "text/at+jwt", ""},
		{"typ with space", `{"alg":"RS256","typ":" at+jwt"}`, "RS256", " at+jwt", ""},
		{"longest kid", `{"alg":"RS256","kid":"` + long + `"}`, "RS256", "", long},
		{"odd kid", `{"alg":"RS256","kid":"../../\u0000' OR 1"}`, "RS256", "", "../../\x00' OR 1"},
		{"empty kid", `{"alg":"RS256","kid":""}`, "RS256", "", ""},
		{"alg as sent", `{"alg":"eS256"}`, "eS256", "", ""},
		{"unknown members", `{"alg":"RS256","foo":1,"x5t":"x","jku":"https://evil.example","jwk":{"kty":"oct"},"cty":"x","Crit":[],"ALG":"none"}`, "RS256", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			u, err := ParseJWT(compact(row.header, `{"sub":"x"}`), MaxLength)
			if err != nil {
				t.Fatal(err)
			}
			if u.Algorithm != row.algorithm || u.Type != row.typ || u.KeyID != row.kid {
				t.Errorf("got %q %q %q", u.Algorithm, u.Type, u.KeyID)
			}
		})
	}
}

// Letters outside ASCII have lower cases too, and some of those are in ASCII.
func TestParseJWTTypeInASCII(t *testing.T) {
	u, err := ParseJWT(compact(`{"alg":"ES256","typ":"APPL\u0130CATION/at+jwt"}`, `{}`), MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	if u.Type == "at+jwt" {
		t.Errorf("a dotted capital I reads as i: typ is %q", u.Type)
	}
}

func TestParseJWTRefusesHeader(t *testing.T) {
	for _, row := range []struct {
		name, header string
		reason       Reason
	}{
		// J-01, JWS-09, JWS-10
		{"no alg", `{}`, ReasonAlgorithm},
		{"alg empty", `{"alg":""}`, ReasonAlgorithm},
		{"alg number", `{"alg":256}`, ReasonAlgorithm},
		{"alg null", `{"alg":null}`, ReasonAlgorithm},
		{"alg list", `{"alg":["ES256"]}`, ReasonAlgorithm},
		{"alg in capitals", `{"ALG":"ES256"}`, ReasonAlgorithm},
		{"alg nested", `{"header":{"alg":"ES256"}}`, ReasonAlgorithm},
		// J-20, JWS-14, JWS-15
		{"crit unknown", `{"alg":"ES256","crit":["exp2"],"exp2":1}`, ReasonCritical},
		{"crit absent target", `{"alg":"ES256","crit":["x"]}`, ReasonCritical},
		{"crit empty", `{"alg":"ES256","crit":[]}`, ReasonCritical},
		{"crit null", `{"alg":"ES256","crit":null}`, ReasonCritical},
		{"crit b64", `{"alg":"ES256","crit":["b64"],"b64":true}`, ReasonCritical},
		{"crit known name", `{"alg":"ES256","crit":["alg"]}`, ReasonCritical},
		{"crit escaped", `{"alg":"ES256","cr\u0069t":["x"]}`, ReasonCritical},
		{"b64 false", `{"alg":"ES256","b64":false}`, ReasonCritical},
		{"b64 true", `{"alg":"ES256","b64":true}`, ReasonCritical},
		{"zip", `{"alg":"ES256","zip":"DEF"}`, ReasonCritical},
		// JWS-17, J-12
		{"kid number", `{"alg":"ES256","kid":1}`, ReasonUnknownKey},
		{"kid null", `{"alg":"ES256","kid":null}`, ReasonUnknownKey},
		{"kid long", `{"alg":"ES256","kid":"` + strings.Repeat("k", MaxKeyID+1) + `"}`, ReasonUnknownKey},
		{"typ number", `{"alg":"ES256","typ":1}`, ReasonType},
		{"typ null", `{"alg":"ES256","typ":null}`, ReasonType},
		{"typ list", `{"alg":"ES256","typ":["at+jwt"]}`, ReasonType},
		// JWS-05, JWS-06, JWS-08, J-21
		{"alg twice", `{"alg":"none","alg":"ES256"}`, ReasonMalformed},
		{"alg twice the other way", `{"alg":"ES256","alg":"none"}`, ReasonMalformed},
		{"alg twice escaped", `{"alg":"ES256","\u0061lg":"none"}`, ReasonMalformed},
		{"typ twice", `{"alg":"ES256","typ":"at+jwt","typ":"at+jwt"}`, ReasonMalformed},
		{"kid twice", `{"alg":"ES256","kid":"a","kid":"a"}`, ReasonMalformed},
		{"nested twice", `{"alg":"ES256","x":{"a":1,"a":1}}`, ReasonMalformed},
		{"list", `["alg"]`, ReasonMalformed},
		{"null", `null`, ReasonMalformed},
		{"string", `"ES256"`, ReasonMalformed},
		{"byte order mark", "\uFEFF" + sampleHeader, ReasonMalformed},
		{"text behind", sampleHeader + "x", ReasonMalformed},
		{"space behind", sampleHeader + " ", ReasonMalformed},
		{"space before", " " + sampleHeader, ReasonMalformed},
		{"two objects", sampleHeader + "{}", ReasonMalformed},
		{"invalid UTF-8", "{\"alg\":\"ES256\",\"x\":\"\xff\"}", ReasonMalformed},
		{"lone surrogate", `{"alg":"ES256","x":"\ud800"}`, ReasonMalformed},
		{"deep", `{"alg":"ES256","x":` + nested(`[`, ``, `]`, 20) + `}`, ReasonMalformed},
		{"many members", membersOf(257), ReasonMalformed},
		{"garbage", "\x00\x01", ReasonMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			checkRefused(t, compact(row.header, `{}`), MaxLength, row.reason)
		})
	}
}

func checkRefused(t *testing.T, raw string, limit int, reason Reason) {
	t.Helper()
	u, err := ParseJWT(raw, limit)
	refusal, ok := errors.AsType[*Error](err)
	if u != nil || !ok || refusal.Code != InvalidToken || refusal.Reason != reason {
		t.Fatalf("%.80q: got %v, want %s", raw, err, reason)
	}
}

func TestParseJWTRefusesPayload(t *testing.T) {
	for _, payload := range []string{
		// J-21, J-23, J-24, J-25, JWS-07, JWS-08, JWS-19, JWS-20
		`[]`, `null`, `"x"`, `1`, `true`, ` {}`, `{} `, `{}x`, `{}{}`, "\uFEFF{}", "{}\x00", `{"sub":"\ud800"}`, "{\"sub\":\"\xff\"}",
		`{"exp":1,"exp":2}`, `{"iss":"a","\u0069ss":"b"}`, `{"cnf":{"jkt":"a","jkt":"b"}}`, `{"aud":[{"a":1,"a":1}]}`,
		nested(`{"a":`, `1`, `}`, 21), nested(`{"a":`, `1`, `}`, 2000), membersOf(257), `{"exp":` + strings.Repeat("1", 33) + `}`,
		compact(sampleHeader, `{}`), `{"sub":"x"`, "\x78\x9c",
	} {
		checkRefused(t, compact(sampleHeader, payload), 1<<20, ReasonMalformed)
	}
	for _, payload := range []string{`{}`, `{"sub":"\u0000"}`, `{"a":` + nested(`[`, ``, `]`, 19) + `}`, membersOf(256), "{\n\"a\" : 1\r\n}"} {
		if _, err := ParseJWT(compact(sampleHeader, payload), 1<<20); err != nil {
			t.Errorf("%.60q: %v", payload, err)
		}
	}
}

// J-17 to J-19, JWS-01 to JWS-04: one octet string, one spelling.
func TestParseJWTRefusesForm(t *testing.T) {
	good := compact(sampleHeader, `{"sub":"user-1"}`)
	if _, err := ParseJWT(good, len(good)); err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, raw := range map[string]string{
		"nothing": "", "a dot": ".", "two dots": "..", "three dots": "...", "one part": header, "two parts": header + "." + payload,
		"four parts": good + ".x", "five parts": good + ".x.y", "JWE": "a.b.c.d.e", "dot in front": "." + good, "dot behind": good + ".",
		"no header": "." + payload + "." + signature, "no payload": header + ".." + signature, "no signature": header + "." + payload + ".",
		"dots": strings.Repeat(".", 1<<20), "a megabyte": strings.Repeat("A", 1<<20),
		"flattened JSON":   `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`,
		"general JSON":     `{"payload":"` + payload + `","signatures":[{"protected":"` + header + `","signature":"` + signature + `"}]}`,
		"JSON behind room": ` {"payload":""}`,
		"space in front":   " " + good, "space behind": good + " ", "line break behind": good + "\n", "CR LF behind": good + "\r\n", "NUL behind": good + "\x00",
		"padded header":           header + "=." + payload + "." + signature,
		"padded payload":          header + "." + payload + "==." + signature,
		"padded signature":        good + "==",
		"standard alphabet plus":  good[:len(good)-2] + "+A",
		"standard alphabet slash": good[:len(good)-2] + "/A",
		"other octet":             good[:len(good)-2] + "é",
		"percent":                 good[:len(good)-3] + "%41",
		"tilde":                   good[:len(good)-2] + "~A",
		"comma list":              good + "," + good,
	} {
		t.Run(name, func(t *testing.T) { checkRefused(t, raw, 2<<20, ReasonMalformed) })
	}
	for at := 1; at < len(good); at += 7 {
		for _, inside := range []string{"\n", "\r", " ", "\t", "=", "."} {
			checkRefused(t, good[:at]+inside+good[at:], MaxLength, ReasonMalformed)
		}
	}
}

// The last character of a part carries bits that encode nothing; all but one
// spelling of it is refused, in each of the parts.
func TestParseJWTOneSpelling(t *testing.T) {
	const alphabetText = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, good := range []string{
		compact(`{"alg":"ES256","a":1}`, `{"a":1}`),
		compact(`{"alg":"ES256","a":12}`, `{"a":12}`),
		compact(`{"alg":"ES256","a":123}`, `{"a":123}`),
		b64(`{"alg":"ES256"}`) + "." + b64(`{}`) + "." + b64("s"),
	} {
		parts := strings.Split(good, ".")
		for i := range parts {
			same := 0
			for _, last := range alphabetText {
				changed := append([]string(nil), parts...)
				changed[i] = parts[i][:len(parts[i])-1] + string(last)
				octets, err := base64.RawURLEncoding.DecodeString(changed[i])
				original, _ := base64.RawURLEncoding.DecodeString(parts[i])
				if err != nil || string(octets) != string(original) {
					continue
				}
				if _, err := ParseJWT(strings.Join(changed, "."), MaxLength); err == nil {
					same++
				}
			}
			if same != 1 {
				t.Errorf("part %d of %s has %d accepted spellings", i, good, same)
			}
		}
	}
	// A single character encodes no octet at all.
	for _, raw := range []string{"A.e30.AAAA", b64(sampleHeader) + ".A.AAAA", b64(sampleHeader) + ".e30.A"} {
		checkRefused(t, raw, MaxLength, ReasonMalformed)
	}
}

func TestParseJWTLimit(t *testing.T) {
	good := compact(sampleHeader, `{"pad":"`+strings.Repeat("x", 100)+`"}`)
	if _, err := ParseJWT(good, len(good)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	checkRefused(t, good, len(good)-1, ReasonTooLong)
	checkRefused(t, strings.Repeat("\n", MaxLength+1), MaxLength, ReasonTooLong)
	if MaxLength != 16384 || MaxProofLength != 6144 {
		t.Errorf("limits are %d and %d", MaxLength, MaxProofLength)
	}
}

// An error names a check and nothing that the token holds.
func TestParseJWTQuotesNothing(t *testing.T) {
	for _, raw := range []string{
		compact(`{"alg":["s3cret"]}`, `{}`), compact(`{"alg":"a","kid":["s3cret"]}`, `{}`), compact(`{"alg":"a"}`, `{"s3cret":"s3cret"}s3cret`),
		compact(`{"alg":"a","s3cret":1,"s3cret":2}`, `{}`), "s3cret", "s3cret.s3cret.s3cret", compact(`{"alg":"a","crit":["s3cret"]}`, `{}`),
	} {
		if _, err := ParseJWT(raw, MaxLength); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}

// judge is a verifier that notes what it was asked and answers as told.
type judge struct {
	answer            error
	algorithm, signed string
	signature         []byte
}

func (j *judge) Verify(algorithm, signed string, signature []byte) error {
	j.algorithm, j.signed, j.signature = algorithm, signed, signature
	return j.answer
}

// JWS-22: what is verified is what was received, and claims come out only past
// a verifier that holds.
func TestOpen(t *testing.T) {
	raw := compact(`{ "alg":"ES256" , "x" : 1 }`, `{ "sub" : "user-1" }`)
	u, err := ParseJWT(raw, MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{}
	c, err := u.Open(j)
	if err != nil || c.Subject != "user-1" {
		t.Fatalf("got %v, %v", c, err)
	}
	if j.algorithm != "ES256" || j.signed != raw[:strings.LastIndexByte(raw, '.')] || string(j.signature) != strings.Repeat("s", 64) {
		t.Errorf("verified %q over %q", j.algorithm, j.signed)
	}
	no := errors.New("no")
	if c, err := u.Open(&judge{answer: no}); c != nil || !errors.Is(err, no) {
		t.Errorf("without a signature: got %v, %v", c, err)
	}
	if err := u.Signature(&judge{answer: no}); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if v, found := u.Header("x"); !found || v != "1" {
		t.Errorf("header x is %q", v)
	}
	if v, found := u.Untrusted("sub"); !found || v != `"user-1"` {
		t.Errorf("untrusted sub is %q", v)
	}
}

// FuzzParseJWT: what passes has one spelling, the two bounds hold, and nothing
// forbidden is in its header.
func FuzzParseJWT(f *testing.F) {
	good := compact(sampleHeader, `{"sub":"user-1","exp":1800000000,"aud":["a"],"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}`)
	for _, raw := range []string{
		good, good + "=", good + ".", good[:len(good)-1], good[:len(good)-1] + "B", "..", "e30.e30.AA", compact(`{"alg":"a","crit":[]}`, `{}`),
		compact(`{"alg":"none"}`, `{"exp":1e400}`), compact(`{"alg":"a","alg":"b"}`, `{}`), compact(`{"alg":"ES256","kid":1}`, `{}`), `{"payload":""}`,
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseJWT(raw, MaxLength)
		if err != nil {
			if refusal, ok := errors.AsType[*Error](err); u != nil || !ok || refusal.Code != InvalidToken || refusal.Description() == "" {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		parts := strings.Split(raw, ".")
		if len(parts) != 3 || len(raw) > MaxLength {
			t.Fatalf("%q passes", raw)
		}
		for _, part := range parts {
			octets, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil || part == "" || base64.RawURLEncoding.EncodeToString(octets) != part {
				t.Fatalf("%q has another spelling", raw)
			}
		}
		for _, name := range []string{"crit", "b64", "zip"} {
			if _, found := u.Header(name); found {
				t.Fatalf("%q passes with %s", raw, name)
			}
		}
		if u.Algorithm == "" || len(u.KeyID) > MaxKeyID {
			t.Fatalf("%q: alg %q, kid %q", raw, u.Algorithm, u.KeyID)
		}
		j := &judge{}
		if c, err := u.Open(j); (c == nil) != (err != nil) || j.signed+"."+b64(string(j.signature)) != raw {
			t.Fatalf("%q: %v, signed %q", raw, err, j.signed)
		}
	})
}

func BenchmarkParseJWT(b *testing.B) {
	raw := compact(sampleHeader, sampleClaims)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := ParseJWT(raw, MaxLength); err != nil {
			b.Fatal(err)
		}
	}
}
