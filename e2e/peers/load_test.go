package peers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// TestH2Load sends more streams than the gate takes at once, from many clients.
// It leaves no processor to others, so nothing runs beside it.
func TestH2Load(t *testing.T) {
	const patient = "timeouts: {upstream_connect: 60s}\n" // a busy machine is late
	c := newCertificate(t)
	g, secure := startGate(t, startUpstream(t), patient), startGate(t, startUpstream(t), patient+c.setting())
	for _, row := range []struct {
		name, url string
		gate      *gate
		args      []string
	}{
		{"h2c", "http://" + g.address, g, []string{"-n", "5000", "-c", "15", "-m", "200"}},
		{"h2 over TLS", "https://" + secure.address, secure, []string{"-n", "3000", "-c", "10", "-m", "200"}},
		{"HTTP/1.1", "http://" + g.address, g, []string{"-n", "3000", "-c", "40", "--h1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := row.gate.counted(t, "wicketgate_requests_total", `code="2xx",decision="allowed"`)
			args := append(row.args, "-T", "60", "-N", "60", "-H", "authorization: Bearer "+row.gate.token, row.url+"/any/x")
			text, code := output(t, 2*time.Minute, "h2load", args...)
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
const impatient = "timeouts: {read_header: 4s, idle: 4s, body_stall: 4s, write_stall: 4s}\n"

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
		"slow body": {"-B", "-u", "/open/x", "-i", "6", "-s", "8192", "-x", "10"},
		"range":     {"-R", "-u", "/open/large", "-t", "HEAD", "-a", "10", "-b", "3000"},
		"slow read": {"-X", "-u", "/open/large", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGate(t, startLarge(t), impatient)
			args[2] = "http://" + g.address + args[2]
			args = append(args, "-c", strconv.Itoa(slowConnections), "-r", "200", "-l", "60", "-p", "5")
			least := slowConnections / 6
			if name == "range" {
				least = 10 // each is answered at once
			}
			good := g.goodClient(t)
			most, text := g.attack(t, least, args)
			passed, failed := good()
			if failed != "" || passed < 2 {
				t.Errorf("beside the attack %d good requests passed, and one did not: %s", passed, failed)
			}
			if most < least {
				t.Errorf("the attack had at most %d connections at once: %s", most, text)
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
	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
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

// attack runs slowhttptest until the gate has closed its connections, of which
// there were least at once, and returns the most there were. The tool ends when
// it finds that nothing is left, which a slow reader is slow to find.
func (g *gate) attack(t *testing.T, least int, args []string) (most int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	var output process.Log
	tool := exec.CommandContext(ctx, "slowhttptest", args...)
	tool.Stdout, tool.Stderr = &output, &output
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = tool.Wait() // its text says how it ended
		close(ended)
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			if !strings.Contains(output.String(), "No open connections left") {
				t.Errorf("the gate did not close the connections: %s", output.String())
			}
			return most, output.String()
		case <-tick.C:
		}
		now := g.counted(t, "wicketgate_connections", "")
		if most = max(most, now); most >= least && now <= 3 {
			cancel()
			<-ended
			return most, output.String()
		}
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
