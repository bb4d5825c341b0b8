package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// tokenThreats are attacks with access tokens.
var tokenThreats = []conformanceRow{
	{"J-01", threatJ01}, {"J-02", threatJ02}, {"J-03", threatJ03}, {"J-04", threatJ04}, {"J-05", threatJ05}, {"J-06", threatJ06},
	{"J-07", threatJ07}, {"J-08", threatJ08}, {"J-09", threatJ09}, {"J-10", threatJ10}, {"J-11", threatJ11}, {"J-12", threatJ12},
	{"J-13", threatJ13}, {"J-14", threatJ14}, {"J-15", threatJ15}, {"J-16", threatJ16}, {"J-17", threatJ17}, {"J-18", threatJ18},
	{"J-19", threatJ19}, {"J-20", threatJ20}, {"J-21", threatJ21}, {"J-22", threatJ22}, {"J-23", threatJ23}, {"J-24", threatJ24},
	{"J-25", threatJ25}, {"J-26", threatJ26}, {"J-27", threatJ27}, {"J-28", threatJ28}, {"J-29", threatJ29}, {"J-30", threatJ30},
	{"J-31", threatJ31}, {"J-32", threatJ32}, {"J-33", threatJ33}, {"J-34", threatJ34}, {"J-35", threatJ35}, {"J-36", threatJ36},
	{"J-37", threatJ37}, {"J-38", threatJ38}, {"J-39", threatJ39}, {"J-40", threatJ40}, {"J-41", threatJ41}, {"J-42", threatJ42}, {"J-43", threatJ43}, {"J-44", threatJ44},
}

func threatJ01(t *testing.T) {
	s := newSiege(t)
	null := json.RawMessage("null")
	over := map[string]string{}
	for name, alg := range map[string]any{"none": "none", "None": "None", "nOnE": "nOnE", "empty": "", "number": 256, "null": null, "list": []string{"none"}, "absent": nil} {
		over[name+" over a signature"] = s.header(changes{"alg": alg})
		over[name+" with something for a signature"] = s.unsigned(changes{"alg": alg}, 1)
	}
	s.tokensFor(t, token.ReasonAlgorithm, over)
	s.tokensFor(t, token.ReasonMalformed, map[string]string{"none, unsigned": s.unsigned(changes{"alg": "none"}, 0), "ES256, unsigned": s.unsigned(changes{"alg": "ES256"}, 0)})
}

// publicTexts are the texts of a public key that an attacker may take for the
// secret of a MAC.
func publicTexts(t *testing.T, key crypto.PublicKey, alg string) map[string][]byte {
	t.Helper()
	der, errD := x509.MarshalPKIXPublicKey(key)
	jwk, errJ := devissuer.JWK(key, "pub", alg)
	if errD != nil || errJ != nil {
		t.Fatal(errD, errJ)
	}
	texts := map[string][]byte{"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "JWK": jwk}
	texts["PEM without its line end"] = bytes.TrimSpace(texts["PEM"])
	if r, ok := key.(*rsa.PublicKey); ok {
		texts["modulus"] = r.N.Bytes()
	}
	return texts
}

func threatJ02(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	point := newClientKey(t, "ES256").Signer.Public()
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		publish(t, is, &key.PublicKey, "RS256", "RS256")
		publish(t, is, point, "ES256", "ES256")
	}, nil))
	for kid, public := range map[string]crypto.PublicKey{"RS256": &key.PublicKey, "ES256": point} {
		for name, secret := range publicTexts(t, public, kid) {
			mac := func(alg string) string {
				return s.mint(s.a, devissuer.Token{Alg: "HS256", Secret: secret, Header: changes{"kid": kid, "alg": alg}})
			}
			s.tokens(t, map[string]forged{
				kid + " " + name: {mac("HS256"), token.ReasonAlgorithm}, kid + " " + name + " under its own alg": {mac(kid), token.ReasonSignature},
			})
		}
	}
}

func threatJ03(t *testing.T) {
	secret := []byte("a secret of thirty-two octets!!!")
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		is.Publish(json.RawMessage(`{"kty":"oct","kid":"mac","alg":"HS256","k":"` + base64url(secret) + `"}`))
		is.Publish(json.RawMessage(`{"kty":"oct","kid":"empty","alg":"HS256","k":""}`))
	}, nil))
	mac := func(kid string, secret []byte) string {
		return s.mint(s.a, devissuer.Token{Alg: "HS256", Secret: secret, Header: changes{"kid": kid}})
	}
	s.tokensFor(t, token.ReasonAlgorithm, map[string]string{"published": mac("mac", secret), "empty": mac("empty", []byte{}), "no kid": mac("", secret)})
}

// under mints a token of issuer A, dated a minute ago, that key signs with real
// while its header says told.
func (f *fixture) under(key crypto.Signer, kid, real, told string) string {
	f.t.Helper()
	return f.mint(f.a, devissuer.Token{Key: key, Alg: real, Header: changes{"kid": kid, "alg": told}, Claims: changes{"iat": time.Now().Unix() - 60}})
}

func threatJ04(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { publish(t, is, &key.PublicKey, "rsa", "RS256") }, nil))
	s.passes(t, s.sendToken(s.under(key, "rsa", "RS256", "RS256")))
	s.tokensFor(t, token.ReasonUnknownKey, map[string]string{
		"PS256": s.under(key, "rsa", "PS256", "PS256"), "RS512": s.under(key, "rsa", "RS512", "RS512"), "PS256 told, RS256 made": s.under(key, "rsa", "RS256", "PS256"),
		"ES256 told": s.under(key, "rsa", "RS256", "ES256"), "EdDSA told": s.under(key, "rsa", "RS256", "EdDSA"),
	})
}

func threatJ05(t *testing.T) {
	p384, p521 := newClientKey(t, "ES384").Signer, newClientKey(t, "ES512").Signer
	s := besiege(newFixtureOf(t, devissuer.Options{Algorithms: []string{"ES256"}}, func(is *devissuer.Running) {
		publish(t, is, p384.Public(), "bare384", "ES384")
		publish(t, is, p384.Public(), "told384", "ES256")
		publish(t, is, p521.Public(), "p521", "ES512")
	}, func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, algorithms: [ES256, ES384], ")
	}))
	s.passes(t, s.sendToken(s.under(p384, "bare384", "ES384", "ES384")))
	s.tokens(t, map[string]forged{
		"ES256 with P-384": {s.under(p384, "bare384", "ES256", "ES256"), token.ReasonUnknownKey}, "P-384 published as ES256": {s.under(p384, "told384", "ES256", "ES256"), token.ReasonUnknownKey},
		"ES256 with P-521": {s.under(p521, "p521", "ES256", "ES256"), token.ReasonUnknownKey}, "ES512, not enabled": {s.under(p521, "p521", "ES512", "ES512"), token.ReasonAlgorithm},
	})
}

func threatJ06(t *testing.T) { wantKeysUseless(t, "OKP") }

func threatJ07(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { publish(t, is, &key.PublicKey, "pss", "PS256") }, nil))
	good := s.foreign(key, "PS256", "pss")
	s.passes(t, s.sendToken(good))
	signed := good[:strings.LastIndexByte(good, '.')]
	sum := sha256.Sum256([]byte(signed))
	for _, length := range []int{rsa.PSSSaltLengthAuto, 1, 16, 31, 33, 64} {
		signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: length, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		s.tokensFor(t, token.ReasonSignature, map[string]string{"salt " + strconv.Itoa(length): signed + "." + base64url(signature)})
	}
}

func threatJ08(t *testing.T) {
	f := newFixture(t, nil)
	key := ownKey(t, f)
	s := besiege(f)
	raw := f.AT(nil)
	signed := raw[:strings.LastIndexByte(raw, '.')]
	good, r, second := signedText(t, key, signed)
	s.passes(t, s.sendToken(good))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, second})
	if err != nil {
		t.Fatal(err)
	}
	whole, n, zero := fixedWidth(r, second), key.Params().N, new(big.Int)
	bad := map[string]string{}
	for name, signature := range map[string][]byte{
		"DER": der, "63 octets": whole[:63], "65 octets": append(slices.Clone(whole), 0), "65 octets, zero first": append([]byte{0}, whole...), "swapped": fixedWidth(second, r),
		"r = 0": fixedWidth(zero, second), "s = 0": fixedWidth(r, zero), "both 0": fixedWidth(zero, zero), "r = n": fixedWidth(n, second), "s = n": fixedWidth(r, n),
		"r = n+1": fixedWidth(new(big.Int).Add(n, big.NewInt(1)), second), "halves of 33": slices.Concat([]byte{0}, whole[:32], []byte{0}, whole[32:]), "one octet": {0},
	} {
		bad[name] = signed + "." + base64url(signature)
	}
	s.tokensFor(t, token.ReasonSignature, bad)
}

func threatJ09(t *testing.T) { wantKeysUseless(t, "RSA") }

func threatJ10(t *testing.T) {
	s := newSiege(t)
	key := newClientKey(t, "ES256")
	if _, err := s.b.Add(devissuer.Key{ID: "only-b", Algorithm: "ES256", Signer: key.Signer}); err != nil {
		t.Fatal(err)
	}
	s.passes(t, s.sendToken(s.mint(s.b, devissuer.Token{KeyID: "only-b"})))
	s.tokensFor(t, token.ReasonUnknownKey, map[string]string{"kid of B, issuer A": s.foreign(key.Signer, "ES256", "only-b")})
	s.tokensFor(t, token.ReasonSignature, map[string]string{"key of B under a kid of both": s.mint(s.b, devissuer.Token{KeyID: "es256-1", Claims: changes{"iss": s.a.Identifier()}})})
}

func threatJ11(t *testing.T) {
	var keys []*devissuer.ClientKey
	s := besiege(newFixtureOf(t, devissuer.Options{Algorithms: []string{"EdDSA"}}, func(is *devissuer.Running) {
		for i := range 5 {
			keys = append(keys, newClientKey(t, "ES256"))
			is.Publish(jwkOf(t, keys[i], changes{"kid": strconv.Itoa(i)}))
		}
	}, nil))
	s.passes(t, s.sendToken(s.header(changes{"kid": nil})))
	bare := func(i int) string {
		return s.mint(s.a, devissuer.Token{Key: keys[i].Signer, Alg: "ES256", Header: changes{"kid": nil}, Claims: changes{"iat": time.Now().Unix() - 60}})
	}
	for i := range 4 {
		s.passes(t, s.sendToken(bare(i)))
	}
	s.tokensFor(t, token.ReasonSignature, map[string]string{"the fifth candidate": bare(4)})
	s.passes(t, s.sendToken(s.foreign(keys[4].Signer, "ES256", "4")))
}

func threatJ12(t *testing.T) {
	c := startIssuer(t)
	s := besiege(newFixture(t, func(text string) string {
		return strings.ReplaceAll(text, "refetch_interval: 1s", "refetch_interval: 1h")
	}))
	s.passes(t, s.sendToken(s.AT(nil)))
	asked := s.a.Hits("/jwks")
	bad := map[string]string{}
	for name, kid := range map[string]any{
		"path": "../../../../etc/kid-marker", "URL": c.URL + "/kid-marker", "SQL": "kid-marker' OR 1=1 --", "NUL": "es256-1\x00kid-marker", "null": json.RawMessage("null"), "number": 1,
		"list": []string{"es256-1"}, "object": changes{"kid-marker": 1}, "template": "{{kid-marker}}", "line end": "es256-1\r\nkid-marker: 1", "long": strings.Repeat("kid-marker", 100),
	} {
		bad[name] = s.mint(s.a, devissuer.Token{Header: changes{"kid": kid}, Claims: changes{"iat": time.Now().Unix() - 60}})
	}
	s.tokensFor(t, token.ReasonUnknownKey, bad)
	s.overflows(t, "Authorization: Bearer "+s.header(changes{"kid": strings.Repeat("k", 1<<20)}))
	if now := s.a.Hits("/jwks"); now > asked+1 || len(c.Requests()) != 0 {
		t.Errorf("%d fetches of the keys, %d elsewhere", now-asked, len(c.Requests()))
	}
	for where, text := range map[string]string{"log": s.log.String(), "metrics": s.metrics()} {
		if strings.Contains(text, "kid-marker") {
			t.Errorf("%s: shows a kid", where)
		}
	}
}

func threatJ13(t *testing.T) { rowJWK05(t) }

func threatJ14(t *testing.T) {
	key := newClientKey(t, "ES256")
	uses := map[string]changes{
		"use enc": {"use": "enc"}, "use empty": {"use": ""}, "encrypt": {"key_ops": []string{"encrypt"}}, "sign": {"key_ops": []string{"sign"}}, "none": {"key_ops": []string{}},
		"text": {"key_ops": "verify"}, "null": {"key_ops": json.RawMessage("null")},
	}
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		for name, use := range uses {
			use["kid"] = name
			is.Publish(jwkOf(t, key, use))
		}
	}, nil))
	for name := range uses {
		s.tokensFor(t, token.ReasonUnknownKey, map[string]string{name: s.foreign(key.Signer, "ES256", name)})
	}
}

func threatJ15(t *testing.T) {
	key := newClientKey(t, "ES256")
	members := []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		for _, name := range members {
			is.Publish(jwkOf(t, key, changes{"kid": name, name: "AAAA"}))
		}
	}, nil))
	s.passes(t, s.sendToken(s.AT(nil)))
	for _, name := range members {
		s.tokensFor(t, token.ReasonUnknownKey, map[string]string{name: s.foreign(key.Signer, "ES256", name)})
	}
	var found int
	if _, err := fmt.Sscan(seriesValue(t, s.fixture, `wicketgate_jwks_private_keys_total{issuer="a"}`), &found); err != nil || found < len(members) {
		t.Errorf("%d private keys counted (%v)", found, err)
	}
}

func threatJ16(t *testing.T) {
	s, c := newSiege(t), startIssuer(t)
	stranger := newClientKey(t, "ES256")
	bad := map[string]string{}
	for name, header := range map[string]changes{
		"jwk": {"jwk": stranger.PublicJWK()}, "jwk of no use": {"jwk": changes{"kty": "OKP", "crv": "Ed25519", "x": "AA"}}, "jku": {"jku": c.URL + "/jwks"}, "x5u": {"x5u": c.URL + "/x"},
		"x5c": {"x5c": []string{"MIIB"}}, "all": {"jwk": stranger.PublicJWK(), "jku": c.URL + "/jwks", "x5u": c.URL + "/x", "x5c": []string{"MIIB"}},
	} {
		bad[name] = s.mint(s.a, devissuer.Token{Key: stranger.Signer, Header: header})
	}
	s.tokensFor(t, token.ReasonSignature, bad)
	if asked := c.Requests(); len(asked) != 0 {
		t.Errorf("fetched what a token named: %v", asked)
	}
}

func threatJ17(t *testing.T) {
	s := newSiege(t)
	s.garbled(t, jsonForms(s.AT(nil)))
}

func threatJ18(t *testing.T) {
	s := newSiege(t)
	p := strings.Split(s.AT(nil), ".")
	whole := strings.Join(p, ".")
	s.tokensFor(t, token.ReasonMalformed, map[string]string{
		"one part": p[0], "two": p[0] + "." + p[1], "four": whole + "." + p[2], "five": whole + "." + p[0] + "." + p[1], "JWE": base64url([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..AAAA.AAAA.AAAA",
		"no header": "." + p[1] + "." + p[2], "no payload": p[0] + ".." + p[2], "no signature": p[0] + "." + p[1] + ".", "dot after": whole + ".", "dot before": "." + whole,
		"two dots": "..", "dots": strings.Repeat(".", 16<<10),
	})
	s.overflows(t, "Authorization: Bearer "+strings.Repeat(".", 1<<20))
}

func threatJ19(t *testing.T) {
	f := newFixture(t, nil)
	key := ownKey(t, f)
	s := besiege(f)
	raw := s.AT(changes{"x": "~~~~????>>>>"})
	p := strings.Split(raw, ".")
	sign := func(first, second string) string { text, _, _ := signedText(t, key, first+"."+second); return text }
	s.passes(t, s.sendToken(sign(p[0], p[1])))
	_, payload := halves(t, raw)
	for len(payload)%3 == 0 {
		payload = payload[:len(payload)-1] + " }"
	}
	even, standard := base64url([]byte(payload)), base64.RawStdEncoding.EncodeToString([]byte(payload))
	if !strings.ContainsAny(standard, "+/") {
		t.Fatal("the other alphabet is not tried")
	}
	s.garbled(t, map[string]string{
		"padding": sign(p[0], even+"="), "padding of the header": sign(p[0]+"=", p[1]), "padding of the signature": raw + "==", "other alphabet": sign(p[0], standard),
		"space inside": sign(p[0], p[1][:9]+" "+p[1][9:]), "tab inside": sign(p[0], p[1][:9]+"\t"+p[1][9:]), "unused bits of the payload": sign(p[0], sparse(even)),
		"unused bits of the signature": sparse(raw), "overlong": sign(p[0], even+"A"), "space in the header": sign(p[0]+" ", p[1]), "percent": sign(p[0], p[1]+"%3D"),
	})
	answer := s.raw(head("GET", "/any/x", "Authorization: Bearer "+p[0]+"\n "+p[1]+"."+p[2]))
	s.repels(t, parsed(t, answer), badRequest, token.ReasonMalformed)
}

func threatJ20(t *testing.T) {
	s := newSiege(t)
	bad := map[string]string{}
	for name, h := range map[string]changes{
		"unknown": {"crit": []string{"x"}, "x": 1}, "its target absent": {"crit": []string{"x"}}, "empty": {"crit": []string{}}, "text": {"crit": "x"}, "null": {"crit": json.RawMessage("null")},
		"b64 in it": {"crit": []string{"b64"}, "b64": false}, "b64": {"b64": false}, "b64 true": {"b64": true}, "zip": {"zip": "DEF"}, "alg in it": {"crit": []string{"alg"}},
	} {
		bad[name] = s.header(h)
	}
	s.tokensFor(t, token.ReasonCritical, bad)
}

func threatJ21(t *testing.T) {
	s := newSiege(t)
	header, payload := halves(t, s.AT(changes{"cnf2": changes{"jkt": "a"}}))
	bad := map[string]string{}
	for _, name := range []string{"alg", "kid", "typ"} {
		bad["header "+name] = s.texts(instead(t, header, `{`, `{"`+name+`":"x",`), "")
		bad["header "+name+", equal"] = s.texts(header[:len(header)-1]+`,`+header[1:], "")
	}
	for _, name := range []string{"iss", "aud", "exp", "sub"} {
		bad["claim "+name] = s.texts("", instead(t, payload, `{"aud`, `{"`+name+`":1,"aud`))
	}
	bad["inside"] = s.texts("", instead(t, payload, `"jkt":"a"`, `"jkt":"a","jkt":"a"`))
	bad["escaped name"] = s.texts("", payload[:len(payload)-1]+`,"\u0069ss":"x"}`)
	s.tokensFor(t, token.ReasonMalformed, bad)
}

func threatJ22(t *testing.T) {
	s := newSiege(t)
	soon := time.Now().Add(time.Minute).Unix()
	s.tokens(t, map[string]forged{
		"ALG": {s.header(changes{"alg": nil, "ALG": "ES256"}), token.ReasonAlgorithm}, "Typ": {s.header(changes{"typ": nil, "Typ": "at+jwt"}), token.ReasonType},
		"Iss": {s.AT(changes{"iss": nil, "Iss": s.a.Identifier()}), token.ReasonIssuer}, "EXP": {s.AT(changes{"exp": nil, "EXP": soon}), token.ReasonClaim},
		"Aud": {s.AT(changes{"aud": nil, "Aud": testIdentifier}), token.ReasonAudience}, "SUB": {s.AT(changes{"sub": nil, "SUB": "user-1"}), token.ReasonClaim},
	})
	s.passes(t, s.sendToken(s.AT(changes{"EXP": 1, "Aud": "x", "ISS": "x"})))
}

func threatJ23(t *testing.T) {
	s := newSiege(t)
	header, payload := halves(t, s.AT(nil))
	with := func(sub string) string { return s.texts("", instead(t, payload, "user-1", sub)) }
	s.tokensFor(t, token.ReasonMalformed, map[string]string{
		"text after": s.texts("", payload+"x"), "NUL after": s.texts("", payload+"\x00"), "space after": s.texts("", payload+" "), "two objects": s.texts("", payload+payload),
		"byte order mark": s.texts("", "\ufeff"+payload), "header and more": s.texts(header+"{}", ""), "no UTF-8": with("\xff"), "overlong": with("\xc0\xaf"),
		"lone surrogate": with(`\ud800`), "surrogates swapped": with(`\udc00\ud800`), "raw NUL": with("\x00"), "UTF-16": s.texts("", strings.ToValidUTF8(utf16LE(payload), "")),
	})
	s.passes(t, s.sendToken(with(`user\u0000-1`)))
	if got := s.upstream.last().Header.Get("X-Auth-Subject"); got != "user%00-1" {
		t.Errorf("a NUL in the subject arrives as %q", got)
	}
}

func utf16LE(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteByte(text[i])
		out.WriteByte(0)
	}
	return out.String()
}

func threatJ24(t *testing.T) {
	s := newSiege(t)
	bad := map[string]string{}
	for _, payload := range []string{"[]", "null", `"x"`, "1", "true", "{", "{}{}", " {}", `{"a":}`, "''"} {
		bad[payload] = s.texts("", payload)
	}
	p := strings.Split(s.AT(nil), ".")
	bad["empty"] = p[0] + ".." + p[2]
	s.tokensFor(t, token.ReasonMalformed, bad)
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"empty object": s.texts("", "{}")})
}

func threatJ25(t *testing.T) {
	s := newSiege(t)
	header, payload := halves(t, s.AT(nil))
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	with := func(text, member string) string { return text[:len(text)-1] + "," + member + "}" }
	var members strings.Builder
	for i := range 1000 {
		members.WriteString(`"m` + strconv.Itoa(i) + `":0,`)
	}
	s.passes(t, s.sendToken(s.texts("", with(payload, `"x":`+deep(19)))))
	s.tokensFor(t, token.ReasonMalformed, map[string]string{
		"depth 21": s.texts("", with(payload, `"x":`+deep(20))), "depth 21 in the header": s.texts(with(header, `"x":`+deep(20)), ""), "1,000 members": s.texts("", with(payload, members.String()+`"z":0`)),
		"9,000 opened": base64url([]byte(with(header, `"x":`+strings.Repeat("[", 9000)))) + ".e30.AAAA",
	})
	s.tokensFor(t, token.ReasonTooLong, map[string]string{"depth 9,000": s.texts("", with(payload, `"x":`+deep(9000)))})
	s.overflows(t, "Authorization: Bearer "+s.texts("", with(payload, `"x":`+deep(200000))))
	s.overflows(t, "Authorization: Bearer "+s.texts(with(header, `"x":"`+strings.Repeat("x", 1<<20)+`"`), ""))
}

func threatJ26(t *testing.T) {
	s := newSiege(t)
	bad := map[string]forged{"missing": {s.AT(changes{"exp": nil}), token.ReasonClaim}, "0": {s.AT(changes{"exp": 0}), token.ReasonExpired}, "-0": {s.AT(changes{"exp": json.RawMessage("-0")}), token.ReasonClaim}}
	for _, exp := range []string{
		"null", "true", "[1999999999]", "{}", `"1999999999"`, `"2033-05-18T03:33:19Z"`, `"NaN"`, `"Infinity"`, "1e400", "-1", "-1e400", `""`,
	} {
		bad[exp] = forged{s.AT(changes{"exp": json.RawMessage(exp)}), token.ReasonClaim}
	}
	s.tokens(t, bad)
}

func threatJ27(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string { return instead(t, text, "{name: a, ", "{name: a, max_lifetime: 24h, ") }))
	s.passes(t, s.sendToken(s.AT(nil)))
	bad := map[string]forged{"two days": {s.AT(changes{"exp": time.Now().Unix() + 2*86400}), token.ReasonLifetime}, "9999": {s.AT(changes{"exp": int64(253402300799)}), token.ReasonLifetime}}
	for _, exp := range []string{"1e18", "9007199254740992", "9223372036854775807", "99999999999999999999", "9223372036854775808", "18446744073709551617", "253402300800"} {
		bad[exp] = forged{s.AT(changes{"exp": json.RawMessage(exp)}), token.ReasonClaim}
	}
	s.tokens(t, bad)
	for exp := range bad {
		if strings.HasPrefix(exp, "9") && len(exp) > 4 { // no lifetime is set for B: a date that overflows is none all the same
			s.repels(t, s.sendToken(s.mint(s.b, devissuer.Token{Claims: changes{"exp": json.RawMessage(exp)}})), badToken, token.ReasonClaim)
		}
	}
}

// threatJ28 keeps a few seconds off the exact second, which the validator's own
// tests try with a fake clock.
func threatJ28(t *testing.T) {
	s := newSiege(t)
	now := time.Now().Unix()
	for _, ago := range []float64{-600, 0, 20, 24.5} {
		s.passes(t, s.sendToken(s.AT(changes{"exp": float64(now) - ago})))
	}
	s.tokensFor(t, token.ReasonExpired, map[string]string{
		"leeway": s.AT(changes{"exp": now - 30}), "a second more": s.AT(changes{"exp": now - 31}), "half a second more": s.AT(changes{"exp": float64(now) - 30.5}), "a year ago": s.AT(changes{"exp": now - 365*86400}),
	})
}

func threatJ29(t *testing.T) {
	s := newSiege(t)
	now := time.Now().Unix()
	bad := map[string]forged{"nbf ahead": {s.AT(changes{"nbf": now + 45}), token.ReasonNotYet}, "iat ahead": {s.AT(changes{"iat": now + 45}), token.ReasonIssuedAt}}
	for _, name := range []string{"nbf", "iat"} {
		for _, value := range []string{`"1"`, "null", "[1]", "{}", "true", "1e400", "-1"} {
			bad[name+" "+value] = forged{s.AT(changes{name: json.RawMessage(value)}), token.ReasonClaim}
		}
	}
	s.tokens(t, bad)
	s.passes(t, s.sendToken(s.AT(changes{"nbf": now + 20, "iat": now + 20})))
}

func threatJ30(t *testing.T) {
	s := newSiege(t)
	id := s.a.Identifier()
	bad := map[string]string{}
	for name, iss := range map[string]any{
		"missing": nil, "null": json.RawMessage("null"), "list": []string{id}, "number": 1, "slash": id + "/", "case": strings.ToUpper(id[:4]) + id[4:], "encoded": strings.Replace(id, "127", "%3127", 1),
		"longer": id + ".evil.example", "look-alike": strings.Replace(id, "1", "\u0661", 1), "empty": "", "space": id + " ", "nobody": "https://as.example.com", "object": changes{"iss": id},
	} {
		bad[name] = s.AT(changes{"iss": iss})
	}
	s.tokensFor(t, token.ReasonIssuer, bad)
}

func threatJ31(t *testing.T) {
	s := newSiege(t)
	bad := map[string]string{}
	for name, aud := range map[string]any{
		"missing": nil, "empty": "", "other": "https://other.example.com", "object": changes{testIdentifier: 1}, "mixed": []any{testIdentifier, 1}, "no elements": []string{}, "nested": []any{[]string{testIdentifier}},
		"part": testIdentifier[:len(testIdentifier)-1], "longer": testIdentifier + "x", "case": strings.ToUpper(testIdentifier), "null": json.RawMessage("null"), "number": 1, "joined": testIdentifier + " " + testIdentifier,
	} {
		bad[name] = s.AT(changes{"aud": aud})
	}
	s.tokensFor(t, token.ReasonAudience, bad)
	s.tokensFor(t, token.ReasonTooLong, map[string]string{"10,000 entries": s.AT(changes{"aud": strings.Split(strings.Repeat("x ", 10000), " ")})})
	s.passes(t, s.sendToken(s.AT(changes{"aud": append(strings.Split(strings.Repeat("x ", 500), " "), testIdentifier)})))
}

func threatJ32(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string {
		text = instead(t, text, "    name: rs\n", "    name: rs\n    hosts: [rs.example.com]\n    audiences_by_issuer: {b: [\"urn:only-b\"]}\n")
		return instead(t, text, "\nlog:", "\n  - {identifier: \"https://rs2.example.com\", hosts: [rs2.example.com], behind_tls: true, upstream: \"%[5]s\"}\nlog:")
	}))
	of := func(issuer *devissuer.Running, aud string) string {
		return s.mint(issuer, devissuer.Token{Claims: changes{"aud": aud}})
	}
	s.passes(t, s.withHost("rs.example.com", of(s.b, "urn:only-b")))
	for host, raw := range map[string]string{"rs.example.com": of(s.a, "urn:only-b"), "RS.example.com": of(s.b, testIdentifier), "rs2.example.com": of(s.a, testIdentifier), "rs2.example.com:443": of(s.b, "urn:only-b")} {
		s.repels(t, s.withHost(host, raw), badToken, token.ReasonAudience)
	}
}

func threatJ33(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string { return instead(t, text, "{name: b, ", "{name: b, profile: jwt, ") }))
	key := newClientKey(t, "ES256")
	byType := map[string]string{}
	for _, typ := range []string{"JWT", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "client-authentication+jwt", "token-introspection+jwt", "rt+jwt"} {
		byType[typ] = s.header(changes{"typ": typ})
	}
	s.tokensFor(t, token.ReasonType, byType)
	s.tokens(t, map[string]forged{
		"DPoP proof":       {s.proof(key, "x", "GET", "/any/x", devissuer.Proof{}), token.ReasonIssuer},
		"ID token":         {s.mint(s.a, devissuer.Token{Header: changes{"typ": "JWT"}, Claims: changes{"aud": "client-1", "nonce": "n"}}), token.ReasonType},
		"client assertion": {s.AT(changes{"iss": "client-1", "sub": "client-1", "aud": s.a.Identifier()}), token.ReasonIssuer},
	})
	byKind := map[string]string{}
	for name, claims := range map[string]changes{
		"nonce": {"nonce": "n"}, "at_hash": {"at_hash": "h"}, "event": {"events": changes{"x": changes{}}}, "Refresh": {"typ": "Refresh"}, "Offline": {"typ": "Offline"}, "Logout": {"typ": "Logout"}, "Cognito": {"token_use": "id"},
	} {
		byKind[name] = s.mint(s.b, devissuer.Token{Header: changes{"typ": "JWT"}, Claims: claims})
	}
	s.tokensFor(t, token.ReasonKind, byKind)
	s.repels(t, s.sendToken(s.mint(s.b, devissuer.Token{Header: changes{"typ": nil}, Claims: changes{"aud": "client-1"}})), badToken, token.ReasonAudience)
}

func threatJ34(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string { return instead(t, text, "{name: b, ", "{name: b, profile: jwt, ") }))
	for _, typ := range []any{"at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"} {
		s.passes(t, s.sendToken(s.header(changes{"typ": typ})))
	}
	for _, typ := range []any{"JWT", nil} {
		s.passes(t, s.sendToken(s.mint(s.b, devissuer.Token{Header: changes{"typ": typ}})))
		s.repels(t, s.sendToken(s.header(changes{"typ": typ})), badToken, token.ReasonType)
	}
	for name, typ := range map[string]any{"number": 1, "list": []string{"at+jwt"}, "null": json.RawMessage("null"), "empty": "", "space": "at+jwt ", "parameter": "at+jwt;v=1", "Kelvin sign": "at+jwt\u212a"} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, s.sendToken(s.header(changes{"typ": typ})), badToken, token.ReasonType)
			s.repels(t, s.sendToken(s.mint(s.b, devissuer.Token{Header: changes{"typ": typ}})), badToken, token.ReasonType)
		})
	}
}

func threatJ35(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string { return instead(t, text, "{name: b, ", "{name: b, scope_claim: scp, ") }))
	read := func(raw string) *reply { return s.do("GET", "/read", "Authorization", "Bearer "+raw) }
	for _, scope := range []string{"readonly", "Read", "READ", "write,read", "read,write", "read\twrite", "write\tread", "read\nwrite", "", " ", "rea", "read\u00a0", "\uff52ead"} {
		t.Run(scope, func(t *testing.T) { s.repels(t, read(s.AT(changes{"scope": scope})), badScope, token.ReasonScope) })
	}
	s.repels(t, read(s.AT(changes{"scope": nil, "scp": []string{"read"}})), badScope, token.ReasonScope)
	for _, scope := range []any{[]string{"read"}, 1, changes{"read": true}, json.RawMessage("null")} {
		s.repels(t, read(s.AT(changes{"scope": scope})), badToken, token.ReasonClaim)
	}
	s.overflows(t, "Authorization: Bearer "+s.AT(changes{"scope": strings.Repeat("x ", 100000)}))
	s.passes(t, read(s.AT(changes{"scope": "read read"})))
	s.passes(t, read(s.AT(changes{"scope": strings.Repeat("x ", 1900) + "read"})))
	s.passes(t, read(s.mint(s.b, devissuer.Token{Claims: changes{"scope": nil, "scp": []string{"write", "read"}}})))
	s.repels(t, read(s.mint(s.b, devissuer.Token{Claims: changes{"scp": []string{"write read", "read,"}}})), badScope, token.ReasonScope)
}

func threatJ36(t *testing.T) {
	s := newSiege(t)
	bad := map[string]string{}
	for _, name := range []string{"sub", "client_id", "jti"} {
		bad[name+" missing"], bad[name+" null"], bad[name+" number"], bad[name+" empty"] = s.AT(changes{name: nil}), s.AT(changes{name: json.RawMessage("null")}), s.AT(changes{name: 1}), s.AT(changes{name: ""})
	}
	s.tokensFor(t, token.ReasonClaim, bad)
}

func threatJ37(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string {
		return strings.Replace(text, "{name: any, path: /any/**}", "{name: any, path: /any/**, acr: [gold], max_age: 5m}", 1)
	}))
	now := time.Now().Unix()
	strong := changes{"acr": "gold", "auth_time": now - 10}
	s.passes(t, s.sendToken(s.AT(strong)))
	weak := verdict{http.StatusUnauthorized, "insufficient_user_authentication", bare}
	for name, change := range map[string]changes{
		"too weak": {"acr": "silver"}, "a longer name": {"acr": "gold+"}, "no string": {"acr": []string{"gold"}}, "missing": {"acr": nil}, "empty": {"acr": ""},
	} {
		t.Run("acr "+name, func(t *testing.T) {
			r := s.sendToken(s.AT(overlaid(strong, change)))
			s.repels(t, r, weak, token.ReasonACR)
			if c := r.challenge("Bearer"); !strings.Contains(c, `acr_values="gold"`) || strings.Contains(c, "max_age") {
				t.Error(c)
			}
		})
	}
	for name, change := range map[string]changes{
		"too old": {"auth_time": now - 301}, "ahead": {"auth_time": now + 3600}, "text": {"auth_time": "now"}, "missing": {"auth_time": nil}, "negative": {"auth_time": -1},
	} {
		t.Run("auth_time "+name, func(t *testing.T) {
			r := s.sendToken(s.AT(overlaid(strong, change)))
			s.repels(t, r, weak, token.ReasonMaxAge)
			if c := r.challenge("Bearer"); !strings.Contains(c, `max_age="300"`) || strings.Contains(c, "acr_values") {
				t.Error(c)
			}
		})
	}
	s.repels(t, s.sendToken(s.mint(s.a, devissuer.Token{Key: newClientKey(t, "ES256").Signer, Claims: changes{"acr": "silver"}})), badToken, token.ReasonSignature)
}

// overlaid lays changes over others.
func overlaid(under, over changes) changes {
	all := maps.Clone(under)
	maps.Copy(all, over)
	return all
}

func threatJ39(t *testing.T) {
	s := newSiege(t)
	raw, dying := s.AT(nil), s.AT(changes{"exp": time.Now().Unix() - 28})
	s.passes(t, s.sendToken(raw))
	s.passes(t, s.sendToken(raw))
	if got := seriesValue(t, s.fixture, `wicketgate_token_cache_requests_total{result="hit"}`); got != "1" {
		t.Errorf("%s hits: it is not remembered", got)
	}
	var last *reply
	eventually(t, "the remembered token to expire", func() bool {
		last = s.sendToken(dying)
		return last.StatusCode != http.StatusOK
	})
	s.reached = s.upstream.count()
	s.repels(t, last, badToken, token.ReasonExpired)
	s.rewrite("{name: any, path: /any/**}", "{name: any, path: /any/**, scopes: [admin]}")
	s.gateway.tryReload("test")
	s.repels(t, s.sendToken(raw), badScope, token.ReasonScope)
	s.rewrite("name: rs\n", "name: rs\n    audiences: [urn:other]\n")
	s.gateway.tryReload("test")
	s.repels(t, s.sendToken(raw), badToken, token.ReasonAudience)
	threatJ39Denied(t)
}

func threatJ40(t *testing.T) {
	s := newSiege(t)
	tokens := make([]string, 300)
	for i := range tokens {
		tokens[i] = s.AT(changes{"sub": "user-" + strconv.Itoa(i)})
	}
	for range 2 {
		for i, raw := range tokens {
			wantPassed(t, s.sendToken(raw))
			if got := s.upstream.last().Header.Get("X-Auth-Subject"); got != "user-"+strconv.Itoa(i) {
				t.Fatalf("token %d is taken for that of %s", i, got)
			}
		}
	}
	if got := seriesValue(t, s.fixture, `wicketgate_token_cache_requests_total{result="hit"}`); got != "300" {
		t.Errorf("%s tokens were remembered", got)
	}
	s.reached = s.upstream.count()
	for i, raw := range tokens[:20] {
		other := strings.Split(tokens[i+1], ".")
		p := strings.Split(raw, ".")
		s.repels(t, s.sendToken(p[0]+"."+p[1]+"."+other[2]), badToken, token.ReasonSignature)
	}
}

func threatJ41(t *testing.T) {
	s := newSiege(t)
	exactly := func(size int) string {
		for header := range 4 {
			for payload := size*3/4 - 700; payload < size*3/4; payload++ {
				if base64.RawURLEncoding.EncodedLen(payload) > size {
					break
				}
				raw := s.mint(s.a, devissuer.Token{Header: changes{"x": strings.Repeat("x", header)}, Claims: changes{"x": strings.Repeat("x", payload)}})
				if len(raw) == size {
					return raw
				}
				payload += max(0, (size-len(raw))*3/4-4)
			}
		}
		t.Fatalf("no token of %d octets", size)
		return ""
	}
	s.passes(t, s.sendToken(exactly(token.MaxLength)))
	s.repels(t, s.sendToken(exactly(token.MaxLength+1)), badToken, token.ReasonTooLong)
	if got := seriesValue(t, s.fixture, `wicketgate_token_cache_requests_total{result="miss"}`); got != "1" {
		t.Errorf("%s tokens were looked up", got)
	}
}

func threatJ42(t *testing.T) {
	s, c := newSiege(t), startIssuer(t)
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"good elsewhere": s.mint(c, devissuer.Token{}), "A's kid": s.mint(c, devissuer.Token{Header: changes{"kid": "es256-1"}})})
	if asked := c.Requests(); len(asked) != 0 {
		t.Errorf("asked an issuer that a token named: %v", asked)
	}
}

// threatJ43 counts what a flood of bad signatures moves; how long it takes is
// for the benchmarks.
func threatJ43(t *testing.T) {
	s := newSiege(t)
	good := s.AT(nil)
	s.passes(t, s.sendToken(good))
	asked := s.a.Hits("/jwks")
	for i := range 500 {
		r := s.sendToken(tampered(t, s.AT(changes{"n": i})))
		if r.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
	if s.counters()[refusals(token.ReasonSignature)] != 500 || s.a.Hits("/jwks") > asked+1 { // one, for a key under an old name: R-10
		t.Errorf("%v refused, %d fetches of the keys", s.counters()[refusals(token.ReasonSignature)], s.a.Hits("/jwks")-asked)
	}
	if got := s.metric("wicketgate_token_cache_entries"); got != "1" {
		t.Errorf("%s tokens are remembered", got)
	}
	s.counts = s.counters()
	s.passes(t, s.sendToken(good))
}

func threatJ44(t *testing.T) {
	s, key, other := newSiege(t), newClientKey(t, "ES256"), newClientKey(t, "ES256")
	raw := s.bound(key, nil)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
	s.repels(t, s.sendBound(other, raw, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
	s.repels(t, s.do("GET", "/any/x", "Authorization", "DPoP "+raw), badProof, token.ReasonDPoPMissing)
	s.repels(t, s.sendToken(raw), badToken, token.ReasonDPoPBinding)
	s.repels(t, s.sendBound(other, raw, devissuer.Proof{Header: changes{"jwk": key.PublicJWK()}}), badProof, token.ReasonDPoPSignature)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
}
