package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// world is an upstream of raw octets, and what asks it: either of the transports
// with the settings of the product.
type world struct {
	net.Listener
	own     bool
	all     *Upstreams
	up      *Upstream
	unasked atomic.Int64
	begin   sync.Once
	running sync.WaitGroup
	serve   func(k *talk) // one connection; set before the first request is made
	let     chan struct{} // what serve may wait for

	mu       sync.Mutex // guards all below
	dialled  int
	open     []net.Conn
	requests []string // method, path and body of those read whole, by connection
}

// talk is one connection as the upstream sees it.
type talk struct {
	net.Conn
	in  *bufio.Reader
	w   *world
	nth int // from 1
}

// both runs a test with each transport.
func both(t *testing.T, run func(t *testing.T, w *world)) {
	t.Helper()
	for _, own := range []bool{true, false} {
		name := map[bool]string{true: "own", false: "std"}[own]
		t.Run(name, func(t *testing.T) { run(t, newWorld(t, own, DefaultTimeouts)) })
	}
}

func newWorld(t testing.TB, own bool, limits Timeouts) *world {
	t.Helper()
	before := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstreams := NewUpstreams()
	w := &world{Listener: l, own: own, all: upstreams}
	upstreams.OnUnasked(func() { w.unasked.Add(1) })
	open := upstreams.OpenStd
	if own {
		open = upstreams.Open
	}
	if w.up, err = open("http://"+l.Addr().String(), limits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		upstreams.Close()
		_ = l.Close()
		w.mu.Lock()
		for _, conn := range w.open {
			_ = conn.Close()
		}
		w.mu.Unlock()
		w.running.Wait()
		goleak.VerifyNone(t, before)
		if held := w.up.connections.places.Held(); held != 0 {
			t.Errorf("%d places are held when all is over", held)
		}
	})
	return w
}

func (w *world) accept() {
	for {
		conn, err := w.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.dialled++
		k := &talk{conn, bufio.NewReader(conn), w, w.dialled}
		w.open = append(w.open, conn)
		w.mu.Unlock()
		w.running.Go(func() {
			defer func() { _ = conn.Close() }()
			w.serve(k)
		})
	}
}

// next reads a request with its body; false at the end of the connection.
func (k *talk) next() bool {
	r, err := http.ReadRequest(k.in)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	k.w.requests = append(k.w.requests, fmt.Sprintf("%d %s %s %s", k.nth, r.Method, r.URL.Path, body))
	return true
}

func (k *talk) say(text string) { _, _ = io.WriteString(k, text) }

const saysOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// honest answers all that comes.
func honest(k *talk) {
	for k.next() {
		k.say(saysOK)
	}
}

// heard is the requests so far, and on how many connections.
func (w *world) heard() (requests []string, connections int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests), w.dialled
}

// request makes one as the gate's reverse proxy does: with a trace.
func (w *world) request(ctx context.Context, method, path string, body io.Reader) *http.Request {
	w.begin.Do(func() { w.running.Go(w.accept) })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{})
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.Addr().String()+path, body)
	if err != nil {
		panic(err) // a test's mistake
	}
	return r
}

// ask sends a request, and tells what came of it: status, body and trailers, or
// an error, in a few words.
func (w *world) ask(r *http.Request) string {
	return w.askAnd(r, "", nil)
}

// askAnd likewise, and does something as soon as the body has begun as told.
func (w *world) askAnd(r *http.Request, begins string, do func()) string {
	resp, err := w.up.send(r, 0)
	if err != nil {
		return "error " + kindOf(err)
	}
	head := make([]byte, len(begins))
	if _, err := io.ReadFull(resp.Body, head); err == nil && do != nil {
		do()
	}
	rest, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	body := string(head) + string(rest)
	text := fmt.Sprintf("%d %s", resp.StatusCode, body)
	for _, name := range slices.Sorted(maps.Keys(resp.Trailer)) {
		text += fmt.Sprintf(" %s=%s", name, resp.Trailer.Get(name))
	}
	if err != nil {
		text += " cut"
	}
	return text
}

func (w *world) get(t testing.TB) string {
	return w.ask(w.request(t.Context(), http.MethodGet, "/", nil))
}

// stream hides what a body is made of, as a client's does.
type stream struct{ io.Reader }

func (w *world) post(t testing.TB, body string) string {
	r := w.request(t.Context(), http.MethodPost, "/", stream{strings.NewReader(body)})
	r.ContentLength = int64(len(body))
	return w.ask(r)
}

func kindOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "broken"
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// wants compares what the upstream has read, connection by connection.
func (w *world) wants(t *testing.T, requests ...string) {
	t.Helper()
	if got, _ := w.heard(); !slices.Equal(got, requests) {
		t.Errorf("the upstream read %q, want %q", got, requests)
	}
}

const (
	stays = "stays" // the connection serves the next request
	ends  = "ends"
)

// TestAnswers is what each answer comes to, and whether the connection is used
// again. What the transports differ in has its reason.
func TestAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	second := saysOK
	for name, row := range map[string]struct {
		method  string // default GET
		raw     string
		want    string
		then    string
		unasked bool
		std     string // what net/http makes of it where that differs
		why     string
	}{
		"length":               {raw: ok + "Content-Length: 3\r\n\r\nabc", want: "200 abc", then: stays},
		"no octet":             {raw: ok + "Content-Length: 0\r\n\r\n", want: "200 ", then: stays},
		"chunks":               {raw: ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", want: "200 abc", then: stays},
		"no chunk":             {raw: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "200 ", then: stays},
		"chunk extension":      {raw: ok + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\n\r\n", want: "200 ab", then: stays},
		"large chunk size":     {raw: ok + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n", want: "200  cut", then: ends},
		"no chunk size":        {raw: ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", want: "200  cut", then: ends},
		"chunk without end":    {raw: ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n", want: "200 ab cut", then: ends},
		"trailers":             {raw: ok + "Trailer: A, B\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: 1\r\nB: 2\r\n\r\n", want: "200 a A=1 B=2", then: stays},
		"trailers unannounced": {raw: ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nC: 3\r\n\r\n", want: "200 a C=3", then: stays},
		"bad trailer":          {raw: ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nno field\r\n\r\n", want: "200 a cut", then: ends},
		"until the end":        {raw: ok + "\r\nabc\x00", want: "200 abc", then: ends},
		"HTTP/1.0":             {raw: "HTTP/1.0 200 OK\r\n\r\nabc\x00", want: "200 abc", then: ends},
		"HTTP/1.0 with length": {raw: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", want: "200 a", then: ends},
		"HTTP/1.0 that stays":  {raw: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", want: "200 a", then: stays},
		"says it closes":       {raw: ok + "Connection: close\r\nContent-Length: 1\r\n\r\na", want: "200 a", then: ends},
		"HEAD":                 {method: "HEAD", raw: ok + "Content-Length: 300\r\n\r\n", want: "200 ", then: stays},
		"HEAD in chunks":       {method: "HEAD", raw: ok + "Transfer-Encoding: chunked\r\n\r\n", want: "200 ", then: stays},
		"HEAD with a body":     {method: "HEAD", raw: ok + "Content-Length: 3\r\n\r\nabc", want: "200 ", then: ends, unasked: true},
		"204":                  {raw: "HTTP/1.1 204 No Content\r\n\r\n", want: "204 ", then: stays},
		"204 with a body":      {raw: "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\na", want: "204 ", then: ends, unasked: true},
		"304":                  {raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\n\r\n", want: "304 ", then: stays},
		"both lengths":         {raw: ok + "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", want: "200 a", then: stays},
		"two lengths":          {raw: ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", want: "error broken", then: ends},
		"the same length":      {raw: ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", want: "200 a", then: stays},
		"signed length":        {raw: ok + "Content-Length: +1\r\n\r\na", want: "error broken", then: ends},
		"other coding":         {raw: ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", want: "error broken", then: ends},
		"cut length":           {raw: ok + "Content-Length: 9\r\n\r\nabc\x00", want: "200 abc cut", then: ends},
		"cut chunk":            {raw: ok + "Transfer-Encoding: chunked\r\n\r\n9\r\nabc\x00", want: "200 abc cut", then: ends},
		"cut before the last":  {raw: ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\x00", want: "200 abc cut", then: ends},
		"cut header":           {raw: ok + "Content-Le\x00", want: "error broken", then: ends},
		"nothing":              {raw: "\x00", want: "error broken", then: ends},
		"no HTTP":              {raw: "SSH-2.0-x\r\n", want: "error broken", then: ends},
		"no status":            {raw: "HTTP/1.1 OK\r\n\r\n", want: "error broken", then: ends},
		"status of one digit":  {raw: "HTTP/1.1 007 Bond\r\nContent-Length: 0\r\n\r\n", want: "error broken", then: ends, std: "7 ", why: "net/http's server panics when it is to send it on"},
		"two blanks":           {raw: "HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\na", want: "200 a", then: stays},
		"bare LF":              {raw: "HTTP/1.1 200 OK\nContent-Length: 1\n\na", want: "200 a", then: stays},
		"NUL in a field":       {raw: ok + "A: b" + "\x01" + "\r\nContent-Length: 0\r\n\r\n", want: "error broken", then: ends},
		"large header":         {raw: ok + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 300) + "\r\n", want: "error broken", then: ends},
		"hints before":         {raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100) + saysOK, want: "200 ok", then: stays},
		"hints without end":    {raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10000) + saysOK, want: "error broken", then: ends, why: "no bound counts anew after each"},
		"one more":             {raw: saysOK + second, want: "200 ok", then: ends, unasked: true},
		"an octet more":        {raw: saysOK + "x", want: "200 ok", then: ends, unasked: true},
		"one more after chunks": {raw: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
			want: "200 ", then: ends, unasked: true},
		"asked to wait": {raw: "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", want: "408 ", then: ends},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				over := make(chan struct{})
				w.serve = func(k *talk) {
					if k.nth == 1 {
						defer close(over)
					}
					if k.nth == 1 && k.next() {
						text, cut := strings.CutSuffix(row.raw, "\x00")
						k.say(text)
						if cut {
							return
						}
					}
					honest(k)
				}
				method, expected := row.method, row.want
				if method == "" {
					method = http.MethodGet
				}
				if !w.own && row.std != "" {
					expected = row.std
				}
				want(t, "answer", w.ask(w.request(t.Context(), method, "/first", nil)), expected)
				if row.unasked && !w.own {
					<-over // net/http looks at what is left of an answer after it has handed it out
				}
				want(t, "the next", w.get(t), "200 ok")
				connection := map[string]int{stays: 1, ends: 2}[row.then]
				w.wants(t, "1 "+method+" /first ", fmt.Sprintf("%d GET / ", connection))
				if got := w.unasked.Load() > 0; w.own && got != row.unasked { // net/http tells of the rest in its log
					t.Errorf("unasked octets told: %t", got)
				}
			})
		})
	}
}

// trace is what a request's trace is told of answers before the final one.
func traced(r *http.Request, told *[]string) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got100Continue: func() { *told = append(*told, "go on") },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			*told = append(*told, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		},
	}))
}

func TestInformationalAnswersAreTold(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = func(k *talk) {
			for k.next() {
				k.say("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + saysOK)
			}
		}
		var told []string
		want(t, "answer", w.ask(traced(w.request(t.Context(), http.MethodGet, "/", nil), &told)), "200 ok")
		want(t, "told", strings.Join(told, ", "), "103 a, 102 , 100 ")
	})
}

// TestExpect100 is a body that waits for leave.
func TestExpect100(t *testing.T) {
	const leave = "HTTP/1.1 100 Continue\r\n\r\n"
	for name, row := range map[string]struct {
		first string // what the upstream says before it reads the body
		want  string
		told  string
		body  bool // the upstream gets it
	}{
		"granted": {leave, "200 ok", "go on, 100 ", true},
		"silence": {"", "200 ok", "", true},
		"refused": {"HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", "417 no", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				w.serve = func(k *talk) {
					if _, err := http.ReadRequest(k.in); err != nil {
						return
					}
					k.say(row.first)
					body, _ := io.ReadAll(io.LimitReader(k.in, 4))
					if row.body != (string(body) == "body") {
						t.Errorf("the upstream got %q", body)
					}
					k.say(saysOK)
				}
				var told []string
				r := traced(w.request(t.Context(), http.MethodPost, "/", stream{strings.NewReader("body")}), &told)
				r.ContentLength = 4
				r.Header.Set("Expect", "100-continue")
				want(t, "answer", w.ask(r), row.want)
				want(t, "told", strings.Join(told, ", "), row.told)
			})
		})
	}
}

// A protocol that is switched to has the connection for itself, with what came
// behind the 101.
func TestSwitchedProtocol(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = func(k *talk) {
			if k.nth > 1 {
				honest(k)
				return
			}
			k.next()
			k.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
			_, _ = io.Copy(k, k.in)
		}
		r := w.request(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "echo")
		resp, err := w.up.send(r, 0) //nolint:bodyclose // read to its end, or there is none
		if err != nil {
			t.Fatal(err)
		}
		both, ok := resp.Body.(io.ReadWriteCloser)
		if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%d, %T", resp.StatusCode, resp.Body)
		}
		_, _ = io.WriteString(both, "words")
		_ = both.(interface{ CloseWrite() error }).CloseWrite()
		text, err := io.ReadAll(both)
		want(t, "echo", fmt.Sprint(string(text), err), "early words<nil>")
		_ = both.Close()
		want(t, "the next", w.get(t), "200 ok")
		w.wants(t, "1 GET / ", "2 GET / ")
	})
}

// TestStaleConnection is what becomes of a request when its connection was no
// good any more.
func TestStaleConnection(t *testing.T) {
	closed := make(chan struct{}, 1)
	// What is still on its way can be told from an answer by nobody, and net/http
	// has to have looked.
	arrived := func(k *talk) {
		if k.w.own {
			<-time.After(50 * time.Millisecond)
		} else {
			k.next()
		}
		closed <- struct{}{}
	}
	atOnce := func(k *talk) bool { // closes after the first answer, before there is a second request
		k.next()
		k.say(saysOK)
		_ = k.Conn.(*net.TCPConn).CloseWrite()
		arrived(k)
		return false
	}
	late := func(k *talk) bool { // closes when the second request is there
		k.next()
		k.say(saysOK)
		closed <- struct{}{}
		k.next()
		return false
	}
	forged := func(k *talk) bool { // speaks when nobody asked
		k.next()
		k.say(saysOK)
		k.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
		arrived(k)
		k.next()
		return false
	}
	keyed := func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") }
	for name, row := range map[string]struct {
		first    func(*talk) bool
		method   string
		body     string
		edit     func(*http.Request)
		want     string
		requests []string
	}{
		"GET, closed before":           {first: atOnce, method: "GET", want: "200 ok", requests: []string{"2 GET / "}},
		"POST, closed before":          {first: atOnce, method: "POST", body: "b", want: "200 ok", requests: []string{"2 POST / b"}},
		"GET, closed after":            {first: late, method: "GET", want: "200 ok", requests: []string{"1 GET / ", "2 GET / "}},
		"POST, closed after":           {first: late, method: "POST", body: "b", want: "error broken", requests: []string{"1 POST / b"}},
		"POST without body":            {first: late, method: "POST", want: "error broken", requests: []string{"1 POST / "}},
		"PUT, closed after":            {first: late, method: "PUT", body: "b", want: "error broken", requests: []string{"1 PUT / b"}},
		"POST with a key":              {first: late, method: "POST", edit: keyed, want: "200 ok", requests: []string{"1 POST / ", "2 POST / "}},
		"POST with a key and a stream": {first: late, method: "POST", body: "b", edit: keyed, want: "error broken", requests: []string{"1 POST / b"}},
		"GET, octets before":           {first: forged, method: "GET", want: "200 ok", requests: []string{"2 GET / "}},
		"POST, octets before":          {first: forged, method: "POST", body: "b", want: "200 ok", requests: []string{"2 POST / b"}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				w.serve = func(k *talk) {
					if k.nth > 1 || row.first(k) {
						honest(k)
					}
				}
				want(t, "first", w.get(t), "200 ok")
				<-closed
				r := w.request(t.Context(), row.method, "/", nil)
				if row.body != "" {
					r = w.request(t.Context(), row.method, "/", stream{strings.NewReader(row.body)})
					r.ContentLength = int64(len(row.body))
				}
				if row.edit != nil {
					row.edit(r)
				}
				want(t, "second", w.ask(r), row.want)
				w.wants(t, append([]string{"1 GET / "}, row.requests...)...)
			})
		})
	}
}

// A connection that was never good is nobody's reason to ask twice.
func TestFreshConnectionIsNotTriedAgain(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = func(k *talk) { k.next() }
		want(t, "answer", w.get(t), "error broken")
		w.wants(t, "1 GET / ")
	})
}

func TestSlowHeader(t *testing.T) {
	for name, text := range map[string]string{"none": "", "half": "HTTP/1.1 200 OK\r\nContent-", "hints": "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " own ", own), func(t *testing.T) {
				w := newWorld(t, own, Timeouts{Connect: time.Second, Header: 50 * time.Millisecond})
				ended := make(chan bool, 2)
				w.serve = func(k *talk) {
					k.next()
					k.say(text)
					ended <- k.next()
				}
				want(t, "GET", w.get(t), "error timeout")
				want(t, "POST", w.post(t, "b"), "error timeout")
				if first, second := <-ended, <-ended; first || second {
					t.Error("the connection was used again")
				}
				w.wants(t, "1 GET / ", "2 POST / b")
			})
		}
	}
}

// The time for the header does not run against a body that has begun to come,
// nor against one that is still on its way up.
func TestSlowBodies(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprint("own ", own), func(t *testing.T) {
			w := newWorld(t, own, Timeouts{Connect: time.Second, Header: 100 * time.Millisecond})
			w.serve = func(k *talk) {
				for k.next() {
					k.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
					<-time.After(200 * time.Millisecond)
					k.say("k")
				}
			}
			want(t, "GET", w.get(t), "200 ok")
			r, up := io.Pipe()
			go func() {
				_, _ = io.WriteString(up, "a")
				<-time.After(200 * time.Millisecond)
				_, _ = io.WriteString(up, "b")
				_ = up.Close()
			}()
			want(t, "POST", w.ask(w.request(t.Context(), http.MethodPost, "/", r)), "200 ok")
			w.wants(t, "1 GET / ", "1 POST / ab")
		})
	}
}

// TestCanceled ends a request's context at each stage. The upstream sees its
// connection end, and nothing is left running.
func TestCanceled(t *testing.T) {
	for name, row := range map[string]struct {
		said string // by the upstream, before the context ends
		body bool   // one that does not come
		want string
	}{
		"before the header":   {"", false, "error canceled"},
		"in the header":       {"HTTP/1.1 200 OK\r\nCont", false, "error canceled"},
		"after a hint":        {"HTTP/1.1 103 Early Hints\r\n\r\n", false, "error canceled"},
		"in the body":         {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false, "200 abc cut"},
		"in a chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", false, "200 abc cut"},
		"while the body goes": {"", true, "error canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				begins, inBody := strings.CutSuffix(strings.TrimPrefix(row.want, "200 "), " cut")
				if !inBody {
					begins = ""
				}
				w.serve = func(k *talk) {
					_, _ = http.ReadRequest(k.in)
					k.say(row.said)
					if !inBody {
						<-time.After(20 * time.Millisecond) // so that what was said is read mostly
						cancel()
					}
					_, _ = io.Copy(io.Discard, k.in)
					close(ended)
				}
				r := w.request(ctx, http.MethodGet, "/", nil)
				if row.body {
					content, up := io.Pipe()
					r = w.request(ctx, http.MethodPost, "/", content)
					context.AfterFunc(ctx, func() { _ = up.CloseWithError(io.ErrUnexpectedEOF) }) // as the server does
				}
				got := w.askAnd(r, begins, cancel)
				if row.body && !w.own && got == "error broken" {
					got = row.want // the body, which ends with the context, was first
				}
				want(t, "answer", got, row.want)
				<-ended
			})
		})
	}
	both(t, func(t *testing.T, w *world) {
		w.serve = honest
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		want(t, "canceled before", w.ask(w.request(ctx, http.MethodGet, "/", nil)), "error canceled")
		w.wants(t)
	})
}

// Closing the body from elsewhere ends a Read that waits.
func TestCloseEndsRead(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ended := make(chan struct{})
		w.serve = func(k *talk) {
			k.next()
			k.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
			_, _ = io.Copy(io.Discard, k.in)
			close(ended)
		}
		resp, err := w.up.send(w.request(t.Context(), http.MethodGet, "/", nil), 0)
		if err != nil {
			t.Fatal(err)
		}
		one := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, one); err != nil {
			t.Fatal(err)
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			if n, err := resp.Body.Read(one); n > 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("read %d, %v", n, err)
			}
		})
		_ = resp.Body.Close()
		reading.Wait()
		<-ended
		if _, err := resp.Body.Read(one); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// An answer that comes before the body has gone is delivered, and the rest of
// the body gets no other connection, nor does another request get this one.
func TestEarlyAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"stays":  "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno",
		"closes": "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
		"empty":  "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				ended := make(chan struct{})
				w.serve = func(k *talk) {
					if k.nth > 1 {
						honest(k)
						return
					}
					_, _ = http.ReadRequest(k.in)
					k.say(text)
					_, _ = io.Copy(io.Discard, k.in)
					close(ended)
				}
				content, up := io.Pipe()
				go func() { _, _ = io.WriteString(up, "begun") }()
				r := w.request(t.Context(), http.MethodPost, "/", content)
				r.ContentLength = 1 << 20
				if got := w.ask(r); !strings.HasPrefix(got, "413 ") || strings.Contains(got, "cut") {
					t.Errorf("answer %q", got)
				}
				<-ended
				want(t, "the next", w.get(t), "200 ok")
				w.wants(t, "2 GET / ")
				_ = up.CloseWithError(io.ErrUnexpectedEOF) // as a server does, when its handler has returned
			})
		})
	}
}

// A body that breaks off is not whole for the upstream, and the error is its
// own.
func TestBrokenBody(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		broken := errors.New("broken off")
		w.serve = func(k *talk) {
			if k.next() {
				t.Error("the upstream took the body for whole")
			}
		}
		for _, length := range []int64{-1, 9} {
			content, up := io.Pipe()
			go func() {
				_, _ = io.WriteString(up, "half")
				_ = up.CloseWithError(broken)
			}()
			r := w.request(t.Context(), http.MethodPost, "/", content)
			r.ContentLength = length
			if _, err := w.up.send(r, 0); !errors.Is(err, broken) { //nolint:bodyclose // read to its end, or there is none
				t.Errorf("length %d: %v", length, err)
			}
		}
		short := w.request(t.Context(), http.MethodPost, "/", stream{strings.NewReader("short")})
		short.ContentLength = 9
		if _, err := w.up.send(short, 0); err == nil { //nolint:bodyclose // read to its end, or there is none
			t.Error("a body shorter than its length was answered")
		}
	})
}

// Bodies go up while answers come down, connections are shared, and everybody
// gets what was asked for.
func TestEverybodyGetsTheirOwn(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = func(k *talk) {
			for {
				r, err := http.ReadRequest(k.in)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(r.Body)
				k.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body)+len(r.URL.Path), r.URL.Path+string(body)))
			}
		}
		var asking sync.WaitGroup
		for i := range 8 {
			asking.Go(func() {
				for j := range 100 {
					path := fmt.Sprintf("/%d/%d", i, j)
					body := strings.Repeat("x", j*100)
					r := w.request(t.Context(), http.MethodPost, path, stream{strings.NewReader(body)})
					r.ContentLength = int64(len(body))
					if j%3 == 0 {
						r.ContentLength = -1
					}
					if j%2 == 0 {
						r, body = w.request(t.Context(), http.MethodGet, path, nil), ""
					}
					if got := w.ask(r); got != "200 "+path+body {
						t.Errorf("%s: %.80q", path, got)
					}
				}
			})
		}
		asking.Wait()
		if _, connections := w.heard(); w.own && connections > 16 { // whose body goes up has its connection for a moment longer; net/http dials ahead
			t.Errorf("%d connections for 8 at a time", connections)
		}
	})
}

// What may not be written is refused before anybody is asked.
func TestUnwritableRequests(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = honest
		for name, edit := range map[string]func(*http.Request){
			"CR LF in a value": func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
			"NUL in a value":   func(r *http.Request) { r.Header["A"] = []string{"b\x00"} },
			"blank in a name":  func(r *http.Request) { r.Header["A B"] = []string{"c"} },
			"no name":          func(r *http.Request) { r.Header[""] = []string{"c"} },
			"method":           func(r *http.Request) { r.Method = "GET /x HTTP/1.1\r\nA:" },
			"trailer":          func(r *http.Request) { r.Trailer = http.Header{"A:": nil} },
			"target":           func(r *http.Request) { r.URL.Opaque = "/a\r\nB: c" },
			"scheme":           func(r *http.Request) { r.URL.Scheme = "ftp" },
			"no header":        func(r *http.Request) { r.Header = nil },
		} {
			r := w.request(t.Context(), http.MethodGet, "/", nil)
			edit(r)
			want(t, name, w.ask(r), "error broken")
		}
		w.wants(t)
		want(t, "the next", w.get(t), "200 ok")
	})
}

// Each request's body is closed in the end, whatever becomes of it.
type closing struct {
	io.Reader
	closed chan struct{}
	once   sync.Once
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func TestBodiesAreClosed(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = func(k *talk) {
			for k.next() {
				if k.nth == 1 {
					k.say(saysOK)
				} else {
					_ = k.Close()
				}
			}
		}
		for name, edit := range map[string]func(*http.Request){
			"good": func(*http.Request) {}, "bad": func(r *http.Request) { r.Method = "a b" },
			"closed": func(r *http.Request) { r.Close = true }, "unanswered": func(*http.Request) {},
		} {
			body := &closing{Reader: strings.NewReader("body"), closed: make(chan struct{})}
			r := w.request(t.Context(), http.MethodPost, "/", body)
			edit(r)
			_ = w.ask(r)
			select {
			case <-body.closed:
			case <-time.After(5 * time.Second):
				t.Errorf("%s: the body is not closed", name)
			}
		}
	})
}

// FuzzOwnAnswers holds what package onward makes of an answer against what
// http.ReadResponse makes of the same octets: what it does not find whole and
// nothing behind it costs the connection.
func FuzzOwnAnswers(f *testing.F) {
	for _, text := range []string{
		saysOK, saysOK + saysOK, saysOK + "\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n" + saysOK,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 099 \r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w := newWorld(t, true, Timeouts{Connect: time.Second, Header: time.Second})
		whole, clean := reference(raw)
		w.serve = func(k *talk) {
			if k.nth == 1 && k.next() {
				_, _ = k.Write(raw)
				if !clean && whole == "" {
					return
				}
			}
			honest(k)
		}
		got := w.get(t)
		if whole != "" && got != whole {
			t.Errorf("%q, want %q", got, whole)
		}
		want(t, "the next", w.get(t), "200 ok")
		requests, _ := w.heard()
		if last := requests[len(requests)-1]; !clean && last != "2 GET / " {
			t.Errorf("used again after %q: %q", raw, requests)
		}
	})
}

// reference reads octets as the answer to a GET. whole is what comes of it, if
// it ends before the connection does; clean says that another may follow.
func reference(raw []byte) (whole string, clean bool) {
	in := bufio.NewReader(strings.NewReader(string(raw)))
	for {
		resp, err := http.ReadResponse(in, nil) //nolint:bodyclose // read to its end, or there is none
		if err != nil || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			return "", false
		}
		if resp.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.Close {
			return "", false
		}
		whole = fmt.Sprintf("%d %s", resp.StatusCode, body)
		for _, name := range slices.Sorted(maps.Keys(resp.Trailer)) {
			whole += fmt.Sprintf(" %s=%s", name, resp.Trailer.Get(name))
		}
		_, err = in.Peek(1)
		return whole, err != nil
	}
}
