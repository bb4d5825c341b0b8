package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/validator/dpop"
)

// maxNonceSecret bounds a file that somebody may have named by mistake.
const maxNonceSecret = 64 << 10

// nonceSecret reads the secret that replicas share; nil when they share none.
func nonceSecret(c *config.File) ([]byte, error) {
	const at = "dpop.nonce_secret_file"
	if c.DPoP.NonceSecretFile == "" {
		return nil, nil
	}
	file, err := os.Open(c.DPoP.NonceSecretFile)
	if err != nil {
		return nil, c.ErrorAt(at, "cannot be read: "+err.Error())
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxNonceSecret+1))
	if err != nil {
		return nil, c.ErrorAt(at, "cannot be read: "+err.Error())
	}
	if len(text) > maxNonceSecret {
		return nil, c.ErrorAt(at, fmt.Sprintf("holds more than %d octets", maxNonceSecret))
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if len(secret) < dpop.MinNonceSecret {
		return nil, c.ErrorAt(at, fmt.Sprintf("holds %d octets, and a secret has %d or more; make one with: openssl rand -base64 32", len(secret), dpop.MinNonceSecret))
	}
	return []byte(secret), nil
}

// wholeResource is the one route of a resource that lists none.
func wholeResource(c *config.File) []policy.Options {
	return []policy.Options{{Name: "default", Path: "/**", Nonce: c.DPoP.Nonce == "required"}}
}
