package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

func newIntrospection(metrics *telemetry.Telemetry, keys *jwks.Cache) *introspect.Client {
	o := introspect.Options{Keys: keys}
	if metrics != nil {
		o.OnAsked, o.OnLookup, o.OnPause = metrics.Introspected, metrics.AnswerLookup, metrics.IntrospectionPaused
		o.OnShared = metrics.AnswerShared
	}
	return introspect.New(o)
}

var authMethods = map[string]introspect.Method{
	"basic": introspect.Basic, "post": introspect.Post, "private_key_jwt": introspect.PrivateKeyJWT, "mtls": introspect.MutualTLS,
}

// introspectionOf compiles how the issuer at index is asked about tokens. What
// concerns its connections is that of its keys.
func introspectionOf(c *config.File, index int, keys jwks.Source) (introspect.Server, error) {
	o := c.Issuers[index].Introspection
	s := introspect.Server{
		Name: keys.Name, Issuer: keys.Issuer, DiscoveryURL: keys.DiscoveryURL, Endpoint: o.Endpoint,
		Signed: o.Signed == "required", Algorithms: keys.Algorithms,
		Method: authMethods[o.Auth], ClientID: o.ClientID, Cache: o.Cache, Grace: o.Grace, Timeout: o.Timeout,
		Hosts: keys.Hosts, RootCAs: keys.RootCAs, InsecureHTTP: keys.InsecureHTTP, CipherSuites: keys.CipherSuites,
	}
	at := fmt.Sprintf("issuers[%d].introspection.", index)
	var err error
	key := "client_secret_file"
	switch s.Method {
	case introspect.Basic, introspect.Post:
		s.Secret, err = readSecret(o.ClientSecretFile)
	case introspect.PrivateKeyJWT:
		key = "key_file"
		var text string
		if text, err = readSecret(o.KeyFile); err == nil {
			s.Key, err = signer.Parse([]byte(text))
		}
	case introspect.MutualTLS:
		key = "cert_file"
		var pair tls.Certificate
		pair, err = tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		s.Certificate = &pair
	case introspect.TokenReview: // no way to authenticate here; see reviewOf
	}
	if err != nil {
		return s, c.ErrorAt(at+key, err.Error())
	}
	return s, nil
}

// maxSecret bounds a file that somebody may have named by mistake.
const maxSecret = 64 << 10

var errNoSecret = errors.New("is empty or longer than 64 KiB")

// readSecret reads a file without the line end that an editor leaves.
func readSecret(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" || len(text) > maxSecret {
		return "", errNoSecret
	}
	return secret, nil
}

func introspectionRules(o config.Introspection) validator.Introspection {
	return validator.Introspection{Opaque: o.Opaque(), Prefix: o.Prefix, JWT: o.JWT(), TrustAudience: o.Audience == "trust_introspection"}
}
