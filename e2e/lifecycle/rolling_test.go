package lifecycle

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

const (
	rollDelay   = time.Second
	rollTimeout = 1500 * time.Millisecond
	rollDrain   = "drain: {delay: 1s, timeout: 1500ms}\n"
)

// crowd is all that is sent while something happens to gates.
type crowd struct {
	stand   *stand
	serving *balancer
	plain   tally // requests on kept connections, each tried once
	http2   tally // requests on shared connections
	uploads tally
	sockets tally // ends of WebSockets
	events  tally // ends of event streams

	next    atomic.Int64
	stop    chan struct{}
	running sync.WaitGroup
	ids     sync.Map // of requests that were answered 200
}

func (c *crowd) ended() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// end stops all clients but the streams, which end with the gates.
func (c *crowd) end() {
	close(c.stop)
	c.running.Wait()
}

func (c *crowd) id() string { return strconv.FormatInt(c.next.Add(1), 10) }

// posts sends requests that must not be lost and must not be doubled, one each
// pause, on a connection that is kept as long as the gate keeps it.
func (c *crowd) posts(pause time.Duration) {
	l := &line{dial: c.serving.dial}
	defer l.close()
	for !c.ended() {
		id := c.id()
		status, err := l.send("POST", "/x", c.stand.token, id, nil)
		c.plain.count(status, http.StatusOK, err)
		if status == http.StatusOK {
			c.ids.Store(id, true)
		}
		time.Sleep(pause/2 + rand.N(pause))
	}
}

func (c *crowd) uploadsOf(size int, pause time.Duration) {
	l := &line{dial: c.serving.dial}
	defer l.close()
	for !c.ended() {
		id := c.id()
		status, err := l.send("POST", "/upload", c.stand.token, id, chunks(size, pause))
		c.uploads.count(status, http.StatusOK, err)
		if status == http.StatusOK {
			c.ids.Store(id, true)
		}
	}
}

// shared sends requests on the connections of an HTTP/2 client. Such a client
// sends again what a GOAWAY says was not looked at, and nothing else.
func (c *crowd) shared(client *http.Client, pause time.Duration) {
	for !c.ended() {
		id := c.id()
		status, err := postShared(client, c.stand.token, id)
		c.http2.count(status, http.StatusOK, err)
		if status == http.StatusOK {
			c.ids.Store(id, true)
		}
		time.Sleep(pause/2 + rand.N(pause))
	}
}

func postShared(client *http.Client, token, id string) (int, error) {
	r, err := http.NewRequest("POST", "http://rs.example.com/x", bytes.NewReader([]byte("hello")))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Id", id)
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// websockets opens one after the other, and looks how each ends: by a gate that
// was told to end, at its deadline, with code 1001.
func (c *crowd) websockets() {
	for !c.ended() {
		r, s, err := c.openOne(true)
		if err != nil {
			c.sockets.count(0, 1001, err)
			continue
		}
		code, err := s.closing()
		_ = s.conn.Close()
		c.endedBy(r, &c.sockets, code, 1001, err)
	}
}

func (c *crowd) eventStreams() {
	for !c.ended() {
		r, s, err := c.openOne(false)
		if err != nil {
			c.events.count(0, 0, err)
			continue
		}
		err = s.drained()
		_ = s.conn.Close()
		c.endedBy(r, &c.events, 0, 0, err)
	}
}

func (c *crowd) openOne(webSocket bool) (*replica, *stream, error) {
	r, err := c.serving.pick()
	if err != nil {
		return nil, nil, err
	}
	conn, err := dialAddress(r.listen)
	if err != nil {
		return nil, nil, err
	}
	open := openEvents
	if webSocket {
		open = openWebSocket
	}
	s, err := open(conn, c.stand.token)
	if err != nil {
		_ = conn.Close()
	}
	return r, s, err
}

func (c *crowd) endedBy(r *replica, y *tally, code, want int, err error) {
	if c.ended() {
		return
	}
	if err == nil {
		if after := c.serving.since(r); after < rollDelay+rollTimeout {
			err = fmt.Errorf("cut before the deadline")
		}
	}
	y.count(code, want, err)
}

// TestRollingRestarts replaces replicas one after the other while everything
// there is goes on: R-44.
func TestRollingRestarts(t *testing.T) {
	s := newStand(t)
	text := func(listen, admin string) string { return s.configuration(listen, admin, rollDrain) }
	c := &crowd{stand: s, serving: newBalancer(t, 50*time.Millisecond), stop: make(chan struct{})}
	for range 2 {
		c.serving.add(s.gate(text, process.Options{}))
	}
	var streams sync.WaitGroup
	for range 40 {
		c.running.Go(func() { c.posts(150 * time.Millisecond) })
	}
	for range 4 {
		client := http2Client(c.serving)
		defer client.CloseIdleConnections()
		for range 5 {
			c.running.Go(func() { c.shared(client, 200*time.Millisecond) })
		}
	}
	for range 20 {
		c.running.Go(func() { c.uploadsOf(10, 50*time.Millisecond) })
	}
	for range 50 {
		streams.Go(c.websockets)
		streams.Go(c.eventStreams)
	}
	began := time.Now()
	for range *rolls {
		c.serving.replace(s, text, 20*time.Second)
	}
	took := time.Since(began)
	c.end()
	for _, r := range c.serving.all {
		c.serving.tell(r)
		_ = r.Stop(20 * time.Second)
	}
	streams.Wait()
	t.Logf("%d restarts in %v (%.0f requests a second): plain %v; http2 %v; uploads %v; websockets %v; events %v",
		*rolls, took.Round(time.Second), float64(c.plain.sent.Load()+c.http2.sent.Load()+c.uploads.sent.Load())/took.Seconds(),
		&c.plain, &c.http2, &c.uploads, &c.sockets, &c.events)
	c.want(t)
}

// want fails unless all went well.
func (c *crowd) want(t *testing.T) {
	t.Helper()
	for what, y := range map[string]*tally{"plain requests": &c.plain, "HTTP/2 requests": &c.http2, "uploads": &c.uploads, "WebSockets": &c.sockets, "event streams": &c.events} {
		if y.bad.Load() > 0 {
			t.Errorf("%s: %v", what, y)
		}
	}
	if c.plain.good.Load() == 0 {
		t.Error("nothing was sent")
	}
	c.ids.Range(func(id, _ any) bool {
		if n := c.stand.upstream.carriedOut(id.(string)); n != 1 {
			t.Errorf("request %s was carried out %d times", id, n)
		}
		return true
	})
}

// TestRollingRestartsBehindHAProxy is the same with a real balancer, which asks
// readyz itself and keeps connections to the gates.
func TestRollingRestartsBehindHAProxy(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	front := process.Free(t)
	addresses := [2][2]string{{process.Free(t), process.Free(t)}, {process.Free(t), process.Free(t)}}
	var servers strings.Builder
	for i, a := range addresses {
		fmt.Fprintf(&servers, "  server gate%d %s check addr 127.0.0.1 port %s inter 100ms fall 1 rise 1\n", i, a[0], a[1][strings.LastIndex(a[1], ":")+1:])
	}
	path := t.TempDir() + "/haproxy.cfg"
	asked := t.TempDir() + "/stat.sock"
	write(t, path, fmt.Sprintf("global\n  maxconn 1000\n  stats socket %s\ndefaults\n  mode http\n  retries 0\n  option redispatch 0\n  timeout connect 2s\n  timeout check 2s\n  timeout client 30s\n  timeout server 30s\n  timeout tunnel 1m\n"+
		"frontend all\n  bind %s\n  default_backend gates\nbackend gates\n  balance roundrobin\n  option httpchk GET /readyz\n  http-reuse aggressive\n%s", asked, front, servers.String()))
	process.RunPart(t, process.Part{Program: "haproxy", Args: []string{"-db", "-f", path}, Listens: []string{front}, End: syscall.SIGKILL})
	start := func(i int) *running {
		return s.gateAt(addresses[i][0], addresses[i][1], rollDrain)
	}
	gates := [2]*running{start(0), start(1)}
	both := func() bool { return strings.Count(serversUp(asked), ",UP,") >= 3 } // and the backend
	until(t, "haproxy to serve", both)
	c := &crowd{stand: s, serving: fixed(front), stop: make(chan struct{})}
	for range 30 {
		c.running.Go(func() { c.posts(150 * time.Millisecond) })
	}
	for range 5 {
		c.running.Go(func() { c.uploadsOf(10, 50*time.Millisecond) })
	}
	time.Sleep(500 * time.Millisecond)
	for i := range 4 {
		if err := gates[i%2].Stop(20 * time.Second); err != nil {
			t.Errorf("a replica ended with %v", err)
		}
		gates[i%2] = start(i % 2)
		until(t, "haproxy to see it", both)
	}
	c.end()
	t.Logf("plain %v; uploads %v", &c.plain, &c.uploads)
	c.want(t)
}

// serversUp is what haproxy says of its servers, as CSV; empty if it says
// nothing.
func serversUp(socket string) string {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return ""
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		return ""
	}
	return string(said)
}
