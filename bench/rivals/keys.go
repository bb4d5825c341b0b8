package rivals

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
)

// jwk is a public key as it is published (RFC 7517).
type jwk struct {
	Kty, Alg   string
	N, E, X, Y string
}

// publicKeys are the ES256 and RS256 keys of a key set as PEM, by algorithm: for
// those that cannot read key sets.
func publicKeys(set []byte) (map[string][]byte, error) {
	var keys struct{ Keys []jwk }
	if err := json.Unmarshal(set, &keys); err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	texts := map[string][]byte{}
	for _, k := range keys.Keys {
		if !slices.Contains([]string{"ES256", "RS256"}, k.Alg) {
			continue
		}
		key, err := k.public()
		if err != nil {
			return nil, fmt.Errorf("reading the %s key: %w", k.Alg, err)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		texts[k.Alg] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return texts, nil
}

// writeKeys writes them into a folder and returns their paths by algorithm.
func writeKeys(dir string, set []byte) (map[string]string, error) {
	texts, err := publicKeys(set)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for alg, text := range texts {
		files[alg] = filepath.Join(dir, alg+".pem")
		err = errors.Join(err, os.WriteFile(files[alg], text, 0o644))
	}
	return files, err
}

func (k jwk) public() (crypto.PublicKey, error) {
	var errs []error
	octets := func(text string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		errs = append(errs, err)
		return raw
	}
	if k.Kty == "RSA" {
		n, e := new(big.Int).SetBytes(octets(k.N)), new(big.Int).SetBytes(octets(k.E))
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, errors.Join(errs...)
	}
	point := slices.Concat([]byte{4}, octets(k.X), octets(k.Y))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}
