package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// costConfig is what a gate in front of one API has. It logs no requests: how many
// lines there are in a second is not the same everywhere. The verbs are the gate's address, its admin listener's, the file with
// the issuer's keys and the upstream.
const costConfig = `version: 1
listen: %q
admin: {listen: %q}
issuers: [{name: as, issuer: "https://as.example.com", jwks_file: %q}]
resources:
  - {identifier: "https://rs.example.com", behind_tls: true, upstream: %q, routes: [{path: /open, public: true}, {path: /read, scopes: [read]}]}
log: {access: "off"}
`

// meter is a gate between a client and an upstream that allocate nothing
// themselves, so that what the process allocates is the gate's.
type meter struct {
	tb      testing.TB
	address string
	issuer  *devissuer.Issuer
}

// newMeter starts one. more is added to its configuration.
func newMeter(tb testing.TB, more ...string) *meter {
	tb.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: "https://as.example.com"})
	if err != nil {
		tb.Fatal(err)
	}
	keys := filepath.Join(tb.TempDir(), "keys.json")
	if err := os.WriteFile(keys, issuer.JWKS(), 0o600); err != nil {
		tb.Fatal(err)
	}
	gate, admin, upstream := listenLoopback(tb), listenLoopback(tb), listenLoopback(tb)
	go answerAll(upstream)
	tb.Cleanup(func() { _ = upstream.Close() })
	text := fmt.Sprintf(costConfig, gate.Addr(), admin.Addr(), keys, "http://"+upstream.Addr().String()) + strings.Join(more, "")
	path := filepath.Join(tb.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	a := &app{ctx: tb.Context(), stdout: io.Discard, stderr: io.Discard, env: func(string) (string, bool) { return "", false }}
	file, err := config.Load(path, a.env)
	if err != nil {
		tb.Fatal(err)
	}
	g, err := newGateway(a, path, file)
	if err != nil {
		tb.Fatal(err)
	}
	g.bound = map[string]net.Listener{gate.Addr().String(): gate, admin.Addr().String(): admin}
	ended, stop := make(chan error, 1), make(chan os.Signal, 1)
	go func() { ended <- g.serve(tb.Context(), stop) }()
	tb.Cleanup(func() { <-ended }) // Context has ended by then
	return &meter{tb, gate.Addr().String(), issuer}
}

// answerAll answers each head with 256 octets.
func answerAll(l net.Listener) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\nContent-Length: 256\r\n\r\n" + strings.Repeat("x", 256))
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) > 2 {
					continue
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// A caller is a client's connection.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
}

func (c *meter) dial() *caller {
	c.tb.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = conn.Close() })
	return &caller{conn, bufio.NewReader(conn)}
}

// ask sends a request and reads its answer, and returns the status.
func (c *caller) ask(request []byte) (status int, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, err
		case len(line) == 2:
			_, err = c.in.Discard(length)
			return status, err
		case status == 0:
			status = number(line[9:12])
		case len(line) > 16 && string(line[:16]) == "Content-Length: ":
			length = number(line[16 : len(line)-2])
		}
	}
}

func number(digits []byte) (n int) {
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return n
}

// A way is one way to ask the gate, and how many allocations it may cost: what was
// measured and two more. Less than half of those of a forwarded request are ours;
// net/http makes the others, on both sides.
type way struct {
	name    string
	status  int
	request []byte
	most    float64
}

func (c *meter) ways() []way {
	token := func(claims map[string]any) string {
		raw, err := c.issuer.Mint(devissuer.Token{Claims: claims})
		if err != nil {
			c.tb.Fatal(err)
		}
		return "Authorization: Bearer " + raw + "\r\n"
	}
	head := func(path string, fields ...string) []byte {
		return []byte("GET " + path + " HTTP/1.1\r\nHost: rs.example.com\r\nUser-Agent: cost\r\nAccept: */*\r\n" + strings.Join(fields, "") + "\r\n")
	}
	return []way{
		{"public", 200, head("/open"), 85},
		{"cached", 200, head("/read", token(nil)), 93},
		{"none", 401, head("/read"), 25},
		{"garbage", 401, head("/read", "Authorization: Bearer "+strings.Repeat("a", 800)+"\r\n"), 32},
		{"expired", 401, head("/read", token(map[string]any{"exp": 1})), 49},
		{"scope", 403, head("/read", token(map[string]any{"scope": "other"})), 42},
	}
}

// BenchmarkRequest is a whole request on one of 16 connections; what it allocates is
// the gate's.
func BenchmarkRequest(b *testing.B) {
	c := newMeter(b)
	for _, w := range c.ways() {
		b.Run(w.name, func(b *testing.B) {
			callers := make([]*caller, 16)
			for i := range callers {
				callers[i] = c.dial()
				c.warm(callers[i], w)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := processorTime(b)
			b.ResetTimer()
			var all sync.WaitGroup
			for i, one := range callers {
				all.Go(func() {
					for range (b.N + i) / len(callers) {
						if status, err := one.ask(w.request); status != w.status {
							b.Errorf("status %d, %v", status, err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b)-began).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "mallocs/op")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "octets/op")
		})
	}
}

// allocations sends n requests and tells what each of them allocates.
func (c *meter) allocations(t *testing.T, one *caller, w way, n int) (mallocs, octets float64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if status, err := one.ask(w.request); status != w.status {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

func (c *meter) warm(one *caller, w way) {
	c.tb.Helper()
	for range 3 {
		if status, err := one.ask(w.request); status != w.status {
			c.tb.Fatalf("%s: status %d, %v", w.name, status, err)
		}
	}
}
