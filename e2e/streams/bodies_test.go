package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// counted is what the upstream says of a request.
type counted struct {
	Octets   int64             `json:"octets"`
	Headers  map[string]string `json:"headers"`
	Trailers []string          `json:"trailers"`
}

// TestTrailers: those of an answer pass, with what they announce. Those of a
// request are dropped: nobody decided about them.
func TestTrailers(t *testing.T) {
	g := startGate(t)
	for _, version := range []string{"1.1", "2"} {
		t.Run("HTTP "+version, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/count", io.MultiReader(strings.NewReader("four"), strings.NewReader("teen octets")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Authorization": {g.bearer(t, nil)}}
			r.Trailer = http.Header{"X-Sum": {"1"}, "X-Auth-Subject": {"evil"}}
			if version == "1.1" { // net/http takes such a field for a broken stream in HTTP/2
				r.Trailer["Authorization"] = []string{"evil"}
			}
			resp, err := over(t, version).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			var got counted
			if err != nil || json.Unmarshal(body, &got) != nil || got.Octets != 15 || len(got.Trailers) > 0 || got.Headers["trailer"] != "" || got.Headers["x-auth-subject"] != "user-1" {
				t.Errorf("%v, %s", err, body)
			}
			if resp.Trailer.Get("X-Octets") != "15" {
				t.Errorf("trailers %v", resp.Trailer)
			}
		})
	}
}

// curl runs the real one. Its output is what it wrote for us, its story what
// went over the wire.
func curl(t *testing.T, in io.Reader, arguments ...string) (output, story string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "curl", append([]string{"-sv", "--max-time", "300"}, arguments...)...)
	var told, seen bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = in, &told, &seen
	if err := c.Run(); err != nil {
		t.Fatalf("curl: %v\n%s", err, seen.String())
	}
	return told.String(), seen.String()
}

var finalStatus = regexp.MustCompile(`(?m)^< HTTP/[0-9.]+ ([2-5]\d\d)`)

// TestContinue: a client that asks first is told by whom it concerns, once, and
// sends nothing where the answer is no.
func TestContinue(t *testing.T) {
	g := startGate(t)
	good := g.bearer(t, nil)
	body := strings.Repeat("b", 100_000)
	for name, test := range map[string]struct {
		path, authorization string
		status              string
		octets              string // that curl sent
		continued           int
	}{
		"yes":                 {"/count", good, "200", "100000", 1},
		"no, by the upstream": {"/full", good, "413", "0", 0},
		"no, by the gate":     {"/count", "Bearer bad", "401", "0", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out, story string
			for attempt, second := 0, true; second && attempt < 10; attempt++ {
				began := time.Now()
				out, story = curl(t, strings.NewReader(body), "-H", "Authorization: "+test.authorization, "-H", "Expect: 100-continue", "--expect100-timeout", "30",
					"--data-binary", "@-", "-o", "/dev/null", "-w", "%{size_upload}", g.url+test.path)
				// The gate asks the client to go on when the upstream has not said a word for
				// a second, as it may on a machine with much else to do.
				second = time.Since(began) > 900*time.Millisecond
			}
			if n := strings.Count(story, "< HTTP/1.1 100 "); n != test.continued {
				t.Errorf("told to go on %d times, want %d", n, test.continued)
			}
			if status := finalStatus.FindStringSubmatch(story); len(status) < 2 || status[1] != test.status || out != test.octets {
				t.Errorf("status %q, %s octets sent; want %s, %s", status, out, test.status, test.octets)
			}
		})
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// resident is the most memory the process has had so far, in octets.
func (g *gate) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.child.PID()))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatal("no VmHWM")
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestSize: a body of 1 GiB, either way, costs the gate no more memory than
// the buffers of a connection. That of an upload in HTTP/2, which takes curl
// longest, has a quarter of it.
func TestSize(t *testing.T) {
	const most = 64 << 20
	g := startGate(t)
	good := "Authorization: " + g.bearer(t, nil)
	before := g.resident(t)
	for version, size := range map[string]int64{"--http1.1": 1 << 30, "--http2-prior-knowledge": 256 << 20} {
		t.Run("upload"+version, func(t *testing.T) {
			out, _ := curl(t, io.LimitReader(zeros{}, size), version, "-H", good, "-H", "Expect:", "-T", "-", g.url+"/count")
			var got counted
			if err := json.Unmarshal([]byte(out), &got); err != nil || got.Octets != size {
				t.Errorf("%d octets came, %v", got.Octets, err)
			}
		})
		t.Run("download"+version, func(t *testing.T) {
			const size = 1 << 30
			out, story := curl(t, nil, version, "-H", good, "-o", "/dev/null", "-w", "%{size_download}", fmt.Sprintf("%s/download?octets=%d", g.url, size))
			if out != strconv.Itoa(size) {
				t.Errorf("%s octets came\n%s", out, story)
			}
		})
	}
	if grown := g.resident(t) - before; grown > most {
		t.Errorf("the gate has grown by %d MiB, want at most %d", grown>>20, most>>20)
	} else {
		t.Logf("grown by %d MiB", grown>>20)
	}
}
