package jwks

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// TestConformance runs the vectors that are about keys and signatures: what a
// token's header says, the issuer's set, and the octets.
func TestConformance(t *testing.T) {
	v := readVectors(t)
	sets := map[string]*Set{}
	for issuer, its := range v.Issuers {
		set, _, err := ParseSet(its.JWKS, nil)
		if err != nil {
			t.Fatal(err)
		}
		sets[issuer] = set
	}
	for _, test := range v.AccessTokens {
		t.Run(test.Row+"/"+test.Name, func(t *testing.T) {
			if got := judge(sets, test.Token); got != (test.Expect == "ok") {
				t.Errorf("held is %v, want %s", got, test.Expect)
			}
		})
	}
	for _, test := range v.Proofs {
		t.Run(test.Row+"/"+test.Name, func(t *testing.T) {
			u, err := token.ParseJWT(test.Proof, token.MaxProofLength)
			if err != nil {
				t.Fatal(err)
			}
			jwk, _ := u.Header("jwk")
			k, err := ParseProofKey(string(jwk))
			if got := err == nil && u.Signature(k) == nil; got != (test.Expect == "ok") {
				t.Errorf("held is %v (%v), want %s", got, err, test.Expect)
			}
		})
	}
}

// judge says whether a token's signature holds under a key of its issuer.
func judge(sets map[string]*Set, raw string) bool {
	u, err := token.ParseJWT(raw, token.MaxLength)
	if err != nil {
		return false
	}
	iss, _ := u.Untrusted("iss")
	issuer, _ := iss.Text()
	for _, k := range sets[issuer].Find(u.KeyID, u.Algorithm) {
		if u.Signature(k) == nil {
			return true
		}
	}
	return false
}

// JWK-01 to JWK-05 as one set: what is good in it works, what is bad is named.
func TestConformanceSkipped(t *testing.T) {
	set, skipped, err := ParseSet(readVectors(t).Issuers["https://as.example.com"].JWKS, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range skipped {
		got[s.ID] = s.Reason
		if s.Private != (s.ID == "oct1") {
			t.Errorf("%s: alarm is %v", s.ID, s.Private)
		}
	}
	want := map[string]string{
		"enc1": errUse.Error(), "ops1": errOperations.Error(), "weak": errModulus.Error(), "mispair": errKeyAlg.Error(),
		"oct1": errSymmetric.Error(), "pq1": errKeyType.Error(), "broken": errEncoding.Error(),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || set.Len() != 9 {
		t.Errorf("%d keys, skipped %v, want %v", set.Len(), got, want)
	}
	if len(set.Find("dupkid", "ES256")) != 1 || len(set.Find("dupkid", "RS256")) != 1 || set.Find("dupkid", "PS256") != nil {
		t.Error("JWK-05: two keys with one kid are not told apart by alg")
	}
}

func TestParseSetEnvelope(t *testing.T) {
	good := jwkFor("ES256").with(members{"kid": "good"}).text()
	many := strings.TrimSuffix(strings.Repeat(good+",", 101), ",")
	for name, body := range map[string]string{
		"nothing": "", "null": "null", "array": "[]", "empty object": "{}", "error": `{"error":"server_error"}`, "HTML": "<html></html>",
		"keys null": `{"keys":null}`, "keys object": `{"keys":{}}`, "keys string": `{"keys":"x"}`, "keys other case": `{"Keys":[]}`,
		"keys twice": `{"keys":[` + good + `],"keys":[]}`, "keys in two cases": `{"keys":[` + good + `],"KEYS":[]}`,
		"truncated": `{"keys":[` + good, "trailing": `{"keys":[]}x`, "two objects": `{"keys":[]}{"keys":[]}`, "byte order mark": "\ufeff" + `{"keys":[]}`,
		"a key alone": good, "101 keys": `{"keys":[` + many + `]}`, "depth bomb": `{"keys":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			if set, _, err := ParseSet([]byte(body), nil); err == nil {
				t.Errorf("accepted with %d keys", set.Len())
			}
		})
	}
	for name, body := range map[string]string{
		"white space":   " \n{ \"keys\" : [ " + good + " ] }\n",
		"other members": `{"ttl":1,"keys":[` + good + `],"x":{"keys":[]}}`,
		"odd elements":  `{"keys":[null,1,"x",[],{},` + good + `]}`,
		"deep element":  `{"keys":[{"kty":"EC","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `},` + good + `]}`,
		"bad UTF-8":     `{"keys":[{"kty":"EC","kid":"` + "\xff" + `"},` + good + `]}`,
		"100 keys":      `{"keys":[` + strings.TrimSuffix(many, ","+good) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			set, _, err := ParseSet([]byte(body), nil)
			if err != nil || set.Len() != 1 || set.Find("good", "ES256") == nil {
				t.Errorf("got %v, %v", set, err)
			}
		})
	}
	if set, skipped, err := ParseSet([]byte(`{"keys":[]}`), nil); err != nil || set.Len() != 0 || skipped != nil {
		t.Errorf("an empty set: %v, %v, %v", set, skipped, err)
	}
}

// ALG-09: one key, one algorithm.
func TestImpliedAlgorithm(t *testing.T) {
	for _, test := range []struct {
		jwk    string // whose key
		listed []string
		want   string
	}{
		{"RS256", nil, "RS256"},
		{"RS256", []string{"RS256", "PS256"}, "RS256"},
		{"RS256", []string{"PS256"}, "PS256"},
		{"RS256", []string{"ES256", "PS512", "PS512", "EdDSA"}, "PS512"},
		{"RS256", []string{"PS256", "PS384"}, "RS256"},
		{"RS256", []string{"ES256"}, "RS256"},
		{"ES256", []string{"RS256"}, "ES256"},
		{"ES384", nil, "ES384"},
		{"ES512", nil, "ES512"},
		{"EdDSA", nil, "EdDSA"},
	} {
		set, _, err := ParseSet(setOf(jwkFor(test.jwk).with(members{"kid": "k"}).text()), test.listed)
		if err != nil {
			t.Fatal(err)
		}
		for _, alg := range Algorithms() {
			if found, want := len(set.Find("k", alg)) == 1, Canonical(alg) == test.want; found != want {
				t.Errorf("%s key, list %v: found for %s is %v", test.jwk, test.listed, alg, found)
			}
		}
		if alg := set.Find("k", test.want)[0].Algorithm(); alg != test.want {
			t.Errorf("algorithm is %s, want %s", alg, test.want)
		}
	}
	// What the JWK says wins over the list.
	set, _, _ := ParseSet(setOf(jwkFor("RS256").with(members{"alg": "RS512"}).text()), []string{"PS256"})
	if len(set.Find("", "RS512")) != 1 || set.Find("", "PS256") != nil {
		t.Error("the list wins over alg")
	}
}

// JWS-17, J-11, J-13: exact kid, or at most four keys of the algorithm.
func TestFind(t *testing.T) {
	var keys []string
	for i := range 6 {
		keys = append(keys, public(newKey().Public()).with(members{"kid": fmt.Sprintf("e%d", i)}).text())
	}
	for range 6 {
		keys = append(keys, public(newKey().Public()).with(members{"kid": "same"}).text())
	}
	keys = append(keys, public(newKey().Public()).text(), jwkFor("EdDSA").with(members{"kid": "e1"}).text())
	keys = append(keys, keys[0])
	set, skipped, err := ParseSet(setOf(keys...), nil)
	if err != nil || skipped != nil || set.Len() != 14 {
		t.Fatal(err, skipped, set.Len())
	}
	for _, test := range []struct {
		kid, alg string
		want     int
	}{
		{"e0", "ES256", 1}, {"e1", "ES256", 1}, {"e1", "EdDSA", 1}, {"e1", "Ed25519", 1}, {"E1", "ES256", 0}, {"e1 ", "ES256", 0}, {"e1", "ES384", 0},
		{"same", "ES256", 4}, {"", "ES256", 4}, {"", "EdDSA", 1}, {"", "RS256", 0}, {"../../e1", "ES256", 0}, {"e1", "", 0}, {"", "", 0}, {"", "none", 0},
	} {
		if got := set.Find(test.kid, test.alg); len(got) != test.want {
			t.Errorf("kid %q, alg %q: %d keys, want %d", test.kid, test.alg, len(got), test.want)
		}
	}
	for _, k := range set.Find("", "ES256") {
		if !set.holds(k) {
			t.Errorf("%s was found and is not held", k.ID)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if !set.holds(set.Find("e1", "Ed25519")[0]) || set.Find("", "ES256") == nil {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestKeyID(t *testing.T) {
	for name, test := range map[string]struct {
		kid  any
		keep bool
	}{
		"none": {nil, true}, "empty": {"", true}, "256": {strings.Repeat("k", 256), true},
		"257": {strings.Repeat("k", 257), false}, "number": {7, false}, "null": {null, false}, "object": {members{}, false},
	} {
		set, skipped, err := ParseSet(setOf(jwkFor("ES256").with(members{"kid": test.kid}).text()), nil)
		if err != nil || (set.Len() == 1) != test.keep {
			t.Errorf("%s: %v, %+v", name, err, skipped)
		}
		if !test.keep && (skipped[0].Reason != errKeyID.Error() || skipped[0].ID != "") {
			t.Errorf("%s: skipped %+v", name, skipped)
		}
	}
}

// JWK-07: the first certificate holds the same key.
func TestX5C(t *testing.T) {
	own, other := certificate(t, signers()["P-256"]), certificate(t, signers()["P-384"])
	encode := base64.StdEncoding.EncodeToString
	for name, test := range map[string]struct {
		x5c  any
		keep bool
	}{
		"own":                {[]string{encode(own)}, true},
		"own, then a chain":  {[]string{encode(own), encode(other)}, true},
		"another key's":      {[]string{encode(other)}, false},
		"another, then own":  {[]string{encode(other), encode(own)}, false},
		"empty":              {[]string{}, false},
		"string":             {encode(own), false},
		"mixed":              {[]any{encode(own), 1}, false},
		"base64url":          {[]string{base64.RawURLEncoding.EncodeToString(append([]byte{251, 255}, own...))}, false},
		"not a certificate":  {[]string{encode([]byte("nothing crypto/x509 reads"))}, true},
		"null":               {null, false},
		"truncated but read": {[]string{encode(own[:len(own)-1])}, true},
	} {
		t.Run(name, func(t *testing.T) {
			set, skipped, err := ParseSet(setOf(jwkFor("ES256").with(members{"x5c": test.x5c}).text()), nil)
			if err != nil || (set.Len() == 1) != test.keep {
				t.Errorf("%d keys, skipped %+v, %v", set.Len(), skipped, err)
			}
			if !test.keep && skipped[0].Reason != errCertificate.Error() {
				t.Errorf("skipped %+v", skipped)
			}
		})
	}
}

func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "as"}, NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A key that stays keeps its address, so that what was verified with it lives.
func TestAdopt(t *testing.T) {
	a, b := public(newKey().Public()).with(members{"kid": "a"}), public(newKey().Public()).with(members{"kid": "b"})
	first, _, _ := ParseSet(setOf(a.text(), b.text()), nil)
	next, _, err := parseSet(setOf(b.with(members{"use": "sig"}).text(), a.with(members{"kid": "c"}).text(), a.with(members{"kid": "b"}).text()), nil, first)
	if err != nil {
		t.Fatal(err)
	}
	if next.Find("b", "ES256")[0] != first.Find("b", "ES256")[0] {
		t.Error("the key that stayed has a new address")
	}
	if k := first.Find("a", "ES256")[0]; next.holds(k) {
		t.Error("a key under another kid is held to be the same")
	}
	if len(next.Find("b", "ES256")) != 2 || next.Len() != 3 {
		t.Error("another key under the same kid is held to be the same")
	}
}

func TestConfirmDisagrees(t *testing.T) {
	k := keyFor(t, "ES256")
	if err := k.confirm(`{"crv":"P-384","kty":"EC","x":"AA","y":"AA"}`); !errors.Is(err, errDisagree) {
		t.Errorf("unreadable: %v", err)
	}
	if err := k.confirm(jwkFor("EdDSA").text()); !errors.Is(err, errDisagree) {
		t.Errorf("another key: %v", err)
	}
	if err := k.confirm(jwkFor("ES256").text()); err != nil {
		t.Errorf("the same key: %v", err)
	}
}

func BenchmarkParseSet(b *testing.B) {
	body := setOf(jwkFor("ES256").with(members{"kid": "e"}).text(), jwkFor("RS256").with(members{"kid": "r"}).text())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseSet(body, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	set, _, err := ParseSet(bytes.Clone(setOf(jwkFor("ES256").with(members{"kid": "e"}).text())), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		set.Find("e", "ES256")
	}
}
