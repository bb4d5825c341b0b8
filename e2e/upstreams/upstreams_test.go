package upstreams

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
)

func (c *client) request(ctx context.Context, t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+c.listen[c.to]+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	return req
}

// do sends a request and gives its answer, of which only the head has come.
func (c *client) do(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.ProtoMajor != c.major {
		t.Errorf("answered in %s", resp.Proto)
	}
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%d, %q and no end: %v", resp.StatusCode, all, err)
	}
	return string(all)
}

func TestEachProtocolIsSpoken(t *testing.T) {
	newStage(t).each(t, func(t *testing.T, c *client) {
		want := map[string]string{"http": "HTTP/1.1 none tcp", "https": "HTTP/2.0 h2 tcp", "h2c": "HTTP/2.0 none tcp", "unix": "HTTP/1.1 none unix"}[c.to]
		want += " " + c.listen[c.to] + " /base/seen?a=1;b=%zz " + c.via
		if got := text(t, c.do(t, c.request(t.Context(), t, "GET", "/seen?a=1;b=%zz", nil))); got != want {
			t.Errorf("the upstream saw %q, want %q", got, want)
		}
		req := c.request(t.Context(), t, "GET", "/seen", nil)
		req.Header.Del("Authorization")
		if resp := c.do(t, req); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a token %d %s", resp.StatusCode, text(t, resp))
		}
	})
}

// TestBodiesAndTrailers: a body of known or unknown length goes through
// unchanged, answers come while it is sent, and trailers follow them.
func TestBodiesAndTrailers(t *testing.T) {
	newStage(t).each(t, func(t *testing.T, c *client) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		sum := sha256.Sum256(body)
		for name, sent := range map[string]io.Reader{fmt.Sprint(len(body)): bytes.NewReader(body), "-1": io.MultiReader(bytes.NewReader(body))} {
			resp := c.do(t, c.request(t.Context(), t, "POST", "/echo", sent))
			if got := text(t, resp); got != string(body) || resp.Header.Get("X-Length") != name {
				t.Errorf("%d octets of length %s came back as %d", len(body), resp.Header.Get("X-Length"), len(got))
			}
			if resp.Trailer.Get("X-Digest") != hex.EncodeToString(sum[:]) || resp.Trailer.Get("X-Unannounced") != "yes" {
				t.Errorf("trailers %v", resp.Trailer)
			}
		}
		if c.major == 1 {
			return // whose clients send all before they listen
		}
		in, out := io.Pipe()
		resp := c.do(t, c.request(t.Context(), t, "POST", "/echo?first", in))
		for _, message := range []string{"one", "two", strings.Repeat("three", 1000)} {
			_, _ = io.WriteString(out, message)
			got := make([]byte, len(message))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != message {
				t.Fatalf("%.10q came back as %.10q: %v", message, got, err)
			}
		}
		_ = out.Close()
		if rest := text(t, resp); rest != "" {
			t.Errorf("%q at the end", rest)
		}
	})
}

// TestClientsThatGoAreMissed: nothing but the client's going ends the handlers.
func TestClientsThatGoAreMissed(t *testing.T) {
	s := newStage(t)
	s.each(t, func(t *testing.T, c *client) {
		ctx, cancel := context.WithCancel(t.Context())
		resp := c.do(t, c.request(ctx, t, "GET", "/wait", nil))
		begun := make([]byte, len("begun"))
		if _, err := io.ReadFull(resp.Body, begun); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := <-s.upstream.gone; got != "wait" {
			t.Errorf("%s", got)
		}
		ctx, cancel = context.WithCancel(t.Context())
		in, out := io.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := c.transport.RoundTrip(c.request(ctx, t, "POST", "/read", in)); err == nil {
				_ = resp.Body.Close()
				t.Errorf("answered with %d", resp.StatusCode)
			}
		}()
		_, _ = io.WriteString(out, "some")
		if got := <-s.upstream.gone; got != "some" {
			t.Errorf("%s", got)
		}
		cancel()
		if got := <-s.upstream.gone; got != "read" {
			t.Errorf("%s", got)
		}
		_ = out.Close() // net/http waits for it
		<-ended
	})
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	n atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestExpect: the upstream says whether a body is wanted, and a client that
// waits for it sends none before. Over HTTP/2 net/http does not show us that a
// client waits: the gate tells it to go on once it has decided.
func TestExpect(t *testing.T) {
	newStage(t).each(t, func(t *testing.T, c *client) {
		continued := atomic.Bool{}
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued.Store(true) }})
		for _, path := range []string{"/refuse", "/take", "/refuse"} {
			wanted := path == "/take"
			continued.Store(false)
			body := &counted{Reader: zeros(1 << 20)}
			req := c.request(ctx, t, "POST", path, body)
			req.ContentLength = 1 << 20
			req.Header.Set("Expect", "100-continue")
			resp := c.do(t, req)
			got := text(t, resp)
			if wanted && (got != "1048576 <nil>" || !continued.Load()) {
				t.Errorf("%s: %d %s, told to go on: %v", path, resp.StatusCode, got, continued.Load())
			}
			if !wanted && (resp.StatusCode != http.StatusRequestEntityTooLarge || got != "too large" || c.major == 1 && (continued.Load() || body.n.Load() > 0)) {
				t.Errorf("%s: %d %s after %d octets, told to go on: %v", path, resp.StatusCode, got, body.n.Load(), continued.Load())
			}
		}
	})
}

// TestEarlyAnswer (threats H-25): an answer that does not wait for the body
// reaches the client while it sends one without an end, and what comes after it
// is answered in order.
func TestEarlyAnswer(t *testing.T) {
	newStage(t).each(t, func(t *testing.T, c *client) {
		for range 3 {
			resp := c.do(t, c.request(t.Context(), t, "POST", "/refuse", zero{}))
			if got := text(t, resp); resp.StatusCode != http.StatusRequestEntityTooLarge || got != "too large" {
				t.Errorf("%d %q", resp.StatusCode, got)
			}
			for i := range 20 {
				path := fmt.Sprintf("/seen?%d", i)
				if got := text(t, c.do(t, c.request(t.Context(), t, "GET", path, nil))); !strings.Contains(got, " /base"+path+" ") {
					t.Fatalf("%s was answered with %q", path, got)
				}
			}
		}
	})
}

// TestLargeBodiesInFlatMemory: a body of 1 GiB costs the gate the memory of a
// small one, whichever way it goes. HTTP/2 is slower, and gets a quarter of it.
func TestLargeBodiesInFlatMemory(t *testing.T) {
	const allowed = 48 << 20
	s := newStage(t)
	for i, to := range protocols {
		c := s.client(t, inbounds[[]int{0, 2, 1, 0}[i]], to)
		large := int64(1<<30) / map[int]int64{1: 1, 2: 4}[c.major]
		_ = text(t, c.do(t, c.request(t.Context(), t, "POST", "/echo", zeros(1<<20))))
		for _, way := range []string{"up", "down"} {
			t.Run(c.name+" to "+to+" "+way, func(t *testing.T) {
				peak, allocated := c.memory(t)
				if way == "up" {
					if got := text(t, c.do(t, c.request(t.Context(), t, "POST", "/take", zeros(large)))); got != fmt.Sprint(large, " <nil>") {
						t.Errorf("the upstream got %s", got)
					}
				} else if n, err := io.Copy(io.Discard, c.do(t, c.request(t.Context(), t, "GET", fmt.Sprint("/give?", large), nil)).Body); n != large || err != nil {
					t.Errorf("the client got %d octets, %v", n, err)
				}
				peakAfter, allocatedAfter := c.memory(t)
				if peakAfter-peak > allowed || allocatedAfter-allocated > allowed {
					t.Errorf("the gate's peak grew by %d octets, and it allocated %d", peakAfter-peak, allocatedAfter-allocated)
				}
				t.Logf("peak %+d KiB to %d KiB, allocated %d KiB", (peakAfter-peak)>>10, peakAfter>>10, (allocatedAfter-allocated)>>10)
			})
		}
	}
}
