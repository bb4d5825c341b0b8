package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"
)

// TestStdWaitsByRequest: net/http has one time for all of a transport's requests.
// Here each has its own, over the connections of one transport.
func TestStdWaitsByRequest(t *testing.T) {
	for _, c := range []struct {
		scheme string
		major  int
	}{{"http", 1}, {"h2c", 2}, {"https", 1}, {"https", 2}} {
		let, arrived := make(chan struct{}), make(chan struct{}, 2)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				arrived <- struct{}{}
				select {
				case <-let:
				case <-r.Context().Done():
				}
			}
			if r.URL.Path == "/early" {
				_ = http.NewResponseController(w).Flush()
				_, _ = io.Copy(io.Discard, r.Body)
				<-let
			}
			_, _ = io.WriteString(w, r.Proto)
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(c.major == 1)
		server.Config.Protocols.SetHTTP2(c.major == 2)
		server.Config.Protocols.SetUnencryptedHTTP2(c.scheme == "h2c")
		start := server.Start
		if c.scheme == "https" {
			start = server.StartTLS
		}
		if server.EnableHTTP2 = c.major == 2; c.scheme == "h2c" {
			server.EnableHTTP2 = false
		}
		start()
		transport := stdOf(t, c.scheme, server.Listener.Addr().String())
		if c.scheme == "https" {
			transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's
			transport.TLSClientConfig.NextProtos = nil
		}
		send := func(path string, body io.Reader, within time.Duration) (*http.Response, error) {
			r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{}), http.MethodPost, server.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			return transport.RoundTripWithin(r, within)
		}
		ask := func(path string, within time.Duration) string {
			resp, err := send(path, nil, within)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				return "late"
			} else if err != nil {
				return err.Error()
			}
			text, err := io.ReadAll(resp.Body)
			if _ = resp.Body.Close(); err != nil {
				return err.Error()
			}
			return string(text)
		}
		proto := map[int]string{1: "HTTP/1.1", 2: "HTTP/2.0"}[c.major]
		want(t, c.scheme+" in time", ask("/", 50*time.Second), proto)
		told := make(chan string)
		go func() { told <- ask("/hang", 50*time.Second) }()
		<-arrived
		var early *http.Response
		if c.major == 2 { // its header comes before its request was written whole
			r, w := io.Pipe()
			var err error
			if early, err = send("/early", r, 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
		}
		want(t, c.scheme+" late", ask("/hang", 50*time.Millisecond), "late")
		want(t, c.scheme+" after it", ask("/", 50*time.Millisecond), proto)
		close(let)
		want(t, c.scheme+" patient", <-told, proto)
		if early != nil {
			text, _ := io.ReadAll(early.Body)
			want(t, c.scheme+" early", string(text), proto)
			_ = early.Body.Close()
		}
		server.Close()
	}
}

// Resources whose routes wait for as long as they like share the connections to an
// upstream of theirs.
func TestTimesShareConnections(t *testing.T) {
	times := func(header, longest time.Duration) Timeouts {
		return Timeouts{Connect: time.Second, Header: header, Longest: longest}
	}
	for _, location := range []string{"http://app", "https://app", "h2c://app", "unix:///run/app.sock"} {
		all := NewUpstreams()
		for _, open := range []func(string, Timeouts) (*Upstream, error){all.Open, all.OpenStd} {
			first, err := open(location, times(time.Second, time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			second, err := open(location, times(time.Minute, time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if first.connections != second.connections || first.header != time.Second || second.header != time.Minute {
				t.Errorf("%s: %+v, %+v", location, first, second)
			}
		}
		all.Close()
	}
}

// A request that is sent once more, over another connection, is waited for anew.
func TestPatienceBeginsAnew(t *testing.T) {
	w := newWorld(t, false, DefaultTimeouts)
	w.serve = func(k *talk) {
		k.next()
		if k.nth == 1 {
			k.say(saysOK)
			k.next() // and nothing more on this one
			return
		}
		k.next() // which ends when nobody waits any longer
	}
	want(t, "first", w.get(t), "200 ok")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer time.AfterFunc(10*time.Second, cancel).Stop()
	_, err := w.up.send(w.request(ctx, http.MethodGet, "/", nil), 100*time.Millisecond) //nolint:bodyclose // there is none
	if err == nil || kindOf(err) != "timeout" {
		t.Errorf("got %v, want that the time ran out", err)
	}
	w.wants(t, "1 GET / ", "1 GET / ", "2 GET / ")
}
