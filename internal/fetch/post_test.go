package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// TestPostUnanswered: who asks learns whether it may ask again, and is never
// asked for twice behind its back, not even on a connection that was kept.
func TestPostUnanswered(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprint(conn, text)
			_ = conn.Close()
		}
	}
	for name, test := range map[string]struct {
		handler    http.HandlerFunc
		unanswered bool
	}{
		"reset":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"closed":     {raw(""), true},
		"one octet":  {raw("H"), false},
		"head alone": {raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), false},
		"cut":        {raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), false},
		"not HTTP":   {raw("hello\r\n\r\n"), false},
		"500":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, false},
		"hang":       {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hits atomic.Int64
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				if hits.Add(1) > 1 {
					test.handler(w, r)
				}
			})
			c := NewClient(ClientOptions{Timeout: time.Second, KeepAlive: true})
			defer c.CloseIdle()
			if _, err := c.Post(t.Context(), server.URL, url.Values{"a": {"b"}}, nil); err != nil {
				t.Fatal(err)
			}
			_, err := c.Post(t.Context(), server.URL, url.Values{"a": {"b"}}, nil)
			if err == nil || errors.Is(err, ErrUnanswered) != test.unanswered || hits.Load() != 2 {
				t.Errorf("%v after %d questions", err, hits.Load())
			}
		})
	}
}

// TestPostReset cuts the connection once the answer began.
func TestPostReset(t *testing.T) {
	began := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
		<-began
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { close(began) }})
	if _, err := NewClient(ClientOptions{}).Post(ctx, server.URL, nil, nil); err == nil || errors.Is(err, ErrUnanswered) {
		t.Error(err)
	}
}

func TestPostNotConnected(t *testing.T) {
	c := NewClient(ClientOptions{AllowHTTP: true})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for address, unanswered := range map[string]bool{"http://" + l.Addr().String(): true, secure.URL: false, "http://169.254.169.254/": false} {
		if _, err := c.Post(t.Context(), address, nil, nil); err == nil || errors.Is(err, ErrUnanswered) != unanswered {
			t.Errorf("%s: %v", address, err)
		}
	}
}
