package main

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

var proofRows = []conformanceRow{
	{"DPOP-01", rowDPOP01}, {"DPOP-02", rowDPOP02}, {"DPOP-03", rowDPOP03}, {"DPOP-04", rowDPOP04}, {"DPOP-05", rowDPOP05},
	{"DPOP-06", rowDPOP06}, {"DPOP-07", rowDPOP07}, {"DPOP-08", rowDPOP08}, {"DPOP-09", rowDPOP09}, {"DPOP-10", rowDPOP10},
	{"DPOP-11", rowDPOP11}, {"DPOP-12", rowDPOP12}, {"DPOP-13", rowDPOP13}, {"DPOP-14", rowDPOP14}, {"DPOP-15", rowDPOP15},
	{"DPOP-16", rowDPOP16}, {"DPOP-17", rowDPOP17}, {"DPOP-18", rowDPOP18}, {"DPOP-19", rowDPOP19}, {"DPOP-20", rowDPOP20},
	{"DPOP-21", rowDPOP21}, {"DPOP-22", rowDPOP22}, {"DPOP-23", rowDPOP23}, {"DPOP-24", rowDPOP24}, {"DPOP-25", rowDPOP25},
	{"DPOP-26", rowDPOP26}, {"DPOP-27", rowDPOP27}, {"DPOP-28", rowDPOP28}, {"DPOP-29", rowDPOP29}, {"DPOP-30", rowDPOP30},
	{"DPOP-32", rowDPOP32}, {"DPOP-33", rowDPOP33}, {"DPOP-34", rowDPOP34}, {"DPOP-35", rowDPOP35}, {"DPOP-36", rowDPOP36},
	{"DPOP-37", rowDPOP37}, {"DPOP-38", rowDPOP38}, {"DPOP-39", rowDPOP39}, {"DPOP-40", rowDPOP40}, {"DPOP-47", rowDPOP47},
	{"DPOP-49", rowDPOP49}, {"DPOP-52", rowDPOP52}, {"DPOP-53", rowDPOP53}, {"DPOP-54", rowDPOP54},
}

// sendProof presents a token and a proof's text where any token will do.
func (f *fixture) sendProof(raw, proof string) *reply {
	f.t.Helper()
	return f.do("GET", "/any/x", "Authorization", "DPoP "+raw, "DPoP", proof)
}

// sendBound presents a token with a good proof for it, changed by p.
func (f *fixture) sendBound(key *devissuer.ClientKey, raw string, p devissuer.Proof) *reply {
	f.t.Helper()
	return f.sendProof(raw, f.proof(key, raw, "GET", "/any/x", p))
}

func (f *fixture) wantBadProof(t *testing.T, r *reply, before int) {
	t.Helper()
	f.wantError(t, r, before, http.StatusUnauthorized, "DPoP", "invalid_dpop_proof")
}

// wantProofsRefused wants 401 invalid_dpop_proof for each change of a proof.
func (f *fixture) wantProofsRefused(t *testing.T, key *devissuer.ClientKey, proofs map[string]devissuer.Proof) {
	t.Helper()
	raw := f.bound(key, nil)
	for name, p := range proofs {
		t.Run(name, func(t *testing.T) {
			before := f.upstream.count()
			f.wantBadProof(t, f.sendBound(key, raw, p), before)
		})
	}
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
}

func newBound(t *testing.T) (f *fixture, key *devissuer.ClientKey, raw string) {
	t.Helper()
	f, key = newFixture(t, nil), newClientKey(t, "ES256")
	return f, key, f.bound(key, nil)
}

func rowDPOP01(t *testing.T) {
	f, key, raw := newBound(t)
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
	seen := f.upstream.last().Header
	if seen.Get("X-Auth-Binding") != "dpop" || seen.Get("Authorization") != "" || seen.Get("Dpop") != "" {
		t.Errorf("seen %v", seen)
	}
}

func rowDPOP02(t *testing.T) {
	f, key, raw := newBound(t)
	for _, scheme := range []string{"dpop", "DPOP", "dPoP"} {
		wantPassed(t, f.do("GET", "/any/x", "Authorization", scheme+" "+raw, "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})))
	}
}

func rowDPOP03(t *testing.T) {
	f, key, raw := newBound(t)
	for _, name := range []string{"dpop", "DPOP", "Dpop"} {
		wantPassed(t, f.do("GET", "/any/x", "Authorization", "DPoP "+raw, name, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})))
	}
	before := f.upstream.count()
	f.wantBadProof(t, f.sendProof(raw, strings.ToUpper(f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))), before)
}

func rowDPOP04(t *testing.T) {
	f, key, raw := newBound(t)
	good := func() string { return f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}) }
	same := good()
	before := f.upstream.count()
	for name, two := range map[string][2]string{"equal": {same, same}, "different": {good(), good()}, "bad last": {good(), "x"}, "bad first": {"x", good()}, "empty first": {"", good()}} {
		t.Run(name, func(t *testing.T) {
			r := f.do("GET", "/any/x", "Authorization", "DPoP "+raw, "DPoP", two[0], "DPoP", two[1])
			f.wantBadProof(t, r, before)
		})
	}
}

func rowDPOP05(t *testing.T) {
	f, key, raw := newBound(t)
	one := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	before := f.upstream.count()
	for _, text := range []string{one + ", " + one, one + "," + one, one + ",", one + "; a=1"} {
		f.wantBadProof(t, f.sendProof(raw, text), before)
	}
}

func rowDPOP06(t *testing.T) {
	f, key, raw := newBound(t)
	one := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	p := strings.Split(one, ".")
	before := f.upstream.count()
	for name, text := range map[string]string{
		"empty": "", "JSON": `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`, "two parts": p[0] + "." + p[1],
		"five parts": one + "." + p[0] + "." + p[1], "inner space": p[0] + ". " + p[1] + "." + p[2], "padding": one + "==", "sparse bits": sparse(one), "quoted": `"` + one + `"`,
	} {
		t.Run(name, func(t *testing.T) { f.wantBadProof(t, f.sendProof(raw, text), before) })
	}
	wantPassed(t, f.sendProof(raw, one))
}

func rowDPOP07(t *testing.T) {
	proofs := map[string]devissuer.Proof{}
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath"} {
		proofs[name] = devissuer.Proof{Claims: changes{name: nil}}
	}
	newFixture(t, nil).wantProofsRefused(t, newClientKey(t, "ES256"), proofs)
}

func rowDPOP08(t *testing.T) {
	proofs := map[string]devissuer.Proof{}
	for name, claims := range map[string]changes{
		"jti number": {"jti": 1}, "jti list": {"jti": []string{"a"}}, "jti empty": {"jti": ""}, "jti long": {"jti": strings.Repeat("j", 257)}, "jti very long": {"jti": strings.Repeat("j", 10000)},
		"iat text": {"iat": fmt.Sprint(time.Now().Unix())}, "iat null": {"iat": json.RawMessage("null")}, "iat overflow": {"iat": json.RawMessage("1e400")},
		"htm list": {"htm": []string{"GET"}}, "htu list": {"htu": []string{testIdentifier + "/any/x"}}, "ath number": {"ath": 1},
	} {
		proofs[name] = devissuer.Proof{Claims: claims}
	}
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	f.wantProofsRefused(t, key, proofs)
	wantPassed(t, f.sendBound(key, f.bound(key, nil), devissuer.Proof{ID: strings.Repeat("j", 256)}))
}

func rowDPOP09(t *testing.T) {
	proofs := map[string]devissuer.Proof{"absent": {Header: changes{"typ": nil}}, "number": {Header: changes{"typ": 1}}}
	for _, typ := range []string{"JWT", "at+jwt", "DPoP+JWT", "application/dpop+jwt", "dpop+jwt ", ""} {
		proofs["typ "+typ] = devissuer.Proof{Header: changes{"typ": typ}}
	}
	newFixture(t, nil).wantProofsRefused(t, newClientKey(t, "ES256"), proofs)
}

func rowDPOP10(t *testing.T) {
	f := newFixture(t, nil)
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA", "Ed25519"} {
		key := newClientKey(t, alg)
		wantPassed(t, f.sendBound(key, f.bound(key, nil), devissuer.Proof{}))
	}
	key := newClientKey(t, "ES256")
	proofs := map[string]devissuer.Proof{"unsigned": {Alg: devissuer.None}, "absent": {Header: changes{"alg": nil}}, "ES384 with P-256": {Alg: "ES384"}}
	for _, alg := range []string{"none", "HS256", "RS256", "EdDSA", "ES384", "ES256K", "es256", "XX999", ""} {
		proofs["told "+alg] = devissuer.Proof{Header: changes{"alg": alg}}
	}
	f.wantProofsRefused(t, key, proofs)
	raw := f.bound(key, nil)
	header, payload := halves(t, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	mac, err := devissuer.SignHMAC("HS256", key.PublicJWK(), []byte(instead(t, header, "ES256", "HS256")), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	f.wantBadProof(t, f.sendProof(raw, mac), f.upstream.count())
}

func rowDPOP11(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	f.wantProofsRefused(t, key, map[string]devissuer.Proof{
		"absent": {Header: changes{"jwk": nil}}, "text": {Header: changes{"jwk": string(key.PublicJWK())}}, "null": {Header: changes{"jwk": json.RawMessage("null")}},
		"list": {Header: changes{"jwk": []json.RawMessage{key.PublicJWK()}}}, "kid": {Header: changes{"jwk": nil, "kid": key.Thumbprint()}},
		"jku": {Header: changes{"jwk": nil, "jku": f.a.URL + "/jwks"}}, "x5c": {Header: changes{"jwk": nil, "x5c": []string{"MIIB"}}},
	})
}

func rowDPOP12(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	proofs := map[string]devissuer.Proof{"oct": {Header: changes{"jwk": changes{"kty": "oct", "k": "AAAA"}}}}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		for kind, value := range map[string]any{"text": "AAAA", "empty": "", "null": json.RawMessage("null")} {
			proofs[name+" "+kind] = devissuer.Proof{Header: changes{"jwk": jwkOf(t, key, changes{name: value})}}
		}
	}
	f.wantProofsRefused(t, key, proofs)
}

func rowDPOP13(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	good := jwkOf(t, key, changes{"kid": "k", "use": "sig", "alg": "ES256", "x5t": "AAAA", "key_ops": []string{"verify"}})
	wantPassed(t, f.sendBound(key, f.bound(key, nil), devissuer.Proof{Header: changes{"jwk": good}}))
	f.wantProofsRefused(t, key, map[string]devissuer.Proof{
		"alg": {Header: changes{"jwk": jwkOf(t, key, changes{"alg": "RS256"})}}, "alg of another curve": {Header: changes{"jwk": jwkOf(t, key, changes{"alg": "ES384"})}},
		"use": {Header: changes{"jwk": jwkOf(t, key, changes{"use": "enc"})}},
	})
}

func rowDPOP14(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	var point struct{ X, Y string }
	if err := json.Unmarshal(key.PublicJWK(), &point); err != nil {
		t.Fatal(err)
	}
	y := octets(t, point.Y)
	y[31] ^= 1
	modulus := func(bits int) string {
		return base64url(new(big.Int).SetBit(big.NewInt(1), bits-1, 1).Bytes())
	}
	proofs := map[string]devissuer.Proof{
		"off the curve": {Header: changes{"jwk": jwkOf(t, key, changes{"y": base64url(y)})}}, "short": {Header: changes{"jwk": jwkOf(t, key, changes{"x": "AAAA"})}},
		"long": {Header: changes{"jwk": jwkOf(t, key, changes{"x": base64url(append([]byte{0}, octets(t, point.X)...))})}}, "padding": {Header: changes{"jwk": jwkOf(t, key, changes{"x": point.X + "="})}},
		"zero": {Header: changes{"jwk": jwkOf(t, key, changes{"x": base64url(make([]byte, 32)), "y": base64url(make([]byte, 32))})}},
	}
	for _, crv := range []string{"Ed448", "X25519", "X448"} {
		proofs[crv] = devissuer.Proof{Header: changes{"alg": "EdDSA", "jwk": changes{"kty": "OKP", "crv": crv, "x": point.X}}}
	}
	for name, jwk := range map[string]changes{
		"1024 bits": {"n": modulus(1024), "e": "AQAB"}, "2047 bits": {"n": modulus(2047), "e": "AQAB"}, "4104 bits": {"n": modulus(4104), "e": "AQAB"}, "32768 bits": {"n": modulus(32768), "e": "AQAB"},
		"e of 1": {"n": modulus(2048), "e": "AQ"}, "e even": {"n": modulus(2048), "e": "AQAA"}, "e of 2^31+1": {"n": modulus(2048), "e": "gAAAAQ"}, "leading zero": {"n": "AA" + modulus(2048), "e": "AQAB"},
	} {
		jwk["kty"] = "RSA"
		proofs["RSA "+name] = devissuer.Proof{Header: changes{"alg": "RS256", "jwk": jwk}}
	}
	f.wantProofsRefused(t, key, proofs)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := &devissuer.ClientKey{Algorithm: "RS256", Signer: small}
	r := f.sendBound(weak, f.bound(key, nil), devissuer.Proof{Header: changes{"jwk": changes{"kty": "RSA", "n": base64url(small.N.Bytes()), "e": "AQAB"}}})
	f.wantBadProof(t, r, f.upstream.count())
}

func rowDPOP15(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	f.wantProofsRefused(t, key, map[string]devissuer.Proof{
		"crit": {Header: changes{"crit": []string{"x"}, "x": 1}}, "empty crit": {Header: changes{"crit": []string{}}}, "b64": {Header: changes{"b64": true}},
	})
	raw := f.bound(key, nil)
	header, payload := halves(t, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	twice := func(text, old, with string) []byte { return []byte(instead(t, text, old, with)) }
	f.wantProofsRefused(t, key, map[string]devissuer.Proof{
		"two jwk": {RawHeader: twice(header, `"jwk":`, `"jwk":{},"jwk":`)}, "two htu": {RawPayload: twice(payload, `"htu":`, `"htu":"x","htu":`)},
		"two kty": {RawHeader: twice(header, `"kty":`, `"kty":"RSA","kty":`)}, "text after the header": {RawHeader: []byte(header + "{}")},
		"text after the claims": {RawPayload: []byte(payload + "x")}, "no UTF-8": {RawPayload: twice(payload, `{`, "{\"x\":\"\xff\",")},
	})
	before := f.upstream.count()
	other := newClientKey(t, "ES256")
	f.wantBadProof(t, f.sendBound(other, raw, devissuer.Proof{Header: changes{"jwk": key.PublicJWK()}}), before)
	f.wantBadProof(t, f.sendProof(raw, tampered(t, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))), before)
}

func rowDPOP16(t *testing.T) {
	f, key, raw := newBound(t)
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Header: changes{"kid": "k", "foo": changes{"a": 1}}, Claims: changes{"foo": []int{1}, "iss": "x", "aud": "x"}}))
}

func rowDPOP17(t *testing.T) {
	f, key, raw := newBound(t)
	before := f.upstream.count()
	for _, c := range []struct{ method, htm string }{{"GET", "get"}, {"HEAD", "GET"}, {"POST", "GET"}, {"GET", "HEAD"}, {"GET", "GET "}, {"GET", ""}, {"get", "GET"}} {
		proof := f.proof(key, raw, c.htm, "/any/x", devissuer.Proof{})
		r := f.do(c.method, "/any/x", "Authorization", "DPoP "+raw, "DPoP", proof)
		f.wantBadProof(t, r, before)
	}
}

func rowDPOP18(t *testing.T) {
	f, key, raw := newBound(t)
	r := f.do("POST", "/any/x", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "POST", "/any/x", devissuer.Proof{}), "X-HTTP-Method-Override", "DELETE", "X_Method_Override", "PUT")
	wantPassed(t, r)
	if seen := f.upstream.last(); seen.Method != "POST" || len(seen.Header["X-Http-Method-Override"])+len(seen.Header["X_method_override"]) > 0 {
		t.Errorf("seen %s %v", seen.Method, seen.Header)
	}
}

// htu makes a proof that names a target as it is.
func htu(target any) devissuer.Proof { return devissuer.Proof{Claims: changes{"htu": target}} }

func rowDPOP19(t *testing.T) {
	f, key, raw := newBound(t)
	for _, target := range []string{
		"HTTPS://rs.example.com/any/x", "https://RS.Example.COM/any/x", "https://rs.example.com:443/any/x", "https://rs.example.com:/any/x", "https://rs.example.com/any/%78",
		"https://rs.example.com/%61ny/x", "https://rs.example.com/any/./x", "https://rs.example.com/b/../any/x", "https://rs.example.com/any/x?a=b", "https://rs.example.com/any/x#f",
	} {
		t.Run(target, func(t *testing.T) { wantPassed(t, f.sendBound(key, raw, htu(target))) })
	}
	for _, target := range []string{"/any/caf%C3%A9", "/any/caf%c3%a9"} {
		p := htu(testIdentifier + "/any/caf%c3%a9")
		wantPassed(t, f.do("GET", target, "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "", p)))
	}
	wantPassed(t, f.do("GET", "/any/x?q=1", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})))
	root := newFixture(t, func(text string) string {
		return instead(t, text, "      - {name: any,", "      - {name: root, path: /}\n      - {name: any,")
	})
	raw = root.bound(key, nil)
	for _, target := range []string{testIdentifier, testIdentifier + "/"} {
		wantPassed(t, root.do("GET", "/", "Authorization", "DPoP "+raw, "DPoP", root.proof(key, raw, "GET", "", htu(target))))
	}
}

func rowDPOP20(t *testing.T) {
	proofs := map[string]devissuer.Proof{"number": htu(1), "object": htu(changes{})}
	for _, target := range []string{
		"http://rs.example.com/any/x", "https://evil.example/any/x", "https://rs.example.com.evil.example/any/x", "https://rs.example.com:8443/any/x", "https://rs.example.com:80/any/x",
		"https://rs.example.com/any/X", "https://rs.example.com/any/x/", "https://rs.example.com//any/x", "https://rs.example.com/any//x", "https://rs.example.com/any%2Fx", "https://rs.example.com/any",
		"/any/x", "any/x", "//rs.example.com/any/x", "https://user@rs.example.com/any/x", "https:rs.example.com/any/x", "https:///any/x", "", "https://rs.example.com", "wss://rs.example.com/any/x",
		" https://rs.example.com/any/x", "https://rs.example.com/any/x ", "https://rs.example.com/any/%zz", "https://rs.example.com./any/x", "https://rs.example.com\\any/x", "https://rs.example.com:0443x/any/x",
	} {
		proofs["htu "+target] = htu(target)
	}
	newFixture(t, nil).wantProofsRefused(t, newClientKey(t, "ES256"), proofs)
}

// sendAs presents a proof under a Host of the client's choice.
func (f *fixture) sendAs(host, raw, proof string, header http.Header) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url+"/any/x", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Host = host
	maps.Copy(req.Header, header)
	req.Header.Set("Authorization", "DPoP "+raw)
	req.Header.Set("DPoP", proof)
	return f.send(req)
}

func rowDPOP21(t *testing.T) {
	f, key, raw := newBound(t)
	before := f.upstream.count()
	evil := f.proof(key, raw, "GET", "", htu("https://evil.example/any/x"))
	f.wantBadProof(t, f.sendAs("evil.example", raw, evil, nil), before)
	own := f.proof(key, raw, "GET", "", htu(f.url+"/any/x"))
	f.wantBadProof(t, f.sendAs(f.address, raw, own, nil), before)
}

func rowDPOP22(t *testing.T) {
	f, key, raw := newBound(t)
	said := http.Header{
		"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Port": {"80"}, "Forwarded": {"proto=http;host=evil.example"}, "X-Forwarded-Prefix": {"/y"},
	}
	before := f.upstream.count()
	for _, target := range []string{"http://rs.example.com/any/x", "https://evil.example/any/x", "http://evil.example/any/x", testIdentifier + "/y/any/x"} {
		f.wantBadProof(t, f.sendAs("rs.example.com", raw, f.proof(key, raw, "GET", "", htu(target)), said), before)
	}
	wantPassed(t, f.sendAs("rs.example.com", raw, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}), said))
}

func rowDPOP23(t *testing.T) {
	f, key, raw := newBound(t)
	r := f.do("GET", "/ext/read", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/ext/read", devissuer.Proof{}))
	wantPassed(t, r)
	if got := f.upstream.last().URL.Path; got != "/read" {
		t.Errorf("seen path %s", got)
	}
	before := f.upstream.count()
	f.wantBadProof(t, f.do("GET", "/ext/read", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/read", devissuer.Proof{})), before)
	wantPassed(t, f.sendAs("rs.example.com:443", raw, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}), nil))
	for _, target := range []string{"https://rs.example.com/any/x", "http://rs.example.com/any/x"} {
		answer := f.raw("GET " + target + " HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\nAuthorization: DPoP " + raw +
			"\r\nDPoP: " + f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}) + "\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("absolute form %s: %s", target, answer)
		}
	}
}

func rowDPOP24(t *testing.T) {
	f, key, raw := newBound(t)
	now := time.Now()
	for _, ahead := range []time.Duration{0, 10 * time.Second, 30 * time.Second} {
		wantPassed(t, f.sendBound(key, raw, devissuer.Proof{IssuedAt: now.Add(ahead)}))
	}
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Claims: changes{"exp": now.Unix() + 60, "nbf": now.Unix() - 1}}))
	f.wantProofsRefused(t, key, map[string]devissuer.Proof{
		"-61": {IssuedAt: now.Add(-61 * time.Second)}, "+45": {IssuedAt: now.Add(45 * time.Second)}, "+86400": {IssuedAt: now.Add(24 * time.Hour)},
		"before the process began": {IssuedAt: now.Add(-45 * time.Second)}, "exp past": {Claims: changes{"exp": now.Unix() - 1}}, "exp text": {Claims: changes{"exp": "x"}},
		"nbf ahead": {Claims: changes{"nbf": now.Unix() + 60}},
	})
}

func rowDPOP25(t *testing.T) {
	f, key, raw := newBound(t)
	proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	wantPassed(t, f.sendProof(raw, proof))
	for range 3 {
		f.wantBadProof(t, f.sendProof(raw, proof), 1)
	}
}

func rowDPOP26(t *testing.T) {
	f, key, raw := newBound(t)
	proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	var passed, refused atomic.Int64
	var wait sync.WaitGroup
	for range 100 {
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/any/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "DPoP "+raw)
		req.Header.Set("DPoP", proof)
		wait.Go(func() {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
				passed.Add(1)
			case http.StatusUnauthorized:
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	if passed.Load() != 1 || refused.Load() != 99 || f.upstream.count() != 1 {
		t.Errorf("%d passed, %d were refused, the upstream saw %d", passed.Load(), refused.Load(), f.upstream.count())
	}
}

func rowDPOP27(t *testing.T) {
	f, key, raw := newBound(t)
	now := time.Now()
	proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{ID: "j", IssuedAt: now})
	wantPassed(t, f.sendProof(raw, proof))
	before := f.upstream.count()
	f.wantBadProof(t, f.sendBound(key, raw, devissuer.Proof{ID: "j", IssuedAt: now}), before)
	f.wantBadProof(t, f.sendBound(key, raw, devissuer.Proof{ID: "j", IssuedAt: now.Add(5 * time.Second)}), before)
	f.wantBadProof(t, f.sendProof(raw, sparse(proof)), before)
	dot := strings.LastIndexByte(proof, '.')
	signature := octets(t, proof[dot+1:])
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:]))
	f.wantBadProof(t, f.sendProof(raw, proof[:dot+1]+base64url(fixedWidth(new(big.Int).SetBytes(signature[:32]), s))), before)
	again := f.bound(key, nil)
	f.wantBadProof(t, f.sendBound(key, again, devissuer.Proof{ID: "j"}), before)
	other := newClientKey(t, "ES256")
	wantPassed(t, f.sendBound(other, f.bound(other, nil), devissuer.Proof{ID: "j"}))
}

func rowDPOP28(t *testing.T) {
	f, key, raw := newBound(t)
	f.wantBadProof(t, f.sendProof(raw, tampered(t, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{ID: "j"}))), 0)
	f.wantBadProof(t, f.sendBound(key, raw, devissuer.Proof{ID: "j", Claims: changes{"htm": "POST"}}), 0)
	stranger := newClientKey(t, "ES256")
	f.wantError(t, f.sendBound(stranger, raw, devissuer.Proof{ID: "j"}), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
	f.wantBadProof(t, f.sendBound(stranger, raw, devissuer.Proof{ID: "j", Header: changes{"jwk": key.PublicJWK()}}), 0)
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{ID: "j"}))
}

// rowDPOP29 sends the proof that lives longest; the end of its time is for the
// fake clock of the store's own tests.
func rowDPOP29(t *testing.T) {
	f, key, raw := newBound(t)
	proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{IssuedAt: time.Now().Add(29 * time.Second)})
	wantPassed(t, f.sendProof(raw, proof))
	for range 50 {
		wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
	}
	before := f.upstream.count()
	f.wantBadProof(t, f.sendProof(raw, proof), before)
}

func newCramped(t *testing.T) *fixture {
	t.Helper()
	return newFixture(t, func(text string) string { return text + "dpop: {replay: {max_entries: 8}}\n" })
}

func rowDPOP30(t *testing.T) {
	f, key := newCramped(t), newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	var used []string
	for range 2 { // a quarter of the capacity
		used = append(used, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
		wantPassed(t, f.sendProof(raw, used[len(used)-1]))
	}
	for range 50 {
		f.wantUndecided(t, f.sendBound(key, raw, devissuer.Proof{}), 2)
	}
	for _, proof := range used {
		f.wantBadProof(t, f.sendProof(raw, proof), 2)
	}
	other := newClientKey(t, "ES256")
	wantPassed(t, f.sendBound(other, f.bound(other, nil), devissuer.Proof{}))
	if n := f.gateway.stores.replays.Len(); n != 3 {
		t.Errorf("%d proofs are remembered", n)
	}
	if !strings.Contains(f.metrics(), "wicketgate_dpop_replay_store_errors_total{store=\"memory\"} 50\n") {
		t.Error("the metric does not count the proofs that had no room")
	}
}

func rowDPOP32(t *testing.T) {
	f, key, raw := newBound(t)
	r := f.do("GET", "/any/x", "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	f.wantError(t, r, 0, http.StatusUnauthorized, "", "")
}

func rowDPOP33(t *testing.T) {
	f, key, raw := newBound(t)
	_, payload := halves(t, f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	var claims struct{ Ath string }
	if err := json.Unmarshal([]byte(payload), &claims); err != nil {
		t.Fatal(err)
	}
	_, other := halves(t, f.proof(key, f.bound(key, nil), "GET", "/any/x", devissuer.Proof{}))
	var wrong struct{ Ath string }
	if err := json.Unmarshal([]byte(other), &wrong); err != nil {
		t.Fatal(err)
	}
	before := f.upstream.count()
	for name, ath := range map[string]any{
		"another token": wrong.Ath, "padding": claims.Ath + "=", "hex": fmt.Sprintf("%x", octets(t, claims.Ath)), "empty": "", "the token itself": raw, "upper case": strings.ToUpper(claims.Ath), "list": []string{claims.Ath},
	} {
		t.Run(name, func(t *testing.T) {
			f.wantBadProof(t, f.sendBound(key, raw, devissuer.Proof{Claims: changes{"ath": ath}}), before)
		})
	}
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Claims: changes{"ath": claims.Ath}}))
}

func rowDPOP34(t *testing.T) {
	f, _, raw := newBound(t)
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		f.wantError(t, f.sendBound(newClientKey(t, alg), raw, devissuer.Proof{}), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
	}
}

func rowDPOP35(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	f.wantError(t, f.sendBound(key, f.AT(nil), devissuer.Proof{}), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
}

func rowDPOP36(t *testing.T) {
	f, key, raw := newBound(t)
	f.wantError(t, f.sendToken(raw), 0, http.StatusUnauthorized, "Bearer", "invalid_token")
	r := f.do("GET", "/any/x", "Authorization", "Bearer "+raw, "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	f.wantError(t, r, 0, http.StatusUnauthorized, "Bearer", "invalid_token")
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
	f.wantError(t, f.sendToken(raw), 1, http.StatusUnauthorized, "Bearer", "invalid_token")
	f.wantError(t, f.do("GET", "/maybe", "Authorization", "Bearer "+raw), 1, http.StatusUnauthorized, "Bearer", "invalid_token")
}

func rowDPOP37(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	raw := f.AT(nil)
	for _, proof := range []string{f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}), "x"} {
		wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+raw, "DPoP", proof))
		if seen := f.upstream.last().Header; seen.Get("Dpop") != "" || seen.Get("X-Auth-Binding") != "" {
			t.Errorf("seen %v", seen)
		}
	}
}

func rowDPOP38(t *testing.T) {
	f, _, raw := newBound(t)
	f.wantBadProof(t, f.do("GET", "/any/x", "Authorization", "DPoP "+raw), 0)
}

func rowDPOP39(t *testing.T) {
	f, key, raw := newBound(t)
	expired := f.bound(key, changes{"exp": time.Now().Unix() - 3600})
	for name, bad := range map[string]string{"expired": expired, "signature": tampered(t, raw), "audience": f.bound(key, changes{"aud": "x"})} {
		for kind, proof := range map[string]string{"good": f.proof(key, bad, "GET", "/any/x", devissuer.Proof{}), "junk": "junk", "empty": ""} {
			t.Run(name+", "+kind+" proof", func(t *testing.T) {
				f.wantError(t, f.sendProof(bad, proof), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
			})
		}
	}
	stranger := newClientKey(t, "ES256")
	broken := tampered(t, f.proof(stranger, raw, "GET", "/any/x", devissuer.Proof{Claims: changes{"htm": "POST"}}))
	f.wantError(t, f.sendProof(raw, broken), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
	if n := f.gateway.stores.replays.Len(); n != 0 {
		t.Errorf("%d refused proofs are remembered", n)
	}
}

func rowDPOP40(t *testing.T) {
	t.Run("no keys", func(t *testing.T) {
		f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { is.Fail(devissuer.Fault{Status: 500}) }, nil)
		key := newClientKey(t, "ES256")
		f.wantUndecided(t, f.sendBound(key, f.bound(key, nil), devissuer.Proof{}), 0)
	})
	t.Run("no room", func(t *testing.T) {
		f := newCramped(t)
		for range 4 {
			key := newClientKey(t, "ES256")
			raw := f.bound(key, nil)
			wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
			wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
		}
		key := newClientKey(t, "ES256")
		f.wantUndecided(t, f.sendBound(key, f.bound(key, nil), devissuer.Proof{}), 8)
	})
}

func rowDPOP47(t *testing.T) {
	f, key, raw := newBound(t)
	r := f.sendBound(key, raw, devissuer.Proof{Nonce: "x"})
	wantPassed(t, r)
	if _, found := r.Header["Dpop-Nonce"]; found {
		t.Error("a nonce nobody asked for")
	}
	if r := f.sendBound(key, raw, devissuer.Proof{Claims: changes{"htm": "x"}}); r.Header["Dpop-Nonce"] != nil {
		t.Error("a refusal hands out a nonce")
	}
}

func rowDPOP49(t *testing.T) {
	f, key, raw := newBound(t)
	for _, bearer := range []string{f.AT(nil), raw} {
		r := f.do("GET", "/dpop/x", "Authorization", "Bearer "+bearer)
		f.wantRefusal(t, r, http.StatusUnauthorized, 0)
		line := r.challenge("DPoP")
		if r.challenge("Bearer") != "" || !strings.Contains(line, `algs="`) || strings.Contains(line, "error") {
			t.Errorf("challenges %q", r.Header["Www-Authenticate"])
		}
	}
	wantPassed(t, f.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})))
}

func rowDPOP52(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	jkt := key.Thumbprint()
	for name, cnf := range map[string]any{
		"empty": changes{}, "text": jkt, "list": []string{jkt}, "number": changes{"jkt": 1}, "short": changes{"jkt": jkt[:42]}, "padding": changes{"jkt": jkt + "="},
		"alphabet": changes{"jkt": "+" + jkt[1:]}, "unknown only": changes{"kid": "x"}, "jwk": changes{"jwk": key.PublicJWK()}, "null": json.RawMessage("null"),
		"null jkt": changes{"jkt": json.RawMessage("null")}, "hex": changes{"jkt": strings.Repeat("0f", 32)}, "nested": changes{"jkt": changes{"jkt": jkt}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := f.AT(changes{"cnf": cnf})
			f.wantError(t, f.sendToken(raw), 0, http.StatusUnauthorized, "Bearer", "invalid_token")
			f.wantError(t, f.sendBound(key, raw, devissuer.Proof{}), 0, http.StatusUnauthorized, "DPoP", "invalid_token")
		})
	}
	more := f.AT(changes{"cnf": changes{"jkt": jkt, "kc-jkt-type": "x"}})
	wantPassed(t, f.sendBound(key, more, devissuer.Proof{}))
	f.wantError(t, f.sendToken(more), 1, http.StatusUnauthorized, "Bearer", "invalid_token")
}

func rowDPOP53(t *testing.T) {
	f, key, raw := newBound(t)
	r := f.do("GET", "/any/x", "Proxy-Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))
	f.wantError(t, r, 0, http.StatusUnauthorized, "", "")
	if r.Header["Proxy-Authenticate"] != nil {
		t.Error("a challenge of a proxy")
	}
}

func rowDPOP54(t *testing.T) {
	f, key, raw := newBound(t)
	for _, method := range []string{"HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "QUERY"} {
		before := f.upstream.count()
		r := f.do(method, "/any/x", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, method, "/any/x", devissuer.Proof{}))
		if r.StatusCode != http.StatusOK || f.upstream.count() != before+1 || f.upstream.last().Method != method {
			t.Errorf("%s: status %d", method, r.StatusCode)
		}
	}
	handshake := []string{"Authorization", "DPoP " + raw, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	wantPassed(t, f.do("GET", "/any/x", append(handshake, "DPoP", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}))...))
	before := f.upstream.count()
	f.wantBadProof(t, f.do("GET", "/any/x", append(handshake, "DPoP", f.proof(key, raw, "GET", "", htu("wss://rs.example.com/any/x")))...), before)
	const call = "/any/pkg.Service/Method"
	for name, set := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/2": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		set(transport.Protocols)
		for _, kind := range []string{"application/grpc", "application/json"} {
			before := f.upstream.count()
			req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+call, bytes.NewReader([]byte("body")))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Content-Type": {kind}, "Authorization": {"DPoP " + raw}, "Dpop": {f.proof(key, raw, "POST", call, devissuer.Proof{})}, "Te": {"trailers"}}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || f.upstream.count() != before+1 || resp.Header.Get("Grpc-Status") != "" {
				t.Errorf("%s, %s: status %d %v", name, kind, resp.StatusCode, resp.Header)
			}
		}
		transport.CloseIdleConnections()
	}
}
