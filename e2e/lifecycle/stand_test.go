package lifecycle

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

var (
	program string // the gate as it is built, once for all tests

	siege   = flag.Duration("siege", 20*time.Second, "how long the mixed attack lasts")
	reloads = flag.Int("reloads", 1000, "how many reloads there are under load")
	turns   = flag.Int("turns", 100, "how many times certificates and secrets are rotated")
	rolls   = flag.Int("rolls", 10, "how many rolling restarts there are")
)

const (
	identifier = "https://rs.example.com"
	patience   = 30 * time.Second
)

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// stand is what surrounds gates: an issuer and an upstream.
type stand struct {
	t        *testing.T
	issuer   *devissuer.Running
	token    string // a good one
	upstream *upstream
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, upstream: newUpstream(t)}
	var err error
	if s.issuer, err = devissuer.Start(devissuer.Options{Audience: identifier, Lifetime: time.Hour, Algorithms: []string{"ES256"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.issuer.Close() })
	s.token = s.mint(nil)
	return s
}

func (s *stand) mint(claims map[string]any) string {
	s.t.Helper()
	raw, err := s.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// configuration is a file for a gate at two addresses; more is added at its top
// level.
func (s *stand) configuration(listen, admin, more string) string {
	return fmt.Sprintf(`version: 1
listen: %q
admin: {listen: %q}
issuers:
  - {name: a, issuer: %q}
resources:
  - identifier: %s
    name: rs
    behind_tls: true
    upstream: %q
    routes:
      - {name: open, path: /open, public: true}
      - {name: ws, path: /ws, websocket: true}
      - {name: rest, path: "/**"}
%s`, listen, admin, s.issuer.Identifier(), identifier, s.upstream.URL, more)
}

// running is a gate and where it is.
type running struct {
	*process.Gate
	t             *testing.T
	listen, admin string
	log           *process.Log // nil where the log goes elsewhere
}

// gate starts one with a configuration that is told the two addresses, and
// waits until it is ready.
func (s *stand) gate(text func(listen, admin string) string, with process.Options) *running {
	s.t.Helper()
	g := s.start(text, with)
	g.until("the gate to be ready", func() bool { return status(g.admin, "/readyz") == http.StatusOK })
	return g
}

// gateAt is gate at given addresses.
func (s *stand) gateAt(listen, admin, more string) *running {
	s.t.Helper()
	g := s.startAt(listen, admin, s.configuration(listen, admin, more), process.Options{})
	g.until("the gate to be ready", func() bool { return status(g.admin, "/readyz") == http.StatusOK })
	return g
}

func (s *stand) start(text func(listen, admin string) string, with process.Options) *running {
	s.t.Helper()
	listen, admin := process.Free(s.t), process.Free(s.t)
	return s.startAt(listen, admin, text(listen, admin), with)
}

func (s *stand) startAt(listen, admin, text string, with process.Options) *running {
	s.t.Helper()
	g := &running{t: s.t, listen: listen, admin: admin}
	with.Program, with.Dir, with.Config = program, s.t.TempDir(), text
	if with.Log == nil {
		g.log = &process.Log{}
		with.Log = g.log
	}
	g.Gate = process.Run(s.t, with)
	s.t.Cleanup(func() {
		if s.t.Failed() && g.log != nil {
			s.t.Logf("%s logged:\n%s", g.listen, tail(g.log.String(), 20))
		}
	})
	return g
}

// tail is the end of a log, without its requests.
func tail(text string, lines int) string {
	var all []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"request `) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// until looks again and again; what takes for ever fails the test.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func (g *running) until(what string, is func() bool) {
	g.t.Helper()
	until(g.t, what, func() bool {
		select {
		case <-g.Ended():
			g.t.Fatalf("waiting for %s, the gate ended: %v", what, g.Outcome())
		default:
		}
		return is()
	})
}

// wantEnd waits for exit code 0.
func (g *running) wantEnd(within time.Duration) {
	g.t.Helper()
	select {
	case <-g.Ended():
		if err := g.Outcome(); err != nil {
			g.t.Errorf("the gate ended with %v", err)
		}
	case <-time.After(within):
		g.t.Errorf("the gate has not ended within %v", within)
	}
}

var asks = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // gates of our own

// status is 0 for no answer.
func status(address, path string) int {
	resp, err := asks.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// metric is the sum of the series of a name, in which all of labels are.
func (g *running) metric(name string, labels ...string) float64 {
	g.t.Helper()
	resp, err := asks.Get("http://" + g.admin + "/metrics")
	if err != nil {
		g.t.Errorf("metrics: %v", err)
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Errorf("metrics: %v", err)
	}
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(\{[^}]*\})? ([^ \n]+)`).FindAllStringSubmatch(string(text), -1) {
		all := true
		for _, label := range labels {
			all = all && strings.Contains(m[1], label)
		}
		var value float64
		if _, err := fmt.Sscan(m[2], &value); err == nil && all {
			sum += value
		}
	}
	return sum
}

// proc reads a number in kB out of /proc/PID/status.
func (g *running) proc(field string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.PID()))
	if err != nil {
		return -1
	}
	_, after, _ := strings.Cut(string(text), field+":")
	var n int
	_, _ = fmt.Sscan(after, &n)
	return n
}

// upstream notes which requests it carried out.
type upstream struct {
	*httptest.Server

	mu    sync.Mutex     // guards times
	times map[string]int // each request was carried out, by its X-Id
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{times: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("/", u.echo)
	mux.HandleFunc("/sse", sse)
	mux.HandleFunc("/ws", ws)
	mux.HandleFunc("/stuck", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
		u.echo(w, r)
	})
	u.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
	return u
}

func (u *upstream) echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	if id := r.Header.Get("X-Id"); id != "" {
		u.mu.Lock()
		u.times[id]++
		u.mu.Unlock()
		w.Header().Set("X-Id", id)
	}
	_, _ = fmt.Fprintf(w, "%d octets", n)
}

func (u *upstream) carriedOut(id string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.times[id]
}

func sse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(w, "data: tick\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// ws answers the handshake and a close frame, and nothing else.
func ws(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", acceptFor(r.Header.Get("Sec-WebSocket-Key")))
	for {
		code, _, err := readFrame(buffered)
		if err != nil {
			return
		}
		if code == closeFrame {
			_, _ = conn.Write([]byte{0x88, 0})
			return
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
