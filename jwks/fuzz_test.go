package jwks

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

// garbage is asked of every key a fuzzer gets: lengths that fit some key, and
// contents that fit none, not even an Ed25519 key of small order.
func garbage(t *testing.T, k *Key) {
	t.Helper()
	for _, alg := range append(Algorithms(), "none", "HS256", "") {
		for _, length := range []int{0, 1, 64, 96, 132, 256, 512, 1024} {
			err := k.Verify(alg, "header.payload", bytes.Repeat([]byte{0x5a}, length))
			if !errors.Is(err, ErrAlgorithm) && !errors.Is(err, ErrSignature) {
				t.Fatalf("%s over %d octets: %v", alg, length, err)
			}
			if fits := k.Fits(alg); fits == errors.Is(err, ErrAlgorithm) {
				t.Fatalf("%s: fits is %v, Verify says %v", alg, fits, err)
			}
		}
	}
}

// rawThumbprint works out RFC 7638 from the members as another parser reads
// them, without a look at what they mean.
func rawThumbprint(t *testing.T, text string) string {
	t.Helper()
	var jwk map[string]any
	if err := json.Unmarshal([]byte(text), &jwk); err != nil {
		t.Fatalf("accepted what encoding/json refuses: %v", err)
	}
	var canonical string
	switch jwk["kty"] {
	case "RSA":
		canonical = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, jwk["e"], jwk["n"])
	case "EC":
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, jwk["crv"], jwk["x"], jwk["y"])
	case "OKP":
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, jwk["crv"], jwk["x"])
	}
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func FuzzParseProofKey(f *testing.F) {
	for _, alg := range Algorithms() {
		f.Add(jwkFor(alg).text())
		f.Add(jwkFor(alg).with(members{"alg": alg, "use": "sig", "kid": "k"}).text())
	}
	for _, bad := range badKeys() {
		f.Add(bad.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseProofKey(text)
		if err != nil {
			return
		}
		garbage(t, k)
		if want := rawThumbprint(t, text); k.Thumbprint() != want {
			t.Fatalf("thumbprint %s, want %s", k.Thumbprint(), want)
		}
		// What a client may use, an issuer may too, and it is the same key.
		set, skipped, err := ParseSet(setOf(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if set.Len() == 1 && set.keys[0].Thumbprint() != k.Thumbprint() {
			t.Fatalf("another key in a set: %+v", set.keys[0])
		}
		if set.Len() == 0 && skipped[0].Reason != errKeyID.Error() && skipped[0].Reason != errCertificate.Error() {
			t.Fatalf("not a key in a set: %+v", skipped)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"keys":[]}`))
	var all []string
	for _, alg := range Algorithms() {
		all = append(all, jwkFor(alg).with(members{"alg": alg, "kid": alg}).text())
	}
	f.Add(setOf(all...))
	for _, bad := range badKeys() {
		f.Add(setOf(bad.text, all[0]))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, skipped, err := ParseSet(body, nil)
		if err != nil {
			return
		}
		if n := set.Len() + len(skipped); n > maxKeys {
			t.Fatalf("%d keys", n)
		}
		for _, k := range set.keys {
			garbage(t, k)
			if found := set.Find(k.ID, k.Algorithm()); len(found) == 0 || len(found) > maxCandidates {
				t.Fatalf("kid %q finds %d keys", k.ID, len(found))
			}
		}
	})
}
