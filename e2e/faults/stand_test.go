package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s"}
resources:
  - {identifier: ` + identifier + `, name: rs, behind_tls: true, upstream: "%[4]s"}
timeouts: {upstream_connect: 500ms, upstream_header: 1s}
drain: {delay: 0s, timeout: 1s}
log: {access: "off", level: debug}
%[5]s
`

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// stand is a gate in front of an upstream.
type stand struct {
	t      *testing.T
	gate   *process.Gate
	log    *process.Log
	url    string
	admin  string
	name   string // of the upstream in metrics
	token  string
	h1, h2 *http.Client
}

// newStand starts a gate. more is added to its configuration, under runs it.
func newStand(t *testing.T, upstream, more string, under ...string) *stand {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	listen, admin := process.Free(t), process.Free(t)
	s := &stand{t: t, log: &process.Log{}, url: "http://" + listen, admin: "http://" + admin, name: upstream, token: raw}
	s.gate = process.Serve(t, process.Options{
		Program: program, Dir: t.TempDir(), Admin: admin, Log: s.log, Under: under,
		Config: fmt.Sprintf(configuration, listen, admin, issuer.Identifier(), upstream, more),
	})
	s.h1 = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	streams := &http.Transport{Protocols: new(http.Protocols)}
	streams.Protocols.SetUnencryptedHTTP2(true)
	s.h2 = &http.Client{Timeout: 20 * time.Second, Transport: streams}
	t.Cleanup(s.h1.CloseIdleConnections)
	t.Cleanup(s.h2.CloseIdleConnections)
	return s
}

// answer is an answer, as far as it came.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // there was no answer, or it was cut
}

func (s *stand) send(client *http.Client, method, path, body string) answer {
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text), err}
}

// value is a sample of the gate's metrics.
func (s *stand) value(series string) float64 {
	s.t.Helper()
	resp, err := http.Get(s.admin + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), series+" "); found {
			value, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return value
		}
	}
	s.t.Fatalf("no series %s", series)
	return 0
}

func (s *stand) results(result string) float64 {
	s.t.Helper()
	return s.value(fmt.Sprintf(`wicketgate_upstream_requests_total{result=%q,upstream=%q}`, result, s.name))
}

func (s *stand) healthy() float64 {
	s.t.Helper()
	return s.value(fmt.Sprintf(`wicketgate_upstream_healthy{upstream=%q}`, s.name))
}

// spoiled is a proxy that can spoil the way to an upstream.
type spoiled struct {
	t *testing.T
	*toxiproxy.Proxy
}

func newSpoiled(t *testing.T, upstream string) *spoiled {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "upstream", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &spoiled{t, p}
}

// spoil spoils what comes back.
func (p *spoiled) spoil(kind, attributes string) {
	p.t.Helper()
	text := fmt.Sprintf(`{"type":%q,"stream":"downstream","name":%q,"attributes":%s}`, kind, kind, attributes)
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *spoiled) heal() { p.Toxics.ResetToxics(context.Background()) }

// until waits for something that is to happen.
func until(t *testing.T, what string, within time.Duration, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// counter is an upstream that counts what it executed, by the id of the path, and
// answers with that id. It can be restarted at its address.
type counter struct {
	address string
	handle  func(w http.ResponseWriter, r *http.Request)

	mu       sync.Mutex // guards all below
	executed map[string]int
	server   *http.Server
}

func newCounter(t *testing.T, handle func(http.ResponseWriter, *http.Request)) *counter {
	t.Helper()
	c := &counter{address: "127.0.0.1:0", handle: handle, executed: map[string]int{}}
	c.start(t)
	t.Cleanup(c.stop)
	return c
}

func (c *counter) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.address = l.Addr().String()
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	go func() { _ = c.server.Serve(l) }()
}

// stop cuts everything, as a process does that is killed.
func (c *counter) stop() { _ = c.server.Close() }

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.executed[r.Method+" "+r.URL.Path]++
	c.mu.Unlock()
	if c.handle != nil {
		c.handle(w, r)
		return
	}
	_, _ = io.WriteString(w, r.URL.Path+string(text))
}

func (c *counter) times(request string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.executed[request]
}
