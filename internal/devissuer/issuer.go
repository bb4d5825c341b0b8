// Package devissuer is a small authorization server for the demo and the
// tests: the one honest fake. It publishes metadata and keys, mints whatever
// token it is asked for, and misbehaves when it is told to.
//
// It authenticates nobody and keeps its keys in memory, so it is no
// authorization server for real use. It shares no code with the validator: a
// mistake made on one side is seen from the other.
package devissuer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Metadata says at which well-known places metadata is published.
type Metadata uint8

// The places of RFC 8414 sections 3.1 and 5; without a path in the
// identifier, OIDC and OIDCInserted are the same.
const (
	OAuth        Metadata = 1 << iota // oauth-authorization-server, before the issuer's path
	OIDCInserted                      // openid-configuration, before the issuer's path
	OIDC                              // openid-configuration, after the issuer's path
)

const maxLog = 10000 // requests remembered and paths counted, so that a long demo stays small

var errIdentifier = errors.New("issuer identifier: want an http or https URL without query and fragment, or a path")

// Options of an Issuer; all may be left at zero.
type Options struct {
	// Identifier is the issuer's URL. If it is empty or only a path ("/t1"),
	// Listen puts the address before it.
	Identifier string
	// Algorithms to make a key each for; the first is Mint's default. Default:
	// those of Keys, else ES256, RS256, PS256, EdDSA. A key is made when it is
	// first needed. Making RSA is slow, so all issuers of a process begin with
	// the same one: where they must differ, pass Keys or Rotate.
	Algorithms []string
	Keys       []Key
	Audience   string                     // default https://rs.example.com
	Lifetime   time.Duration              // of a token; default 10 minutes
	MaxAge     time.Duration              // in the JWKS's Cache-Control, whole seconds; 0: no such field
	Metadata   Metadata                   // default: everywhere
	Members    map[string]json.RawMessage // laid over the metadata; nil removes a member
	TLS        bool                       // Listen speaks HTTPS, with a throwaway certificate
	Clients    []Client                   // who may ask about tokens; default nobody
	Origins    []string                   // of pages whose scripts may ask for tokens; with any, all must ask by a name of loopback. Default none
	Now        func() time.Time           // default time.Now
}

// An Issuer is an http.Handler and safe for concurrent use.
type Issuer struct {
	mu       sync.Mutex // guards everything below
	options  Options
	keys     []*signingKey
	extra    [][]byte
	jwks     []byte
	faults   []*Fault
	hits     map[string]int
	requests []string
	told     map[string]map[string]any // what is said of opaque tokens
	said     map[string][]byte         // what is said of a token instead of the truth
	revoked  map[string]bool
	asked    []Question
	lists    map[string]StatusList // by path
}

// New makes an issuer, or says which identifier, algorithm or key is no good.
func New(o Options) (*Issuer, error) {
	o.Audience = cmp.Or(o.Audience, "https://rs.example.com")
	o.Lifetime = cmp.Or(o.Lifetime, 10*time.Minute)
	o.Metadata = cmp.Or(o.Metadata, OAuth|OIDCInserted|OIDC)
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Keys)+len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}
	}
	is := &Issuer{
		options: o, hits: map[string]int{}, told: map[string]map[string]any{}, said: map[string][]byte{}, revoked: map[string]bool{},
		lists: map[string]StatusList{},
	}
	for _, k := range o.Keys {
		if _, err := is.add(k); err != nil {
			return nil, fmt.Errorf("key %q: %w", k.ID, err)
		}
	}
	for _, alg := range o.Algorithms {
		if is.newest(alg) != nil {
			continue
		}
		if _, err := is.add(Key{Algorithm: alg}); err != nil {
			return nil, fmt.Errorf("algorithm %q: %w", alg, err)
		}
	}
	if len(o.Algorithms) == 0 {
		is.options.Algorithms = []string{is.keys[0].Algorithm}
	}
	return is, is.SetIdentifier(o.Identifier)
}

// Identifier is the issuer's URL, the iss claim of its tokens.
func (is *Issuer) Identifier() string { return is.current().Identifier }

// SetIdentifier changes the issuer's URL, and with it the paths served.
func (is *Issuer) SetIdentifier(identifier string) error {
	u, err := url.Parse(identifier)
	whole := err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
	if strings.ContainsAny(identifier, "?#") || !whole && identifier != "" && !strings.HasPrefix(identifier, "/") {
		return errIdentifier
	}
	is.Change(func(o *Options) { o.Identifier = identifier })
	return nil
}

// Change alters the options of the running issuer in one step. Algorithms and
// Keys have no effect any more; Members is to be replaced, not written to.
func (is *Issuer) Change(alter func(*Options)) {
	is.mu.Lock()
	defer is.mu.Unlock()
	alter(&is.options)
}

func (is *Issuer) current() Options {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.options
}

// Hits counts the requests for a path, those that met a fault included.
func (is *Issuer) Hits(path string) int {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.hits[path]
}

// Requests lists what was asked for, as "GET /jwks", in order of arrival: the
// last 10,000 of it.
func (is *Issuer) Requests() []string {
	is.mu.Lock()
	defer is.mu.Unlock()
	return slices.Clone(is.requests)
}

// ServeHTTP answers honestly unless a fault is due.
func (is *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if is.current().pages(w, r) {
		return
	}
	// The body is read first: until then the server does not notice a client
	// that leaves, as a fault that holds the answer must.
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.ParseForm() != nil {
		r.PostForm = nil
	}
	if fault := is.arrive(r.Method, r.URL.Path); fault != nil {
		fault.play(w, r, is.answer)
		return
	}
	is.answer(r).write(w)
}

// arrive notes a request and finds the fault it meets, newest first.
func (is *Issuer) arrive(method, path string) *Fault {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.hits[path] > 0 || len(is.hits) < maxLog {
		is.hits[path]++
	}
	is.requests = append(is.requests, method+" "+path)
	is.requests = is.requests[max(0, len(is.requests)-maxLog):]
	for i, f := range slices.Backward(is.faults) {
		if f.Path == "" || f.Path == path {
			if f.Times--; f.Times == 0 {
				is.faults = slices.Delete(is.faults, i, i+1)
			}
			return f
		}
	}
	return nil
}

// An answer is a whole response, for a fault to alter before it goes out.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func reply(status int, contentType string, body []byte) answer {
	return answer{status, http.Header{"Content-Type": {contentType}}, body}
}

func plain(status int, text string) answer {
	return reply(status, "text/plain; charset=utf-8", []byte(text+"\n"))
}

func object(status int, members map[string]any) answer {
	body, err := json.Marshal(members)
	if err != nil {
		return plain(http.StatusInternalServerError, "this cannot be said in JSON")
	}
	return reply(status, "application/json", body)
}

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	w.Write(a.body) //nolint:errcheck // who left needs no answer
}

func (is *Issuer) answer(r *http.Request) answer {
	const oauth, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	o, asked, path := is.current(), r.URL.Path, ""
	if u, err := url.Parse(o.Identifier); err == nil {
		path = strings.TrimSuffix(u.Path, "/")
	}
	switch post, get := r.Method == http.MethodPost, r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case post && asked == path+"/token":
		return is.token(r, o)
	case post && asked == path+"/introspect":
		return is.signed(r, o, is.introspect(r, o))
	case !get || asked == path+"/token" || asked == path+"/introspect":
		return plain(http.StatusMethodNotAllowed, "POST is for the token and introspection endpoints, GET for all else")
	case asked == path+"/jwks":
		a := reply(http.StatusOK, "application/jwk-set+json", is.JWKS())
		if o.MaxAge != 0 {
			a.header.Set("Cache-Control", fmt.Sprintf("max-age=%d", o.MaxAge/time.Second))
		}
		return a
	case o.Metadata&OAuth != 0 && asked == oauth+path, o.Metadata&OIDCInserted != 0 && asked == oidc+path, o.Metadata&OIDC != 0 && asked == path+oidc:
		return object(http.StatusOK, is.metadata(o))
	case asked == "/" || asked == path || asked == path+"/":
		return plain(http.StatusOK, "A throwaway OAuth 2.0 authorization server for demos and tests.\n"+
			"It gives a token to anybody who asks: let nothing of value trust it.")
	}
	if l, found := is.statusList(strings.TrimPrefix(asked, path)); found {
		return is.listAnswer(r, strings.TrimPrefix(asked, path), l, o)
	}
	return plain(http.StatusNotFound, "nothing here")
}

// metadata has the members of RFC 8414 section 2 and those that OpenID Connect
// Discovery section 3 adds: all places carry the same document.
func (is *Issuer) metadata(o Options) map[string]any {
	base := strings.TrimSuffix(o.Identifier, "/")
	members := map[string]any{
		"issuer":                                o.Identifier,
		"jwks_uri":                              base + "/jwks",
		"token_endpoint":                        base + "/token",
		"introspection_endpoint":                base + "/introspect",
		"grant_types_supported":                 []string{"client_credentials", DemoGrant},
		"response_types_supported":              []string{"none"}, // required even without an authorization endpoint
		"token_endpoint_auth_methods_supported": []string{"none", "client_secret_basic"},
		"dpop_signing_alg_values_supported":     []string{"ES256", "EdDSA", "Ed25519", "RS256", "PS256"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": o.Algorithms,
	}
	for name, value := range o.Members {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return members
}
