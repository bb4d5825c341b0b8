package lifecycle

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// attack is everything at once: who is slow, who is large, who is many.
type attack struct {
	stand   *stand
	address string
	stop    chan struct{}
	running sync.WaitGroup

	connections, requests atomic.Int64
	places                chan struct{} // for a new connection; so many come in a second
}

// arrivals is how many connections attackers open in a second, all together.
const arrivals = 200

func (a *attack) admit() {
	tick := time.NewTicker(time.Second / arrivals)
	defer tick.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-tick.C:
		}
		select {
		case a.places <- struct{}{}:
		default:
		}
	}
}

func (a *attack) over() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// many runs one of n attackers again and again.
func (a *attack) many(n int, one func(net.Conn)) {
	for range n {
		a.running.Go(func() {
			for !a.over() {
				select {
				case <-a.stop:
					return
				case <-a.places:
				}
				conn, err := net.DialTimeout("tcp", a.address, time.Second)
				if err != nil {
					a.pause(100 * time.Millisecond)
					continue
				}
				a.connections.Add(1)
				ended := make(chan struct{})
				go func() {
					select {
					case <-a.stop:
					case <-ended:
					}
					_ = conn.Close()
				}()
				one(conn)
				close(ended)
			}
		})
	}
}

func (a *attack) pause(d time.Duration) {
	select {
	case <-a.stop:
	case <-time.After(d):
	}
}

// slowly sends a header that never ends.
func (a *attack) slowly(conn net.Conn) {
	_, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: rs.example.com\r\nX-Slow: ")
	for err == nil && !a.over() {
		a.pause(time.Second)
		_, err = io.WriteString(conn, "a")
	}
}

// largely sends a great part of the largest header there may be, and then takes
// its time.
func (a *attack) largely(conn net.Conn) {
	_, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: rs.example.com\r\nX-Large: "+strings.Repeat("a", 60<<10))
	for err == nil && !a.over() {
		a.pause(time.Second)
		_, err = io.WriteString(conn, "a")
	}
}

// huge sends whole requests with such headers.
func (a *attack) huge(conn net.Conn) {
	l := &line{dial: func() (net.Conn, error) { return conn, nil }}
	large := strings.Repeat("a", 60<<10)
	for !a.over() {
		a.requests.Add(1)
		if _, err := l.send("GET", "/x", large, "", nil); err != nil {
			return
		}
		if l.conn == nil {
			return
		}
		a.pause(50 * time.Millisecond)
	}
}

// garbage sends tokens that are none, each its own.
func (a *attack) garbage(conn net.Conn) {
	l := &line{dial: func() (net.Conn, error) { return conn, nil }}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"at+jwt","alg":"ES256","kid":"` + rand.Text() + `"}`))
	parts := strings.Split(a.stand.token, ".")
	for i := 0; !a.over(); i++ {
		raw := rand.Text()
		switch i % 4 {
		case 0:
			raw = header + "." + parts[1] + "." + parts[2]
		case 1:
			raw = parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte(rand.Text() + rand.Text() + rand.Text())[:64])
		case 2:
			raw = strings.Repeat(rand.Text(), 600)
		}
		a.requests.Add(1)
		if _, err := l.send("GET", "/x", raw, "", nil); err != nil || l.conn == nil {
			return
		}
		a.pause(20 * time.Millisecond)
	}
}

// stalled announces a body and sends little of it.
func (a *attack) stalled(conn net.Conn) {
	_, err := fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 100000000\r\n\r\n%s", a.stand.token, strings.Repeat("a", 1000))
	if err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// unread asks for much on every stream of a connection, and takes none of it:
// no window is ever opened.
func (a *attack) unread(conn net.Conn) {
	f := &frames{conn}
	_, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if err == nil {
		err = f.write(frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) // SETTINGS_INITIAL_WINDOW_SIZE of 0
	}
	for id := uint32(1); id < 200 && err == nil; id += 2 {
		err = f.ask(id, "/big", bearer(a.stand.token))
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// proving presents good proofs, each with a jti of its own.
func (a *attack) proving(key *devissuer.ClientKey, token string) func(net.Conn) {
	return func(conn net.Conn) {
		l := &proofLine{line{dial: func() (net.Conn, error) { return conn, nil }, scheme: "DPoP"}}
		for !a.over() {
			a.requests.Add(1)
			if _, err := l.prove(key, token); err != nil || l.conn == nil {
				return
			}
			a.pause(10 * time.Millisecond)
		}
	}
}

// proofLine sends requests with proofs.
type proofLine struct{ line }

func (l *proofLine) prove(key *devissuer.ClientKey, token string) (int, error) {
	proof, err := key.Proof(devissuer.Proof{Method: "POST", URL: identifier + "/x", AccessToken: token})
	if err != nil {
		return 0, err
	}
	return l.send("POST", "/x", token+"\r\nDPoP: "+proof, "", nil)
}

// good is what must go on beside: tokens and proofs, on connections that are
// kept and on new ones.
func (a *attack) good(n int, key *devissuer.ClientKey, bound string, y *tally) {
	for i := range n {
		a.running.Go(func() {
			l := &proofLine{line{dial: func() (net.Conn, error) { return net.DialTimeout("tcp", a.address, 5*time.Second) }}}
			defer func() { l.close() }()
			for !a.over() {
				var got int
				var err error
				if i%2 == 0 {
					got, err = l.send("POST", "/x", a.stand.token, "", nil)
				} else {
					l.scheme = "DPoP"
					got, err = l.prove(key, bound)
				}
				y.count(got, http.StatusOK, err)
				if i%4 < 2 {
					l.close()
				}
				a.pause(100 * time.Millisecond)
			}
		})
	}
}

// TestSiege holds a gate to 64 MiB while everything comes at once: R-45.
func TestSiege(t *testing.T) {
	s := newStand(t)
	memory := newGroup(t, "memory", map[string]string{"memory.max": "67108864"})
	g := s.gate(func(listen, admin string) string {
		return s.configuration(listen, admin, "drain: {delay: 0s}\n")
	}, process.Options{Under: memory.under()})
	idle := g.proc("VmRSS")
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	other, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	boundTo := func(k *devissuer.ClientKey) string {
		return s.mint(map[string]any{"cnf": map[string]any{"jkt": k.Thumbprint()}})
	}
	time.Sleep(1100 * time.Millisecond) // proofs older than the gate are refused
	a := &attack{stand: s, address: g.listen, stop: make(chan struct{}), places: make(chan struct{})}
	a.running.Go(a.admit)
	var good tally
	a.good(16, key, boundTo(key), &good)
	a.many(1000, a.slowly)
	a.many(200, a.largely)
	a.many(20, a.huge)
	a.many(20, a.garbage)
	a.many(10, a.proving(other, boundTo(other)))
	a.many(50, a.stalled)
	a.many(1, a.unread)
	ended := time.After(*siege)
	unanswered, looks := 0, 0
watching:
	for {
		select {
		case <-ended:
			break watching
		case <-g.Ended():
			t.Errorf("the gate ended: %v", g.Outcome())
			break watching
		case <-time.After(500 * time.Millisecond):
			looks++
			if status(g.admin, "/livez") != http.StatusOK {
				unanswered++
			}
		}
	}
	peak := g.proc("VmHWM")
	close(a.stop)
	a.running.Wait()
	rate := 100 * float64(good.good.Load()) / float64(max(1, good.sent.Load()))
	t.Logf("%v with %d attackers' connections and %d requests of theirs: %.2f %% of %d good requests answered well; RSS %d kB idle, at most %d kB; cgroup at most %d kB, at its limit %d times; livez unanswered %d of %d; %d cores",
		*siege, a.connections.Load(), a.requests.Load(), rate, good.sent.Load(), idle, peak, memory.number("memory.max_usage_in_bytes", "memory.peak")/1024, memory.number("memory.failcnt"), unanswered, looks, runtime.NumCPU())
	if rate < 99 {
		t.Errorf("good requests: %v", &good)
	}
	if unanswered > 0 {
		t.Errorf("livez was not answered %d of %d times", unanswered, looks)
	}
}
