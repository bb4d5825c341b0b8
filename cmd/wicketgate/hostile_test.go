package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// hostileKey is a key that has made some program panic, compute for long or
// believe a forgery.
type hostileKey struct {
	name, alg string
	jwk       changes
	usable    bool // by an issuer: only what a client may send is held shorter
}

// hostileKeys needs no RSA operation: a modulus is a number of so many bits.
func hostileKeys(t *testing.T) (keys []hostileKey) {
	t.Helper()
	var point struct{ X, Y string }
	if err := json.Unmarshal(newClientKey(t, "ES256").PublicJWK(), &point); err != nil {
		t.Fatal(err)
	}
	okp := func(name, crv string, octets int) {
		keys = append(keys, hostileKey{name, "EdDSA", changes{"kty": "OKP", "crv": crv, "x": base64url(make([]byte, octets))}, false})
	}
	for _, octets := range []int{0, 1, 31, 33, 64} {
		okp("Ed25519 of "+strconv.Itoa(octets)+" octets", "Ed25519", octets)
	}
	okp("X25519", "X25519", 32)
	okp("Ed448", "Ed448", 57)
	ec := func(name, crv, x, y string) {
		keys = append(keys, hostileKey{name, "ES256", changes{"kty": "EC", "crv": crv, "x": x, "y": y}, false})
	}
	y, zero := octets(t, point.Y), base64url(make([]byte, 32))
	y[31] ^= 1
	ec("point off the curve", "P-256", point.X, base64url(y))
	ec("point at zero", "P-256", zero, zero)
	ec("x of 40 octets", "P-256", base64url(append(make([]byte, 8), octets(t, point.X)...)), point.Y)
	ec("x of 31 octets", "P-256", base64url(octets(t, point.X)[:31]), point.Y)
	ec("no coordinates", "P-256", "", "")
	ec("coordinates beyond the field", "P-256", base64url([]byte(strings.Repeat("\xff", 32))), base64url([]byte(strings.Repeat("\xff", 32))))
	ec("point of another curve", "P-384", point.X, point.Y)
	ec("no curve", "", point.X, point.Y)
	rsa := func(name string, bits int, e string) {
		n := new(big.Int)
		if bits > 0 {
			n.SetBit(big.NewInt(1), bits-1, 1)
		}
		keys = append(keys, hostileKey{"RSA " + name, "RS256", changes{"kty": "RSA", "n": base64url(n.Bytes()), "e": e}, bits == 8192 && e == "AQAB"})
	}
	for _, bits := range []int{0, 1, 512, 1024, 2047, 8192, 8193, 65536} {
		rsa(strconv.Itoa(bits)+" bits", bits, "AQAB")
	}
	rsa("e of 1", 2048, "AQ")
	rsa("e of 0", 2048, "AA")
	rsa("no e", 2048, "")
	rsa("e even", 2048, "AQAA")
	rsa("e of 2^31+1", 2048, "gAAAAQ")
	rsa("e of 64 octets", 2048, base64url([]byte(strings.Repeat("\xff", 64))))
	even := base64url(new(big.Int).SetBit(new(big.Int), 2047, 1).Bytes())
	keys = append(keys, hostileKey{"RSA n even", "RS256", changes{"kty": "RSA", "n": even, "e": "AQAB"}, false})
	return keys
}

// unsigned mints a token with a made-up signature of so many octets.
func (f *fixture) unsigned(h changes, octets int) string {
	f.t.Helper()
	minted := f.mint(f.a, devissuer.Token{Alg: devissuer.None, Header: h, Claims: changes{"iat": time.Now().Unix() - 60}})
	return minted + base64url(make([]byte, octets))
}

// TestHostileIssuerKeys: an issuer that publishes what no key can be loses that
// key, and no token under it is good.
func TestHostileIssuerKeys(t *testing.T) { wantKeysUseless(t, "EC", "OKP", "RSA") }

func wantKeysUseless(t *testing.T, kinds ...string) {
	t.Helper()
	keys := slices.DeleteFunc(hostileKeys(t), func(k hostileKey) bool { return !slices.Contains(kinds, k.jwk["kty"].(string)) })
	s := besiege(newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		for _, k := range keys {
			k.jwk["kid"] = k.name
			text, err := json.Marshal(k.jwk)
			if err != nil {
				t.Fatal(err)
			}
			is.Publish(text)
		}
	}, nil))
	s.passes(t, s.sendToken(s.AT(nil)))
	for _, k := range keys {
		t.Run(k.name, func(t *testing.T) {
			size, reason := 64, token.ReasonUnknownKey
			if k.alg == "RS256" {
				size = 256
			}
			if k.usable {
				size, reason = 1024, token.ReasonSignature
			}
			s.repels(t, s.sendToken(s.unsigned(changes{"alg": k.alg, "kid": k.name}, size)), badToken, reason)
		})
	}
	s.passes(t, s.sendToken(s.AT(nil)))
}

// threatD07 is the same from a client, which chooses what is computed with.
func threatD07(t *testing.T) {
	s, key := newSiege(t), newClientKey(t, "ES256")
	raw := s.bound(key, nil)
	for _, k := range hostileKeys(t) {
		t.Run(k.name, func(t *testing.T) {
			reason := token.ReasonDPoPKey
			proof := s.proof(key, raw, "GET", "/any/x", devissuer.Proof{Alg: devissuer.None, Header: changes{"alg": k.alg, "jwk": k.jwk}})
			if proof += base64url(make([]byte, 256)); len(proof) > token.MaxProofLength {
				reason = token.ReasonDPoPMalformed
			}
			s.repels(t, s.sendProof(raw, proof), badProof, reason)
		})
	}
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
}

// hostileTexts turns a good serialization into others that are none, by what
// they are. None is longer than a proof may be.
func hostileTexts(t *testing.T, good string) map[string]string {
	t.Helper()
	p := strings.Split(good, ".")
	header, payload := halves(t, good)
	deep := func(open string, n int) string { return strings.Repeat(open, n) }
	return map[string]string{
		"JWE":                           base64url([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..AAAA.AAAA.AAAA",
		"JWE of five parts":             base64url([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`)) + ".AAAA.AAAA.AAAA.AAAA",
		"header 4,000 deep":             base64url([]byte(header[:len(header)-1]+`,"x":`+deep("[", 4000))) + "." + p[1] + "." + p[2],
		"payload 2,500 deep":            p[0] + "." + base64url([]byte(payload[:len(payload)-1]+`,"x":`+deep("[", 2500))) + "." + p[2],
		"objects 500 deep":              p[0] + "." + base64url([]byte(deep(`{"x":`, 500))) + "." + p[2],
		"payload 1,000 deep and closed": p[0] + "." + base64url([]byte(payload[:len(payload)-1]+`,"x":`+deep("[", 1000)+deep("]", 1000)+"}")) + "." + p[2],
		"dots":                          deep(".", 5000),
	}
}

// jsonForms are the serializations of RFC 7515 section 7.2.
func jsonForms(good string) map[string]string {
	p := strings.Split(good, ".")
	return map[string]string{
		"flattened JSON":          `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`,
		"general JSON":            `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`,
		"two signatures":          `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"},{"protected":"e30","signature":"AAAA"}]}`,
		"alg in the other header": `{"header":{"alg":"ES256"},"payload":"` + p[1] + `","signature":"` + p[2] + `"}`,
		"without protected":       `{"payload":"` + p[1] + `","signatures":[{"signature":"` + p[2] + `"}]}`,
	}
}

func TestHostileTokens(t *testing.T) {
	s := newSiege(t)
	good := s.AT(nil)
	s.garbled(t, hostileTexts(t, good))
	s.garbled(t, jsonForms(good))
	nested := `{"alg":"ES256","typ":"at+jwt","x":` + strings.Repeat("[", 9000)
	s.tokensFor(t, token.ReasonMalformed, map[string]string{"9,000 deep": base64url([]byte(nested)) + ".e30.AAAA"})
	s.tokensFor(t, token.ReasonTooLong, map[string]string{
		"9,000 deep and closed": base64url([]byte(nested+strings.Repeat("]", 9000)+"}")) + ".e30.AAAA",
		"kid of 20 KiB":         s.header(changes{"kid": strings.Repeat("k", 20<<10)}),
		"16 KiB of dots":        strings.Repeat(".", 16<<10+1),
	})
	lookedFor := func() string {
		const series = `wicketgate_jwks_unknown_key_total{action="%s",issuer="a"}`
		return seriesValue(t, s.fixture, fmt.Sprintf(series, "refetched")) + seriesValue(t, s.fixture, fmt.Sprintf(series, "held_back"))
	}
	s.tokensFor(t, token.ReasonUnknownKey, map[string]string{
		"kid of 257 octets": s.strayed(strings.Repeat("k", 257)), "kid of 8 KiB": s.strayed(strings.Repeat("k", 8<<10)),
	})
	if n := lookedFor(); n != "00" {
		t.Errorf("a key was looked for under a kid that none can have: %s", n)
	}
	s.tokensFor(t, token.ReasonUnknownKey, map[string]string{"kid of 256 octets": s.strayed(strings.Repeat("k", 256))})
	if n := lookedFor(); n == "00" {
		t.Error("a key was not looked for")
	}
	t.Run("kid of a megabyte", func(t *testing.T) {
		s.overflows(t, "Authorization: Bearer "+s.header(changes{"kid": strings.Repeat("k", 1<<20)}))
	})
	t.Run("a megabyte of dots", func(t *testing.T) { s.overflows(t, "Authorization: Bearer "+strings.Repeat(".", 1<<20)) })
	s.passes(t, s.sendToken(good))
}

func TestHostileProofs(t *testing.T) {
	s, key := newSiege(t), newClientKey(t, "ES256")
	raw := s.bound(key, nil)
	good := s.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	of := func(h changes) string { return s.proof(key, raw, "GET", "/any/x", devissuer.Proof{Header: h}) }
	texts := map[string]string{
		"9,000 deep":            base64url([]byte(`{"alg":"ES256","typ":"dpop+jwt","x":`+strings.Repeat("[", 9000))) + ".e30.AAAA",
		"kid of 5 KiB":          of(changes{"kid": strings.Repeat("k", 5<<10)}),
		"kid of 300 octets":     of(changes{"kid": strings.Repeat("k", 300)}),
		"longer than any proof": of(changes{"x": strings.Repeat("x", 6<<10)}),
	}
	for _, more := range []map[string]string{hostileTexts(t, good), jsonForms(good)} {
		for name, text := range more {
			texts[name] = text
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) { s.repels(t, s.sendProof(raw, text), badProof, token.ReasonDPoPMalformed) })
	}
	t.Run("kid of a megabyte", func(t *testing.T) {
		s.overflows(t, "Authorization: DPoP "+raw, "DPoP: "+of(changes{"kid": strings.Repeat("k", 1<<20)}))
	})
	s.passes(t, s.sendProof(raw, good))
}
