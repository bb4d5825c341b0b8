package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/policy"
)

// oneConn is a listener with one connection.
type oneConn struct{ conns chan net.Conn }

func (l oneConn) Accept() (net.Conn, error) {
	if c, open := <-l.conns; open {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// CRED-11: a sender nobody knows yet gets so long to send a form, however it
// trickles, and the connection is good for nothing after that.
func TestFormDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, err := policy.Compile(nil, policy.Resource{})
		if err != nil {
			t.Fatal(err)
		}
		gates := &Switch{}
		gates.Set(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Policy: set, Sources: Sources{Body: true}}}}})
		ours, theirs := net.Pipe()
		listener := oneConn{make(chan net.Conn, 1)}
		listener.conns <- theirs
		server := &http.Server{Handler: NewReverse(ReverseOptions{Switch: gates}), ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(listener) }()
		defer func() {
			close(listener.conns)
			_ = server.Close()
		}()
		began := time.Now()
		var sender sync.WaitGroup
		defer sender.Wait()
		defer func() { _ = ours.Close() }()
		sender.Go(func() {
			_, err := io.WriteString(ours, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(ours, "a")
				time.Sleep(time.Second)
			}
		})
		resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if took := time.Since(began); err != nil || resp.StatusCode != 400 || !resp.Close || took != formTimeout {
			t.Errorf("%d %s after %s, close %v, %v", resp.StatusCode, body, took, resp.Close, err)
		}
		if !strings.Contains(string(body), "the request's body is malformed") {
			t.Errorf("body %s", body)
		}
		_ = resp.Body.Close()
	})
}
