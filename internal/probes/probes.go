// Package probes relays health checks to the program beside the gate, which
// listens on loopback, where a kubelet cannot ask it.
//
// It knows what it may ask from its configuration alone: nothing of a request
// but the name of the probe says where a check goes. It does not decide who may
// ask, and keeps no answer for the next one.
package probes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bodyOctets = 1 << 10 // of an answer, relayed; a kubelet shows them where the check failed
	headOctets = 16 << 10
)

// Relay answers for the checks in force. Its zero value knows none.
type Relay struct {
	current atomic.Pointer[map[string]*check]
}

// check is one health check.
type check struct {
	client   *http.Client
	location string
	timeout  time.Duration

	mu    sync.Mutex // guards under
	under *answer    // what is being asked; nil for nothing
}

// answer is what came of asking once. All but done is set before that is closed.
type answer struct {
	done   chan struct{}
	status int // 503 where there was no answer to relay
	body   []byte
	asked  bool // body is the program's own
}

// Use puts checks in force, by name. A location is a URL with the scheme http,
// or unix with the path behind #, as the configuration has checked it; timeout
// is for one check from connecting to the last octet.
func (r *Relay) Use(locations map[string]string, timeout time.Duration) {
	checks := make(map[string]*check, len(locations))
	for name, location := range locations {
		checks[name] = newCheck(location, timeout)
	}
	r.current.Store(&checks)
}

func newCheck(location string, timeout time.Duration) *check {
	at, err := url.Parse(location)
	if err != nil { // the configuration has read it
		at = &url.URL{}
	}
	network, addresses := "tcp", listeners(at)
	if at.Scheme == "unix" {
		network, addresses = "unix", []string{at.Path}
		path, query, _ := strings.Cut(at.Fragment, "?")
		at = &url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: query}
	}
	if at.Path == "" {
		at.Path = "/"
	}
	dialer := net.Dialer{Timeout: timeout}
	transport := &http.Transport{
		// A check that finds its connection open says nothing of who accepts the next one.
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headOctets,
		DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
			for _, address := range addresses {
				if conn, err = dialer.DialContext(ctx, network, address); err == nil {
					return conn, nil
				}
			}
			return nil, err
		},
	}
	return &check{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		location: at.String(), timeout: timeout,
	}
}

// listeners lists the addresses that a URL may mean. Of localhost no resolver is
// asked.
func listeners(at *url.URL) []string {
	hosts, port := []string{at.Hostname()}, at.Port()
	if strings.EqualFold(hosts[0], "localhost") {
		hosts = []string{"127.0.0.1", "::1"}
	}
	if port == "" {
		port = "80"
	}
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(host, port)
	}
	return hosts
}

// ServeHTTP answers GET and HEAD for the check that the path value "name" names,
// with the program's status and the first KiB of its body: 404 for a name that
// is not known, 503 where the program does not answer in time, or with no HTTP.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	c := r.find(req.PathValue("name"))
	if c == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "no such probe\n") // a client that has gone needs no answer
		return
	}
	a := c.ask(agent(req.UserAgent()))
	w.WriteHeader(a.status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}

// Fails says what keeps a check from succeeding, as a kubelet would judge it;
// empty for nothing. The text is fixed but for a status.
func (r *Relay) Fails(name string) string {
	c := r.find(name)
	if c == nil {
		return "no such probe"
	}
	switch a := c.ask(ownAgent); {
	case !a.asked:
		return "no answer"
	case a.status < 200 || a.status >= 400:
		return fmt.Sprintf("status %d", a.status)
	}
	return ""
}

func (r *Relay) find(name string) *check {
	checks := r.current.Load()
	if checks == nil {
		return nil
	}
	return (*checks)[name]
}

const ownAgent = "wicketgate-probe"

// agent is what the program is told of who asks: a kubelet's own name, since
// programs keep those out of their logs, and of all others nothing.
func agent(said string) string {
	if version, is := strings.CutPrefix(said, "kube-probe/"); is && len(version) <= 16 && strings.Trim(version, "0123456789.+") == "" {
		return said
	}
	return ownAgent
}

// ask asks the program, or waits with those who asked before: however many ask
// the gate, the program has one of them to answer.
func (c *check) ask(agent string) *answer {
	c.mu.Lock()
	a, first := c.under, c.under == nil
	if first {
		a = &answer{done: make(chan struct{})}
		c.under = a
	}
	c.mu.Unlock()
	if !first {
		<-a.done
		return a
	}
	defer func() {
		c.mu.Lock()
		c.under = nil
		c.mu.Unlock()
		close(a.done)
	}()
	a.status, a.body = http.StatusServiceUnavailable, []byte("no answer\n")
	// Not the context of who asked: others wait for the answer too.
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.location, nil)
	if err != nil {
		return a
	}
	req.Header.Set("User-Agent", agent)
	resp, err := c.client.Do(req)
	if err != nil {
		return a
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return a
	}
	// The status is the answer: a body that breaks off changes nothing.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, bodyOctets))
	a.status, a.body, a.asked = resp.StatusCode, body, true
	return a
}
