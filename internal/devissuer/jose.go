package devissuer

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // the 384 and 512 of RS, PS, ES and HS
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"sync"
)

// None is the unsecured "algorithm" of RFC 7518 section 3.6, which is made
// because a validator has to refuse it.
const None = "none"

const rsaBits = 2048

var (
	errAlgorithm = errors.New("unknown algorithm")
	errKey       = errors.New("no key that fits the algorithm")
	errJWK       = errors.New("not a usable JWK")
)

// sharedRSA spares the issuers of a process the slow making of a first RSA key.
var sharedRSA = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) })

// Sign makes a compact JWS (RFC 7515 section 7.1) over exactly these bytes;
// neither has to be JSON, and the header may name another algorithm. It knows
// RS, PS and ES 256 to 512, EdDSA, Ed25519 and None, which needs no key. An ES
// algorithm takes a key of any curve, for a validator has to refuse the wrong
// ones; r and s are as wide as the key's curve.
func Sign(alg string, key crypto.Signer, header, payload []byte) (string, error) {
	signed := encode(header) + "." + encode(payload)
	if alg == None {
		return signed + ".", nil
	}
	family, hash, err := parse(alg)
	if err != nil {
		return "", err
	}
	if key == nil || !fits(family, key.Public()) {
		return "", errKey
	}
	var opts crypto.SignerOpts = hash
	input := []byte(signed)
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		input = h.Sum(nil)
	}
	if family == "PS" {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := key.Sign(rand.Reader, input, opts)
	if pub, ok := key.Public().(*ecdsa.PublicKey); ok && err == nil {
		signature, err = concatenated(signature, (pub.Curve.Params().BitSize+7)/8)
	}
	return signed + "." + encode(signature), err
}

// SignHMAC is Sign for HS256, HS384 and HS512: the attack that takes a public
// key's text for the secret.
func SignHMAC(alg string, secret, header, payload []byte) (string, error) {
	family, hash, err := parse(alg)
	if err != nil || family != "HS" {
		return "", errAlgorithm
	}
	signed := encode(header) + "." + encode(payload)
	mac := hmac.New(hash.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil)), nil
}

// parse takes an algorithm's name apart into RS, PS, ES, HS or Ed and a hash.
func parse(alg string) (family string, hash crypto.Hash, err error) {
	switch alg {
	case "EdDSA", "Ed25519":
		return "Ed", 0, nil
	case "RS256", "PS256", "ES256", "HS256":
		return alg[:2], crypto.SHA256, nil
	case "RS384", "PS384", "ES384", "HS384":
		return alg[:2], crypto.SHA384, nil
	case "RS512", "PS512", "ES512", "HS512":
		return alg[:2], crypto.SHA512, nil
	}
	return "", 0, errAlgorithm
}

func fits(family string, key crypto.PublicKey) bool {
	switch key.(type) {
	case *rsa.PublicKey:
		return family == "RS" || family == "PS"
	case *ecdsa.PublicKey:
		return family == "ES"
	case ed25519.PublicKey:
		return family == "Ed"
	}
	return false
}

// concatenated turns DER into r||s of fixed width (RFC 7518 section 3.4).
func concatenated(der []byte, width int) ([]byte, error) {
	var point struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &point); err != nil {
		return nil, err
	}
	out := make([]byte, 2*width)
	point.R.FillBytes(out[:width])
	point.S.FillBytes(out[width:])
	return out, nil
}

func generate(alg string) (crypto.Signer, error) {
	switch family, hash, _ := parse(alg); family {
	case "ES":
		curves := map[crypto.Hash]elliptic.Curve{crypto.SHA256: elliptic.P256(), crypto.SHA384: elliptic.P384(), crypto.SHA512: elliptic.P521()}
		return ecdsa.GenerateKey(curves[hash], rand.Reader)
	case "Ed":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "RS", "PS":
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, errAlgorithm
}

// algorithmFor is what a key is used with when nobody says.
func algorithmFor(key crypto.PublicKey) string {
	switch pub := key.(type) {
	case *ecdsa.PublicKey:
		return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[pub.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return "RS256"
}

// A jwk is a key as JSON (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).
// Maps marshal in lexical order without white space, just as RFC 7638 hashes.
type jwk map[string]string

// JWK is a public key as a JSON Web Key for signatures, with an id and an alg.
func JWK(key crypto.PublicKey, id, alg string) (json.RawMessage, error) {
	j, err := publicJWK(key)
	if err != nil {
		return nil, err
	}
	j["use"], j["kid"], j["alg"] = "sig", id, alg
	return json.Marshal(j)
}

// publicJWK has the required members and no other.
func publicJWK(key crypto.PublicKey) (jwk, error) {
	switch pub := key.(type) {
	case *rsa.PublicKey:
		return jwk{"kty": "RSA", "n": encode(pub.N.Bytes()), "e": encode(big.NewInt(int64(pub.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return nil, err
		}
		half := len(point)/2 + 1
		return jwk{"kty": "EC", "crv": pub.Curve.Params().Name, "x": encode(point[1:half]), "y": encode(point[half:])}, nil
	case ed25519.PublicKey:
		return jwk{"kty": "OKP", "crv": "Ed25519", "x": encode(pub)}, nil
	}
	return nil, errJWK
}

func privateJWK(key crypto.Signer, alg string) (json.RawMessage, error) {
	j, err := publicJWK(key.Public())
	if err != nil {
		return nil, err
	}
	j["alg"] = alg
	switch k := key.(type) {
	case *rsa.PrivateKey:
		for name, n := range map[string]*big.Int{"d": k.D, "p": k.Primes[0], "q": k.Primes[1], "dp": k.Precomputed.Dp, "dq": k.Precomputed.Dq, "qi": k.Precomputed.Qinv} {
			j[name] = encode(n.Bytes())
		}
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			return nil, err
		}
		j["d"] = encode(d)
	case ed25519.PrivateKey:
		j["d"] = encode(k.Seed())
	}
	return json.Marshal(j)
}

// signer is the private key of a JWK. Its errors are silent about the cause,
// whose words could hold a piece of the key.
func (j jwk) signer() (key crypto.Signer, err error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	number := func(name string) *big.Int {
		b, bad := decode(j[name])
		err = cmp.Or(err, bad)
		return new(big.Int).SetBytes(b)
	}
	d, bad := decode(j["d"])
	switch {
	case bad != nil:
	case curves[j["crv"]] != nil:
		key, err = ecdsa.ParseRawPrivateKey(curves[j["crv"]], d)
	case j["crv"] == "Ed25519" && len(d) == ed25519.SeedSize:
		key = ed25519.NewKeyFromSeed(d)
	case j["kty"] == "RSA":
		k := &rsa.PrivateKey{D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
		k.N, k.E = number("n"), int(number("e").Int64())
		k.Precompute()
		key, err = k, cmp.Or(err, k.Validate())
	}
	if key == nil || err != nil {
		return nil, errJWK
	}
	return key, nil
}

// thumbprint hashes the required members only (RFC 7638 section 3).
func (j jwk) thumbprint() (string, error) {
	required := jwk{}
	for _, name := range map[string][]string{"RSA": {"e", "kty", "n"}, "EC": {"crv", "kty", "x", "y"}, "OKP": {"crv", "kty", "x"}}[j["kty"]] {
		if required[name] = j[name]; j[name] == "" {
			return "", errJWK
		}
	}
	text, err := json.Marshal(required)
	if err != nil || len(required) == 0 {
		return "", errJWK
	}
	sum := sha256.Sum256(text)
	return encode(sum[:]), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }
