package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// newStreams is a fixture in front of a gRPC upstream of HTTP/2, whose tokens
// end to the second and are looked at often.
func newStreams(t *testing.T, answer http.HandlerFunc) *denying {
	t.Helper()
	u := newGRPCUpstream(t, answer)
	return newDenying(t, inFile, func(text string) string {
		text = instead(t, text, `upstream: "%[5]s"`, `upstream: "h2c://`+u.Listener.Addr().String()+`"`)
		text = instead(t, text, "    routes:\n", "    routes:\n      - {name: call, path: /pkg.Service/*, methods: [POST]}\n      - {name: kept, path: /kept, end_streams: false}\n")
		return strings.ReplaceAll(text, "refetch_interval: 1s", "refetch_interval: 1s, leeway: 0s") + "timeouts: {stream_check: 100ms}\n"
	})
}

// events sends one event and no more, or what its path asks for.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", map[bool]string{true: "application/octet-stream", false: "text/event-stream; charset=utf-8"}[r.URL.Path == "/any/download"])
	_, _ = io.WriteString(w, "data: one\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// listen opens a stream of events and reads the first.
func (f *fixture) listen(t *testing.T, path, raw string) io.ReadCloser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if raw != "" {
		req.Header.Set("Authorization", "Bearer "+raw)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	first := make([]byte, len("data: one\n\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return resp.Body
}

func wantCleanEnd(t *testing.T, body io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v; want a clean end", rest, err)
	}
}

func (f *fixture) wantEnded(t *testing.T, kind, why string, n int) {
	t.Helper()
	series := fmt.Sprintf(`streams_ended_total{ending="%s",kind="%s"}`, why, kind)
	eventually(t, series, func() bool { return f.series(series) == fmt.Sprint(n) })
}

func TestEventsEndWithTheirToken(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *fixture{
		"HTTP/1.1 upstream": func(t *testing.T) *fixture {
			f := newFixture(t, withWebSocket(""))
			f.upstream.setAnswer(events)
			return f
		},
		"h2c upstream": func(t *testing.T) *fixture { return newStreams(t, events).fixture },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			end := soon()
			raw := f.AT(ending(end))
			kept := map[bool]string{true: "/keep", false: "/kept"}[strings.HasPrefix(name, "HTTP/1.1")]
			still := []io.Closer{f.listen(t, kept, raw), f.listen(t, "/any/download", raw), f.listen(t, "/open/x", "")}
			ended := f.listen(t, "/any/events", raw)
			wantCleanEnd(t, ended)
			if now := time.Now(); now.Before(end) {
				t.Errorf("ended %s before its token", end.Sub(now))
			}
			f.wantEnded(t, "sse", "expired", 1)
			if got := f.series(`streams{kind="sse"}`); got != "2" { // a download is none
				t.Errorf("%s streams are left, want 2", got)
			}
			for _, body := range still {
				_ = body.Close()
			}
			eventually(t, "no streams", func() bool { return f.series(`streams{kind="sse"}`) == "0" })
		})
	}
}

func TestStreamsEndWhenTheirTokenIsRevoked(t *testing.T) {
	d := newStreams(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			events(w, r)
			return
		}
		echo(w, r)
	})
	raw := d.AT(map[string]any{"jti": "gone"})
	other := d.stream(t, d.AT(map[string]any{"jti": "stays"}))
	call, sse := d.stream(t, raw), d.listen(t, "/any/events", raw)
	call.exchange(t, []byte("first"))
	d.enforce(t, d.rule(`"jti":"gone"`))
	call.wantTrailers(t, "16", "the access token was revoked")
	wantCleanEnd(t, sse)
	other.exchange(t, []byte("still"))
	other.end(t)
	d.wantEnded(t, "grpc", "revoked", 1)
	d.wantEnded(t, "sse", "revoked", 1)
}

// A reload that takes the issuer of a token out ends what was opened with it, by
// whatever way the token was judged. That of another issuer goes on.
func TestStreamsEndWithTheirIssuer(t *testing.T) {
	for name, raw := range map[string]func(*listing) string{
		"by its keys": func(l *listing) string { return l.AT(nil) },
		"by its word": func(l *listing) string { return l.opaque(changes{"exp": nil}) },
		"by its list": func(l *listing) string { return l.AT(l.at(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := asked(t, "opaque", withWebSocket("timeouts: {stream_check: 100ms}\n"))
			l.upstream.setAnswer(events)
			ended, stays := l.listen(t, "/any/events", raw(l)), l.listen(t, "/any/events", l.mint(l.b, devissuer.Token{}))
			wsUpstream(l.fixture)
			ws := l.shake(t, "/ws/1", "Authorization", "Bearer "+raw(l))
			ws.echo(t, "hello")
			l.withoutIssuer()
			wantCleanEnd(t, ended)
			ws.wantClose(t, 1008)
			l.wantEnded(t, "sse", "revoked", 1)
			l.wantEnded(t, "websocket", "revoked", 1)
			if got := l.series(`streams{kind="sse"}`); got != "1" {
				t.Errorf("%s streams are left, want that of the other issuer", got)
			}
			_ = stays.Close()
		})
	}
}

// withoutIssuer takes A out of the configuration.
func (l *listing) withoutIssuer() {
	l.t.Helper()
	text, err := os.ReadFile(l.gateway.path)
	if err != nil {
		l.t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "  - {name: a, ") {
			kept.WriteString(line)
		}
	}
	l.reloaded(kept.String())
}

// wantTrailers reads to the end, and wants the gate's status there.
func (s *stream) wantTrailers(t *testing.T, status, message string) {
	t.Helper()
	if rest, err := io.ReadAll(s.resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v; want a clean end", rest, err)
	}
	if s.resp.Trailer.Get("Grpc-Status") != status || s.resp.Trailer.Get("Grpc-Message") != message {
		t.Errorf("trailers %v, want %s, %s", s.resp.Trailer, status, message)
	}
	_ = s.in.Close()
}

func TestCallsEndWithTheirToken(t *testing.T) {
	gone := make(chan struct{}, 2)
	d := newStreams(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pkg.Service/Silent" {
			<-r.Context().Done()
			gone <- struct{}{}
			return
		}
		echo(w, r)
		gone <- struct{}{}
	})
	raw := d.AT(ending(soon()))
	call := d.stream(t, raw)
	call.exchange(t, []byte("first"))
	// One that has not said anything by then is answered like one that comes too late.
	r := d.call(t, h2cTransport(t), "/pkg.Service/Silent", "Authorization", "Bearer "+raw)
	wantStatus(t, r, 16)
	wantChallenges(t, r, "invalid_token", bare)
	call.wantTrailers(t, "16", "the access token has expired")
	<-gone // the upstream is let go
	<-gone
	d.wantEnded(t, "grpc", "expired", 2)
	// gRPC-Web has no place for a status but between messages.
	raw = d.AT(ending(soon()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/pkg.Service/Web", bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc-web"}, "Authorization": {"Bearer " + raw}}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

func TestDrainEndsStreams(t *testing.T) {
	d := newDrain(t, withWebSocket(""), "{delay: 0s, timeout: 100ms}")
	wsUpstream(d.fixture)
	raw := d.AT(nil)
	ws := d.shake(t, "/ws/1", "Authorization", "Bearer "+raw)
	ws.wantStatus(t, http.StatusSwitchingProtocols)
	ws.echo(t, "hello")
	d.upstream.setAnswer(events)
	sse := d.listen(t, "/any/events", raw)
	d.signals <- syscall.SIGTERM
	ws.wantClose(t, 1001)
	wantCleanEnd(t, sse)
	d.wantEnd()
}

// A second signal does not wait for anybody to say goodbye.
func TestDrainSecondSignalCutsTunnels(t *testing.T) {
	d := newDrain(t, withWebSocket(""), "{delay: 0s, timeout: 1h}")
	wsUpstream(d.fixture)
	ws := d.shake(t, "/ws/1", "Authorization", "Bearer "+d.AT(nil))
	ws.wantStatus(t, http.StatusSwitchingProtocols)
	ws.echo(t, "hello")
	d.signals <- syscall.SIGTERM
	d.untilUnready()
	ws.echo(t, "still there") // nothing cuts a tunnel before the deadline
	d.signals <- syscall.SIGTERM
	d.wantEnd()
	_, _ = io.ReadAll(ws.Reader)
}
