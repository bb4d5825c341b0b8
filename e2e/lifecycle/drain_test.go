package lifecycle

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

func (s *stand) draining(delay, timeout string) *running {
	s.t.Helper()
	return s.gate(func(listen, admin string) string {
		return s.configuration(listen, admin, fmt.Sprintf("drain: {delay: %s, timeout: %s}\n", delay, timeout))
	}, process.Options{})
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A drain, seen from every kind of connection: R-44.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const delay, timeout = 2500 * time.Millisecond, 1500 * time.Millisecond
	g := s.draining("2500ms", "1500ms")
	idle, busy := &line{dial: func() (net.Conn, error) { return dial(t, g.listen), nil }}, &line{dial: func() (net.Conn, error) { return dial(t, g.listen), nil }}
	for _, l := range []*line{idle, busy} {
		if got, err := l.send("GET", "/x", s.token, "", nil); got != http.StatusOK || l.conn == nil {
			t.Fatalf("before: %d, %v", got, err)
		}
	}
	ws, err := openWebSocket(dial(t, g.listen), s.token)
	if err != nil {
		t.Fatal(err)
	}
	events, err := openEvents(dial(t, g.listen), s.token)
	if err != nil {
		t.Fatal(err)
	}
	asking, silent := openHTTP2(t, g), openHTTP2(t, g)

	began := time.Now()
	g.Signal(syscall.SIGTERM)
	g.until("it to look unready", func() bool { return status(g.admin, "/readyz") == http.StatusServiceUnavailable })
	if status(g.admin, "/livez") != http.StatusOK {
		t.Error("it does not live")
	}
	if got, err := busy.send("POST", "/x", s.token, "", nil); got != http.StatusOK || busy.conn != nil {
		t.Errorf("a request on a connection that was idle: %d, %v, kept open %v", got, err, busy.conn != nil)
	}
	if err := asking.ask(3, "/open", nil); err != nil {
		t.Error(err)
	}
	if last, err := asking.goAway(); err != nil || last != 3 {
		t.Errorf("an HTTP/2 connection that is asked: GOAWAY %d, %v", last, err)
	}
	late, err := openWebSocket(dial(t, g.listen), s.token)
	if err != nil {
		t.Errorf("a WebSocket that comes in the delay: %v", err)
	} else {
		defer func() { _ = late.conn.Close() }()
	}
	if _, err := silent.goAway(); err != nil || time.Since(began) < delay {
		t.Errorf("an idle HTTP/2 connection: %v after %v", err, time.Since(began))
	}
	if _, err := idle.in.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
	if code, err := ws.closing(); err != nil || code != 1001 || time.Since(began) < delay+timeout {
		t.Errorf("the WebSocket: %d, %v after %v", code, err, time.Since(began))
	}
	if err := events.drained(); err != nil || time.Since(began) < delay+timeout {
		t.Errorf("the events: %v after %v", err, time.Since(began))
	}
	g.wantEnd(5 * time.Second)
}

func openHTTP2(t *testing.T, g *running) *frames {
	t.Helper()
	f, err := openFrames(dial(t, g.listen))
	if err == nil {
		err = f.ask(1, "/open", nil)
	}
	if err == nil {
		_, err = f.until(frameHeaders)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// goAway waits for the frame and returns the last stream it names.
func (f *frames) goAway() (last int, err error) {
	for {
		payload, err := f.until(frameGoAway)
		if err != nil {
			return 0, err
		}
		if last = int(payload[2])<<8 | int(payload[3]); payload[0]&0x7f == 0 {
			return last, nil
		}
	}
}

func TestDrainSecondSignal(t *testing.T) {
	s := newStand(t)
	g := s.draining("10m", "1h")
	conn := dial(t, g.listen)
	if _, err := openWebSocket(conn, s.token); err != nil {
		t.Fatal(err)
	}
	stuck := dial(t, g.listen)
	_, _ = fmt.Fprintf(stuck, "GET /stuck HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n", s.token)
	g.Signal(syscall.SIGTERM)
	g.until("it to look unready", func() bool { return status(g.admin, "/readyz") == http.StatusServiceUnavailable })
	g.Signal(syscall.SIGTERM)
	g.wantEnd(5 * time.Second)
}

// An upstream that never answers keeps a gate for drain.timeout and no longer.
func TestDrainStuckUpstream(t *testing.T) {
	s := newStand(t)
	g := s.draining("0s", "1s")
	answer := make(chan error, 1)
	conn := dial(t, g.listen)
	_, _ = fmt.Fprintf(conn, "POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: Bearer %s\r\n\r\n", s.token)
	g.until("the request to be on its way", func() bool { return g.metric("wicketgate_requests_in_flight") == 1 })
	go func() {
		_, err := http.ReadResponse(bufio.NewReader(conn), nil)
		answer <- err
	}()
	began := time.Now()
	g.Signal(syscall.SIGTERM)
	g.wantEnd(10 * time.Second)
	if took := time.Since(began); took < time.Second {
		t.Errorf("it ended after %v", took)
	}
	if err := <-answer; err == nil {
		t.Error("there is an answer that nobody gave")
	}
}

// A signal at any moment of the start ends a gate soon: by the signal itself
// while nothing is served, in good order after that.
func TestTermDuringStart(t *testing.T) {
	s := newStand(t)
	for _, after := range []time.Duration{0, 5, 10, 20, 40, 80, 160, 320} {
		g := s.start(func(listen, admin string) string {
			return s.configuration(listen, admin, "drain: {delay: 0s, timeout: 1s}\n")
		}, process.Options{})
		time.Sleep(after * time.Millisecond)
		g.Signal(syscall.SIGTERM)
		select {
		case <-g.Ended():
		case <-time.After(10 * time.Second):
			t.Fatalf("a signal after %d ms does not end it", after)
		}
		err := g.Outcome()
		ended, isExit := err.(*exec.ExitError)
		if err != nil && (!isExit || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM) {
			t.Errorf("a signal after %d ms: %v", after, err)
		}
		if err != nil && strings.Contains(g.log.String(), `"serving"`) {
			t.Errorf("a gate that served already ended with %v", err)
		}
	}
}

// healthcheck tells the state in each.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.issuer.Fail(devissuer.Fault{Reset: true})
	g := s.start(func(listen, admin string) string {
		return s.configuration(listen, admin, "drain: {delay: 10m, timeout: 1h}\n")
	}, process.Options{})
	check := func(what string, want int) {
		t.Helper()
		out, err := exec.Command(program, "healthcheck", "--config", g.Config).CombinedOutput()
		got := 0
		if ended, is := err.(*exec.ExitError); is {
			got = ended.ExitCode()
		}
		if got != want {
			t.Errorf("%s: exit %d, want %d: %s", what, got, want, out)
		}
	}
	g.until("it to live", func() bool { return status(g.admin, "/livez") == http.StatusOK })
	check("no keys yet", 1)
	s.issuer.Heal()
	g.until("it to be ready", func() bool { return status(g.admin, "/readyz") == http.StatusOK })
	check("ready", 0)
	good := s.configuration(g.listen, g.admin, "drain: {delay: 10m, timeout: 1h}\n")
	if err := g.Configure(strings.Replace(good, "version: 1", "version: 2", 1)); err != nil {
		t.Fatal(err)
	}
	check("a bad file beside a good gate", 0)
	if err := g.Configure("version: [\n"); err != nil {
		t.Fatal(err)
	}
	check("a file that does not say where to ask", 1)
	if err := g.Configure(good); err != nil {
		t.Fatal(err)
	}
	g.Signal(syscall.SIGSTOP)
	check("stopped", 1)
	g.Signal(syscall.SIGCONT)
	check("going on", 0)
	g.Signal(syscall.SIGTERM)
	g.until("it to look unready", func() bool { return status(g.admin, "/readyz") == http.StatusServiceUnavailable })
	check("draining", 1)
	g.Signal(syscall.SIGTERM)
	g.wantEnd(5 * time.Second)
	check("gone", 1)
}
