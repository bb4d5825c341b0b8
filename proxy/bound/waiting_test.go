package bound

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

type crowd struct {
	t       *testing.T
	all     *Connections
	ends    pipes
	l       net.Listener
	refused int
}

func newCrowd(t *testing.T, most int, heads int64) *crowd {
	c := &crowd{t: t, all: NewConnections(), ends: make(pipes, 1)}
	c.all.Use(most, heads, 0)
	c.l = c.all.Listener(c.ends, func() { c.refused++ })
	return c
}

func (c *crowd) enter() (client net.Conn, server *conn) {
	c.t.Helper()
	here, there := net.Pipe()
	c.ends <- there
	accepted, err := c.l.Accept()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _, _ = here.Close(), accepted.Close() })
	return here, accepted.(*conn)
}

func (c *crowd) wantRefused(n int) {
	c.t.Helper()
	if c.refused != n {
		c.t.Errorf("%d refused, want %d", c.refused, n)
	}
}

func wantClosed(t *testing.T, client net.Conn) {
	t.Helper()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that made room says %v", err)
	}
}

// answer has a request of the connection answered, and do run meanwhile.
func (c *conn) answer(do func()) {
	answered := false
	h := Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { do(); answered = true }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(Context(context.Background(), c)))
	if !answered {
		panic("the request is not answered")
	}
}

// Who has waited longest makes room; who is being answered does not.
func TestLongestWaitMakesRoom(t *testing.T) {
	c := newCrowd(t, 3, 0)
	_, busy := c.enter()
	asked, one := c.enter()
	silent, _ := c.enter()
	one.answer(func() {}) // it begins to wait anew
	busy.answer(func() {
		c.enter()
		wantClosed(t, silent)
		c.wantRefused(1)
		c.enter()
		wantClosed(t, asked)
		c.wantRefused(2)
	})
}

func sendHead(t *testing.T, client net.Conn, server *conn, n int) {
	t.Helper()
	go func() { _, _ = client.Write(make([]byte, n)) }()
	if _, err := io.ReadFull(server, make([]byte, n)); err != nil {
		t.Error(err)
	}
}

// Without a limit heads may be of any length together, and who has gone holds none.
func TestHeadsOfThoseWhoAreThere(t *testing.T) {
	c := newCrowd(t, 0, 0)
	for range 3 {
		client, server := c.enter()
		sendHead(t, client, server, 2*smallHead)
		defer func() { _ = client.Close() }()
		if c.wantRefused(0); c.all.heads != 2*smallHead {
			t.Errorf("heads of %d octets are held", c.all.heads)
		}
		if _ = server.Close(); c.all.heads != 0 || c.all.ring.next != &c.all.ring {
			t.Errorf("heads of %d octets are held by who has gone", c.all.heads)
		}
	}
}

// Heads that grow and do not end make room for each other.
func TestHeadsAreBounded(t *testing.T) {
	const large = 12 << 10
	c := newCrowd(t, 0, 2*large)
	send := func(client net.Conn, server *conn, n int) {
		t.Helper()
		sendHead(t, client, server, n)
	}
	small, first := c.enter()
	send(small, first, 100)
	var clients []net.Conn
	for range 2 {
		client, server := c.enter()
		send(client, server, large-100)
		clients = append(clients, client)
	}
	c.wantRefused(0)
	_, busy := c.enter()
	busy.answer(func() {
		client, body := c.enter()
		body.begin()
		send(client, body, 10*large) // no head
		c.wantRefused(0)
		body.end()
	})
	client, server := c.enter()
	send(client, server, large)
	wantClosed(t, clients[0])
	c.wantRefused(1)
	if c.all.heads > 2*large {
		t.Errorf("heads of %d octets are held", c.all.heads)
	}
	server.answer(func() {})
	send(client, server, large) // the next head begins at nothing
	c.wantRefused(1)
}

func TestRoomIn(t *testing.T) {
	const ofTables = 18 << 20
	if r := RoomIn(math.MaxInt64, true, ofTables); r.Connections != math.MaxInt || r.Heads != math.MaxInt64 || r.Tables != ofTables {
		t.Errorf("without a limit: %+v", r)
	}
	for _, memory := range []int64{0, 1 << 20, 58 << 20, 1 << 30, 64 << 30} {
		without, plain, secure := RoomIn(memory, false, 0), RoomIn(memory, false, ofTables), RoomIn(memory, true, ofTables)
		for _, r := range []Room{without, plain} {
			sum := r.Tables + r.Heads*ofHead + int64(r.Connections)*ofConnection + int64(r.Requests)*ofRequest + int64(r.Tokens)*ofToken + int64(r.Proofs)*ofProof
			if most := max(memory-ofProgram, memory/4+r.Tables); sum > most+1<<20 || r.Requests < 1 {
				t.Errorf("%d octets: %+v", memory, r)
			}
		}
		if secure.Connections > plain.Connections || plain.Connections > without.Connections || without.Tables != 0 || plain.Tables != min(ofTables, memory/16) {
			t.Errorf("%d octets: %+v, with TLS %+v, without tables %+v", memory, plain, secure, without)
		}
	}
	if small, large := RoomIn(128<<20, false, ofTables), RoomIn(128<<20, false, 0); small.Requests >= large.Requests {
		t.Errorf("tables are not counted: %+v, %+v", small, large)
	}
}
