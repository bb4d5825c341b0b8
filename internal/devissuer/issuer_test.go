package devissuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var epoch = time.Unix(1800000000, 0)

func made(t *testing.T, o Options) *Issuer {
	t.Helper()
	is, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

func started(t *testing.T, o Options) *Running {
	t.Helper()
	run, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	return run
}

func minted(t *testing.T, is *Issuer, token Token) string {
	t.Helper()
	compact, err := is.Mint(token)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// ask sends a request to the handler and returns the answer.
func ask(t *testing.T, is *Issuer, method, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	is.ServeHTTP(w, r)
	return w
}

func members(t *testing.T, body []byte) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return m
}

// published maps the kids of a JWKS to the keys' texts.
func published(t *testing.T, jwks []byte) map[string]json.RawMessage {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	byID := map[string]json.RawMessage{}
	for _, raw := range set.Keys {
		kid, _ := members(t, raw)["kid"].(string)
		byID[kid] = raw
	}
	return byID
}

func TestMetadataPlaces(t *testing.T) {
	const oauth, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	for _, test := range []struct {
		identifier string
		places     Metadata
		want       []string
	}{
		{"https://as.example.com", 0, []string{oauth, oidc}},
		{"https://as.example.com", OAuth, []string{oauth}},
		{"https://as.example.com", OIDC, []string{oidc}},
		{"https://as.example.com/", OAuth | OIDC, []string{oauth, oidc}},
		{"https://as.example.com/t1", 0, []string{oauth + "/t1", oidc + "/t1", "/t1" + oidc}},
		{"https://as.example.com/t1", OAuth, []string{oauth + "/t1"}},
		{"https://as.example.com/t1", OIDCInserted, []string{oidc + "/t1"}},
		{"https://as.example.com/t1/", OIDC, []string{"/t1" + oidc}},
	} {
		t.Run(fmt.Sprint(test.identifier, test.places), func(t *testing.T) {
			is := made(t, Options{Identifier: test.identifier, Metadata: test.places, Algorithms: []string{"ES256"}})
			var got []string
			for _, path := range []string{oauth, oidc, oauth + "/t1", oidc + "/t1", "/t1" + oidc} {
				w := ask(t, is, "GET", path, nil)
				if w.Code != http.StatusOK {
					continue
				}
				got = append(got, path)
				m := members(t, w.Body.Bytes())
				base := strings.TrimSuffix(test.identifier, "/")
				if m["issuer"] != test.identifier || m["jwks_uri"] != base+"/jwks" || m["token_endpoint"] != base+"/token" {
					t.Errorf("%s: %v", path, m)
				}
				if w.Header().Get("Content-Type") != "application/json" {
					t.Errorf("%s: content type %s", path, w.Header().Get("Content-Type"))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("served at %v, want %v", got, test.want)
			}
		})
	}
}

func TestChange(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}})
	is.Change(func(o *Options) {
		o.Members = map[string]json.RawMessage{"issuer": json.RawMessage(`"https://as.example.com/"`), "jwks_uri": nil}
		o.Metadata, o.MaxAge = OAuth, 90*time.Second
	})
	m := members(t, ask(t, is, "GET", "/.well-known/oauth-authorization-server", nil).Body.Bytes())
	if _, there := m["jwks_uri"]; there || m["issuer"] != "https://as.example.com/" {
		t.Errorf("metadata %v", m)
	}
	if w := ask(t, is, "GET", "/.well-known/openid-configuration", nil); w.Code != http.StatusNotFound {
		t.Errorf("withdrawn place: %d", w.Code)
	}
	if got := ask(t, is, "GET", "/jwks", nil).Header().Get("Cache-Control"); got != "max-age=90" {
		t.Errorf("Cache-Control %q", got)
	}
	if err := is.SetIdentifier("https://as.example.com/t2"); err != nil {
		t.Fatal(err)
	}
	if w := ask(t, is, "GET", "/t2/jwks", nil); w.Code != http.StatusOK || ask(t, is, "GET", "/jwks", nil).Code != http.StatusNotFound {
		t.Errorf("paths do not follow the identifier: %d", w.Code)
	}
}

func TestNewRefuses(t *testing.T) {
	ed := clientOf(t, "EdDSA").Signer
	for name, o := range map[string]Options{
		"query":            {Identifier: "https://as.example.com?x"},
		"fragment":         {Identifier: "https://as.example.com#x"},
		"scheme":           {Identifier: "ftp://as.example.com"},
		"no host":          {Identifier: "https://"},
		"bare name":        {Identifier: "as.example.com"},
		"algorithm":        {Algorithms: []string{"ES265"}},
		"symmetric":        {Algorithms: []string{"HS256"}},
		"none":             {Algorithms: []string{None}},
		"key of no kind":   {Keys: []Key{{ID: "x"}}},
		"key of otherkind": {Keys: []Key{{ID: "x", Algorithm: "RS256", Signer: ed}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(o); err == nil {
				t.Error("took it")
			}
		})
	}
}

func TestJWKS(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com"})
	w := ask(t, is, "GET", "/jwks", nil)
	if w.Header().Get("Content-Type") != "application/jwk-set+json" || len(w.Header().Values("Cache-Control")) != 0 {
		t.Errorf("header %v", w.Header())
	}
	keys := published(t, w.Body.Bytes())
	if got, want := slices.Sorted(maps.Keys(keys)), []string{"eddsa-1", "es256-1", "ps256-1", "rs256-1"}; !slices.Equal(got, want) {
		t.Fatalf("kids %v, want %v", got, want)
	}
	for kid, raw := range keys {
		m := members(t, raw)
		alg, _ := m["alg"].(string)
		if m["use"] != "sig" || strings.ToLower(alg)+"-1" != kid || m["d"] != nil {
			t.Errorf("%s: %s", kid, raw)
		}
		compact := minted(t, is, Token{Alg: alg})
		header, _ := halves(t, compact)
		if header["kid"] != kid || header["alg"] != alg || !checkSignature(t, alg, publicKey(t, raw), compact) {
			t.Errorf("%s: header %v, or the signature, is not this key's", kid, header)
		}
	}
	is.Publish(json.RawMessage(`{"kty":"AKP","kid":"odd"}`))
	if !strings.HasPrefix(string(is.JWKS()), `{"keys":[{"kty":"AKP","kid":"odd"},{`) {
		t.Errorf("the published text is not first: %.60s", is.JWKS())
	}
	is.SetJWKS([]byte("<html>"))
	if got := ask(t, is, "GET", "/jwks", nil).Body.String(); got != "<html>" {
		t.Errorf("got %q", got)
	}
	is.SetJWKS(nil)
	if len(published(t, is.JWKS())) != 5 {
		t.Error("the honest set did not return")
	}
}

func TestRotation(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256", "EdDSA"}})
	kids := func() []string { return slices.Sorted(maps.Keys(published(t, is.JWKS()))) }
	signedBy := func(token Token) string {
		compact := minted(t, is, token)
		header, _ := halves(t, compact)
		kid, _ := header["kid"].(string)
		if raw := published(t, is.JWKS())[kid]; raw != nil && !checkSignature(t, "ES256", publicKey(t, raw), compact) {
			t.Errorf("%s did not sign", kid)
		}
		return kid
	}
	old := published(t, is.JWKS())["es256-1"]

	if kid, err := is.Add(Key{Algorithm: "ES256"}); err != nil || kid != "es256-2" || signedBy(Token{}) != kid {
		t.Errorf("added %q, %v", kid, err)
	}
	if want := []string{"eddsa-1", "es256-1", "es256-2"}; !slices.Equal(kids(), want) {
		t.Errorf("kids %v, want %v", kids(), want)
	}
	if kid, err := is.Rotate("ES256"); err != nil || kid != "es256-3" || signedBy(Token{}) != kid {
		t.Errorf("rotated to %q, %v", kid, err)
	}
	if want := []string{"eddsa-1", "es256-3"}; !slices.Equal(kids(), want) {
		t.Errorf("kids %v, want %v", kids(), want)
	}
	withdrawn := minted(t, is, Token{KeyID: "es256-1"})
	if !checkSignature(t, "ES256", publicKey(t, old), withdrawn) {
		t.Error("the withdrawn key cannot be used any more")
	}
	before := published(t, is.JWKS())["es256-3"]
	if _, err := is.Add(Key{ID: "es256-3", Algorithm: "ES256"}); err != nil {
		t.Fatal(err)
	}
	after := published(t, is.JWKS())["es256-3"]
	if after == nil || string(before) == string(after) || signedBy(Token{}) != "es256-3" {
		t.Errorf("same kid, new key: %s then %s", before, after)
	}
	is.Withdraw("es256-3")
	is.Withdraw("no such key")
	if want := []string{"eddsa-1"}; !slices.Equal(kids(), want) {
		t.Errorf("kids %v, want %v", kids(), want)
	}
	if _, err := is.Mint(Token{}); !errors.Is(err, errKey) {
		t.Errorf("minted without a key: %v", err)
	}
	for _, alg := range []string{"HS256", "none", "?"} {
		if _, err := is.Rotate(alg); err == nil {
			t.Errorf("rotated %s", alg)
		}
	}
}

func TestKeysGiven(t *testing.T) {
	one, two := clientOf(t, "ES256").Signer, clientOf(t, "EdDSA").Signer
	is := made(t, Options{Identifier: "https://as.example.com", Keys: []Key{{ID: "e1", Signer: one}, {ID: "e1", Algorithm: "Ed25519", Signer: two}}})
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(is.JWKS(), &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("%v: %s", err, is.JWKS())
	}
	if !checkSignature(t, "ES256", one.Public(), minted(t, is, Token{})) {
		t.Error("the first key does not sign by default")
	}
	for _, alg := range []string{"Ed25519", "EdDSA"} {
		for _, kid := range []string{"", "e1"} {
			compact := minted(t, is, Token{Alg: alg, KeyID: kid})
			if header, _ := halves(t, compact); header["alg"] != alg || header["kid"] != "e1" || !checkSignature(t, alg, two.Public(), compact) {
				t.Errorf("%s %q: header %v", alg, kid, header)
			}
		}
	}
	also := made(t, Options{Keys: []Key{{Signer: one}}, Algorithms: []string{"EdDSA", "ES256", "EdDSA"}})
	if got, want := slices.Sorted(maps.Keys(published(t, also.JWKS()))), []string{"eddsa-1", "es256-1"}; !slices.Equal(got, want) {
		t.Errorf("kids %v, want %v", got, want)
	}
}

func TestMint(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}, Now: func() time.Time { return epoch }})
	foreign := clientOf(t, "RS256")
	goodHeader := map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": "es256-1"}
	goodClaims := map[string]any{
		"iss": "https://as.example.com", "sub": "user-1", "client_id": "client-1", "aud": "https://rs.example.com",
		"scope": "read", "iat": 1.8e9, "exp": 1.8e9 + 600,
	}
	for _, test := range []struct {
		name           string
		token          Token
		header, claims map[string]any // changes; nil removes
	}{
		{"good", Token{}, nil, nil},
		{"claims", Token{Claims: map[string]any{"sub": nil, "scope": "write", "x": []int{1}}}, nil, map[string]any{"sub": nil, "scope": "write", "x": []any{1.0}}},
		{"header", Token{Header: map[string]any{"typ": nil, "crit": []string{"x"}, "alg": "none"}}, map[string]any{"typ": nil, "crit": []any{"x"}, "alg": "none"}, nil},
		{"unknown kid", Token{KeyID: "../e1"}, map[string]any{"kid": "../e1"}, nil},
		{"foreign key", Token{Key: foreign.Signer}, map[string]any{"alg": "RS256"}, nil},
		{"foreign key under another name", Token{Key: foreign.Signer, Alg: "PS512", KeyID: "k"}, map[string]any{"alg": "PS512", "kid": "k"}, nil},
		{"secret", Token{Alg: "HS256", Secret: []byte("s")}, map[string]any{"alg": "HS256"}, nil},
		{"unsecured", Token{Alg: None}, map[string]any{"alg": "none"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, claims := halves(t, minted(t, is, test.token))
			if jti, _ := claims["jti"].(string); len(jti) < 16 {
				t.Errorf("jti %q", jti)
			}
			delete(claims, "jti")
			for _, pair := range []struct{ got, good, changes map[string]any }{{header, goodHeader, test.header}, {claims, goodClaims, test.claims}} {
				want := maps.Clone(pair.good)
				maps.Copy(want, pair.changes)
				maps.DeleteFunc(want, func(_ string, v any) bool { return v == nil })
				if !reflect.DeepEqual(pair.got, want) {
					t.Errorf("got %v, want %v", pair.got, want)
				}
			}
		})
	}
	if !checkSignature(t, "PS512", foreign.Signer.Public(), minted(t, is, Token{Key: foreign.Signer, Alg: "PS512"})) {
		t.Error("the foreign key did not sign")
	}
	raw := minted(t, is, Token{Alg: None, RawHeader: []byte("{}{}"), RawPayload: []byte{}})
	if raw != "e317fQ.." {
		t.Errorf("raw: %s", raw)
	}
	for name, token := range map[string]Token{"no such key": {Alg: "RS256"}, "no such algorithm": {Alg: "ES257"}, "no JSON": {Claims: map[string]any{"x": make(chan int)}}} {
		if _, err := is.Mint(token); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	if _, err := made(t, Options{}).Mint(Token{}); !errors.Is(err, errNoIssuer) {
		t.Errorf("without an identifier: %v", err)
	}
}

func TestTokenEndpoint(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256", "EdDSA"}, Now: func() time.Time { return epoch }})
	k := clientOf(t, "ES256")
	proof, err := k.Proof(Proof{Method: "POST", URL: "https://as.example.com/token"})
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]any{"jkt": k.Thumbprint()}
	demo := "grant_type=" + url.QueryEscape(DemoGrant)
	for _, test := range []struct {
		name, body string
		header     []string
		kind       string
		claims     map[string]any // nil: must not be there
	}{
		{"client credentials", "grant_type=client_credentials&client_id=svc&scope=a+b&resource=https://rs2.example.com", nil, "Bearer",
			map[string]any{"sub": "svc", "client_id": "svc", "scope": "a b", "aud": "https://rs2.example.com", "exp": 1.8e9 + 600}},
		{"basic", "grant_type=client_credentials", []string{"Authorization", "Basic c3ZjOng="}, "Bearer", map[string]any{"sub": "svc", "client_id": "svc", "aud": "https://rs.example.com"}},
		{"demo", demo + "&sub=alice&aud=a&aud=b&client_id=&scope=&expires_in=60", nil, "Bearer",
			map[string]any{"sub": "alice", "aud": []any{"a", "b"}, "client_id": nil, "scope": nil, "iat": 1.8e9, "exp": 1.8e9 + 60}},
		{"expired", demo + "&expires_in=-60", nil, "Bearer", map[string]any{"iat": 1.8e9 - 660, "exp": 1.8e9 - 60}},
		{"jkt", demo + "&jkt=" + k.Thumbprint(), nil, "DPoP", map[string]any{"cnf": bound}},
		{"x5t#S256", demo + "&x5t%23S256=abc", nil, "Bearer", map[string]any{"cnf": map[string]any{"x5t#S256": "abc"}}},
		{"both", demo + "&x5t%23S256=abc&jkt=" + k.Thumbprint(), nil, "DPoP", map[string]any{"cnf": map[string]any{"x5t#S256": "abc", "jkt": k.Thumbprint()}}},
		{"proof", demo, []string{"DPoP", proof}, "DPoP", map[string]any{"cnf": bound}},
		{"proof with client credentials", "grant_type=client_credentials", []string{"DPoP", proof}, "DPoP", map[string]any{"cnf": bound}},
		{"claims", demo + "&sub=alice&claims=" + url.QueryEscape(`{"sub":"bob","jti":null,"big":12345678901234567890,"tenant":{"id":1}}`), nil, "Bearer",
			map[string]any{"sub": "bob", "jti": nil, "tenant": map[string]any{"id": 1.0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ask(t, is, "POST", "/token", strings.NewReader(test.body), append(test.header, "Content-Type", form)...)
			if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			answer := members(t, w.Body.Bytes())
			compact, _ := answer["access_token"].(string)
			_, claims := halves(t, compact)
			for name, want := range test.claims {
				if !reflect.DeepEqual(claims[name], want) {
					t.Errorf("%s: got %v, want %v", name, claims[name], want)
				}
			}
			if answer["token_type"] != test.kind || !reflect.DeepEqual(answer["scope"], claims["scope"]) {
				t.Errorf("answer %v", answer)
			}
			if exp, _ := claims["exp"].(float64); answer["expires_in"] != exp-1.8e9 {
				t.Errorf("expires_in %v with exp %v", answer["expires_in"], exp)
			}
			if claims["big"] != nil && !strings.Contains(string(mustDecode(t, compact)), `"big":12345678901234567890`) {
				t.Error("the number was rounded")
			}
		})
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256", "EdDSA"}})
	demo := "grant_type=" + url.QueryEscape(DemoGrant)
	for _, test := range []struct{ name, body, proof, code string }{
		{"no grant", "sub=x", "", "unsupported_grant_type"},
		{"other grant", "grant_type=password", "", "unsupported_grant_type"},
		{"alg", demo + "&alg=ES257", "", "invalid_request"},
		{"alg without a key", demo + "&alg=RS256", "", "invalid_request"},
		{"lifetime", demo + "&expires_in=1h", "", "invalid_request"},
		{"endless lifetime", demo + "&expires_in=9223372036854775807", "", "invalid_request"},
		{"least lifetime", demo + "&expires_in=-9223372036854775808", "", "invalid_request"},
		{"claims", demo + "&claims=[]", "", "invalid_request"},
		{"null claims", demo + "&claims=null", "", "invalid_request"},
		{"two objects", demo + "&claims={}{}", "", "invalid_request"},
		{"no proof", demo, "x", "invalid_dpop_proof"},
		{"proof without a key", demo, "e30.e30.AA", "invalid_dpop_proof"},
		{"too long", demo + "&sub=" + strings.Repeat("x", 70000), "", "unsupported_grant_type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ask(t, is, "POST", "/token", strings.NewReader(test.body), "Content-Type", form, "DPoP", test.proof)
			if m := members(t, w.Body.Bytes()); w.Code != http.StatusBadRequest || m["error"] != test.code || m["access_token"] != nil || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s, want %s", w.Code, w.Body, test.code)
			}
		})
	}
}

func mustDecode(t *testing.T, compact string) []byte {
	t.Helper()
	b, err := decode(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMethodsAndPaths(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com/t1", Algorithms: []string{"ES256"}})
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 200}, {"GET", "/t1", 200}, {"GET", "/t1/", 200}, {"HEAD", "/t1/jwks", 200}, {"GET", "/t1/jwks", 200},
		{"GET", "/jwks", 404}, {"GET", "/t1/jwks/x", 404}, {"GET", "/t1/token", 405}, {"POST", "/t1/jwks", 405}, {"GE", "/t1/jwks", 405},
		{"PUT", "/t1/token", 405}, {"POST", "/t1/token", 400},
	} {
		if w := ask(t, is, test.method, test.path, nil); w.Code != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, w.Code, test.want)
		}
	}
	if got := is.Hits("/t1/jwks"); got != 4 {
		t.Errorf("%d hits, want 4", got)
	}
	if got := is.Requests(); len(got) != 12 || got[0] != "GET /" || got[11] != "POST /t1/token" {
		t.Errorf("requests %v", got)
	}
	for i := range maxLog + 5 {
		ask(t, is, "GET", fmt.Sprintf("/%d", i), nil)
	}
	if got := is.Requests(); len(got) != maxLog || got[maxLog-1] != fmt.Sprintf("GET /%d", maxLog+4) || len(is.hits) != maxLog {
		t.Errorf("%d requests, %d paths kept", len(got), len(is.hits))
	}
}

func TestConcurrentUse(t *testing.T) {
	run := started(t, Options{Algorithms: []string{"ES256"}})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 5 {
				if _, err := run.Mint(Token{KeyID: "es256-1"}); err != nil {
					t.Error(err)
				}
				if _, err := run.Rotate("ES256"); err != nil {
					t.Error(err)
				}
				run.Fail(Fault{Path: fmt.Sprintf("/%d", i), Times: 1})
				run.Publish(json.RawMessage(`{}`))
				run.Change(func(o *Options) { o.MaxAge += time.Second })
				resp, err := http.Get(run.URL + "/jwks")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	group.Wait()
	if got := run.Hits("/jwks"); got != 40 {
		t.Errorf("%d hits, want 40", got)
	}
}
