package jwks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/token"
)

// Metadata is what an authorization server says about itself (RFC 8414 section
// 2), as far as keys and introspection are concerned.
type Metadata struct {
	Issuer  string // equal to the issuer asked for
	JWKSURI string // empty where there is an IntrospectionEndpoint instead

	// Where tokens are asked about (RFC 7662), and where by who shows a client
	// certificate (RFC 8705 section 5); empty when not told.
	IntrospectionEndpoint, MutualTLSIntrospection string

	URL  string    // where the document was found, as it may be shown
	Date time.Time // the server's clock; zero when it did not say

	Ahead time.Duration // by how much that is ahead of ours, give or take a second
}

// Discover finds the metadata of issuer: at override when that is not empty,
// else at the three well-known places in the order of RFC 8414 sections 3.1 and
// 5: the RFC's own and OpenID Connect's, inserted between host and path, then
// OpenID Connect's appended. The first answer with status 200 and a JSON type
// counts; it must name issuer itself, code point for code point.
func Discover(ctx context.Context, c *fetch.Client, issuer, override string) (*Metadata, error) {
	places := []string{override}
	if override == "" {
		var err error
		if places, err = wellKnown(issuer); err != nil {
			return nil, err
		}
	}
	var last error
	for _, place := range places {
		body, err := getJSON(ctx, c, place, "application/json")
		if err == nil {
			return readMetadata(body, issuer, fetch.Shown(place))
		}
		last = err
		status, _ := errors.AsType[*fetch.StatusError](err)
		if status == nil && !errors.Is(err, errContentType) {
			break // nobody answered: the other places are on the same host
		}
	}
	return nil, fmt.Errorf("issuer metadata: %w", last)
}

func wellKnown(issuer string) ([]string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("issuer is not a URL without query and fragment")
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{origin + "/.well-known/oauth-authorization-server" + path}
	if path != "" {
		places = append(places, origin+"/.well-known/openid-configuration"+path)
	}
	return append(places, origin+path+"/.well-known/openid-configuration"), nil
}

func readMetadata(body *fetch.Body, issuer, place string) (*Metadata, error) {
	document, err := token.ParseObject(string(bytes.TrimSpace(body.Bytes)))
	if err != nil {
		return nil, fmt.Errorf("issuer metadata at %s: %w", place, err)
	}
	m := &Metadata{URL: place, Date: body.Date, Ahead: body.Ahead}
	m.Issuer, _ = text(document, "issuer")
	m.JWKSURI, _ = text(document, "jwks_uri")
	readIntrospection(document, m)
	switch {
	case m.Issuer != issuer:
		return nil, &OtherIssuerError{place, m.Issuer}
	case m.JWKSURI == "" && m.IntrospectionEndpoint == "": // who can be asked about tokens needs no keys
		return nil, fmt.Errorf("issuer metadata at %s has no jwks_uri", place)
	case m.JWKSURI != "" && strings.HasPrefix(place, "https:") && !strings.HasPrefix(m.JWKSURI, "https:"):
		// Keys that went over plain text would make the TLS before it worthless.
		return nil, fmt.Errorf("issuer metadata at %s has a jwks_uri that is not https", place)
	}
	return m, nil
}

func readIntrospection(document *token.Object, m *Metadata) {
	m.IntrospectionEndpoint, _ = text(document, "introspection_endpoint")
	aliases, _ := document.Get("mtls_endpoint_aliases")
	if o, ok := aliases.Object(); ok {
		m.MutualTLSIntrospection, _ = text(o, "introspection_endpoint")
	}
}

var errContentType = errors.New("content type is not JSON")

func getJSON(ctx context.Context, c *fetch.Client, address, accept string) (*fetch.Body, error) {
	body, err := c.Get(ctx, address, accept)
	if err != nil {
		return nil, err
	}
	if t := body.ContentType; t != "application/json" && !(strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")) {
		return nil, fmt.Errorf("get %s: %w", fetch.Shown(address), errContentType)
	}
	return body, nil
}
