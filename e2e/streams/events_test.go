package streams

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// listener is a stream of events that somebody reads.
type listener struct {
	g      *gate
	client *http.Client
	name   string
	good   string // a token that asks for the next event, and lives on
	body   *bufio.Reader
}

// listen opens a stream that goes on after the event last.
func (g *gate) listen(t *testing.T, client *http.Client, authorization string, last int) *listener {
	t.Helper()
	l := &listener{g: g, client: client, name: t.Name(), good: g.bearer(t, nil)}
	resp := l.ask(t, http.MethodGet, "/events", authorization, fmt.Sprint(last))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("%d, %v", resp.StatusCode, resp.Header)
	}
	l.body = bufio.NewReader(resp.Body)
	l.want(t, ": hello\n\n")
	return l
}

func (l *listener) ask(t *testing.T, method, path, authorization, last string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, l.g.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {authorization}, "X-Stream": {l.name}, "Last-Event-Id": {last}}
	resp, err := l.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func (l *listener) want(t *testing.T, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(l.body, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got[:n], err, text)
	}
}

// next has the upstream send an event, and reads it. The one after it is not
// asked for before: an event that waits somewhere for more would never come.
func (l *listener) next(t *testing.T, id int) {
	t.Helper()
	if resp := l.ask(t, http.MethodPost, "/next", l.good, "0"); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the upstream has no such stream: %d", resp.StatusCode)
	}
	l.want(t, fmt.Sprintf("id: %d\ndata: event %d\n\n", id, id))
}

func (l *listener) wantEnd(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(l.body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v; want a clean end", rest, err)
	}
}

func TestEvents(t *testing.T) {
	for _, version := range []string{"1.1", "2"} {
		t.Run("HTTP "+version, func(t *testing.T) {
			g := startGate(t)
			client := over(t, version)
			t.Run("one by one", func(t *testing.T) {
				l := g.listen(t, client, g.bearer(t, nil), 0)
				for i := range 100 {
					l.next(t, i+1)
				}
			})
			t.Run("expiry", func(t *testing.T) {
				end := time.Now().Add(4 * time.Second).Truncate(time.Second)
				short := g.bearer(t, map[string]any{"exp": end.Unix(), "iat": end.Unix() - 60})
				l := g.listen(t, client, short, 0)
				l.next(t, 1)
				l.wantEnd(t)
				if time.Now().Before(end) {
					t.Error("ended before its token")
				}
				// As a browser does: again with the same token, then with one that is good.
				if resp := l.ask(t, http.MethodGet, "/events", short, "1"); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("the same token again: %d", resp.StatusCode)
				}
				g.listen(t, client, g.bearer(t, nil), 1).next(t, 2)
			})
			t.Run("revoked", func(t *testing.T) {
				l := g.listen(t, client, g.bearer(t, map[string]any{"jti": "taken back"}), 7)
				other := &listener{g: g, client: client, name: "other", good: l.good}
				other.body = bufio.NewReader(other.ask(t, http.MethodGet, "/events", l.good, "0").Body)
				other.want(t, ": hello\n\n")
				l.next(t, 8)
				if err := os.WriteFile(g.denied, fmt.Appendf(nil, `{"iss":%q,"jti":"taken back"}`+"\n", g.issuer.Identifier()), 0o600); err != nil {
					t.Fatal(err)
				}
				l.wantEnd(t)
				other.next(t, 1) // that of another token goes on
			})
			t.Run("drain", func(t *testing.T) {
				l := g.listen(t, client, g.bearer(t, nil), 0)
				l.next(t, 1)
				g.drain()
				l.wantEnd(t)
			})
		})
	}
}
