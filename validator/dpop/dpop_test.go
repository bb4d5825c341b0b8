package dpop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/replay"
)

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o, replay.NewMemory(1000))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func memory(v *Verifier) *replay.Memory { return v.store.(*replay.Memory) }

// want holds err against a code and a reason; an empty code is no error at
// all, an empty reason any reason.
func want(t *testing.T, err error, code token.Code, reason token.Reason) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	refusal, ok := errors.AsType[*token.Error](err)
	if !ok || refusal.Code != code || reason != "" && refusal.Reason != reason {
		t.Errorf("got %v, want %s %s", err, code, reason)
	}
}

type members map[string]any

// absent as a value takes a member away.
var absent = new(int)

// with returns a copy of m with the given members set.
func (m members) with(changes members) members {
	c := members{}
	for name, value := range m {
		c[name] = value
	}
	for name, value := range changes {
		if c[name] = value; value == any(absent) {
			delete(c, name)
		}
	}
	return c
}

// holder is a client with a key.
type holder struct {
	algorithm string
	jwk       members
	sign      func(signed []byte) []byte
}

var b64 = base64.RawURLEncoding.EncodeToString

func newEC(t testing.TB, algorithm string, curve elliptic.Curve) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	size := len(point) / 2
	return &holder{
		algorithm: algorithm,
		jwk:       members{"kty": "EC", "crv": curve.Params().Name, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])},
		sign: func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			sum := digest[:]
			if curve == elliptic.P384() {
				long := sha512.Sum384(signed)
				sum = long[:]
			}
			r, s, err := ecdsa.Sign(rand.Reader, key, sum)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]byte, 2*size)
			r.FillBytes(out[:size])
			s.FillBytes(out[size:])
			return out
		},
	}
}

func newClient(t testing.TB) *holder { return newEC(t, "ES256", elliptic.P256()) }

func newEd25519(t testing.TB, algorithm string) *holder {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{algorithm, members{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}, func(signed []byte) []byte { return ed25519.Sign(private, signed) }}
}

func newRSA(t testing.TB, algorithm string) *holder {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk := members{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	return &holder{algorithm, jwk, func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		var options crypto.SignerOpts = crypto.SHA256
		if strings.HasPrefix(algorithm, "PS") {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
		signature, err := key.Sign(rand.Reader, sum[:], options)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}}
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func (h *holder) jkt(t testing.TB) string {
	t.Helper()
	key, err := jwks.ParseProofKey(string(marshal(h.jwk)))
	if err != nil {
		t.Fatal(err)
	}
	return key.Thumbprint()
}

func (h *holder) header() members {
	return members{"typ": "dpop+jwt", "alg": h.algorithm, "jwk": h.jwk}
}

// proof signs a header and claims as they are.
func (h *holder) proof(header, claims members) string {
	signed := b64(marshal(header)) + "." + b64(marshal(claims))
	return signed + "." + b64(h.sign([]byte(signed)))
}

const (
	origin      = "https://rs.example.com"
	accessToken = "the.access.token"
)

var (
	noon        = time.Unix(1800000000, 0)
	tokenDigest = sha256.Sum256([]byte(accessToken))
)

func claimsAt(issued time.Time, id string) members {
	return members{"jti": id, "htm": "GET", "htu": origin + "/read", "iat": issued.Unix(), "ath": b64(tokenDigest[:])}
}

func credentialWith(proofs ...string) token.Credential {
	return token.Credential{Scheme: token.DPoP, Raw: accessToken, Proofs: proofs, Method: "GET", Origins: []string{origin}, Path: "/read"}
}

func confirm(v *Verifier, jkt string, now time.Time, proofs ...string) error {
	return confirmed(v, context.Background(), credentialWith(proofs...), tokenDigest, jkt, now)
}

func TestAlgorithms(t *testing.T) {
	for _, h := range []*holder{newClient(t), newEd25519(t, "EdDSA"), newEd25519(t, "Ed25519"), newRSA(t, "RS256"), newRSA(t, "PS256")} {
		want(t, confirm(newVerifier(t, Options{}), h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), "", "")
		if !slices.Contains(newVerifier(t, Options{}).Algorithms(), h.algorithm) {
			t.Errorf("%s is accepted and not told", h.algorithm)
		}
		if h.algorithm != "RS256" {
			v := newVerifier(t, Options{Algorithms: []string{"RS256"}})
			want(t, confirm(v, h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), token.InvalidDPoPProof, token.ReasonDPoPAlgorithm)
		}
	}
	h := newEC(t, "ES384", elliptic.P384())
	want(t, confirm(newVerifier(t, Options{}), h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), token.InvalidDPoPProof, token.ReasonDPoPAlgorithm)
	want(t, confirm(newVerifier(t, Options{Algorithms: []string{"ES384"}}), h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), "", "")
}

func TestAlgorithmsTold(t *testing.T) {
	for _, row := range []struct{ configured, told string }{
		{"", "ES256 EdDSA RS256 PS256 Ed25519"},
		{"ES256", "ES256"},
		{"EdDSA", "EdDSA Ed25519"},
		{"Ed25519 ES256", "Ed25519 ES256 EdDSA"},
		{"EdDSA Ed25519", "EdDSA Ed25519"},
	} {
		v := newVerifier(t, Options{Algorithms: strings.Fields(row.configured)})
		if got := strings.Join(v.Algorithms(), " "); got != row.told {
			t.Errorf("%q: got %q", row.configured, got)
		}
	}
	for _, alg := range []string{"", "none", "HS256", "es256", "ES256K", "RSA1_5"} {
		if _, err := New(Options{Algorithms: []string{alg}}, replay.NewMemory(1)); err == nil {
			t.Errorf("%q is taken", alg)
		}
	}
	if !slices.Equal(DefaultAlgorithms, []string{"ES256", "EdDSA", "RS256", "PS256"}) {
		t.Errorf("the defaults changed: %q", DefaultAlgorithms)
	}
}

// D-03, DPOP-04 to DPOP-06: one line with one proof.
func TestProofLines(t *testing.T) {
	h := newClient(t)
	v, jkt := newVerifier(t, Options{}), h.jkt(t)
	good := h.proof(h.header(), claimsAt(noon, "a"))
	other := h.proof(h.header(), claimsAt(noon, "b"))
	for _, row := range []struct {
		name   string
		lines  []string
		reason token.Reason
	}{
		{"none", nil, token.ReasonDPoPMissing},
		{"empty", []string{""}, token.ReasonDPoPMissing},
		{"two", []string{good, other}, token.ReasonDPoPMalformed},
		{"two equal", []string{good, good}, token.ReasonDPoPMalformed},
		{"one and an empty one", []string{good, ""}, token.ReasonDPoPMalformed},
		{"list", []string{good + ", " + other}, token.ReasonDPoPMalformed},
		{"list without space", []string{good + "," + other}, token.ReasonDPoPMalformed},
		{"upper case", []string{strings.ToUpper(good)}, token.ReasonDPoPMalformed},
		{"space inside", []string{good[:20] + " " + good[20:]}, token.ReasonDPoPMalformed},
		{"padded", []string{good + "="}, token.ReasonDPoPMalformed},
		{"four parts", []string{good + ".x"}, token.ReasonDPoPMalformed},
		{"the token", []string{accessToken}, token.ReasonDPoPMalformed},
		{"long", []string{strings.Repeat("a", token.MaxProofLength+1)}, token.ReasonDPoPMalformed},
		{"very long", []string{strings.Repeat("a.", 100_000)}, token.ReasonDPoPMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			want(t, confirm(v, jkt, noon, row.lines...), token.InvalidDPoPProof, row.reason)
		})
	}
	want(t, confirm(v, jkt, noon, good), "", "")
	short := newVerifier(t, Options{MaxLength: len(other) - 1})
	want(t, confirm(short, jkt, noon, other), token.InvalidDPoPProof, token.ReasonDPoPMalformed)
}

// DPOP-09 to DPOP-14: each member of the header changed in turn.
func TestHeader(t *testing.T) {
	h, stranger := newClient(t), newClient(t)
	jkt := h.jkt(t)
	for _, row := range []struct {
		name   string
		header members
		code   token.Code
		reason token.Reason
	}{
		{"as it should be", nil, "", ""},
		{"more members", members{"kid": "x", "x5c": []string{"x"}, "jku": "https://evil.example", "foo": 1}, "", ""},
		{"more in the key", members{"jwk": h.jwk.with(members{"kid": "x", "use": "sig", "alg": "ES256", "x5t": "x"})}, "", ""},
		{"no typ", members{"typ": absent}, token.InvalidDPoPProof, token.ReasonDPoPType},
		{"typ JWT", members{"typ": "JWT"}, token.InvalidDPoPProof, token.ReasonDPoPType},
		{"typ at+jwt", members{"typ": "at+jwt"}, token.InvalidDPoPProof, token.ReasonDPoPType},
		{"typ in capitals", members{"typ": "DPoP+JWT"}, token.InvalidDPoPProof, token.ReasonDPoPType},
		{"typ as media type", members{"typ": "application/dpop+jwt"}, token.InvalidDPoPProof, token.ReasonDPoPType},
		{"typ number", members{"typ": 1}, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		{"alg none", members{"alg": "none"}, token.InvalidDPoPProof, token.ReasonDPoPAlgorithm},
		{"alg HS256", members{"alg": "HS256"}, token.InvalidDPoPProof, token.ReasonDPoPAlgorithm},
		{"alg in lower case", members{"alg": "es256"}, token.InvalidDPoPProof, token.ReasonDPoPAlgorithm},
		{"alg of another key", members{"alg": "RS256"}, token.InvalidDPoPProof, token.ReasonDPoPAlgorithm},
		{"alg of another curve", members{"alg": "ES384"}, token.InvalidDPoPProof, token.ReasonDPoPAlgorithm},
		{"no alg", members{"alg": absent}, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		{"crit", members{"crit": []string{"b64"}, "b64": true}, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		{"no key", members{"jwk": absent}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"no key but kid", members{"jwk": absent, "kid": "x"}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key as text", members{"jwk": string(marshal(h.jwk))}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key as list", members{"jwk": []any{h.jwk}}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key null", members{"jwk": nil}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key empty", members{"jwk": members{}}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"private key", members{"jwk": h.jwk.with(members{"d": "AA"})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"private and empty", members{"jwk": h.jwk.with(members{"d": ""})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"private and null", members{"jwk": h.jwk.with(members{"k": nil})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"symmetric key", members{"jwk": members{"kty": "oct", "k": "AAAA"}}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key for encryption", members{"jwk": h.jwk.with(members{"use": "enc"})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key of another alg", members{"jwk": h.jwk.with(members{"alg": "ES384"})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"short Ed25519 key", members{"alg": "EdDSA", "jwk": members{"kty": "OKP", "crv": "Ed25519", "x": "AA"}}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"point off the curve", members{"jwk": h.jwk.with(members{"y": h.jwk["x"]})}, token.InvalidDPoPProof, token.ReasonDPoPKey},
		{"key of a stranger", members{"jwk": stranger.jwk}, token.InvalidToken, token.ReasonDPoPBinding},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, Options{})
			proof := h.proof(h.header().with(row.header), claimsAt(noon, "a"))
			want(t, confirm(v, jkt, noon, proof), row.code, row.reason)
			if remembered := memory(v).Len(); (remembered == 1) != (row.code == "") {
				t.Errorf("%d proofs are remembered", remembered)
			}
		})
	}
}

// DPOP-07, 08, 16, 17, 24, 33: each claim changed in turn, all signed.
func TestClaims(t *testing.T) {
	h := newClient(t)
	jkt := h.jkt(t)
	other := sha256.Sum256([]byte("other"))
	at := func(seconds float64) members { return members{"iat": float64(noon.Unix()) + seconds} }
	for _, row := range []struct {
		name   string
		claims members
		reason token.Reason // "" passes
	}{
		{"as they should be", nil, ""},
		{"more claims", members{"foo": members{"a": 1}, "nonce": "x", "iss": "x"}, ""},

		{"no jti", members{"jti": absent}, token.ReasonDPoPMalformed},
		{"jti empty", members{"jti": ""}, token.ReasonDPoPMalformed},
		{"jti number", members{"jti": 1}, token.ReasonDPoPMalformed},
		{"jti null", members{"jti": nil}, token.ReasonDPoPMalformed},
		{"jti list", members{"jti": []string{"a"}}, token.ReasonDPoPMalformed},
		{"jti of 256 octets", members{"jti": strings.Repeat("j", 256)}, ""},
		{"jti of 257 octets", members{"jti": strings.Repeat("j", 257)}, token.ReasonDPoPMalformed},
		{"jti of 258 octets in 129 letters", members{"jti": strings.Repeat("é", 129)}, token.ReasonDPoPMalformed},

		{"no htm", members{"htm": absent}, token.ReasonDPoPMethod},
		{"htm of another method", members{"htm": "POST"}, token.ReasonDPoPMethod},
		{"htm in lower case", members{"htm": "get"}, token.ReasonDPoPMethod},
		{"htm HEAD", members{"htm": "HEAD"}, token.ReasonDPoPMethod},
		{"htm with a space", members{"htm": "GET "}, token.ReasonDPoPMethod},
		{"htm empty", members{"htm": ""}, token.ReasonDPoPMethod},
		{"htm list", members{"htm": []string{"GET"}}, token.ReasonDPoPMethod},

		{"no htu", members{"htu": absent}, token.ReasonDPoPTarget},
		{"htu null", members{"htu": nil}, token.ReasonDPoPTarget},
		{"htu list", members{"htu": []string{origin + "/read"}}, token.ReasonDPoPTarget},
		{"htu of another path", members{"htu": origin + "/write"}, token.ReasonDPoPTarget},

		{"no ath", members{"ath": absent}, token.ReasonDPoPToken},
		{"ath of another token", members{"ath": b64(other[:])}, token.ReasonDPoPToken},
		{"ath padded", members{"ath": base64.URLEncoding.EncodeToString(tokenDigest[:])}, token.ReasonDPoPToken},
		{"ath empty", members{"ath": ""}, token.ReasonDPoPToken},
		{"ath cut", members{"ath": b64(tokenDigest[:16])}, token.ReasonDPoPToken},
		{"ath number", members{"ath": 1}, token.ReasonDPoPToken},

		{"no iat", members{"iat": absent}, token.ReasonDPoPTime},
		{"iat text", members{"iat": "1800000000"}, token.ReasonDPoPTime},
		{"iat null", members{"iat": nil}, token.ReasonDPoPTime},
		{"iat negative", members{"iat": -1800000000}, token.ReasonDPoPTime},
		{"iat zero", members{"iat": 0}, token.ReasonDPoPTime},
		{"iat huge", members{"iat": 1e30}, token.ReasonDPoPTime},
		{"iat in milliseconds", members{"iat": noon.UnixMilli()}, token.ReasonDPoPTime},
		{"iat -59", at(-59), ""},
		{"iat -59.5", at(-59.5), ""},
		{"iat -60", at(-60), ""},
		{"iat -60.5", at(-60.5), token.ReasonDPoPTime},
		{"iat -61", at(-61), token.ReasonDPoPTime},
		{"iat +10", at(10), ""},
		{"iat +30", at(30), ""},
		{"iat +30.5", at(30.5), token.ReasonDPoPTime},
		{"iat +31", at(31), token.ReasonDPoPTime},
		{"iat +86400", at(86400), token.ReasonDPoPTime},

		{"exp ahead", members{"exp": noon.Unix() + 1}, ""},
		{"exp now", members{"exp": noon.Unix()}, token.ReasonDPoPTime},
		{"exp past", members{"exp": noon.Unix() - 1}, token.ReasonDPoPTime},
		{"exp zero", members{"exp": 0}, token.ReasonDPoPTime},
		{"exp null", members{"exp": nil}, token.ReasonDPoPTime},
		{"exp text", members{"exp": "1800000600"}, token.ReasonDPoPTime},
		{"nbf past", members{"nbf": noon.Unix() - 1}, ""},
		{"nbf +30", members{"nbf": noon.Unix() + 30}, ""},
		{"nbf +31", members{"nbf": noon.Unix() + 31}, token.ReasonDPoPTime},
		{"nbf text", members{"nbf": "0"}, token.ReasonDPoPTime},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, Options{})
			err := confirm(v, jkt, noon, h.proof(h.header(), claimsAt(noon, "a").with(row.claims)))
			code := token.InvalidDPoPProof
			if row.reason == "" {
				code = ""
			}
			want(t, err, code, row.reason)
			if remembered := memory(v).Len(); (remembered == 1) != (row.reason == "") {
				t.Errorf("%d proofs are remembered", remembered)
			}
		})
	}
}

func TestWindowIsConfigured(t *testing.T) {
	h := newClient(t)
	v := newVerifier(t, Options{MaxAge: 10 * time.Second, Future: 2 * time.Second})
	for offset, reason := range map[int]token.Reason{-10: "", -11: token.ReasonDPoPTime, 2: "", 3: token.ReasonDPoPTime} {
		issued := noon.Add(time.Duration(offset) * time.Second)
		code := token.InvalidDPoPProof
		if reason == "" {
			code = ""
		}
		want(t, confirm(v, h.jkt(t), noon, h.proof(h.header(), claimsAt(issued, issued.String()))), code, reason)
	}
}

// DPOP-15, D-08.
func TestSignature(t *testing.T) {
	h, stranger := newClient(t), newClient(t)
	jkt := h.jkt(t)
	good := h.proof(h.header(), claimsAt(noon, "a"))
	at := strings.LastIndexByte(good, '.')
	resigned := stranger.proof(h.header(), claimsAt(noon, "a"))
	signature := signatureOf(t, good)
	flipped := slices.Clone(signature)
	flipped[5] ^= 1
	for name, proof := range map[string]string{
		"of a stranger":    resigned,
		"of another proof": good[:at] + h.proof(h.header(), claimsAt(noon, "b"))[at:],
		"flipped":          good[:at+1] + b64(flipped),
		"short":            good[:at+1] + b64(signature[:63]),
		"long":             good[:at+1] + b64(append(slices.Clone(signature), 0)),
		"zero":             good[:at+1] + b64(make([]byte, 64)),
		"none":             good[:at+1] + "AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, Options{})
			want(t, confirm(v, jkt, noon, proof), token.InvalidDPoPProof, token.ReasonDPoPSignature)
			// DPOP-28: nothing of it is remembered, so the good one passes.
			want(t, confirm(v, jkt, noon, good), "", "")
		})
	}
}

func signatureOf(t *testing.T, proof string) []byte {
	t.Helper()
	signature, err := base64.RawURLEncoding.DecodeString(proof[strings.LastIndexByte(proof, '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// malleated returns proof with s of its ECDSA signature replaced by n-s, which
// verifies as well.
func malleated(t *testing.T, proof string) string {
	t.Helper()
	signature := signatureOf(t, proof)
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return proof[:strings.LastIndexByte(proof, '.')+1] + b64(signature)
}

// DPOP-25, DPOP-27, D-19, D-21, D-22: what counts as the same proof.
func TestReplay(t *testing.T) {
	h, other := newClient(t), newClient(t)
	jkt := h.jkt(t)
	first := h.proof(h.header(), claimsAt(noon, "same"))
	for _, row := range []struct {
		name, jkt, proof string
		replay           bool
	}{
		{"the same text", jkt, first, true},
		{"signed again", jkt, h.proof(h.header(), claimsAt(noon, "same")), true},
		{"the other signature", jkt, malleated(t, first), true},
		{"another iat", jkt, h.proof(h.header(), claimsAt(noon.Add(5*time.Second), "same")), true},
		{"another spelling of htu", jkt, h.proof(h.header(), claimsAt(noon, "same").with(members{"htu": "HTTPS://rs.example.com:443/read?x"})), true},
		{"more members", jkt, h.proof(h.header().with(members{"kid": "x"}), claimsAt(noon, "same").with(members{"x": 1})), true},
		{"another jti", jkt, h.proof(h.header(), claimsAt(noon, "other")), false},
		{"another case of jti", jkt, h.proof(h.header(), claimsAt(noon, "SAME")), false},
		{"another key", other.jkt(t), other.proof(other.header(), claimsAt(noon, "same")), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, Options{})
			want(t, confirm(v, jkt, noon, first), "", "")
			if err := confirm(v, row.jkt, noon, row.proof); row.replay {
				want(t, err, token.InvalidDPoPProof, token.ReasonDPoPReplay)
			} else {
				want(t, err, "", "")
			}
		})
	}
}

// DPOP-28, D-24, D-25: only what passed every other check uses up a jti.
func TestRefusedProofsUseNothingUp(t *testing.T) {
	h, stranger := newClient(t), newClient(t)
	jkt := h.jkt(t)
	v := newVerifier(t, Options{})
	for _, bad := range []struct{ jkt, proof string }{
		{jkt, stranger.proof(h.header(), claimsAt(noon, "same"))},
		{jkt, stranger.proof(stranger.header(), claimsAt(noon, "same"))},
		{jkt, h.proof(h.header(), claimsAt(noon, "same").with(members{"htm": "PUT"}))},
		{jkt, h.proof(h.header(), claimsAt(noon, "same").with(members{"htu": origin}))},
		{jkt, h.proof(h.header(), claimsAt(noon, "same").with(members{"ath": "x"}))},
		{jkt, h.proof(h.header(), claimsAt(noon.Add(-61*time.Second), "same"))},
		{stranger.jkt(t), h.proof(h.header(), claimsAt(noon, "same"))},
	} {
		if confirm(v, bad.jkt, noon, bad.proof) == nil {
			t.Error("a bad proof passes")
		}
	}
	want(t, confirm(v, stranger.jkt(t), noon, stranger.proof(stranger.header(), claimsAt(noon, "same"))), "", "")
	want(t, confirm(v, jkt, noon, h.proof(h.header(), claimsAt(noon, "same"))), "", "")
}

// DPOP-26, D-20.
func TestConcurrentCopies(t *testing.T) {
	h := newClient(t)
	v, jkt := newVerifier(t, Options{}), h.jkt(t)
	proof := h.proof(h.header(), claimsAt(noon, "a"))
	var passed atomic.Int32
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			err := confirm(v, jkt, noon, proof)
			if err == nil {
				passed.Add(1)
				return
			}
			want(t, err, token.InvalidDPoPProof, token.ReasonDPoPReplay)
		})
	}
	group.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d copies passed", passed.Load())
	}
}

// DPOP-29, D-23: a proof is remembered for as long as it could be accepted, to
// the end of its window, wherever its iat lies in it.
func TestRememberedToTheEnd(t *testing.T) {
	for _, offset := range []time.Duration{-60, -59, -1, 0, 1, 29, 30} {
		synctest.Test(t, func(t *testing.T) {
			h := newClient(t)
			v, jkt := newVerifier(t, Options{}), h.jkt(t)
			issued := time.Now().Add(offset * time.Second)
			proof := h.proof(h.header(), claimsAt(issued, "a"))
			want(t, confirm(v, jkt, time.Now(), proof), "", "")
			for range 200 {
				time.Sleep(500 * time.Millisecond)
				err := confirm(v, jkt, time.Now(), proof)
				if age := time.Since(time.Unix(issued.Unix(), 0)); age <= DefaultMaxAge {
					want(t, err, token.InvalidDPoPProof, token.ReasonDPoPReplay)
				} else {
					want(t, err, token.InvalidDPoPProof, token.ReasonDPoPTime)
				}
			}
			// Past its window it takes up no room: the next call clears it.
			want(t, confirm(v, jkt, time.Now(), h.proof(h.header(), claimsAt(time.Now(), "b"))), "", "")
			if n := memory(v).Len(); n != 1 {
				t.Errorf("%d proofs are remembered", n)
			}
		})
	}
}

// D-34: a store that begins empty cannot know what was used before.
func TestSince(t *testing.T) {
	h := newClient(t)
	jkt := h.jkt(t)
	since, soon := noon.Add(-20*time.Second+700*time.Millisecond), noon.Add(-5*time.Second+700*time.Millisecond)
	for _, row := range []struct {
		name   string
		since  time.Time
		iat    any
		passes bool
	}{
		{"long before", since, noon.Unix() - 50, false},
		{"the second before", since, noon.Unix() - 21, false},
		{"just before the second", since, float64(noon.Unix()) - 20.5, false},
		{"the second itself, soon", soon, noon.Unix() - 5, true},
		{"just before the second, soon", soon, noon.Unix() - 6, false},
		{"the second itself, late", since, noon.Unix() - 20, false},
		{"late in the second itself, late", since, float64(noon.Unix()) - 19.5, false},
		{"late, by one second", soon.Add(-time.Second), noon.Unix() - 6, false},
		{"after", since, noon.Unix() - 19, true},
		{"a store that outlives the process", time.Time{}, noon.Unix() - 50, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, Options{Since: row.since})
			err := confirm(v, jkt, noon, h.proof(h.header(), claimsAt(noon, "a").with(members{"iat": row.iat})))
			if row.passes {
				want(t, err, "", "")
			} else {
				want(t, err, token.InvalidDPoPProof, token.ReasonDPoPTime)
			}
		})
	}
}

// DPOP-30, D-31: a store that can remember no more is nobody's fault but ours.
func TestFullStoreIsAFault(t *testing.T) {
	h := newClient(t)
	v, err := New(Options{}, replay.NewMemory(1))
	if err != nil {
		t.Fatal(err)
	}
	want(t, confirm(v, h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), "", "")
	err = confirm(v, h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "b")))
	fault, ok := errors.AsType[*token.Fault](err)
	if !ok || fault.Reason != token.ReasonReplayUnavailable || fault.RetryAfter != DefaultMaxAge/2 {
		t.Fatalf("got %v", err)
	}
	if _, refused := errors.AsType[*token.Error](err); refused {
		t.Error("the fault refuses")
	}
	want(t, confirm(v, h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a"))), token.InvalidDPoPProof, token.ReasonDPoPReplay)
}

func TestOnSkew(t *testing.T) {
	h := newClient(t)
	var skews []time.Duration
	v := newVerifier(t, Options{OnSkew: func(d time.Duration) { skews = append(skews, d) }})
	proof := h.proof(h.header(), claimsAt(noon.Add(-7*time.Second), "a"))
	want(t, confirm(v, h.jkt(t), noon, proof), "", "")
	want(t, confirm(v, h.jkt(t), noon, proof), token.InvalidDPoPProof, token.ReasonDPoPReplay)
	if !slices.Equal(skews, []time.Duration{-7 * time.Second}) {
		t.Errorf("got %v", skews)
	}
}

// An error names a check and nothing that the proof holds.
func TestErrorsQuoteNothing(t *testing.T) {
	h := newClient(t)
	for _, change := range []members{{"jti": []string{"s3cret"}}, {"htu": "s3cret"}, {"htm": "s3cret"}, {"ath": "s3cret"}, {"iat": "s3cret"}, {"exp": "s3cret"}} {
		err := confirm(newVerifier(t, Options{}), h.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "a").with(change)))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: got %v", change, err)
		}
	}
	for _, change := range []members{{"typ": "s3cret"}, {"alg": "s3cret"}, {"jwk": members{"kty": "s3cret"}}, {"jwk": members{"kty": "EC", "crv": "s3cret"}}} {
		err := confirm(newVerifier(t, Options{}), h.jkt(t), noon, h.proof(h.header().with(change), claimsAt(noon, "a")))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: got %v", change, err)
		}
	}
}

func BenchmarkConfirm(b *testing.B) {
	h := newClient(b)
	v, err := New(Options{}, forgetful{})
	if err != nil {
		b.Fatal(err)
	}
	jkt, proof := h.jkt(b), h.proof(h.header(), claimsAt(noon, "a"))
	b.ReportAllocs()
	for b.Loop() {
		if err := confirm(v, jkt, noon, proof); err != nil {
			b.Fatal(err)
		}
	}
}

// forgetful is a store that has seen nothing, so that one proof can be
// measured many times.
type forgetful struct{}

func (forgetful) First(context.Context, string, string, time.Time, time.Duration) (bool, error) {
	return true, nil
}

// confirmed is Confirm without the nonce.
func confirmed(v *Verifier, ctx context.Context, cred token.Credential, digest [32]byte, jkt string, now time.Time) error {
	_, err := v.Confirm(ctx, cred, digest, jkt, now)
	return err
}
