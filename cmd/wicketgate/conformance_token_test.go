package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// tokenRows are the rows about tokens, keys and proofs.
var tokenRows = slices.Concat(formRows, algorithmRows, claimRows, keyRows, proofRows)

var formRows = []conformanceRow{
	{"JWS-01", rowJWS01}, {"JWS-02", rowJWS02}, {"JWS-03", rowJWS03}, {"JWS-04", rowJWS04}, {"JWS-05", rowJWS05},
	{"JWS-06", rowJWS06}, {"JWS-07", rowJWS07}, {"JWS-08", rowJWS08}, {"JWS-09", rowJWS09}, {"JWS-10", rowJWS10},
	{"JWS-11", rowJWS11}, {"JWS-12", rowJWS12}, {"JWS-13", rowJWS13}, {"JWS-14", rowJWS14}, {"JWS-15", rowJWS15},
	{"JWS-16", rowJWS16}, {"JWS-17", rowJWS17}, {"JWS-18", rowJWS18}, {"JWS-19", rowJWS19}, {"JWS-20", rowJWS20},
	{"JWS-21", rowJWS21}, {"JWS-22", rowJWS22}, {"JWS-23", rowJWS23}, {"JWE-01", rowJWE01},
}

var algorithmRows = []conformanceRow{
	{"ALG-01", rowALG01}, {"ALG-02", rowALG02}, {"ALG-03", rowALG03}, {"ALG-05", rowALG05},
	{"ALG-06", rowALG06}, {"ALG-07", rowALG07}, {"ALG-08", rowALG08}, {"ALG-09", rowALG09},
}

var claimRows = []conformanceRow{
	{"JWT-01", rowJWT01}, {"JWT-02", rowJWT02}, {"JWT-03", rowJWT03}, {"JWT-04", rowJWT04}, {"JWT-05", rowJWT05},
	{"JWT-07", rowJWT07}, {"JWT-08", rowJWT08}, {"JWT-09", rowJWT09}, {"JWT-10", rowJWT10}, {"JWT-11", rowJWT11},
	{"JWT-12", rowJWT12}, {"JWT-13", rowJWT13}, {"JWT-17", rowJWT17}, {"JWT-20", rowJWT20}, {"JWT-22", rowJWT22},
	{"JWT-23", rowJWT23}, {"JWT-24", rowJWT24}, {"MTLS-03", rowMTLS03}, {"MTLS-05", rowMTLS05},
	{"INTR-18", rowINTR18}, {"SSF-07", rowSSF07},
}

type changes = map[string]any

// sendToken presents a token as a bearer where any token will do.
func (f *fixture) sendToken(raw string) *reply {
	f.t.Helper()
	return f.do("GET", "/any/x", "Authorization", "Bearer "+raw)
}

func wantPassed(t *testing.T, r *reply) {
	t.Helper()
	if r.StatusCode != http.StatusOK || r.body != "upstream" {
		t.Errorf("status %d, want the upstream's 200; body %s", r.StatusCode, r.body)
	}
}

// wantError wants a refusal with code on the challenge of one scheme, the
// other one being there without it. An empty code is on neither.
func (f *fixture) wantError(t *testing.T, r *reply, before, status int, scheme, code string) {
	t.Helper()
	f.wantRefusal(t, r, status, before)
	for _, s := range []string{"Bearer", "DPoP"} {
		line := r.challenge(s)
		switch told := strings.Contains(line, "error"); {
		case line == "":
			t.Errorf("no %s challenge", s)
		case code != "" && s == scheme:
			if !strings.Contains(line, `error="`+code+`"`) {
				t.Errorf("challenge %s, want %s", line, code)
			}
		case told:
			t.Errorf("challenge %s, want no error", line)
		}
	}
	if line := r.challenge("DPoP"); !strings.Contains(line, `algs="`) {
		t.Errorf("challenge %s names no algs", line)
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// wantUndecided wants the 503 of a gate that cannot tell.
func (f *fixture) wantUndecided(t *testing.T, r *reply, before int) {
	t.Helper()
	f.wantRefusal(t, r, http.StatusServiceUnavailable, before)
	if r.Header.Get("Retry-After") == "" || r.Header["Www-Authenticate"] != nil {
		t.Errorf("header %v", r.Header)
	}
}

// wantTokensRefused wants 401 invalid_token for each token.
func (f *fixture) wantTokensRefused(t *testing.T, tokens map[string]string) {
	t.Helper()
	for name, raw := range tokens {
		t.Run(name, func(t *testing.T) {
			before := f.upstream.count()
			f.wantError(t, f.sendToken(raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
		})
	}
}

// wantTextsRefused wants 400 for texts that no credential can be, else 401.
func (f *fixture) wantTextsRefused(t *testing.T, texts map[string]string) {
	t.Helper()
	for name, raw := range texts {
		t.Run(name, func(t *testing.T) {
			before := f.upstream.count()
			r := f.sendToken(raw)
			status, code := http.StatusUnauthorized, "invalid_token"
			if r.StatusCode == http.StatusBadRequest {
				status, code = http.StatusBadRequest, "invalid_request"
			}
			f.wantError(t, r, before, status, "Bearer", code)
		})
	}
}

// wantTokensPass wants each token to reach the upstream.
func (f *fixture) wantTokensPass(t *testing.T, tokens map[string]string) {
	t.Helper()
	for name, raw := range tokens {
		t.Run(name, func(t *testing.T) { wantPassed(t, f.sendToken(raw)) })
	}
}

// header mints a good token with some header members changed.
func (f *fixture) header(h changes) string {
	f.t.Helper()
	return f.mint(f.a, devissuer.Token{Header: h})
}

// texts mints a token of these two texts, signed by the issuer's ES256 key. An
// empty one is that of a good token.
func (f *fixture) texts(header, payload string) string {
	f.t.Helper()
	token := devissuer.Token{}
	if header != "" {
		token.RawHeader = []byte(header)
	}
	if payload != "" {
		token.RawPayload = []byte(payload)
	}
	return f.mint(f.a, token)
}

func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// halves decodes header and payload of a token.
func halves(t testing.TB, raw string) (header, payload string) {
	t.Helper()
	parts := strings.Split(raw, ".")
	return string(octets(t, parts[0])), string(octets(t, parts[1]))
}

// instead replaces exactly one piece of a text.
func instead(t testing.TB, text, old, with string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is not once in %q", old, text)
	}
	return strings.Replace(text, old, with, 1)
}

// ownKey publishes a P-256 key at issuer A that the test can sign with, and
// A's next tokens are signed with it.
func ownKey(t *testing.T, f *fixture) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.a.Add(devissuer.Key{ID: "own", Algorithm: "ES256", Signer: key}); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, f.sendToken(f.AT(nil)))
	return key
}

// signedText signs any text with ES256 and returns r and s as well.
func signedText(t *testing.T, key *ecdsa.PrivateKey, text string) (raw string, r, s *big.Int) {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64url(fixedWidth(r, s)), r, s
}

func fixedWidth(r, s *big.Int) []byte {
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

// sparse changes a bit of the last character that stands for no octet.
func sparse(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + alphabet[last^1:last^1+1]
}

// tampered changes the first octet of the signature.
func tampered(t testing.TB, raw string) string {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	signature := octets(t, raw[dot+1:])
	signature[0] ^= 1
	return raw[:dot+1] + base64url(signature)
}

func rowJWS01(t *testing.T) {
	f := newFixture(t, nil)
	parts := strings.Split(f.AT(nil), ".")
	flat := `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
	general := `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`
	f.wantTextsRefused(t, map[string]string{"flattened": flat, "general": general, "space first": " " + flat, "encoded": base64url([]byte(flat))})
}

func rowJWS02(t *testing.T) {
	f := newFixture(t, nil)
	p := strings.Split(f.AT(nil), ".")
	f.wantTokensRefused(t, map[string]string{
		"one": p[0], "two": p[0] + "." + p[1], "four": strings.Join(p, ".") + "." + p[2], "five": strings.Join(p, ".") + "." + p[0] + "." + p[1],
		"empty header": "." + p[1] + "." + p[2], "empty payload": p[0] + ".." + p[2], "empty signature": p[0] + "." + p[1] + ".",
		"dot after": strings.Join(p, ".") + ".",
	})
}

func rowJWS03(t *testing.T) {
	f := newFixture(t, nil)
	key := ownKey(t, f)
	header, payload := halves(t, f.AT(changes{"x": "a"}))
	for len(payload)%3 == 0 {
		payload = instead(t, payload, `"x":"a`, `"x":"aa`)
	}
	payload = instead(t, payload, `"x":"a`, `"x":"~~~???`) // the two characters that alphabets differ in
	standard := base64.RawStdEncoding.EncodeToString([]byte(payload))
	if !strings.ContainsAny(standard, "+/") {
		payload = instead(t, payload, `"x":"~`, `"x":"~~`)
		standard = base64.RawStdEncoding.EncodeToString([]byte(payload))
	}
	good := base64url([]byte(payload))
	sign := func(first, second string) string { raw, _, _ := signedText(t, key, first+"."+second); return raw }
	wantPassed(t, f.sendToken(sign(base64url([]byte(header)), good)))
	head := base64url([]byte(header))
	f.wantTextsRefused(t, map[string]string{
		"padding": sign(head, good+"="), "padding of the signature": sign(head, good) + "==", "other alphabet": sign(head, standard),
		"space": sign(head, good[:9]+" "+good[9:]), "tab": sign(head, good[:9]+"\t"+good[9:]), "tilde": sign(head, good+"~"),
	})
	if !strings.ContainsAny(standard, "+/") {
		t.Error("the other alphabet was not tried")
	}
}

func rowJWS04(t *testing.T) {
	f := newFixture(t, nil)
	raw := f.AT(nil)
	wantPassed(t, f.sendToken(raw))
	f.wantTokensRefused(t, map[string]string{"signature": sparse(raw)})
}

func rowJWS05(t *testing.T) {
	f := newFixture(t, nil)
	header, _ := halves(t, f.AT(nil))
	f.wantTokensRefused(t, map[string]string{
		"array": f.texts("["+header+"]", ""), "text after": f.texts(header+"x", ""), "object after": f.texts(header+"{}", ""),
		"byte order mark": f.texts("\ufeff"+header, ""), "null": f.texts("null", ""), "text": f.texts(`"ES256"`, ""), "cut": f.texts(header[:len(header)-1], ""),
	})
}

func rowJWS06(t *testing.T) {
	f := newFixture(t, nil)
	header, _ := halves(t, f.AT(nil))
	twice := func(old, with string) string { return f.texts(instead(t, header, old, with), "") }
	f.wantTokensRefused(t, map[string]string{
		"none first": twice(`"alg":"ES256"`, `"alg":"none","alg":"ES256"`), "none last": twice(`"alg":"ES256"`, `"alg":"ES256","alg":"none"`),
		"typ": twice(`"typ":"at+jwt"`, `"typ":"JWT","typ":"at+jwt"`), "kid": twice(`"kid":`, `"kid":"x","kid":`),
		"escaped": twice(`"alg":"ES256"`, `"alg":"ES256","\u0061lg":"ES256"`), "unknown": twice(`"alg":"ES256"`, `"alg":"ES256","x":1,"x":1`),
	})
}

func rowJWS07(t *testing.T) {
	f := newFixture(t, nil)
	_, payload := halves(t, f.AT(changes{"cnf2": changes{"jkt": "a"}, "list": []any{changes{"deep": 1}}}))
	twice := func(old, with string) string { return f.texts("", instead(t, payload, old, with)) }
	f.wantTokensRefused(t, map[string]string{
		"sub": twice(`"sub":"user-1"`, `"sub":"user-1","sub":"user-2"`), "exp": twice(`"exp":`, `"exp":1,"exp":`),
		"inside": twice(`"jkt":"a"`, `"jkt":"a","jkt":"b"`), "in a list": twice(`"deep":1`, `"deep":1,"deep":1`),
		"escaped": twice(`"sub":"user-1"`, `"sub":"user-1","s\u0075b":"user-1"`),
	})
}

func rowJWS08(t *testing.T) {
	f := newFixture(t, nil)
	header, payload := halves(t, f.AT(nil))
	f.wantTokensRefused(t, map[string]string{
		"claims":                 f.texts("", instead(t, payload, "user-1", "user-\xff")),
		"header":                 f.texts(instead(t, header, `{`, "{\"x\":\"\xc3\","), ""),
		"overlong":               f.texts("", instead(t, payload, "user-1", "user-\xc0\xaf")),
		"encoded surrogate":      f.texts("", instead(t, payload, "user-1", "user-\xed\xa0\x80")),
		"lone high surrogate":    f.texts("", instead(t, payload, "user-1", `user-\ud800`)),
		"lone low surrogate":     f.texts("", instead(t, payload, "user-1", `user-\udc00`)),
		"byte order mark":        f.texts("", "\ufeff"+payload),
		"surrogate in the names": f.texts("", instead(t, payload, `"sub"`, `"\ud800":1,"sub"`)),
	})
	wantPassed(t, f.sendToken(f.texts("", instead(t, payload, "user-1", `user-\ud83d\ude00`))))
}

func rowJWS09(t *testing.T) {
	f := newFixture(t, nil)
	soon := time.Now().Add(time.Minute).Unix()
	f.wantTokensRefused(t, map[string]string{
		"ALG": f.header(changes{"alg": nil, "ALG": "ES256"}), "Typ": f.header(changes{"typ": nil, "Typ": "at+jwt"}),
		"EXP": f.AT(changes{"exp": nil, "EXP": soon}), "Aud": f.AT(changes{"aud": nil, "Aud": testIdentifier}),
		"Iss": f.AT(changes{"iss": nil, "Iss": f.a.Identifier()}), "Sub": f.AT(changes{"sub": nil, "Sub": "user-1"}),
	})
	wantPassed(t, f.sendToken(f.AT(changes{"EXP": 1, "Aud": "x", "SUB": "x"})))
}

func rowJWS10(t *testing.T) {
	f := newFixture(t, nil)
	unsigned := func(alg string) string {
		return f.mint(f.a, devissuer.Token{Alg: devissuer.None, Header: changes{"alg": alg}})
	}
	f.wantTokensRefused(t, map[string]string{
		"unsigned none": unsigned("none"), "unsigned None": unsigned("None"), "unsigned ES256": unsigned("ES256"), "unsigned empty": unsigned(""),
		"none over a signature": f.header(changes{"alg": "none"}), "nOnE over a signature": f.header(changes{"alg": "nOnE"}),
		"NONE over a signature": f.header(changes{"alg": "NONE"}), "absent": f.header(changes{"alg": nil}), "empty": f.header(changes{"alg": ""}),
		"null": f.header(changes{"alg": json.RawMessage("null")}), "number": f.header(changes{"alg": 256}), "list": f.header(changes{"alg": []string{"ES256"}}),
		"none with something for a signature": unsigned("none") + "AA",
	})
}

func rowJWS11(t *testing.T) {
	f := newFixture(t, nil)
	over := func(real, told string) string {
		return f.mint(f.a, devissuer.Token{Alg: real, Header: changes{"alg": told}})
	}
	f.wantTokensRefused(t, map[string]string{
		"RS512 over RS256": over("RS256", "RS512"), "PS256 over RS256": over("RS256", "PS256"), "RS256 over PS256": over("PS256", "RS256"),
		"ES256K": over("ES256", "ES256K"), "es256": over("ES256", "es256"), "ESP256": over("ES256", "ESP256"), "ES384 over ES256": over("ES256", "ES384"),
		"EdDSA over ES256": over("ES256", "EdDSA"), "space": over("ES256", "ES256 "),
	})
}

func rowJWS12(t *testing.T) {
	f := newFixture(t, nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.a.Add(devissuer.Key{ID: "rsa", Algorithm: "RS256", Signer: key}); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, f.sendToken(f.mint(f.a, devissuer.Token{Alg: "RS256", KeyID: "rsa"})))
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := devissuer.JWK(&key.PublicKey, "rsa", "RS256")
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for name, secret := range map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": jwk, "modulus": key.N.Bytes(),
	} {
		for _, alg := range []string{"HS256", "RS256"} {
			tokens[name+" as "+alg] = f.mint(f.a, devissuer.Token{Alg: "HS256", Secret: secret, Header: changes{"kid": "rsa", "alg": alg}})
		}
	}
	f.wantTokensRefused(t, tokens)
}

func rowJWS13(t *testing.T) {
	f := newFixture(t, nil)
	f.wantTokensPass(t, map[string]string{"foo": f.header(changes{"foo": changes{"a": 1}}), "x5t": f.header(changes{"x5t": "AAAA", "x5t#S256": "AAAA"})})
}

func rowJWS14(t *testing.T) {
	f := newFixture(t, nil)
	tokens := map[string]string{}
	for name, crit := range map[string]string{
		"known claim": `["exp"]`, "unknown": `["x"]`, "header name": `["alg"]`, "empty": `[]`, "text": `"x"`, "null": `null`, "number in it": `[1]`, "object": `{}`,
	} {
		tokens[name] = f.header(changes{"crit": json.RawMessage(crit), "x": 1, "exp": 1})
	}
	f.wantTokensRefused(t, tokens)
}

func rowJWS15(t *testing.T) {
	f := newFixture(t, nil)
	f.wantTokensRefused(t, map[string]string{
		"false": f.header(changes{"b64": false}), "true": f.header(changes{"b64": true}),
		"false, critical": f.header(changes{"b64": false, "crit": []string{"b64"}}), "true, critical": f.header(changes{"b64": true, "crit": []string{"b64"}}),
	})
}

func rowJWS16(t *testing.T) {
	f, c := newFixture(t, nil), startIssuer(t)
	stranger := newClientKey(t, "ES256")
	with := func(h changes) string {
		return f.mint(f.a, devissuer.Token{Key: stranger.Signer, Header: h})
	}
	f.wantTokensRefused(t, map[string]string{
		"jwk": with(changes{"jwk": stranger.PublicJWK()}), "jwk without kid": with(changes{"kid": nil, "jwk": stranger.PublicJWK()}),
		"jku": with(changes{"jku": c.URL + "/jwks"}), "x5u": with(changes{"x5u": c.URL + "/cert"}), "x5c": with(changes{"x5c": []string{"MIIB"}}),
		"kid with an address": f.mint(f.a, devissuer.Token{Key: stranger.Signer, Claims: changes{"iat": time.Now().Unix() - 60}, Header: changes{"kid": c.URL + "/jwks"}}),
	})
	if asked := c.Requests(); len(asked) != 0 {
		t.Errorf("fetched what a token named: %v", asked)
	}
	wantPassed(t, f.sendToken(f.header(changes{"jku": c.URL + "/jwks"})))
	if asked := c.Requests(); len(asked) != 0 {
		t.Errorf("fetched what a good token named: %v", asked)
	}
}

func rowJWS17(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	tokens := map[string]string{}
	for name, kid := range map[string]any{
		"number": 1, "unknown": "nobody", "other case": "ES256-1", "path": "../../es256-1", "regexp": "es256-.", "query": "es256-1?x", "list": []string{"es256-1"},
		"null": json.RawMessage("null"), "long": strings.Repeat("k", 10<<10), "space": "es256-1 ",
	} {
		tokens[name] = f.mint(f.a, devissuer.Token{Header: changes{"kid": kid}, Claims: changes{"iat": time.Now().Unix() - 60}})
	}
	f.wantTokensRefused(t, tokens)
	wantPassed(t, f.sendToken(f.header(changes{"kid": nil})))
}

func rowJWS18(t *testing.T) {
	f := newFixture(t, nil)
	key := ownKey(t, f)
	raw := f.AT(nil)
	signed := raw[:strings.LastIndexByte(raw, '.')]
	good, r, s := signedText(t, key, signed)
	wantPassed(t, f.sendToken(good))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	bytes := fixedWidth(r, s)
	with := func(signature []byte) string { return signed + "." + base64url(signature) }
	n := key.Params().N
	f.wantTokensRefused(t, map[string]string{
		"DER": with(der), "short": with(bytes[:63]), "long": with(append(slices.Clone(bytes), 0)), "zero": with(make([]byte, 64)),
		"padded halves": with(slices.Concat([]byte{0}, bytes[:32], []byte{0}, bytes[32:])), "one octet": with(bytes[:1]),
		"r of the order": with(fixedWidth(n, s)), "s of the order": with(fixedWidth(r, n)), "swapped": with(fixedWidth(s, r)),
	})
}

func rowJWS19(t *testing.T) {
	f := newFixture(t, nil)
	_, payload := halves(t, f.AT(nil))
	f.wantTokensRefused(t, map[string]string{
		"array": f.texts("", "["+payload+"]"), "null": f.texts("", "null"), "text after": f.texts("", payload+"x"), "object after": f.texts("", payload+"{}"),
		"comma": f.texts("", payload[:len(payload)-1]+",}"), "comment": f.texts("", payload+"//"), "number": f.texts("", "1"), "cut": f.texts("", payload[:len(payload)-1]),
	})
}

func rowJWS20(t *testing.T) {
	f := newFixture(t, nil)
	nested := f.mint(f.a, devissuer.Token{Header: changes{"cty": "JWT"}, RawPayload: []byte(f.AT(nil))})
	quoted := f.mint(f.a, devissuer.Token{Header: changes{"cty": "JWT"}, RawPayload: []byte(`"` + f.AT(nil) + `"`)})
	f.wantTokensRefused(t, map[string]string{"nested": nested, "nested as text": quoted})
}

func rowJWS21(t *testing.T) {
	f := newFixture(t, nil)
	_, payload := halves(t, f.AT(nil))
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	with := func(member string) string { return f.texts("", payload[:len(payload)-1]+","+member+"}") }
	var members strings.Builder
	for i := range 300 {
		members.WriteString(`"m` + big.NewInt(int64(i)).String() + `":0,`)
	}
	digits := strings.Repeat("9", 10000)
	f.wantTokensRefused(t, map[string]string{
		"depth": with(`"x":` + deep(5000)), "depth in the header": f.texts(`{"alg":"ES256","x":`+deep(4000)+`}`, ""),
		"members": with(members.String() + `"last":0`), "exp": f.AT(changes{"exp": json.RawMessage(digits)}), "number": with(`"x":` + digits),
		"longer than any token": with(`"x":"` + strings.Repeat("x", 16<<10) + `"`),
	})
	wantPassed(t, f.sendToken(with(`"x":`+deep(15))))
}

func rowJWS22(t *testing.T) {
	f := newFixture(t, nil)
	raw := f.AT(nil)
	wantPassed(t, f.sendToken(raw))
	parts := strings.Split(raw, ".")
	header, payload := halves(t, raw)
	f.wantTokensRefused(t, map[string]string{
		"claims":      parts[0] + "." + base64url([]byte(instead(t, payload, "user-1", "user-2"))) + "." + parts[2],
		"white space": parts[0] + "." + base64url([]byte(" "+payload)) + "." + parts[2],
		"header":      base64url([]byte(instead(t, header, "{", "{ "))) + "." + parts[1] + "." + parts[2],
		"signature":   tampered(t, raw),
	})
}

func rowJWS23(t *testing.T) {
	f := newFixture(t, nil)
	old := f.AT(changes{"iat": time.Now().Unix() - 60})
	wantPassed(t, f.sendToken(old))
	wantPassed(t, f.sendToken(old))
	f.wantTokensRefused(t, map[string]string{"same claims, other signature": tampered(t, old)})
	if _, err := f.a.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{"its key is gone": old})
}

func rowJWE01(t *testing.T) {
	f := newFixture(t, nil)
	part := base64url([]byte("0123456789"))
	header := base64url([]byte(`{"alg":"RSA-OAEP-256","enc":"A256GCM","typ":"at+jwt","kid":"rs256-1"}`))
	dir := base64url([]byte(`{"alg":"dir","enc":"A256GCM","cty":"JWT"}`))
	rest := "." + part + "." + part + "." + part + "." + part
	f.wantTokensRefused(t, map[string]string{"RSA-OAEP-256": header + rest, "dir": dir + "." + rest[len(part)+1:], "ECDH-ES": base64url([]byte(`{"alg":"ECDH-ES","enc":"A128GCM"}`)) + rest})
}

func rowALG01(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.mint(f.a, devissuer.Token{Alg: "RS256"})))
}

func rowALG02(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, algorithms: [ES256], ")
	})
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{"RS256": f.mint(f.a, devissuer.Token{Alg: "RS256"})})
	wantPassed(t, f.sendToken(f.mint(f.b, devissuer.Token{Alg: "RS256"})))
	wantConfigError(t, instead(t, config.Smallest(), "login.example.com/\n", "login.example.com/\n    algorithms: [ES265]\n"), "ES265")
}

// wantConfigError wants the file to be refused with a word about why.
func wantConfigError(t *testing.T, text, word string) {
	t.Helper()
	_, err := config.Parse("config.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), word) {
		t.Errorf("error %v, want one about %s", err, word)
	}
}

func rowALG03(t *testing.T) {
	f := newFixtureOf(t, devissuer.Options{Algorithms: []string{"ES256", "EdDSA"}}, func(is *devissuer.Running) {
		if _, err := is.Add(devissuer.Key{ID: "fresh", Algorithm: "Ed25519"}); err != nil {
			t.Fatal(err)
		}
	}, nil)
	tokens := map[string]string{}
	for _, kid := range []string{"eddsa-1", "fresh"} {
		for _, alg := range []string{"EdDSA", "Ed25519"} {
			tokens[kid+" "+alg] = f.mint(f.a, devissuer.Token{KeyID: kid, Alg: alg})
		}
	}
	f.wantTokensPass(t, tokens)
	f.wantTokensRefused(t, map[string]string{
		"Ed448": f.mint(f.a, devissuer.Token{KeyID: "fresh", Alg: "EdDSA", Header: changes{"alg": "Ed448"}}),
	})
}

func rowALG05(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { publish(t, is, &key.PublicKey, "p384", "ES256") }, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{
		"labelled ES256": f.foreign(key, "ES256", "p384"), "labelled ES384": f.foreign(key, "ES384", "p384"),
	})
}

// publish puts a public key into the key set of an issuer.
func publish(t *testing.T, is *devissuer.Running, key crypto.PublicKey, kid, alg string) {
	t.Helper()
	jwk, err := devissuer.JWK(key, kid, alg)
	if err != nil {
		t.Fatal(err)
	}
	is.Publish(jwk)
}

// foreign mints a token of issuer A, dated a minute ago, that somebody's key
// signs under a kid. What is not found then is not there.
func (f *fixture) foreign(key crypto.Signer, alg, kid string) string {
	f.t.Helper()
	return f.mint(f.a, devissuer.Token{Key: key, Alg: alg, Header: changes{"kid": kid}, Claims: changes{"iat": time.Now().Unix() - 60}})
}

func rowALG06(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { publish(t, is, &key.PublicKey, "small", "RS256") }, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{"RS256": f.foreign(key, "RS256", "small")})
	if !strings.Contains(f.metrics(), "wicketgate_jwks_skipped_keys{issuer=\"a\"} 1\n") {
		t.Error("no metric of the skipped key")
	}
}

// metrics is what the admin listener says.
// metrics is the page of metrics, of those names alone where any is given: a
// whole page is most of what a test costs.
func (f *fixture) metrics(names ...string) string {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.admin+"/metrics?"+url.Values{"name[]": names}.Encode(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(body)
}

func rowALG07(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		publish(t, is, huge, "huge", "RS256")
		publish(t, is, &rsa.PublicKey{N: key.N, E: 1}, "one", "RS256")
		publish(t, is, &rsa.PublicKey{N: key.N, E: 65536}, "even", "RS256")
		publish(t, is, &rsa.PublicKey{N: key.N, E: 1<<31 + 1}, "wide", "RS256")
	}, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	tokens := map[string]string{}
	for _, kid := range []string{"huge", "one", "even", "wide"} {
		tokens[kid] = f.foreign(key, "RS256", kid)
	}
	f.wantTokensRefused(t, tokens)
}

func rowALG08(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { publish(t, is, &key.PublicKey, "pss", "PS256") }, nil)
	good := f.foreign(key, "PS256", "pss")
	wantPassed(t, f.sendToken(good))
	signed := good[:strings.LastIndexByte(good, '.')]
	sum := sha256.Sum256([]byte(signed))
	tokens := map[string]string{}
	for name, length := range map[string]int{"longest salt": rsa.PSSSaltLengthAuto, "one octet": 1, "31 octets": 31, "33 octets": 33} {
		signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: length, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = signed + "." + base64url(signature)
	}
	f.wantTokensRefused(t, tokens)
}

func rowALG09(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		jwk, err := devissuer.JWK(&key.PublicKey, "bare", "RS256")
		if err != nil {
			t.Fatal(err)
		}
		is.Publish(json.RawMessage(instead(t, string(jwk), `"alg":"RS256",`, "")))
	}, nil)
	wantPassed(t, f.sendToken(f.foreign(key, "RS256", "bare")))
	f.wantTokensRefused(t, map[string]string{"PS256": f.foreign(key, "PS256", "bare"), "RS512": f.foreign(key, "RS512", "bare")})
}

func rowJWT01(t *testing.T) {
	f := newFixture(t, nil)
	tokens := map[string]string{}
	for _, typ := range []string{"at+jwt", "at+JWT", "AT+JWT", "application/at+jwt", "Application/AT+jwt"} {
		tokens[typ] = f.header(changes{"typ": typ})
	}
	f.wantTokensPass(t, tokens)
}

func rowJWT02(t *testing.T) {
	f := newFixture(t, nil)
	tokens := map[string]string{"absent": f.header(changes{"typ": nil}), "number": f.header(changes{"typ": 1}), "null": f.header(changes{"typ": json.RawMessage("null")})}
	for _, typ := range []string{
		"", "JWT", "dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "statuslist+jwt", "at+jwt;x=1", "at+jwt ", "text/at+jwt",
		"application/application/at+jwt", "id+jwt", "at\u212Bjwt",
	} {
		tokens["typ "+typ] = f.header(changes{"typ": typ})
	}
	f.wantTokensRefused(t, tokens)
}

func rowINTR18(t *testing.T) {
	f := newFixture(t, nil)
	f.wantTokensRefused(t, map[string]string{
		"introspection answer": f.mint(f.a, devissuer.Token{Header: changes{"typ": "token-introspection+jwt"}, Claims: changes{"token_introspection": changes{"active": true}}}),
	})
}

func rowSSF07(t *testing.T) {
	f := newFixture(t, nil)
	event := changes{"events": changes{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": changes{}}}
	f.wantTokensRefused(t, map[string]string{"event": f.mint(f.a, devissuer.Token{Header: changes{"typ": "secevent+jwt"}, Claims: event})})
}

func rowJWT03(t *testing.T) {
	f := newFixture(t, func(text string) string { return instead(t, text, "{name: a, ", "{name: a, profile: jwt, ") })
	tokens := map[string]string{}
	for name, typ := range map[string]any{"absent": nil, "JWT": "JWT", "at+jwt": "at+jwt"} {
		tokens[name] = f.mint(f.a, devissuer.Token{Header: changes{"typ": typ}, Claims: changes{"client_id": nil, "jti": nil}})
	}
	f.wantTokensPass(t, tokens)
	refused := map[string]string{"other typ": f.header(changes{"typ": "logout+jwt"}), "audience": f.mint(f.a, devissuer.Token{Header: changes{"typ": nil}, Claims: changes{"aud": "x"}})}
	for name, claims := range map[string]changes{
		"nonce": {"nonce": "x"}, "at_hash": {"at_hash": "x"}, "c_hash": {"c_hash": "x"}, "s_hash": {"s_hash": "x"}, "events": {"events": changes{}},
		"ID": {"typ": "ID"}, "Refresh": {"typ": "Refresh"}, "Logout": {"typ": "Logout"}, "Cognito": {"token_use": "id"},
	} {
		refused[name] = f.mint(f.a, devissuer.Token{Header: changes{"typ": "JWT"}, Claims: claims})
	}
	f.wantTokensRefused(t, refused)
}

func rowJWT04(t *testing.T) {
	f := newFixture(t, nil)
	tokens := map[string]string{}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		tokens[name] = f.AT(changes{name: nil})
	}
	f.wantTokensRefused(t, tokens)
}

func rowJWT05(t *testing.T) {
	f := newFixture(t, nil)
	id := f.a.Identifier()
	tokens := map[string]string{}
	for name, iss := range map[string]any{
		"slash": id + "/", "scheme's case": strings.Replace(id, "http", "HTTP", 1), "prefix": id[:len(id)-1], "longer": id + "0", "query": id + "?",
		"list": []string{id}, "number": 1, "empty": "", "space": id + " ", "host by name": strings.Replace(id, "127.0.0.1", "localhost", 1), "nobody": "https://as.example.com",
	} {
		tokens[name] = f.AT(changes{"iss": iss})
	}
	f.wantTokensRefused(t, tokens)
}

func rowJWT07(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(changes{"aud": testIdentifier})))
	wantPassed(t, f.sendToken(f.AT(changes{"aud": []string{"x", testIdentifier}})))
	tokens := map[string]string{}
	for name, aud := range map[string]any{
		"prefix": testIdentifier[:len(testIdentifier)-1], "longer": testIdentifier + ".evil", "slash": testIdentifier + "/", "upper case": "https://RS.example.com",
		"path": testIdentifier + "/read", "nested": []any{[]string{testIdentifier}}, "number": 1, "number in the list": []any{testIdentifier, 1},
		"null in the list": []any{testIdentifier, nil}, "object": changes{testIdentifier: true}, "empty": "", "empty list": []string{}, "null": json.RawMessage("null"),
		"other": "https://other.example.com", "joined": testIdentifier + " x", "port": testIdentifier + ":443", "client": "client-1", "boolean": true,
	} {
		tokens[name] = f.AT(changes{"aud": aud})
	}
	f.wantTokensRefused(t, tokens)
}

// withHost presents a token to one of the hosts of the gate.
func (f *fixture) withHost(host, raw string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url+"/any/x", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Authorization", "Bearer "+raw)
	return f.send(req)
}

func rowJWT08(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "    name: rs\n", "    name: rs\n    hosts: [rs.example.com]\n")
		return instead(t, text, "\nlog:", "\n  - {identifier: \"https://rs2.example.com\", hosts: [rs2.example.com], behind_tls: true, upstream: \"%[5]s\"}\nlog:")
	})
	first, second := f.AT(nil), f.AT(changes{"aud": "https://rs2.example.com"})
	wantPassed(t, f.withHost("rs.example.com", first))
	wantPassed(t, f.withHost("rs2.example.com", second))
	for host, raw := range map[string]string{"rs2.example.com": first, "rs.example.com": second} {
		before := f.upstream.count()
		f.wantError(t, f.withHost(host, raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
	}
}

func rowJWT09(t *testing.T) {
	none := "version: 1\nissuers:\n  - issuer: https://as.example.com\nresources:\n  - upstream: http://127.0.0.1:3000\n"
	wantConfigError(t, none, "identifier")
	wantConfigError(t, instead(t, none, "  - upstream", "  - identifier: \"\"\n    upstream"), "identifier")
	wantConfigError(t, instead(t, none, "  - upstream", "  - identifier: https://rs.example.com\n    audiences: []\n    upstream"), "audiences")
	f := newFixture(t, func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, insecure_allow_any_audience: true, ")
	})
	wantPassed(t, f.sendToken(f.AT(changes{"aud": "x"})))
	f.wantTokensRefused(t, map[string]string{"of the other issuer": f.mint(f.b, devissuer.Token{Claims: changes{"aud": "x"}})})
}

func rowJWT10(t *testing.T) {
	f := newFixture(t, nil)
	now := time.Now().Unix()
	tokens := map[string]string{"absent": f.AT(changes{"exp": nil}), "past the leeway": f.AT(changes{"exp": now - 31}), "text": f.AT(changes{"exp": "1999999999"})}
	for name, exp := range map[string]string{
		"null": "null", "true": "true", "negative": "-1", "zero": "0", "overflow": "1e400", "wide": "99999999999999999999", "list": "[1999999999]", "object": "{}",
		"negative overflow": "-1e400", "long ago": "1",
	} {
		tokens[name] = f.AT(changes{"exp": json.RawMessage(exp)})
	}
	f.wantTokensRefused(t, tokens)
	f.wantTokensPass(t, map[string]string{
		"within the leeway": f.AT(changes{"exp": now - 15}), "fraction": f.AT(changes{"exp": float64(now) + 60.5}), "exponent": f.AT(changes{"exp": json.RawMessage("1.9e9")}),
	})
}

func rowJWT11(t *testing.T) {
	f := newFixture(t, nil)
	now := time.Now().Unix()
	f.wantTokensRefused(t, map[string]string{
		"ahead": f.AT(changes{"nbf": now + 60}), "text": f.AT(changes{"nbf": "1"}), "null": f.AT(changes{"nbf": json.RawMessage("null")}),
		"overflow": f.AT(changes{"nbf": json.RawMessage("1e400")}), "list": f.AT(changes{"nbf": []int{1}}),
	})
	f.wantTokensPass(t, map[string]string{"past": f.AT(changes{"nbf": now - 60}), "within the leeway": f.AT(changes{"nbf": now + 20})})
}

func rowJWT12(t *testing.T) {
	f := newFixture(t, nil)
	now := time.Now().Unix()
	f.wantTokensRefused(t, map[string]string{
		"+61": f.AT(changes{"iat": now + 61}), "+40": f.AT(changes{"iat": now + 40}), "text": f.AT(changes{"iat": "1"}), "list": f.AT(changes{"iat": []int64{now}}),
	})
	f.wantTokensPass(t, map[string]string{"+10": f.AT(changes{"iat": now + 10}), "+30": f.AT(changes{"iat": now + 30}), "long ago": f.AT(changes{"iat": now - 86400})})
}

func rowJWT13(t *testing.T) {
	f := newFixture(t, nil)
	f.wantTokensRefused(t, map[string]string{
		"empty": f.AT(changes{"sub": ""}), "number": f.AT(changes{"sub": 1}), "null": f.AT(changes{"sub": json.RawMessage("null")}), "list": f.AT(changes{"sub": []string{"user-1"}}),
	})
}

func rowJWT17(t *testing.T) {
	f := newFixture(t, nil)
	for sub, want := range map[string]string{"client-1": "client", "user-1": "user"} {
		wantPassed(t, f.sendToken(f.AT(changes{"sub": sub})))
		if got := f.upstream.last().Header.Get("X-Auth-Subject-Type"); got != want {
			t.Errorf("%s is told as %q", sub, got)
		}
	}
	policySubjects(t)
}

func rowJWT20(t *testing.T) {
	const composed, decomposed = "urn:caf\u00e9", "urn:cafe\u0301"
	f := newFixture(t, func(text string) string {
		return instead(t, text, "    name: rs\n", "    name: rs\n    audiences: [\""+composed+"\"]\n")
	})
	wantPassed(t, f.sendToken(f.AT(changes{"aud": composed})))
	f.wantTokensRefused(t, map[string]string{
		"decomposed": f.AT(changes{"aud": decomposed}), "space": f.AT(changes{"aud": " " + composed}), "upper case": f.AT(changes{"aud": "URN:caf\u00e9"}),
	})
	for _, scope := range []string{"\uff52\uff45\uff41\uff44", "Read", "read\u200b", "read\u0301", "read\tx"} {
		before := f.upstream.count()
		r := f.do("GET", "/read", "Authorization", "Bearer "+f.AT(changes{"aud": composed, "scope": scope}))
		f.wantError(t, r, before, http.StatusForbidden, "Bearer", "insufficient_scope")
	}
	policyCompares(t)
}

func rowJWT22(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(changes{"https://x.example/claim": changes{"a": []any{1, nil, "x"}}, "active": false, "crit": []string{"x"}, "": 1})))
}

func rowJWT23(t *testing.T) {
	f := newFixture(t, nil)
	const mark = "forged-value"
	claims := changes{"sub": mark, "client_id": mark, "scope": mark, "jti": mark, "email": mark}
	refused := map[string]string{
		"signature": tampered(t, f.AT(claims)), "foreign key": f.mint(f.a, devissuer.Token{Key: newClientKey(t, "ES256").Signer, Claims: claims}),
		"issuer": f.AT(changes{"iss": "https://" + mark + ".example.com"}), "kid": f.mint(f.a, devissuer.Token{Header: changes{"kid": mark}, Claims: changes{"iat": time.Now().Unix() - 60}}),
		"alg": f.header(changes{"alg": mark}), "typ": f.header(changes{"typ": mark}), "aud": f.AT(changes{"aud": "https://" + mark}),
	}
	f.wantTokensRefused(t, refused)
	for name, text := range map[string]string{"metrics": f.metrics(), "log": f.log.String()} {
		if text == "" || strings.Contains(text, mark) {
			t.Errorf("%s is empty or shows what a forged token says", name)
		}
	}
}

// rowJWT24 takes the example of RFC 9068 figure 2, with names and times that a
// running gate can meet: the figure's key was never published.
func rowJWT24(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "- identifier: https://rs.example.com\n", "- identifier: https://rs.example.com/\n")
		return instead(t, text, "    name: rs\n", "    name: rs\n    public_origins: [\"https://rs.example.com\"]\n")
	})
	if _, err := f.a.Add(devissuer.Key{ID: "RjEwOwOA", Algorithm: "RS256"}); err != nil {
		t.Fatal(err)
	}
	raw := f.mint(f.a, devissuer.Token{KeyID: "RjEwOwOA", Alg: "RS256", Header: changes{"typ": "at+JWT"}, Claims: changes{
		"sub": "5ba552d67", "aud": "https://rs.example.com/", "jti": "dbe39bf3a3ba4238a513f51d6e1691c4", "client_id": "s6BhdRkqt3", "scope": "openid profile reademail",
	}})
	wantPassed(t, f.sendToken(raw))
	if got := f.upstream.last().Header.Get("X-Auth-Scope"); got != "openid profile reademail" {
		t.Errorf("scope %q", got)
	}
}

func rowMTLS03(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	const hash = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	f.wantTokensRefused(t, map[string]string{"certificate-bound": f.AT(changes{"cnf": changes{"x5t#S256": hash}})})
	both := f.bound(key, changes{"cnf": changes{"jkt": key.Thumbprint(), "x5t#S256": hash}})
	before := f.upstream.count()
	f.wantError(t, f.sendBound(key, both, devissuer.Proof{}), before, http.StatusUnauthorized, "DPoP", "invalid_token")
	r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(changes{"cnf": changes{"x5t#S256": hash}}), "Client-Cert", ":AAAA:")
	f.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
}

func rowMTLS05(t *testing.T) {
	f := newFixture(t, nil)
	tokens := map[string]string{}
	for name, cnf := range map[string]changes{
		"padding": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0="}, "hex": {"x5t#S256": strings.Repeat("0f", 32)},
		"SHA-1": {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "number": {"x5t#S256": 1}, "short": {"x5t#S256": "AAAA"}, "empty": {"x5t#S256": ""},
	} {
		tokens[name] = f.AT(changes{"cnf": cnf})
	}
	f.wantTokensRefused(t, tokens)
}
