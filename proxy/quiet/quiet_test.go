package quiet_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/proxy/quiet"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http tells it of each octet that comes unasked
	goleak.VerifyTestMain(m)
}

const (
	good   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
)

// upstream answers each request on its connections with what say says, and
// closes the connection where it is the last. closed is told then; it may be nil.
func upstream(t *testing.T, say func() (text string, last bool), closed chan<- struct{}) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				for in := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					text, last := say()
					if _, err := io.WriteString(conn, text); err != nil {
						return
					}
					if last {
						_ = conn.Close()
						closed <- struct{}{}
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

type client struct {
	transport *http.Transport
	address   string
	unasked   atomic.Int64
}

func newClient(t *testing.T, address string) *client {
	c := &client{address: address}
	c.transport = &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return quiet.New(conn, false, func() { c.unasked.Add(1) }), nil
	}}
	t.Cleanup(c.transport.CloseIdleConnections)
	return c
}

func (c *client) send(method, body string) (string, error) {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: quiet.Got})
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.address, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return "", err
	}
	if body == "" {
		r.Body = nil
	}
	r.GetBody = func() (io.ReadCloser, error) { return nil, fmt.Errorf("begun") }
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return string(text), err
}

// TestNobodyGetsWhatNobodyAsked is the way in which one caller could see what
// another left behind: without this package some of these answers are forged.
func TestNobodyGetsWhatNobodyAsked(t *testing.T) {
	c := newClient(t, upstream(t, func() (string, bool) { return good + forged, false }, nil))
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			for range 250 {
				if text, err := c.send(http.MethodGet, ""); err != nil || text != "ok" {
					t.Errorf("got %q, %v", text, err)
					return
				}
			}
		})
	}
	sending.Wait()
}

// TestNothingIsSentTwice: whatever a POST finds on its connection, it is executed
// once where it was answered, and at most once where it was not.
func TestNothingIsSentTwice(t *testing.T) {
	for name, text := range map[string]string{"closed": good, "octets behind the answer": good + forged} {
		t.Run(name, func(t *testing.T) {
			var executed atomic.Int64
			closed := make(chan struct{}, 1)
			c := newClient(t, upstream(t, func() (string, bool) { executed.Add(1); return text, true }, closed))
			answered := int64(0)
			const requests = 200
			for range requests {
				before := executed.Load()
				text, err := c.send(http.MethodPost, "once")
				if err != nil {
					continue // for net/http the body was begun
				}
				<-closed
				answered++
				if text != "ok" || executed.Load() != before+1 {
					t.Fatalf("got %q, executed %d times", text, executed.Load()-before)
				}
			}
			if executed.Load() != answered || answered < requests/4 {
				t.Errorf("%d executions, %d answers of %d requests", executed.Load(), answered, requests)
			}
		})
	}
}
