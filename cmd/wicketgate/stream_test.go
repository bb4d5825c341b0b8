package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The upstream's next event is released only when the client has read the one
// before: a gate that gathers events would stop here for good.
func TestEventsAreNotGathered(t *testing.T) {
	f := newFixture(t, nil)
	release := make(chan struct{})
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{"one", "two", "three"} {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-release
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/any/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.AT(nil))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"one", "two", "three"} {
		line, err := lines.ReadString('\n')
		if err != nil || line != "data: "+want+"\n" {
			t.Fatalf("got %q, %v; want event %s", line, err, want)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		release <- struct{}{}
	}
}

func TestBodiesAndTrailersPass(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Digest")
		_, _ = io.WriteString(w, strings.Repeat("answer", 100_000))
		w.Header().Set("Digest", "d1")
	})
	body := strings.Repeat("upload", 500_000)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, f.url+"/any/file", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.AT(nil))
	r := f.send(req)
	if r.StatusCode != http.StatusOK || len(r.body) != 600_000 {
		t.Fatalf("status %d, %d octets", r.StatusCode, len(r.body))
	}
	if got := r.Trailer.Get("Digest"); got != "d1" {
		t.Errorf("trailer %q, want the upstream's", got)
	}
	f.upstream.mu.Lock()
	got := sha256.Sum256([]byte(f.upstream.bodies[len(f.upstream.bodies)-1]))
	f.upstream.mu.Unlock()
	if want := sha256.Sum256([]byte(body)); got != want {
		t.Errorf("the upstream read another body: %s", hex.EncodeToString(got[:]))
	}
}

// What breaks off behind the gate breaks off before it: a clean end would pass
// a part for the whole.
func TestCutAnswerStaysCut(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/any/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.AT(nil))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("read %q and a clean end", text)
	}
}

func TestUpstreamGone(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.Close()
	r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil))
	if r.StatusCode != http.StatusBadGateway || !strings.Contains(r.body, `"bad_gateway"`) {
		t.Errorf("got %d %s", r.StatusCode, r.body)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", r.Header.Get("Cache-Control"))
	}
}
