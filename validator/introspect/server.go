package introspect

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// Method says how we authenticate to the server.
type Method uint8

// The methods.
const (
	Basic         Method = iota // client_secret_basic, RFC 6749 section 2.3.1
	Post                        // client_secret_post, RFC 6749 section 2.3.1
	PrivateKeyJWT               // RFC 7523 section 2.2
	MutualTLS                   // RFC 8705 section 2
	TokenReview                 // no RFC 7662: the TokenReview of a Kubernetes API server at Endpoint, by Bearer
)

// Server is one issuer's introspection endpoint and who we are to it.
type Server struct {
	Name, Issuer string // as in jwks.Source
	Label        string // what metrics call it; default Name
	Endpoint     string // empty: that of the issuer's metadata
	DiscoveryURL string // where the metadata is, if not at a well-known place

	Signed     bool     // answers are signed (RFC 9701), and no other counts
	Algorithms []string // with Signed: those it may sign with; nil: all that jwks knows

	Method      Method
	ClientID    string
	Secret      string                 // with Basic and Post
	Key         *signer.Key            // with PrivateKeyJWT
	Certificate *tls.Certificate       // with MutualTLS
	Bearer      func() (string, error) // with TokenReview, asked for our own token each time
	BearerName  string                 // tells two of them apart
	Audiences   []string               // with TokenReview: of which a token must be for one

	Cache   time.Duration // how long an active answer is remembered; 0 for not at all
	Grace   time.Duration // how much longer one stands in while the server cannot be asked; 0 for not at all
	Timeout time.Duration // of a question; 0 for 2 s

	Shared *Shared // with other gates; nil for not

	Hosts        []string // as in jwks.Source
	RootCAs      *x509.CertPool
	InsecureHTTP bool
	CipherSuites []uint16
}

func (s *Server) label() string { return cmp.Or(s.Label, s.Name) }

func (s *Server) equal(o *Server) bool {
	plain := s.Name == o.Name && s.Issuer == o.Issuer && s.Endpoint == o.Endpoint && s.DiscoveryURL == o.DiscoveryURL &&
		s.Method == o.Method && s.ClientID == o.ClientID && s.Secret == o.Secret && s.Cache == o.Cache && s.Grace == o.Grace &&
		s.Timeout == o.Timeout && s.InsecureHTTP == o.InsecureHTTP && s.Signed == o.Signed && slices.Equal(s.Algorithms, o.Algorithms)
	plain = plain && s.BearerName == o.BearerName && slices.Equal(s.Audiences, o.Audiences)
	return plain && s.Shared.equal(o.Shared) && slices.Equal(s.Hosts, o.Hosts) && slices.Equal(s.CipherSuites, o.CipherSuites) && s.RootCAs.Equal(o.RootCAs) && s.Key.Equal(o.Key) && sameCertificate(s.Certificate, o.Certificate)
}

func sameCertificate(a, b *tls.Certificate) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}

// server is a Server with what it needs to be asked.
type server struct {
	Server
	client  *fetch.Client
	post    func(ctx context.Context, address string, form url.Values, header http.Header) (*fetch.Body, error)
	found   *fetch.Resource[string] // the endpoint the metadata names
	turns   chan struct{}           // one for each open question
	breaker *breaker
	prefix  []byte
	keys    *jwks.Cache
}

func newServer(o Server, onPause func(issuer string)) *server {
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	s := &server{Server: o, turns: make(chan struct{}, inFlight), breaker: &breaker{}, prefix: prefix(append([]string{o.Issuer, o.Endpoint, o.ClientID, strconv.FormatBool(o.Signed)}, o.Audiences...)...)}
	if onPause != nil {
		s.breaker.onChange = func(bool) { onPause(o.label()) }
	}
	s.client = fetch.NewClient(fetch.ClientOptions{
		Timeout: o.Timeout, MaxBody: maxBody, RootCAs: o.RootCAs, AllowHTTP: o.InsecureHTTP, CipherSuites: o.CipherSuites,
		Certificate: o.Certificate, KeepAlive: true, Bearer: o.Bearer, BearerHome: o.Endpoint,
	})
	s.post = s.client.Post
	s.found = fetch.New(s.discover, fetch.Limits{Name: "metadata", Timeout: o.Timeout, DefaultFresh: time.Hour, MaxStale: 24 * time.Hour})
	return s
}

func (s *server) key(digest [32]byte) [32]byte {
	return sha256.Sum256(append(s.prefix[:len(s.prefix):len(s.prefix)], digest[:]...))
}

var (
	errNoEndpoint = errors.New("issuer metadata has no introspection_endpoint")
	errPlain      = errors.New("issuer metadata has an introspection_endpoint that is not https")
)

// discover finds the endpoint in the issuer's metadata (RFC 8414 section 2,
// RFC 8705 section 5).
func (s *server) discover(ctx context.Context) (string, time.Duration, error) {
	m, err := jwks.Discover(ctx, s.client, s.Issuer, s.DiscoveryURL)
	if err != nil {
		return "", 0, err
	}
	endpoint := m.IntrospectionEndpoint
	if s.Method == MutualTLS && m.MutualTLSIntrospection != "" {
		endpoint = m.MutualTLSIntrospection
	}
	switch {
	case endpoint == "":
		return "", 0, errNoEndpoint
	case strings.HasPrefix(m.URL, "https:") && !strings.HasPrefix(endpoint, "https:"):
		return "", 0, errPlain
	}
	return endpoint, 0, jwks.CheckHost("introspection_endpoint", endpoint, []string{s.Issuer, s.DiscoveryURL}, s.Hosts)
}

// ask is one question, if it may be asked now.
func (s *server) ask(ctx context.Context, raw string) (a *answer, result string, err error) {
	ok, wait := s.breaker.admit(time.Now())
	if !ok {
		return nil, Paused, fault(wait, errPaused)
	}
	verdict, hold := unasked, time.Duration(0)
	defer func() { s.breaker.settle(time.Now(), verdict, hold) }()
	if !s.turn(ctx) {
		return nil, Busy, fault(0, errBusy)
	}
	defer func() { <-s.turns }()
	// From here on the time runs, that of finding the endpoint included.
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	body, err := s.exchange(ctx, raw)
	if errors.Is(err, fetch.ErrUnanswered) && s.breaker.retry() {
		s.client.CloseIdle() // the next connection is a new one
		body, err = s.exchange(ctx, raw)
	}
	if err != nil {
		verdict, result, hold = judgeFailure(err)
		return nil, result, fault(hold, fmt.Errorf("introspection: %w", err))
	}
	// What the server says of one token is no sign that it fails: who holds an odd
	// token could keep all others from being asked about.
	verdict = answered
	if a, err = s.read(ctx, body); err == nil {
		return a, Active, nil
	}
	if _, refused := errors.AsType[*token.Error](err); refused {
		return a, Inactive, err
	}
	return nil, Unavailable, fault(0, fmt.Errorf("introspection: %w", err))
}

var (
	errPaused = errors.New("the introspection endpoint failed too often, or wants to be left alone")
	errBusy   = errors.New("too many questions are open at the introspection endpoint")
)

// turn waits for a turn; a question that got none is not asked.
func (s *server) turn(ctx context.Context) bool {
	select {
	case s.turns <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case s.turns <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func judgeFailure(err error) (verdict, string, time.Duration) {
	status, found := errors.AsType[*fetch.StatusError](err)
	switch {
	case errors.Is(err, fetch.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return failed, TimedOut, 0
	case !found:
		return failed, Unavailable, 0
	case status.Code == http.StatusUnauthorized:
		return refusedUs, Denied, 0
	case status.Code == http.StatusForbidden:
		return forbidden, Denied, 0
	case status.Code == http.StatusTooManyRequests || status.Code == http.StatusServiceUnavailable:
		return failed, Unavailable, min(status.RetryAfter, longestWait)
	}
	return failed, Unavailable, 0
}

// exchange sends the form of RFC 7662 section 2.1 and nothing of the request
// but the token.
func (s *server) exchange(ctx context.Context, raw string) (*fetch.Body, error) {
	if s.Method == TokenReview {
		return s.review(ctx, raw)
	}
	endpoint := s.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = s.found.Get(ctx); err != nil {
			return nil, err
		}
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	header := http.Header{"Accept": {s.accept()}}
	if err := s.authenticate(form, header); err != nil {
		return nil, err
	}
	return s.post(ctx, endpoint, form, header)
}

// trim takes off the white space of JSON around text (RFC 8259 section 2).
func trim(text string) string { return strings.Trim(text, " \t\r\n") }
