package jwks

import (
	"cmp"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// maxOwnToken bounds the file of a token of our own, in octets.
const maxOwnToken = 64 << 10

// Client makes the client that asks for the metadata and the keys of s. It
// sends the token of BearerTokenFile to the host that the operator named and
// to no other, whatever the metadata says.
func (s Source) Client() *fetch.Client {
	o := fetch.ClientOptions{MaxBody: maxBody, RootCAs: s.RootCAs, AllowHTTP: s.InsecureHTTP, CipherSuites: s.CipherSuites}
	if s.BearerTokenFile != "" {
		o.Bearer = func() (string, error) { return readToken(s.BearerTokenFile) }
		o.BearerHome = cmp.Or(s.DiscoveryURL, s.JWKSURI, s.Issuer)
	}
	return fetch.NewClient(o)
}

// readToken reads a file that holds one token and perhaps a line end. It is
// read each time, since whoever issues such tokens replaces them.
func readToken(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOwnToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxOwnToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the file holds no token, or more than one")
	}
	return token, nil
}
