package bound

import (
	"net"
	"net/netip"
	"testing"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	at net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.at }

// Strangers at a door are few, keep nobody out and leave their places to others.
func TestStrangersAtADoor(t *testing.T) {
	peer, stranger := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}
	for _, row := range []struct{ most, few int }{{0, 16}, {1000, 16}, {40, 10}, {2, 1}} {
		all, ends, refused := NewConnections(), make(pipes, 1), 0
		all.Use(row.most, 0, 0)
		door := all.Door(ends, func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") }, func() { refused++ })
		enter := func(at net.Addr) net.Conn {
			here, there := net.Pipe()
			ends <- from{there, at}
			c, err := door.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = here.Close(), c.Close() })
			return c
		}
		var last net.Conn
		for range row.few {
			last = enter(stranger)
		}
		for range 3 { // each is closed, and the next is waited for
			here, there := net.Pipe()
			go func() { ends <- from{here, &net.UnixAddr{Name: "x"}}; ends <- from{there, peer} }()
			c, err := door.Accept()
			if err != nil || c.RemoteAddr() != peer {
				t.Fatalf("%v from %v came in", err, c.RemoteAddr())
			}
			_ = c.Close()
		}
		if all.strangers != row.few || refused < 3 {
			t.Errorf("of %d: %d strangers are in, %d refused", row.most, all.strangers, refused)
		}
		_, _ = last.Close(), last.Close()
		if all.strangers != row.few-1 {
			t.Errorf("of %d: %d strangers when one has left", row.most, all.strangers)
		}
		enter(stranger)
	}
}

// Nobody who has business makes room for a stranger.
func TestNoRoomForStrangers(t *testing.T) {
	all, ends, refused := NewConnections(), make(pipes, 2), 0
	all.Use(2, 0, 0)
	clients := all.Listener(ends, func() { refused++ })
	door := all.Door(ends, func(netip.Addr) bool { return false }, func() { refused++ })
	for range 2 {
		here, there := net.Pipe()
		ends <- there
		c, err := clients.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = here.Close(), c.Close() })
	}
	_, there := net.Pipe()
	ends <- from{there, &net.TCPAddr{}}
	close(ends)
	if _, err := door.Accept(); err == nil || refused != 1 || all.open != 2 {
		t.Errorf("%v, %d refused, %d open", err, refused, all.open)
	}
}
