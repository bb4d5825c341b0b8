package extauthz

import (
	"net"
	"net/netip"
	"sync"
)

// strangers is how many connections those may have together who may not ask: probes
// are among them.
const strangers = 16

// A listener closes what it accepts beyond a number of connections.
type listener struct {
	net.Listener
	mayAsk  func(netip.Addr) bool
	most    int // of proxies; 0 for any number
	refused func()

	mu   sync.Mutex // guards open
	open [2]int     // of strangers, of proxies
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		kind, most := 0, strangers
		if l.mayAsk(addressOf(accepted.RemoteAddr())) {
			kind, most = 1, l.most
		}
		if l.take(kind, most) {
			return &conn{Conn: accepted, leave: sync.OnceFunc(func() { l.leave(kind) })}, nil
		}
		if l.refused != nil {
			l.refused()
		}
		_ = accepted.Close() // nothing was sent, so nothing is lost
	}
}

func (l *listener) take(kind, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most > 0 && l.open[kind] >= most {
		return false
	}
	l.open[kind]++
	return true
}

func (l *listener) leave(kind int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[kind]--
}

type conn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
