package peers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestH2Load sends more streams than the gate takes at once, from many clients.
// It leaves no processor to others, so nothing runs beside it.
func TestH2Load(t *testing.T) {
	g := startGate(t, startUpstream(t), "")
	c := newCertificate(t)
	secure := startGate(t, startUpstream(t), c.setting())
	for _, row := range []struct {
		name, url string
		gate      *gate
		args      []string
	}{
		{"h2c", "http://" + g.address, g, []string{"-n", "8000", "-c", "40", "-m", "200"}},
		{"h2 over TLS", "https://" + secure.address, secure, []string{"-n", "4000", "-c", "20", "-m", "200"}},
		{"HTTP/1.1", "http://" + g.address, g, []string{"-n", "4000", "-c", "40", "--h1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := row.gate.counted(t, "wicketgate_requests_total", `code="2xx",decision="allowed"`)
			args := append(row.args, "-T", "20", "-N", "20", "-H", "authorization: Bearer "+row.gate.token, row.url+"/any/x")
			text, code := output(t, time.Minute, "h2load", args...)
			n := row.args[1]
			if code != 0 || !strings.Contains(text, fmt.Sprintf("status codes: %s 2xx, 0 3xx, 0 4xx, 0 5xx", n)) {
				t.Errorf("h2load ended with %d: %s", code, text)
			}
			if now := row.gate.counted(t, "wicketgate_requests_total", `code="2xx",decision="allowed"`); strconv.Itoa(now-before) != n {
				t.Errorf("the gate counts %d of %s", now-before, n)
			}
		})
	}
}

// impatient has the gate give up soon on clients that are slow, yet not on a good
// one on a busy machine.
const impatient = "timeouts: {read_header: 2s, idle: 2s, body_stall: 2s, write_stall: 2s}\n"

// slowConnections is how many of them one attack opens; memoryBound is the most
// that the gate may have held, of which a good half is Go's own.
const (
	slowConnections = 300
	memoryBound     = 128 << 20
)

// TestSlowHTTP runs each attack of slowhttptest while a good client goes on, and
// nothing else that would keep that client waiting.
func TestSlowHTTP(t *testing.T) {
	for name, args := range map[string][]string{
		"slowloris": {"-H", "-u", "/open/x", "-t", "GET", "-i", "1", "-x", "24"},
		"slow body": {"-B", "-u", "/open/x", "-i", "3", "-s", "8192", "-x", "10"},
		"range":     {"-R", "-u", "/open/large", "-t", "HEAD", "-a", "10", "-b", "3000"},
		"slow read": {"-X", "-u", "/open/large", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGate(t, startLarge(t), impatient)
			args[2] = "http://" + g.address + args[2]
			args = append(args, "-c", strconv.Itoa(slowConnections), "-r", "200", "-l", "8", "-p", "5")
			good, open := g.goodClient(t), g.watchConnections(t)
			text, _ := output(t, time.Minute, "slowhttptest", args...)
			most, last := open()
			passed, failed := good()
			if failed != "" || passed < 10 {
				t.Errorf("beside the attack %d good requests passed, and one did not: %s", passed, failed)
			}
			least := slowConnections / 6
			if name == "range" {
				least = 10 // each is answered at once
			}
			if most < least {
				t.Errorf("the attack had at most %d connections at once: %s", most, text)
			}
			// The tool ends when it finds that nothing is left. A slow reader does not.
			if last > 5 && !strings.Contains(text, "No open connections left") {
				t.Errorf("the gate held %d connections to the last: %s", last, text)
			}
			if peak := g.peakMemory(t); peak > memoryBound {
				t.Errorf("the gate has held %d MiB", peak>>20)
			} else {
				t.Logf("%d connections at once; %d good requests passed; the gate has held at most %d MiB", most, passed, peak>>20)
			}
		})
	}
}

// startLarge serves 4 MiB, whole or in ranges, at /open/large.
func startLarge(t *testing.T) string {
	t.Helper()
	large := strings.Repeat("0123456789abcdef", 4<<20/16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/open/large" {
			plain(w, r)
			return
		}
		http.ServeContent(w, r, "large", time.Unix(1, 0), strings.NewReader(large))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// goodClient sends requests one after another until its end is asked for, which
// tells how many passed and what became of the first that did not.
func (g *gate) goodClient(t *testing.T) (end func() (passed int, failed string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var passed atomic.Int64
	ended := make(chan string, 1)
	client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		defer client.CloseIdleConnections()
		for {
			select {
			case <-ctx.Done():
				ended <- ""
				return
			case <-tick.C:
			}
			if failed := g.get(client, "/any/good"); failed != "" {
				ended <- failed
				return
			}
			passed.Add(1)
		}
	}()
	return func() (int, string) {
		cancel()
		return int(passed.Load()), <-ended
	}
}

// watchConnections counts the open connections until its end is asked for, which
// tells the most there were and the last count.
func (g *gate) watchConnections(t *testing.T) (end func() (most, last int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan [2]int, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		most, last := 0, 0
		for {
			select {
			case <-ctx.Done():
				ended <- [2]int{most, last}
				return
			case <-tick.C:
				last = g.counted(t, "wicketgate_connections", "")
				most = max(most, last)
			}
		}
	}()
	return func() (int, int) {
		cancel()
		counts := <-ended
		return counts[0], counts[1]
	}
}

// get returns what went wrong.
func (g *gate) get(client *http.Client, path string) string {
	r, err := http.NewRequest(http.MethodGet, "http://"+g.address+path, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+g.token)
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return ""
}

// peakMemory is the most octets the gate has had in memory so far.
func (g *gate) peakMemory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.PID()))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the system does not tell the peak of memory")
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
