package tunnel

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAccept(t *testing.T) {
	if got := accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 section 1.3
		t.Errorf("got %s", got)
	}
}

// handshake is a request that asks for a tunnel.
func handshake(edit func(*http.Request)) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"Upgrade": {"websocket"}, "Connection": {"keep-alive, Upgrade"}, VersionField: {Version}, KeyField: {"dGhlIHNhbXBsZSBub25jZQ=="}}
	edit(r)
	return r
}

func with(name string, lines ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = lines }
}

func TestAsked(t *testing.T) {
	version := func(major, minor int) func(*http.Request) {
		return func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = major, minor }
	}
	for name, row := range map[string]struct {
		edit func(*http.Request)
		want bool
	}{
		"plain": {func(*http.Request) {}, true}, "spelt otherwise": {with("Upgrade", "WebSocket"), true}, "second line": {with("Connection", "close", "\tUPGRADE "), true},
		"HTTP/1.0": {version(1, 0), false}, "HTTP/2": {version(2, 0), false}, "a version to come": {version(2, 1), false},
		"method": {func(r *http.Request) { r.Method = http.MethodPost }, false}, "no upgrade": {func(r *http.Request) { delete(r.Header, "Upgrade") }, false},
		"another protocol": {with("Upgrade", "h2c"), false}, "a list": {with("Upgrade", "websocket, h2c"), false}, "two lines": {with("Upgrade", "websocket", "h2c"), false},
		"no option": {with("Connection", "keep-alive"), false}, "part of an option": {with("Connection", "upgraded"), false},
	} {
		if got := Asked(handshake(row.edit)); got != row.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestKey(t *testing.T) {
	for name, row := range map[string]struct {
		edit func(*http.Request)
		want error
	}{
		"good": {func(*http.Request) {}, nil}, "another version": {with(VersionField, "8"), ErrVersion},
		"no version": {with(VersionField), ErrMalformed}, "two versions": {with(VersionField, Version, Version), ErrMalformed},
		"no key": {with(KeyField), ErrMalformed}, "two keys": {with(KeyField, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="), ErrMalformed},
		"a body": {func(r *http.Request) { r.ContentLength = 1 }, ErrMalformed}, "a body of any length": {func(r *http.Request) { r.ContentLength = -1 }, ErrMalformed},
		"no base64": {with(KeyField, "dGhlIHNhbXBsZSBub25jZ*=="), ErrMalformed}, "odd bits": {with(KeyField, "dGhlIHNhbXBsZSBub25jZR=="), ErrMalformed},
		"too short": {with(KeyField, "dGhlIHNhbXBsZSBub25j"), ErrMalformed}, "too long": {with(KeyField, "dGhlIHNhbXBsZSBub25jZSAh"), ErrMalformed},
		"a line break": {with(KeyField, "dGhlIHNhbXBsZSBu\nb25jZQ=="), ErrMalformed},
	} {
		key, err := Key(handshake(row.edit))
		if err != row.want || (key == "") != (err != nil) { //nolint:errorlint // these very values
			t.Errorf("%s: %q, %v", name, key, err)
		}
	}
}

func TestCheckAnswer(t *testing.T) {
	const key, good = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	for name, row := range map[string]struct {
		edit func(*http.Request)
		want error
	}{
		"good": {func(*http.Request) {}, nil}, "nothing": {with(acceptField), ErrAnswer}, "twice": {with(acceptField, good, good), ErrAnswer},
		"to another key": {with(acceptField, key), ErrAnswer}, "another protocol": {with("Upgrade", "h2c"), ErrAnswer}, "no option": {with("Connection", "close"), ErrAnswer},
	} {
		answer := handshake(with(acceptField, good))
		row.edit(answer)
		if err := CheckAnswer(key, answer.Header); err != row.want { //nolint:errorlint // these very values
			t.Errorf("%s: %v", name, err)
		}
	}
}

// frame is a frame of n octets.
func frame(opcode byte, n int, mask bool) []byte {
	var long byte
	if mask {
		long = 0x80
	}
	out := []byte{0x80 | opcode}
	switch {
	case n < 126:
		out = append(out, long|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, long|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, long|127), uint64(n))
	}
	if mask {
		out = append(out, 1, 2, 3, 4)
	}
	return append(out, bytes.Repeat([]byte{0x88}, n)...)
}

// FuzzFrames: however the octets are cut up, frames end where they end.
func FuzzFrames(f *testing.F) {
	f.Add(3, 200, 70_000, 5, true)
	f.Add(0, 0, 125, 1, false)
	f.Fuzz(func(t *testing.T, a, b, c, cut int, mask bool) {
		var all []byte
		var ends []int
		for _, n := range []int{a, b, c} {
			all = append(all, frame(2, n&0x1ffff, mask)...)
			ends = append(ends, len(all))
		}
		cut = 1 + cut&0xfff
		var fr frames
		at, seen := 0, []int{}
		for at < len(all) {
			n, done := fr.next(all[at:min(len(all), at+cut)])
			if at += n; done != fr.between() || n == 0 {
				t.Fatalf("at %d: %d, %t", at, n, done)
			}
			if done {
				seen = append(seen, at)
			}
		}
		for i, want := range ends {
			if i >= len(seen) || seen[i] != want {
				t.Fatalf("ends at %v, want %v", seen, ends)
			}
		}
		if fr.closed {
			t.Error("a close frame in a payload")
		}
	})
}

// pair is a tunnel between two ends that the test holds.
func pair(idle time.Duration) (t *Tunnel, client, upstream net.Conn, ended chan int64) {
	client, near := net.Pipe()
	far, upstream := net.Pipe()
	t = New(near, nil, far)
	ended = make(chan int64, 1)
	go func() { ended <- t.Run(idle, func() { t.End(Close{1001, "silent"}) }) }()
	return t, client, upstream, ended
}

func TestSilence(t *testing.T) {
	// In FIPS mode the first random octets take entropy from a clock that moves.
	_, _ = rand.Read(make([]byte, 4))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, client, upstream, ended := pair(time.Minute)
		go func() { _, _ = io.Copy(io.Discard, upstream) }()
		time.Sleep(50 * time.Second)
		if _, err := client.Write(frame(9, 3, true)); err != nil { // a ping is not silence
			t.Fatal(err)
		}
		got := make([]byte, len(Close{1001, "silent"}.frame(false)))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, Close{1001, "silent"}.frame(false)) {
			t.Errorf("got %q, %v", got, err)
		}
		if after := time.Since(began); after != 110*time.Second {
			t.Errorf("after %s", after)
		}
		<-ended // nobody answered
		if after := time.Since(began); after != 110*time.Second+Grace {
			t.Errorf("cut off after %s", after)
		}
	})
}

// Neither side reads: the goodbye cannot be said, and the end comes all the
// same.
func TestStuckSides(t *testing.T) {
	tun, client, upstream, ended := pair(0)
	stuck := make(chan error, 2)
	go func() { _, err := client.Write(frame(2, 1<<20, true)); stuck <- err }()
	go func() { _, err := upstream.Write(frame(2, 1<<20, false)); stuck <- err }()
	tun.End(Close{1008, "no"})
	<-ended
	for range 2 {
		if err := <-stuck; err == nil {
			t.Error("written, to nobody")
		}
	}
}

// A goodbye asked for within a frame is said behind it, what follows is not
// passed on, and the answer ends the direction.
func TestGoodbyeBehindTheFrame(t *testing.T) {
	var to bytes.Buffer
	h := half{to: &to}
	whole := frame(1, 300, false)
	if err := h.write(whole[:100]); err != nil {
		t.Fatal(err)
	}
	goodbye := Close{1008, "no"}.frame(false)
	h.end(goodbye)
	h.end([]byte("again"))
	if err := h.write(append(append([]byte{}, whole[100:]...), frame(1, 5, false)...)); err != nil {
		t.Fatal(err)
	}
	if err := h.write(frame(opcodeClose, 2, false)); err != errGoodbye { //nolint:errorlint // the very value
		t.Errorf("after the answer: %v", err)
	}
	if want := string(whole) + string(goodbye); to.String() != want {
		t.Errorf("written %q", strings.ReplaceAll(to.String(), string(whole), "FRAME"))
	}
}

// Where one side has said goodbye nobody says it again.
func TestNoSecondGoodbye(t *testing.T) {
	var to bytes.Buffer
	h := half{to: &to}
	own := frame(opcodeClose, 2, false)
	if err := h.write(own); err != nil {
		t.Fatal(err)
	}
	h.end(Close{1008, "no"}.frame(false))
	if to.String() != string(own) {
		t.Errorf("written %q", to.String())
	}
}

// What the upstream answers to our goodbye does not come to the client before
// ours does: it may say nothing of the reason.
func TestClientHearsTheReasonFirst(t *testing.T) {
	_, _ = rand.Read(make([]byte, 4)) // see TestSilence
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			tun, client, upstream, ended := pair(0)
			told := make(chan byte, 1)
			go func() {
				goodbye := make([]byte, 64)
				if _, err := upstream.Read(goodbye); err == nil {
					told <- goodbye[0]
					_, _ = upstream.Write(frame(opcodeClose, 0, false))
				}
				_, _ = io.Copy(io.Discard, upstream)
			}()
			tun.End(Close{1001, "going"})
			time.Sleep(time.Second / 10)
			want := Close{1001, "going"}.frame(false)
			got := make([]byte, len(want))
			if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v", got[:n], err)
			}
			if first := <-told; first != 0x80|opcodeClose {
				t.Errorf("the upstream was told %x", first)
			}
			_ = client.Close()
			<-ended
		})
	}
}

// broken is an upstream that reads into a panic.
type broken struct{ net.Conn }

func (broken) Read([]byte) (int, error) { panic("a fault of ours") }

// A panic on the goroutine of a tunnel comes to the caller, who has a barrier,
// and both sides are closed.
func TestPanicComesToTheCaller(t *testing.T) {
	for name, between := range map[string]func(gate, upstream net.Conn) *Tunnel{
		"upstream": func(gate, upstream net.Conn) *Tunnel { return New(gate, nil, broken{upstream}) },
		"client":   func(gate, upstream net.Conn) *Tunnel { return New(broken{gate}, nil, upstream) },
	} {
		t.Run(name, func(t *testing.T) {
			client, gate := net.Pipe()
			upstream, behind := net.Pipe()
			defer func() {
				if recover() == nil {
					t.Error("the panic is lost")
				}
				for _, end := range []net.Conn{client, behind} {
					if _, err := end.Read([]byte{0}); err == nil {
						t.Error("a side is open still")
					}
				}
			}()
			between(gate, upstream).Run(0, nil)
		})
	}
}

// oddSide is a side that behaves as its fields say where they say anything.
type oddSide struct {
	net.Conn
	reads, writes, halves error
}

func (o oddSide) Read(p []byte) (int, error) {
	if o.reads != nil {
		return 0, o.reads
	}
	return o.Conn.Read(p)
}

func (o oddSide) Write(p []byte) (int, error) {
	if o.writes != nil {
		return 0, o.writes
	}
	return o.Conn.Write(p)
}

func (o oddSide) CloseWrite() error { return o.halves }

// With one direction over, the other has a while left, unless nobody can be told.
// Of a tunnel that is over nobody hears that it is silent.
func TestOneDirectionEnds(t *testing.T) {
	for name, row := range map[string]struct {
		client, upstream oddSide
		after            time.Duration
	}{
		"takes nothing":            {oddSide{}, oddSide{writes: syscall.EPIPE}, Grace},
		"closed by halves":         {oddSide{reads: io.EOF}, oddSide{}, Grace},
		"cannot be told":           {oddSide{reads: io.EOF}, oddSide{halves: syscall.ENOTCONN}, 0},
		"reset by who has no more": {oddSide{reads: syscall.ECONNRESET}, oddSide{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, gate := net.Pipe()
				behind, upstream := net.Pipe()
				row.client.Conn, row.upstream.Conn = gate, behind
				go func() { _, _ = client.Write(frame(2, 5, true)) }()
				began := time.Now()
				New(row.client, nil, row.upstream).Run(time.Minute, func() { t.Error("silent") })
				if after := time.Since(began); after != row.after {
					t.Errorf("over after %s, want %s", after, row.after)
				}
				time.Sleep(time.Hour)
				_, _ = client.Close(), upstream.Close()
			})
		})
	}
}

// leaving is an upstream that said its last before it went: it takes nothing
// any more, and what it said is read after that was noticed.
type leaving struct {
	net.Conn
	noticed chan struct{}
	said    io.Reader
}

func (l *leaving) Write([]byte) (int, error) {
	close(l.noticed)
	return 0, syscall.EPIPE
}

func (l *leaving) Read(p []byte) (int, error) {
	<-l.noticed
	n, err := l.said.Read(p)
	if err == io.EOF {
		err = syscall.ECONNRESET
	}
	return n, err
}

// The last words of a side that has gone reach the other, which goes on talking
// for a while.
func TestLastWords(t *testing.T) { synctest.Test(t, lastWords) }

func lastWords(t *testing.T) {
	client, gate := net.Pipe()
	behind, _ := net.Pipe()
	words := frame(opcodeClose, 2, false)
	ended := make(chan int64)
	go func() {
		ended <- New(gate, nil, &leaving{behind, make(chan struct{}), bytes.NewReader(words)}).Run(0, nil)
	}()
	go func() {
		for { // until it is closed
			if _, err := client.Write(frame(2, 4<<10, true)); err != nil {
				return
			}
		}
	}()
	got := make([]byte, len(words))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, words) {
		t.Errorf("got %q, %v", got, err)
	}
	if n := <-ended; n != int64(len(words)) {
		t.Errorf("%d octets", n)
	}
}
