// Package introspect asks an authorization server about a token (RFC 7662) and
// remembers the answers briefly. It tells what the server says of the token;
// whether that is good enough is judged by package validator, by the rules for
// every token.
package introspect

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// Bounds on what is asked and remembered.
const (
	maxBody       = 64 << 10               // octets of an answer
	inFlight      = 64                     // questions to one server at once
	queueTime     = 100 * time.Millisecond // how long a further one waits for its turn
	negativeTime  = 10 * time.Second       // how long a refusal is remembered
	positiveBytes = 64 << 20               // of all active answers remembered, by the text of the answers
	negativeCount = 64 << 10               // refusals remembered
	longestWait   = 30 * time.Second       // of what a Retry-After may ask for
)

// How a question ended, for Asked.Result.
const (
	Active      = "active"
	Inactive    = "inactive" // or active, with a member of the wrong type
	Denied      = "denied"   // the server refuses our credentials
	Unavailable = "error"    // no answer, or none that can be read
	TimedOut    = "timeout"
	Busy        = "busy"   // not asked: too many questions are open
	Paused      = "paused" // not asked: the server failed too often, or wants to be left alone
)

// Results lists every result of a question.
func Results() []string {
	return []string{Active, Inactive, Denied, Unavailable, TimedOut, Busy, Paused}
}

// Asked tells how one question ended.
type Asked struct {
	Issuer string
	Result string
	Took   time.Duration
	Err    error // why nobody can tell; nil for Active and Inactive
}

// Options of a Client. The hooks may be nil.
type Options struct {
	Keys     *jwks.Cache // of the issuers, for servers with Signed; else nil
	OnAsked  func(Asked)
	OnLookup func(issuer string, hit bool)
	OnPause  func(issuer string, paused bool) // the breaker opened, or closed again
	OnShared func(issuer, result string)      // the shared answers were looked at; may be nil like the others
}

// Client asks the servers it was configured with. It lives as long as the
// process, so that a reload forgets no answer and no failure, and is safe for
// concurrent use.
type Client struct {
	options Options
	root    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards all below
	servers map[string]*server
	answers *answers
	flights map[[32]byte]*flight
}

// flight is a question under way. claims and err are set before done is closed.
type flight struct {
	done   chan struct{}
	claims *token.Claims
	err    error
}

// New makes a Client that knows no server yet.
func New(o Options) *Client {
	c := &Client{options: o, servers: map[string]*server{}, answers: newAnswers(), flights: map[[32]byte]*flight{}}
	c.root, c.stop = context.WithCancel(context.Background())
	return c
}

// Configure replaces the servers. One that stays as it was keeps its
// connections and its breaker.
func (c *Client) Configure(list []Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]*server, len(list))
	for _, s := range list {
		if old := c.servers[s.Name]; old != nil && old.equal(&s) {
			next[s.Name] = old
			continue
		}
		next[s.Name] = newServer(s, c.changed)
		next[s.Name].keys = c.options.Keys
	}
	for name, old := range c.servers {
		if next[name] != old {
			old.client.CloseIdle()
		}
	}
	c.servers = next
	for _, s := range next {
		c.tellPaused(s.label())
	}
}

// changed is called when a breaker opened or closed.
func (c *Client) changed(issuer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellPaused(issuer)
}

// tellPaused tells whether any tenant of an issuer is left alone. It is called
// with c.mu held.
func (c *Client) tellPaused(issuer string) {
	if c.options.OnPause == nil {
		return
	}
	paused := false
	for _, s := range c.servers {
		paused = paused || s.label() == issuer && s.breaker.isOpen()
	}
	c.options.OnPause(issuer, paused)
}

// Close ends the questions under way and closes all connections.
func (c *Client) Close() {
	c.stop()
	c.running.Wait()
	c.Configure(nil)
}

// Introspect says what the server called name tells about raw, whose SHA-256 is
// digest. The error is a *token.Error when the token is not
// active or a claim has the wrong type, else a *token.Fault. Callers with the
// same token wait for one answer, which comes also when the first of them goes
// away.
func (c *Client) Introspect(ctx context.Context, name, raw string, digest [32]byte) (*token.Claims, error) {
	c.mu.Lock()
	s := c.servers[name]
	if s == nil {
		c.mu.Unlock()
		return nil, fault(0, errUnknown)
	}
	key := s.key(digest)
	known := c.answers.get(key, time.Now(), s.Cache)
	if known != nil {
		c.mu.Unlock()
		c.lookedUp(s.label(), true)
		return known.claims, known.err
	}
	f := c.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[key] = f
		c.running.Go(func() { c.fly(s, f, key, raw) })
	}
	c.mu.Unlock()
	c.lookedUp(s.label(), false)
	return f.wait(ctx)
}

func (f *flight) wait(ctx context.Context) (claims *token.Claims, err error) {
	if ended := spans.Waiting(ctx, "introspection"); ended != nil {
		defer func() { ended(unanswered(err)) }()
	}
	select {
	case <-f.done:
		return f.claims, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unanswered is err, but for an answer that the token is no good.
func unanswered(err error) error {
	if _, refused := errors.AsType[*token.Error](err); refused {
		return nil
	}
	return err
}

func (c *Client) lookedUp(issuer string, hit bool) {
	if c.options.OnLookup != nil {
		c.options.OnLookup(issuer, hit)
	}
}

// fly asks and remembers. It runs on the client's own context: whoever came
// first may go away, and the others who wait must not go away with him.
func (c *Client) fly(s *server, f *flight, key [32]byte, raw string) {
	defer c.land(s, f, key)
	if told := c.recall(s, key); told != nil {
		c.settle(s, f, key, told)
		close(f.done)
		return
	}
	told := &reply{began: time.Now()}
	var result string
	told.answer, result, told.err = s.ask(c.root, raw)
	asked := Asked{Issuer: s.label(), Result: result, Took: time.Since(told.began)}
	if result != Active && result != Inactive {
		asked.Err = told.err
	}
	c.settle(s, f, key, told)
	if c.options.OnAsked != nil {
		c.options.OnAsked(asked)
	}
	close(f.done)
	c.pass(s, key, told)
}

// land turns a panic into an answer that says nothing: what is read was written
// by others, and a panic on this goroutine would end the process.
func (c *Client) land(s *server, f *flight, key [32]byte) {
	p := recover()
	if p == nil {
		return
	}
	select {
	case <-f.done: // only the sharing of the answer failed
		return
	default:
	}
	c.settle(s, f, key, &reply{began: time.Now(), err: fault(0, fmt.Errorf("asking panicked: %T", p))})
	close(f.done)
}

// reply is what a question came to, asked here or at another gate. With a
// *token.Error the answer has a text only, with any other error there is none.
type reply struct {
	answer *answer
	err    error
	began  time.Time
}

// end is until when it is remembered, given how long active answers are.
func (r *reply) end(cache time.Duration) time.Time {
	if r.err != nil {
		return r.began.Add(negativeTime)
	}
	end := r.began.Add(cache)
	if expiry := r.answer.claims.Expiry; !expiry.IsZero() {
		end = earlier(end, expiry)
	}
	return end
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// settle remembers a reply and ends the question, but for waking those who wait.
func (c *Client) settle(s *server, f *flight, key [32]byte, told *reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch refusal, refused := errors.AsType[*token.Error](told.err); {
	case told.err == nil:
		c.answers.keep(key, told.answer, told.began, s.Cache+s.Grace)
		f.claims = told.answer.claims
	case refused:
		f.err = refusal
		c.answers.refuse(key, refusal, told.began)
	default:
		f.err = told.err
		if now := c.servers[s.Name]; now != nil { // what is in force may be stricter than when the question began
			f.claims = c.answers.grace(key, time.Now(), now.Cache+now.Grace)
		}
		if f.claims != nil {
			f.err = nil
		}
	}
	delete(c.flights, key)
}

var errUnknown = fmt.Errorf("asking the issuer about tokens: %w", token.ErrNotConfigured)

func fault(wait time.Duration, cause error) *token.Fault {
	return &token.Fault{Reason: token.ReasonIntrospectionUnavailable, RetryAfter: max(wait, time.Second), Cause: cause}
}

// prefix is the part of a key that is the server's: who was asked, where, and
// as whom. Each field goes with its length, so that no two run together.
func prefix(fields ...string) []byte {
	h := sha256.New()
	for _, f := range fields {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f))))
		h.Write([]byte(f))
	}
	return h.Sum(nil)
}

// readAnswer reads the body of an answer with status 200 (RFC 7662 section
// 2.2). An empty object is no answer. What is not active is a *token.Error; what
// cannot be read is another error. With a *token.Error the answer has a text and
// no claims.
func readAnswer(body *fetch.Body) (*answer, error) {
	if body.ContentType != "application/json" {
		return nil, errType
	}
	return readMembers(string(body.Bytes))
}

func readMembers(text string) (*answer, error) {
	o, err := token.ParseObject(trim(text))
	if err != nil {
		return nil, err
	}
	if len(o.Members()) == 0 {
		return nil, errEmpty
	}
	a := &answer{size: len(text), text: text}
	if active, _ := o.Get("active"); active != "true" {
		return a, token.Refuse(token.InvalidToken, token.ReasonInactive)
	}
	a.claims, err = token.ReadClaims(o)
	return a, err
}

var (
	errType  = errors.New("the answer's content type is not application/json")
	errEmpty = errors.New("the answer is empty")
)
