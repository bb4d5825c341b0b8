package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// wellKnown is put between host and path of an identifier (RFC 9728 section
// 3.1).
const wellKnown = "/.well-known/oauth-protected-resource"

// metadataMethods is what the document can be asked for with.
const metadataMethods = "GET, HEAD"

// metadataAge is how long, in seconds, the document may be kept: a client that
// was just refused should not go by what was true last week.
const metadataAge = "600"

// MetadataOptions is what the routes of a resource do not say about it.
type MetadataOptions struct {
	Identifier   string   // an absolute URL without a fragment
	Name         string   // for people to read; may be empty
	Issuers      []string // the identifiers of the issuers whose tokens are accepted
	Algorithms   []string // of proofs, as in challenges
	Methods      []string // by which a bearer token may be sent: header, body, query (RFC 6750 section 2)
	Certificates bool     // client certificates can be seen, so tokens bound to them can be used
	AtRoot       bool     // serve the document of an identifier with a path at the root too
}

// Metadata is the protected resource metadata of one resource (RFC 9728),
// rendered once. Nothing of a request goes into it.
type Metadata struct {
	URL string // where it is published: resource_metadata of challenges

	paths     []string // decoded, as policy.Canonical returns them
	query     string
	reply     *Reply
	preflight *Reply
}

// document has the members of RFC 9728 section 2. Those without a value are
// left out, but for bearer_methods_supported: there, an empty array says that
// no bearer token is taken.
type document struct {
	Resource         string   `json:"resource"`
	Issuers          []string `json:"authorization_servers,omitempty"`
	Scopes           []string `json:"scopes_supported,omitempty"`
	BearerMethods    []string `json:"bearer_methods_supported"`
	Name             string   `json:"resource_name,omitempty"`
	CertificateBound bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Details          []string `json:"authorization_details_types_supported,omitempty"`
	ProofAlgorithms  []string `json:"dpop_signing_alg_values_supported,omitempty"`
	ProofRequired    bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// NewMetadata renders the metadata of a resource from what its routes enforce.
// It fails on an identifier that no well-known URL can be made of, or whose
// path the door would not let through.
func NewMetadata(o MetadataOptions, routes []*policy.Route) (*Metadata, error) {
	at, err := url.Parse(o.Identifier)
	if err != nil || at.Host == "" || at.Fragment != "" {
		return nil, errors.New("no metadata URL can be made of it: RFC 9728 section 3.1 wants a URL with a host and without a fragment")
	}
	path, ok := policy.Canonical("/" + strings.TrimPrefix(at.EscapedPath(), "/"))
	if !ok {
		return nil, errors.New("has a path that requests are refused for, so its metadata could not be asked for")
	}
	path = strings.TrimSuffix(path, "/")
	text, err := render(o, routes)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	m := &Metadata{URL: metadataURL(o.Identifier), query: at.RawQuery, paths: []string{wellKnown + path}}
	if o.AtRoot && path != "" {
		m.paths = append(m.paths, wellKnown)
	}
	m.reply = &Reply{Status: http.StatusOK, Body: text, Header: http.Header{
		"Content-Type":           {"application/json"},
		"Content-Length":         {strconv.Itoa(len(text))},
		"Cache-Control":          {"public, max-age=" + metadataAge},
		"X-Content-Type-Options": {"nosniff"},
		allowOrigin:              {"*"},
	}}
	m.preflight = &Reply{Status: http.StatusNoContent, Header: http.Header{
		allowOrigin:  {"*"},
		allowMethods: {metadataMethods},
		allowHeaders: {"*"},
		maxAge:       {metadataAge},
	}}
	return m, nil
}

// metadataURL inserts the well-known path between host and the rest. A slash
// that is all of the path goes.
func metadataURL(identifier string) string {
	scheme, rest, _ := strings.Cut(identifier, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, after := rest[:end], rest[end:]
	if after == "/" || strings.HasPrefix(after, "/?") {
		after = after[1:]
	}
	return scheme + "://" + host + wellKnown + after
}

func render(o MetadataOptions, routes []*policy.Route) ([]byte, error) {
	d := document{Resource: o.Identifier, Name: o.Name, Issuers: o.Issuers, BearerMethods: []string{}}
	var served token.Scheme
	proofsOnly := true
	for _, r := range routes {
		if r.Public {
			continue
		}
		served |= r.Schemes()
		proofsOnly = proofsOnly && r.Binding == policy.DPoPBinding
		if r.Hide { // and is to be known of by those only who have been told
			continue
		}
		d.Scopes = union(union(d.Scopes, r.All), r.Any)
		for _, detail := range r.Details {
			d.Details = union(d.Details, []string{detail.Type})
		}
	}
	d.Scopes = slices.DeleteFunc(d.Scopes, func(s string) bool { return s == "offline_access" })
	if served&token.Bearer != 0 {
		d.BearerMethods = append(d.BearerMethods, o.Methods...)
	}
	if served&token.DPoP != 0 {
		d.ProofAlgorithms = o.Algorithms
		d.ProofRequired = proofsOnly
	}
	d.CertificateBound = o.Certificates && !proofsOnly // which it is where nothing asks for a token
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	err := out.Encode(d)
	return text.Bytes(), err
}

// union appends to a what of b it does not have yet.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// asked reports whether a request is for the document.
func (m *Metadata) asked(req *Request) bool {
	path := req.Path
	if !strings.HasPrefix(path, wellKnown) || m.query != "" && m.query != req.RawQuery {
		return false
	}
	return slices.Contains(m.paths, strings.TrimSuffix(path, "/"))
}

// decide answers a request for the document. Whatever token comes with it is
// not looked at.
func (m *Metadata) decide(req *Request, d *Decision) {
	switch _, preflight := preflightOf(req); {
	case req.Method == http.MethodGet || req.Method == http.MethodHead:
		d.Verdict, d.Reply = Answered, m.reply
	case preflight: // for the fields that some clients send along
		d.Verdict, d.Reply = Answered, m.preflight
	default:
		d.Refusal = token.Refuse(token.MethodNotAllowed, token.ReasonMethod)
	}
}

// naming returns the refusal with the scopes of the route, where a resource
// that tells clients how to get a token should say for what to ask.
func (g *Gate) naming(d *Decision) *token.Error {
	e := d.Refusal
	if g.Metadata == nil || d.Route.Hide || e.Code != token.CredentialRequired && e.Code != token.InvalidToken {
		return e
	}
	named := *e
	named.Scope = d.Route.Needs()
	return &named
}
