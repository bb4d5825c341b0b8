package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newDrain starts a gate with a drain of its own, and what edit makes of the
// file. The gate beside it, which it is made from, has a short one.
func newDrain(t *testing.T, edit func(string) string, setting string) *driven {
	t.Helper()
	d := newDriven(t, edit, func(f *fixture) {
		f.rewrite("drain: {delay: 0s, timeout: 1s}", "drain: "+setting)
		file, err := f.gateway.app.load(f.gateway.path)
		if err != nil {
			t.Fatal(err)
		}
		f.gateway.file = file
	})
	d.untilReady()
	return d
}

func (d *driven) untilUnready() {
	d.t.Helper()
	eventually(d.t, "unready", func() bool {
		r := d.ask("GET", "/readyz")
		return r.StatusCode == http.StatusServiceUnavailable && strings.Contains(r.body, "draining: not ready")
	})
}

// pending is a request that the upstream holds until release.
type pending struct {
	answer  chan string // status and body, or why there is none
	release chan struct{}
}

func (d *driven) hold() *pending {
	d.t.Helper()
	p := &pending{answer: make(chan string, 1), release: make(chan struct{})}
	arrived := make(chan struct{})
	d.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		select {
		case <-p.release:
			_, _ = io.WriteString(w, "at last")
		case <-r.Context().Done():
		}
	})
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(d.openRequest())
		if err != nil {
			p.answer <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		p.answer <- resp.Status + " " + string(body)
	}()
	<-arrived
	d.upstream.setAnswer(nil)
	return p
}

func (d *driven) openRequest() *http.Request {
	req, err := http.NewRequest("GET", d.url+"/open/x", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return req
}

func TestDrainKeepsServing(t *testing.T) {
	d := newDrain(t, nil, "{delay: 10m, timeout: 1h}")
	if r := d.do("GET", "/open/x"); r.StatusCode != http.StatusOK || r.Close {
		t.Fatalf("before: %d, close %v", r.StatusCode, r.Close)
	}
	d.signals <- syscall.SIGTERM
	d.untilUnready()
	eventually(t, "Connection: close", func() bool { return d.do("GET", "/open/x").Close })
	d.wantStatus("/read", http.StatusOK)
	if r := d.do("GET", "/read"); r.StatusCode != http.StatusUnauthorized || !r.Close {
		t.Errorf("a refusal: %d, close %v", r.StatusCode, r.Close)
	}
	if r := d.ask("GET", "/livez"); r.StatusCode != http.StatusOK {
		t.Errorf("livez: %d", r.StatusCode)
	}
	// SIGHUP is no hurry; a second SIGTERM ends the ten minutes.
	d.signals <- syscall.SIGHUP
	d.wantStatus("/read", http.StatusOK)
	d.signals <- syscall.SIGTERM
	d.wantEnd()
	if _, err := net.Dial("tcp", d.address); err == nil {
		t.Error("something listens still")
	}
}

func TestDrainFinishesRequests(t *testing.T) {
	d := newDrain(t, nil, "{delay: 0s, timeout: 1h}")
	p := d.hold()
	d.signals <- syscall.SIGTERM
	eventually(t, "no new connections", func() bool {
		conn, err := net.Dial("tcp", d.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	d.untilUnready() // probes are answered to the end
	close(p.release)
	if got := <-p.answer; got != "200 OK at last" {
		t.Errorf("the request in flight: %s", got)
	}
	d.wantEnd()
}

func TestDrainSecondSignalCutsRequests(t *testing.T) {
	d := newDrain(t, nil, "{delay: 0s, timeout: 1h}")
	p := d.hold()
	d.signals <- syscall.SIGTERM
	d.untilUnready()
	d.signals <- syscall.SIGINT
	d.wantEnd()
	if got := <-p.answer; strings.HasPrefix(got, "200") {
		t.Errorf("a request that nobody answered: %s", got)
	}
}

func TestDrainTimeout(t *testing.T) {
	d := newDrain(t, nil, "{delay: 0s, timeout: 10ms}")
	p := d.hold()
	d.signals <- syscall.SIGTERM
	d.wantEnd()
	if got := <-p.answer; strings.HasPrefix(got, "200") {
		t.Errorf("a request that nobody answered: %s", got)
	}
}

// TestDrainPage: /drain holds the kubelet back for the delay.
func TestDrainPage(t *testing.T) {
	const delay = 200 * time.Millisecond
	d := newDrain(t, nil, "{delay: 200ms, timeout: 1h}")
	begun := time.Now()
	if r := d.ask("GET", "/drain"); r.StatusCode != http.StatusOK || r.body != "draining\n" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("/drain returned after %s, want at least %s", took, delay)
	}
	d.untilUnready()
	if r := d.do("GET", "/open/x"); r.StatusCode != http.StatusOK || !r.Close {
		t.Errorf("after /drain: %d, close %v", r.StatusCode, r.Close)
	}
	d.signals <- syscall.SIGTERM
	d.wantEnd()
}

// TestDrainPageLooksUnreadyAtOnce: not only when it returns.
func TestDrainPageLooksUnreadyAtOnce(t *testing.T) {
	d := newDrain(t, nil, "{delay: 10m, timeout: 1h}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "POST", d.admin+"/drain", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultTransport.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		returned <- err
	}()
	d.untilUnready()
	d.wantStatus("/read", http.StatusOK)
	select {
	case err := <-returned:
		t.Errorf("/drain returned before the delay: %v", err)
	default:
	}
	cancel()
	<-returned
}

// TestDrainPageCounts: time spent unready before the signal is not spent again.
func TestDrainPageCounts(t *testing.T) {
	d := newDrain(t, nil, "{delay: 10m, timeout: 1h}")
	since := time.Now().Add(-10 * time.Minute) // when /drain was first asked
	d.gateway.draining.Store(&since)
	if r := d.ask("GET", "/drain"); r.StatusCode != http.StatusOK {
		t.Errorf("/drain, again: %d", r.StatusCode)
	}
	d.signals <- syscall.SIGTERM
	d.wantEnd()
}
