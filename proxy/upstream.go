package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/proxy/onward"
	"github.com/wicketgate/wicketgate/proxy/places"
	"github.com/wicketgate/wicketgate/proxy/quiet"
)

// Timeouts bounds what is waited for from an upstream. Bodies and streams are
// not cut by it.
type Timeouts struct {
	Connect time.Duration
	Header  time.Duration // from the request sent to the response header

	// Longest is how long some request may wait for that in place of Header, see
	// Gate.HeaderTimeouts; 0 for none longer.
	Longest time.Duration
}

// DefaultTimeouts are the timeouts of the manual.
var DefaultTimeouts = Timeouts{Connect: 3 * time.Second, Header: 60 * time.Second}

// idlePerUpstream is how many idle connections are kept to one upstream.
// net/http keeps two, and under load opens and closes the rest all the time.
const idlePerUpstream = 512

// idleFor is how long they are kept, and maxAnswerHeader how many octets the
// header of an answer may have.
const (
	idleFor         = 75 * time.Second
	maxAnswerHeader = 256 << 10
)

// An Upstream is where allowed requests go.
type Upstream struct {
	Name string // scheme and address, for metrics

	scheme, host, base string
	header             time.Duration // Timeouts.Header
	connections        *connections
	plain              bool // HTTP/1.1 without TLS: see send
}

// Upstreams keeps the connections to upstreams over reloads.
type Upstreams struct {
	mu     sync.Mutex // guards all below
	open   map[upstreamKey]*connections
	places map[string]*places.Places // by name of the upstream
	bounds places.Bounds

	unasked func()     // see OnUnasked
	hooks   PlaceHooks // see OnPlaces
	lookup  func(ctx context.Context, host string) ([]string, error)
}

type upstreamKey struct {
	scheme, address string
	connect         time.Duration
	longest         time.Duration // that net/http waits for a header, 0 with own: requests to one upstream differ in that
	own             bool          // a transport of ours: see OpenStd
}

// A transport keeps connections to one upstream.
type transport interface {
	// RoundTripWithin is http.RoundTripper's, but that the header of the answer has
	// to come within a time of the request's own.
	RoundTripWithin(r *http.Request, header time.Duration) (*http.Response, error)
	CloseIdleConnections()
}

// NewUpstreams makes an empty set of connections.
func NewUpstreams() *Upstreams {
	return &Upstreams{open: make(map[upstreamKey]*connections), places: make(map[string]*places.Places), lookup: net.DefaultResolver.LookupHost}
}

// OnUnasked sets what is called when an upstream sends octets that answer no
// request. It is to be set before Open.
func (u *Upstreams) OnUnasked(call func()) { u.unasked = call }

// Open returns the upstream that location names: http, https or h2c with a
// host and an optional base path, or unix with the socket's path and the base
// path as fragment (unix:///run/app.sock#/base). It dials nobody. For http and
// unix it is asked by package onward, for the rest by net/http.
func (u *Upstreams) Open(location string, t Timeouts) (*Upstream, error) {
	return u.at(location, t, true)
}

// OpenStd is Open with net/http for every upstream.
func (u *Upstreams) OpenStd(location string, t Timeouts) (*Upstream, error) {
	return u.at(location, t, false)
}

func (u *Upstreams) at(location string, t Timeouts, own bool) (*Upstream, error) {
	at, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	at.Host = oneSpelling(at.Scheme, at.Host)
	up := &Upstream{header: t.Header, plain: at.Scheme == "http" || at.Scheme == "unix", scheme: at.Scheme, host: at.Host, base: strings.TrimSuffix(at.EscapedPath(), "/"), Name: at.Scheme + "://" + at.Host}
	key := upstreamKey{scheme: at.Scheme, address: at.Host, connect: t.Connect}
	if key.own = own && up.plain && onward.Available && isASCII([]byte(at.Host)); !key.own { // net/http knows the other name of a host
		key.longest = max(t.Header, t.Longest)
	}
	switch at.Scheme {
	case "http", "https", "h2c":
		if at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
			return nil, fmt.Errorf("upstream %q: want scheme://host[:port][/base]", location)
		}
	case "unix":
		if at.Host != "" || at.Path == "" {
			return nil, fmt.Errorf("upstream %q: want unix:///path/of.sock[#/base]", location)
		}
		up.host, up.base, up.Name = "unix", strings.TrimSuffix(at.EscapedFragment(), "/"), "unix://"+at.Path
		key.address = at.Path
	default:
		return nil, fmt.Errorf("upstream %q: scheme must be http, https, h2c or unix", location)
	}
	if up.scheme != "https" {
		up.scheme = "http"
	}
	up.connections = u.connections(key, up.Name)
	return up, nil
}

// oneSpelling brings the host of an upstream into one form, less the port that its
// scheme has anyway: what is spelt in two ways is one upstream, with one bound.
func oneSpelling(scheme, host string) string {
	u := url.URL{Host: host}
	name, port := u.Hostname(), u.Port()
	if name == "" {
		return host
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.String()
	} else if isASCII([]byte(name)) {
		name = strings.ToLower(name)
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if port == "" || port == "443" && scheme == "https" || port == "80" && scheme != "https" {
		return name
	}
	return name + ":" + port
}

func (u *Upstreams) connections(key upstreamKey, name string) *connections {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.open[key]
	if c == nil {
		c = newConnections(key, u.placesAt(name), u.unasked)
		u.open[key] = c
	}
	return c
}

// Close closes idle connections; those in use close when they are done.
func (u *Upstreams) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.open {
		(*c.current.Load()).CloseIdleConnections()
	}
}

func newTransport(key upstreamKey, p *places.Places, unasked func()) *transport {
	of := newStd
	if key.own {
		of = newOwn
	}
	t := of(key, p, unasked)
	return &t
}

func newOwn(key upstreamKey, p *places.Places, unasked func()) transport {
	dialer := &net.Dialer{Timeout: key.connect, KeepAlive: 30 * time.Second}
	network, address := "unix", key.address
	if key.scheme == "http" {
		network, address = "tcp", withPort(address)
	}
	return onward.New(onward.Options{
		Dial:      func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, address) },
		Idle:      idleFor,
		MaxIdle:   idlePerUpstream,
		MaxHeader: maxAnswerHeader,
		Unasked:   unasked,
		Done:      p.Leave,
	})
}

// withPort is the host of a URL with the port that http has where there is none.
func withPort(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return net.JoinHostPort(name, cmp.Or(port, "80"))
}

func newStd(key upstreamKey, p *places.Places, unasked func()) transport {
	dialer := &net.Dialer{Timeout: key.connect, KeepAlive: 30 * time.Second}
	network, address := "tcp", ""
	dial := func(ctx context.Context, _, asked string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, cmp.Or(address, asked))
		if err != nil || key.scheme == "h2c" {
			return conn, err
		}
		return quiet.New(conn, key.scheme == "https", unasked), nil
	}
	t := &stdTransport{Transport: http.Transport{
		DialContext:           dial,
		TLSHandshakeTimeout:   key.connect,
		ResponseHeaderTimeout: key.longest,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       idleFor,
		MaxIdleConnsPerHost:   idlePerUpstream,
		// The client and the upstream agree about encodings between them.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHeader,
		Protocols:              new(http.Protocols),
	}}
	switch key.scheme {
	case "h2c":
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	case "https":
		t.Protocols.SetHTTP1(true)
		t.Protocols.SetHTTP2(true)
		return t
	case "unix":
		network, address = "unix", key.address
	}
	t.Protocols.SetHTTP1(true)
	// A connection comes back a little after its answer has ended. Over HTTP/2 one
	// carries many requests, so these are what is counted.
	t.MaxConnsPerHost = p.Bounds().Most
	return t
}
