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
	Kid, Kty, Alg string
	N, E, X, Y    string
}

// A keyFile is a key for those that cannot read key sets.
type keyFile struct{ KeyID, Algorithm, Path string }

// publicKeys are the ES256 and RS256 keys of a key set as PEM, each with its
// file's name still without a folder.
func publicKeys(set []byte) (map[keyFile][]byte, error) {
	var keys struct{ Keys []jwk }
	if err := json.Unmarshal(set, &keys); err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	texts := map[keyFile][]byte{}
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
		texts[keyFile{k.Kid, k.Alg, k.Kid + ".pem"}] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return texts, nil
}

// writeKeys writes them into a folder.
func writeKeys(dir string, set []byte) (files []keyFile, err error) {
	texts, err := publicKeys(set)
	if err != nil {
		return nil, err
	}
	for file, text := range texts {
		file.Path = filepath.Join(dir, file.Path)
		files = append(files, file)
		err = errors.Join(err, os.WriteFile(file.Path, text, 0o644))
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
