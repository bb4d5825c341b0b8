package proxy

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// The names of threats C-35, H-50 and H-54, by what is to become of them.
var (
	identityNames = []string{
		"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-Issuer", "X-Auth-Client-Id", "X-Auth-Scope", "X-Auth-Binding",
		"X-Auth-Whatever", "Remote-User", "X-Email",
	}
	forwardingNames = []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
		"X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Server", "X-Real-IP", "True-Client-IP",
		"CF-Connecting-IP", "X-Client-IP", "X-Original-Host", "X-Original-For",
		"X-Envoy-Original-Path", "X-Envoy-External-Address", "X-Skipper-Proxy",
	}
	forbiddenNames = []string{
		"X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-Rewrite-URI", "X-Forwarded-User",
		"X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Proxy", "Proxy-Authorization", "HTTP2-Settings",
		"DPoP", "Upgrade", "Trailer", "X-SSL-Cert", "X-SSL-Client-Cert", "X-SSL-Client-Verify", "SSL-Client-Cert",
		"SSL-Client-Verify", "SSL-Client-S-DN", "X-Client-Cert", "X-Client-Cert-Chain", "Client-Cert", "Client-Cert-Chain",
		"X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info",
		"X-SSL-Client-DER", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert-Subject",
		"X-ARR-ClientCert", "CF-Client-Cert-DER-Base64", "X-TLS-Client-Cert", "TLS-Client-Cert",
	}
	ownedNames = []string{"Content-Length", "Content-Type", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection"}
)

// spellings are the ways to write name that some server folds onto it.
func spellings(name string) (plain, folded []string) {
	upper, lower := strings.ToUpper(name), strings.ToLower(name)
	swapped := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
	plain = []string{name, upper, lower, swapped}
	for _, p := range plain[:4:4] {
		for _, separator := range []string{"_", ".", "~", "!", "|"} {
			if one := strings.ReplaceAll(p, "-", separator); one != p {
				folded = append(folded, one, strings.Replace(p, "-", separator, 1))
			}
		}
		if strings.Count(p, "-") > 1 {
			folded = append(folded, strings.ReplaceAll(strings.Replace(p, "-", "_", 1), "-", "."))
		}
	}
	return plain, folded
}

// survives puts name into a header as net/http keys it and in raw lower case,
// as HTTP/2 sends it, and reports whether any of it is left.
func survives(name string, trusted bool) bool {
	h := http.Header{
		http.CanonicalHeaderKey(name): {"evil", "evil too"},
		strings.ToLower(name):         {"evil"},
		"Accept":                      {"*/*"},
	}
	strip(h, map[string]bool{"remote-user": true, "x-email": true}, trusted)
	return len(h) > 1
}

func TestStrip(t *testing.T) {
	for _, class := range []struct {
		name                                                 string
		fields                                               []string
		plainStranger, plainTrusted, foldStranger, foldTrust bool
	}{
		{"identity", identityNames, false, false, false, false},
		{"forwarding", forwardingNames, false, true, false, false},
		{"forbidden", forbiddenNames, false, false, false, false},
		{"owned", ownedNames, true, true, false, false},
	} {
		t.Run(class.name, func(t *testing.T) {
			for _, name := range class.fields {
				plain, folded := spellings(name)
				for _, spelled := range plain {
					if got := survives(spelled, false); got != class.plainStranger {
						t.Errorf("%s of a stranger: survives is %v", spelled, got)
					}
					if got := survives(spelled, true); got != class.plainTrusted {
						t.Errorf("%s of a trusted peer: survives is %v", spelled, got)
					}
				}
				for _, spelled := range folded {
					if got := survives(spelled, false); got != class.foldStranger {
						t.Errorf("%s of a stranger: survives is %v", spelled, got)
					}
					if got := survives(spelled, true); got != class.foldTrust {
						t.Errorf("%s of a trusted peer: survives is %v", spelled, got)
					}
				}
			}
		})
	}
}

func TestStripKeepsTheRest(t *testing.T) {
	for _, name := range []string{
		"Accept", "Accept-Language", "User-Agent", "X-Request-Id", "X-Api-Key", "X_Api_Key", "X.Api.Key", "Xauth", "X-Author",
		"X-Authenticated", "X-Forward", "X-Originally", "X-Sslx", "Traceparent", "Sec-Websocket-Key", "Grpc-Timeout",
		"Proxies", "Authorizations", "Authorization", "Cookie", "Te", "Expect", "Content-Type", "If-None-Match",
		"Cf-Ray", "Client", "Remote-Users", strings.Repeat("x", 200),
	} {
		for _, trusted := range []bool{false, true} {
			if !survives(name, trusted) {
				t.Errorf("%s was taken away (trusted %v)", name, trusted)
			}
		}
	}
}

// A name of the operator's own is ours on every route, at any length the
// configuration takes.
func TestStripConfiguredNames(t *testing.T) {
	long := strings.Repeat("Long-", 12) + "Name" // 64 octets
	f := NewForward(ForwardOptions{Headers: []ClaimHeader{{Name: "Remote-User", Claim: "email"}}, ClaimsHeader: "my-claims", AssertionHeader: "my-proof"})
	f.Ours(long)
	for _, name := range []string{"Remote-User", "My-Claims", "My-Proof", long} {
		plain, folded := spellings(name)
		for _, spelled := range append(plain, folded...) {
			for _, key := range []string{http.CanonicalHeaderKey(spelled), strings.ToLower(spelled)} {
				h := http.Header{key: {"evil"}}
				if strip(h, f.ours, true); len(h) != 0 {
					t.Errorf("%s survives", key)
				}
			}
		}
	}
}

func TestNormalName(t *testing.T) {
	long := strings.Repeat("A", longName)
	for in, want := range map[string]string{
		"X-Auth-Sub": "x-auth-sub", "x_auth.SUB": "x-auth-sub", "X~Auth!Sub": "x-auth-sub", "": "", "A1": "a1",
		long: strings.ToLower(long), long + "B": strings.ToLower(long) + "b",
	} {
		if got := NormalName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestDropToken(t *testing.T) {
	for _, row := range []struct {
		lines []string
		stays bool
	}{
		{[]string{"Bearer abc"}, false},
		{[]string{"bEaReR abc"}, false},
		{[]string{"DPoP abc"}, false},
		{[]string{" \tBearer abc"}, false},
		{[]string{"Bearer"}, false},
		{[]string{"Basic dTpw", "Bearer abc"}, false},
		{[]string{"Basic dTpw"}, true},
		{[]string{"Bearerish abc"}, true},
		{[]string{""}, true},
	} {
		h := http.Header{"Authorization": row.lines}
		if dropToken(h); (h["Authorization"] != nil) != row.stays {
			t.Errorf("%q: stays is %v", row.lines, !row.stays)
		}
	}
}

// heldBy is a verifier that holds for every signature: what is tested here
// begins where one held.
type heldBy struct{}

func (heldBy) Verify(string, string, []byte) error { return nil }

func claimsOf(t testing.TB, payload string) *token.Claims {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	u, err := token.ParseJWT(part([]byte(`{"alg":"ES256"}`))+"."+part([]byte(payload))+".AAAA", 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	c, err := u.Open(heldBy{})
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return c
}

// tells forwards claims in the default form, by header.
func tells(headers map[string]string) *Forward {
	var o ForwardOptions
	for name, claim := range headers {
		o.Headers = append(o.Headers, ClaimHeader{Name: name, Claim: claim})
	}
	return NewForward(o)
}

// told renders payload for an upstream and returns the fields by name.
func told(t *testing.T, f *Forward, p *token.Principal) (map[string]string, bool) {
	t.Helper()
	list, ok := f.fields(p)
	m := make(map[string]string)
	for _, one := range list {
		if _, twice := m[one.name]; twice {
			t.Errorf("%s is told twice", one.name)
		}
		if one.value == "" {
			t.Errorf("%s is told empty", one.name)
		}
		checkFieldValue(t, one.value)
		m[one.name] = one.value
	}
	return m, ok
}

// checkFieldValue holds value against what every server reads alike: printable
// ASCII with no space to trim or fold.
func checkFieldValue(t *testing.T, value string) {
	t.Helper()
	for _, c := range []byte(value) {
		if c < 0x20 || c > 0x7e {
			t.Errorf("octet %#x in %q", c, value)
			return
		}
	}
	if strings.TrimSpace(value) != value || strings.Contains(value, "  ") {
		t.Errorf("a space to trim or fold in %q", value)
	}
}

func TestFieldsOfAPrincipal(t *testing.T) {
	c := claimsOf(t, `{"iss":"https://as.example.com","sub":"user-1","client_id":"app 1","email":"zo\u00eb@example.com","n":5}`)
	f := tells(map[string]string{"x-email": "email", "X-Number": "n", "X-Absent": "absent", "X-Deep": "a.b"})
	got, ok := told(t, f, &token.Principal{Claims: c, Scope: token.Scopes{"read", "a b", "100%"}, Binding: token.BoundDPoP, Issuer: "main"})
	want := map[string]string{
		"X-Auth-Subject": "user-1", "X-Auth-Subject-Type": "user", "X-Auth-Issuer": "https://as.example.com",
		"X-Auth-Client-Id": "app 1", "X-Auth-Scope": "read a%20b 100%25", "X-Auth-Binding": "dpop",
		"X-Email": "zo%C3%AB@example.com", "X-Number": "5",
	}
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v %v\nwant %v", got, ok, want)
	}

	got, ok = told(t, NewForward(ForwardOptions{}), &token.Principal{Claims: claimsOf(t, `{"client_id":"job"}`)})
	want = map[string]string{"X-Auth-Subject-Type": "client", "X-Auth-Client-Id": "job"}
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v %v\nwant %v", got, ok, want)
	}
}

// Each row is a claim and the field it becomes; "" is no field at all
// (threats H-90 to H-94, conformance HDR-01 to HDR-04).
func TestFieldsOfClaims(t *testing.T) {
	for _, row := range []struct{ claim, want string }{
		{`"a\r\nX-Admin: 1"`, "a%0D%0AX-Admin: 1"},
		{`"\n"`, "%0A"},
		{`"\r"`, "%0D"},
		{`"a\u0000"`, "a%00"},
		{`"\u007f"`, "%7F"},
		{`"\t"`, "%09"},
		{`"Zo\u00eb"`, "Zo%C3%AB"},
		{`"Zoe\u0308"`, "Zoe%CC%88"},
		{`"李"`, "%E6%9D%8E"},
		{`"Özil"`, "%C3%96zil"},
		{`"Ozil"`, "Ozil"},
		{`"\ud83d\ude00"`, "%F0%9F%98%80"},
		{`" a"`, "%20a"},
		{`"a "`, "a%20"},
		{`"a  b"`, "a%20%20b"},
		{`"a b c"`, "a b c"},
		{`"100%25"`, "100%2525"},
		{`"100%"`, "100%25"},
		{`"a,b"`, "a,b"},
		{`""`, ""},
		{`9007199254740993`, "9007199254740993"},
		{`1800000000`, "1800000000"},
		{`1.10`, "1.10"},
		{`1e30`, "1e30"},
		{`-0`, "-0"},
		{`true`, "true"},
		{`false`, "false"},
		{`["user,admin"]`, "user%2Cadmin"},
		{`["user","admin"]`, "user,admin"},
		{`["a,b","c"]`, "a%2Cb,c"},
		{`["a b"," c"]`, "a b,%20c"},
		{`["a",1,true]`, "a,1,true"},
		{`["x\r\ny"]`, "x%0D%0Ay"},
		{`[ "a" , "b" ]`, "a,b"},
		{`[]`, ""},
		{`null`, ""},
		{`{}`, ""},
		{`{"a":"b"}`, ""},
		{"{\n\"X-Admin\": \"1\"\r\n}", ""},
		{`[null]`, ""},
		{`["a",null]`, ""},
		{`["a",{}]`, ""},
		{`["a",["b"]]`, ""},
		{`[[]]`, ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			f := tells(map[string]string{"X-Claim": "c"})
			got, ok := told(t, f, &token.Principal{Claims: claimsOf(t, `{"c":`+row.claim+`}`)})
			if value := got["X-Claim"]; !ok || value != row.want {
				t.Errorf("got %q, want %q", value, row.want)
			}
		})
	}
}

// sized is a list of claims with values of the given lengths and the headers
// they go to.
func sized(t *testing.T, lengths ...int) (*Forward, *token.Principal) {
	headers := make(map[string]string)
	var payload []string
	for i, n := range lengths {
		name := string(rune('a' + i))
		headers["X-"+name] = name
		payload = append(payload, fmt.Sprintf("%q:%q", name, strings.Repeat("v", n)))
	}
	return tells(headers), &token.Principal{Claims: claimsOf(t, "{"+strings.Join(payload, ",")+"}")}
}

func TestFieldSizes(t *testing.T) {
	const line = len("X-a") + 4
	rest := maxHeaders - len(headerSubjectType) - len("client") - 4 - maxHeader - line - line
	for _, row := range []struct {
		name    string
		lengths []int
		fits    bool
	}{
		{"one value of 4 KiB", []int{4096}, true},
		{"one value of 4 KiB and an octet", []int{4097}, false},
		{"all of 8 KiB", []int{4096, rest}, true},
		{"all of 8 KiB and an octet", []int{4096, rest + 1}, false},
		{"many small", []int{2000, 2000, 2000, 2000, 2000}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, p := sized(t, row.lengths...)
			if _, ok := f.fields(p); ok != row.fits {
				t.Errorf("fits is %v", ok)
			}
		})
	}
	groups := strings.TrimSuffix(strings.Repeat(`"group-number",`, 500), ",")
	f := tells(map[string]string{"X-Groups": "groups"})
	for name, payload := range map[string]string{
		"500 groups":           `{"groups":[` + groups + `]}`,
		"sub of 5 KiB":         `{"sub":"` + strings.Repeat("s", 5<<10) + `"}`,
		"counted once encoded": `{"sub":"` + strings.Repeat("é", 700) + `"}`,
	} {
		if _, ok := f.fields(&token.Principal{Claims: claimsOf(t, payload)}); ok {
			t.Errorf("%s fits", name)
		}
	}
	scope := token.Scopes(strings.Fields(strings.Repeat("scope ", 1000)))
	if _, ok := f.fields(&token.Principal{Claims: claimsOf(t, `{}`), Scope: scope}); ok {
		t.Error("1000 scopes fit")
	}
}

// TestFieldsCostNothingMore: who forwards no more than what every upstream is
// told pays for the list of fields alone.
func TestFieldsCostNothingMore(t *testing.T) {
	f, p := NewForward(ForwardOptions{}), &token.Principal{Claims: claimsOf(t, `{"iss":"https://as.example.com","sub":"user-1","client_id":"app"}`), Scope: token.Scopes{"read"}}
	if n := testing.AllocsPerRun(100, func() { f.fields(p) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
