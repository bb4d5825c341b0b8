package peers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/smuggle"
)

// The gate logs at most 100 requests a second of one kind, so payloads are paced
// for each to be found there. Of the mutations each mutationStep-th is sent.
const (
	pace         = 25 * time.Millisecond
	mutationStep = 43
	workers      = 24
)

// briefly has the gate give up soon on clients that send nothing.
const briefly = "timeouts: {read_header: 1s, body_stall: 1s%s}\nlog: {access: all}\n"

// TestFronts has each proxy take what clients send, and pass on to the gate what
// it makes of it.
func TestFronts(t *testing.T) {
	t.Parallel()
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			behind := startRecorder(t)
			g := startGate(t, "http://"+behind.Addr().String(), fmt.Sprintf(briefly, ""))
			m := p.start(t, g.address)
			(&pair{t: t, gate: g, http1: m.http1, http2: m.http2, behind: behind, exact: true}).run()
		})
	}
}

// TestBehinds has each proxy, and none at all, take what the gate makes of what
// clients send.
func TestBehinds(t *testing.T) {
	t.Parallel()
	none := peer{"none", func(_ *testing.T, to string) middle { return middle{to, to} }}
	for _, p := range append(peers(), none) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			behind := startRecorder(t)
			m := p.start(t, behind.Addr().String())
			g := startGate(t, "http://"+m.http1, fmt.Sprintf(briefly, ", idle: 1s"))
			(&pair{t: t, gate: g, http1: g.address, http2: g.address, behind: behind}).run()
		})
	}
}

// pair is the gate and a proxy one behind the other, between clients and the
// recorder.
type pair struct {
	*gate
	t            *testing.T
	http1, http2 string // where clients connect
	behind       *recorder
	exact        bool // nothing between the gate and the recorder may spell a path otherwise

	sent, kept, canaries atomic.Int64

	mu      sync.Mutex // guards answers
	answers map[string]int
}

// note counts who answered a payload first, and how.
func (p *pair) note(status, body string) {
	who := "something else"
	switch lower := strings.ToLower(body); {
	case status == "":
		who = "nobody: the connection was closed"
	case status == "reset":
		who = "a stream reset"
	case strings.HasPrefix(status, "2"):
		who = "the recorder"
	case strings.HasPrefix(body, `{"error"`):
		who = "the gate"
	case strings.Contains(lower, "<html"), strings.Contains(lower, "<!doctype"):
		who = "the proxy"
	case strings.HasPrefix(lower, status+" "), strings.HasPrefix(lower, "malformed "), strings.HasPrefix(lower, "unsupported "):
		who = "net/http in the gate"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers == nil {
		p.answers = map[string]int{}
	}
	p.answers[who]++
}

func (p *pair) run() {
	p.all()
	p.idle(p.t)
	executed, broken := p.behind.requests()
	for _, text := range broken {
		p.t.Errorf("the recorder got what is no request: %.300q", text)
	}
	for _, s := range executed {
		p.inspect(s)
	}
	p.compare(executed)
}

// all sends every payload, each on a connection of its own, and a good request
// after each, on the same connection or else on a fresh one.
func (p *pair) all() {
	jobs := make(chan func() bool)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for job := range jobs {
				if p.sent.Add(1); !job() {
					p.canary()
				}
			}
		})
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	send := func(job func() bool) {
		<-tick.C
		jobs <- job
	}
	authorization := "Authorization: Bearer " + p.token
	for _, payload := range smuggle.Catalogue(authorization) {
		send(func() bool { return p.send(payload) })
	}
	for _, stream := range smuggle.Streams("Bearer " + p.token) {
		send(func() bool { return p.stream(stream) })
	}
	mutations := smuggle.Mutations(authorization)
	for i := 0; i < len(mutations); i += mutationStep {
		send(func() bool { return p.send(smuggle.Payload{ID: "H-13", Text: mutations[i]}) })
	}
	close(jobs)
	running.Wait()
}

func (p *pair) dial(address string) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		p.t.Error(err)
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	return conn
}

// send wants the connection closed in the end, or the next request on it
// answered with what it asked for, which it reports.
func (p *pair) send(payload smuggle.Payload) (served bool) {
	conn := p.dial(p.http1)
	if conn == nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, payload.Text) }() // a reset ends it
	in := bufio.NewReader(conn)
	method, _, _ := strings.Cut(payload.Text, " ")
	first, err := answer(in, method)
	if err == nil {
		p.note(strconv.Itoa(first.StatusCode), first.body)
		if payload.Whole && !first.Close && first.StatusCode != http.StatusSwitchingProtocols && p.next(conn, in, payload) {
			p.kept.Add(1)
			return true
		}
	} else {
		p.note("", "")
	}
	if isTimeout(err) {
		p.t.Errorf("%s: no answer to %.300q", payload.ID, p.redacted(payload.Text))
	} else if _, err = io.Copy(io.Discard, in); isTimeout(err) {
		p.t.Errorf("%s: the connection stays open after %.300q", payload.ID, p.redacted(payload.Text))
	}
	return false
}

// next sends one more good request on a connection that stays open, and reports
// whether it was answered.
func (p *pair) next(conn net.Conn, in *bufio.Reader, payload smuggle.Payload) bool {
	target := p.target()
	_, _ = io.WriteString(conn, p.good(target)) // a reset shows in the answer
	second, err := answer(in, http.MethodGet)
	if err != nil {
		return false
	}
	if second.body != "GET "+target && second.StatusCode == http.StatusOK {
		p.t.Errorf("%s: after %.300q, %s was answered with %q", payload.ID, p.redacted(payload.Text), target, second.body)
	}
	return second.StatusCode == http.StatusOK
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func (p *pair) redacted(text string) string { return strings.ReplaceAll(text, p.token, "…") }

// target is a target that nobody else asks for.
func (p *pair) target() string { return fmt.Sprintf("/any/canary-%d", p.canaries.Add(1)) }

func (p *pair) good(target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer " + p.token + "\r\n\r\n"
}

// canary sends a good request on a fresh connection. A busy machine may cost it
// a try; an answer that belongs to another it must never get.
func (p *pair) canary() {
	last := ""
	for range 4 {
		conn := p.dial(p.http1)
		if conn == nil {
			return
		}
		target := p.target()
		_, _ = io.WriteString(conn, p.good(target)) // a reset shows in the answer
		a, err := answer(bufio.NewReader(conn), http.MethodGet)
		_ = conn.Close()
		if err == nil && a.StatusCode == http.StatusOK {
			if a.body != "GET "+target {
				p.t.Errorf("%s was answered with %q", target, a.body)
			}
			return
		}
		last = fmt.Sprint(a, err)
	}
	p.t.Errorf("a good request gets no answer: %s", last)
}

// reply is an answer, read whole.
type reply struct {
	*http.Response
	body string
}

// answer reads one final answer.
func answer(in *bufio.Reader, method string) (reply, error) {
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return reply{}, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return reply{resp, string(body)}, err
		}
	}
}

// inspect wants a request at the recorder to be one that was decided about, said
// once who asks, and be for what the gate took it for.
func (p *pair) inspect(s seen) {
	subject := "user-1"
	if strings.HasPrefix(s.target, "/open/") {
		subject = ""
	}
	if fault := smuggle.Fault(s.head, subject); fault != "" {
		p.t.Errorf("the recorder ran a request with %s: %q", fault, s.head)
	}
	if s.method == http.MethodConnect || s.method == http.MethodTrace || !strings.HasPrefix(s.target, "/any/") && subject != "" && !strings.HasPrefix(s.target, "/%61ny/") || strings.Contains(s.target, "smuggled") || smuggle.Wanders(s.target) {
		p.t.Errorf("the recorder ran %s %q", s.method, s.target)
	}
	if strings.Contains(strings.ToLower(s.trailers), "auth") || strings.Contains(s.trailers, "evil") {
		p.t.Errorf("the recorder got the trailers %q", s.trailers)
	}
}

// compare holds what was run against what the gate has allowed: each 200 it gave
// was run once, each that was run was allowed once, by the path that was run.
func (p *pair) compare(executed []seen) {
	const requests = "wicketgate_requests_total"
	allowed := p.counted(p.t, requests, `decision="allowed"`) + p.counted(p.t, requests, `decision="public"`)
	answered := p.counted(p.t, requests, `code="2xx",decision="allowed"`) + p.counted(p.t, requests, `code="2xx",decision="public"`)
	decided := p.counted(p.t, requests, "")
	if len(executed) < answered || len(executed) > allowed {
		p.t.Errorf("the gate allowed %d requests and answered %d with success, and the recorder ran %d", allowed, answered, len(executed))
	}
	if n := p.counted(p.t, "wicketgate_access_log_dropped_total", ""); n > 0 {
		p.t.Errorf("%d lines of the log are missing", n)
	}
	logged := p.allowedInLog()
	for _, s := range executed {
		key := p.spelt(s.method, s.target)
		if logged[key]--; logged[key] < 0 {
			p.t.Errorf("the recorder ran %s, which the gate has not allowed", key)
		}
	}
	reached := decided - int(p.canaries.Load())
	if reached < int(p.sent.Load())/5 || p.kept.Load() < 20 {
		p.t.Errorf("of %d payloads the gate decided about %d, and %d left the connection open", p.sent.Load(), reached, p.kept.Load())
	}
	p.t.Logf("%d payloads: the gate decided about %d, allowed %d, and the recorder ran %d; %d left the connection open; the first answers were by %v",
		p.sent.Load(), reached, allowed-int(p.canaries.Load()), len(executed)-int(p.canaries.Load()), p.kept.Load(), p.answers)
}

// allowedInLog counts the requests that were let through, by method and path.
func (p *pair) allowedInLog() map[string]int {
	found := map[string]int{}
	for line := range strings.Lines(p.log.String()) {
		var entry struct {
			Method   string `json:"http.request.method"`
			Path     string `json:"url.path"`
			Decision string `json:"gate.decision"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Decision == "allowed" || entry.Decision == "public") {
			found[p.spelt(entry.Method, entry.Path)]++
		}
	}
	return found
}

// spelt is a request as both ends write it: the log ends a path where a query
// might begin, and names well-known methods only.
func (p *pair) spelt(method, target string) string {
	path, _, _ := strings.Cut(target, "?")
	if !p.exact {
		if decoded, err := url.PathUnescape(path); err == nil {
			path = decoded
		}
	}
	if !strings.Contains(" GET HEAD POST PUT PATCH DELETE OPTIONS ", " "+method+" ") {
		method = "other"
	}
	return method + " " + path
}
