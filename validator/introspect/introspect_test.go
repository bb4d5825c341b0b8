package introspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/token"
)

// endpoint is a server in memory: it answers after a while with a body or an
// error.
type endpoint struct {
	mu    sync.Mutex // guards all below
	body  string
	err   error
	took  time.Duration
	calls int
	open  int
	most  int
}

func (e *endpoint) post(ctx context.Context, _ string, _ url.Values, _ http.Header) (*fetch.Body, error) {
	e.mu.Lock()
	e.calls++
	e.open++
	e.most = max(e.most, e.open)
	took := e.took
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.open--
		e.mu.Unlock()
	}()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, e.err
	}
	return &fetch.Body{Bytes: []byte(e.body), ContentType: "application/json"}, nil
}

func (e *endpoint) say(body string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.body, e.err = body, err
}

func (e *endpoint) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

// newTest makes a client of one server in memory. It is called in a bubble.
func newTest(t *testing.T, s Server) (*Client, *endpoint) {
	t.Helper()
	e := &endpoint{body: `{"active":true}`}
	s.Name, s.Issuer, s.Endpoint, s.ClientID, s.Secret = "as", "https://as.example.com", "https://as.example.com/i", "gate", "secret"
	c := New(Options{})
	c.Configure([]Server{s})
	c.servers["as"].post = e.post
	t.Cleanup(c.Close)
	return c, e
}

func introspect(t *testing.T, c *Client, raw string) (*token.Claims, error) {
	t.Helper()
	return c.Introspect(t.Context(), "as", raw, sha256.Sum256([]byte(raw)))
}

func want(t *testing.T, c *Client, raw string, reason token.Reason) {
	t.Helper()
	_, err := introspect(t, c, raw)
	refusal, refused := errors.AsType[*token.Error](err)
	fault, faulty := errors.AsType[*token.Fault](err)
	switch {
	case err == nil && reason == token.ReasonNone:
	case refused && refusal.Reason == reason && refusal.Code == token.InvalidToken:
	case faulty && fault.Reason == reason && fault.RetryAfter >= time.Second:
	default:
		t.Errorf("%v, want %q", err, reason)
	}
}

func wantAsked(t *testing.T, e *endpoint, n int) {
	t.Helper()
	if got := e.asked(); got != n {
		t.Errorf("asked %d times, want %d", got, n)
	}
}

func TestAnswers(t *testing.T) {
	const unavailable = token.ReasonIntrospectionUnavailable
	deep := strings.Repeat(`{"a":`, 30) + "1" + strings.Repeat("}", 30)
	for body, reason := range map[string]token.Reason{
		`{"active":true}`: token.ReasonNone, ` {"active":true,"x":{"y":[1]}}` + "\r\n": token.ReasonNone,
		`{"active":false}`: token.ReasonInactive, `{"active":false,"sub":1}`: token.ReasonInactive, `{"sub":"a"}`: token.ReasonInactive,
		`{"active":"true"}`: token.ReasonInactive, `{"active":1}`: token.ReasonInactive, `{"active":null}`: token.ReasonInactive,
		`{"active":[true]}`: token.ReasonInactive, `{"Active":true}`: token.ReasonInactive,
		`{"active":true,"active":true}`: unavailable, `{"active":true,"active":false}`: unavailable, `{"active":true,"\u0061ctive":true}`: unavailable,
		`{}`: unavailable, ``: unavailable, `[]`: unavailable, `true`: unavailable, `<html>`: unavailable, deep: unavailable,
		`{"active":true}{}`:               unavailable,
		`{"active":true,"exp":"9"}`:       token.ReasonClaim,
		`{"active":true,"exp":-1}`:        token.ReasonClaim,
		`{"active":true,"sub":1}`:         token.ReasonClaim,
		`{"active":true,"iss":""}`:        token.ReasonClaim,
		`{"active":true,"client_id":[]}`:  token.ReasonClaim,
		`{"active":true,"aud":1}`:         token.ReasonAudience,
		`{"active":true,"aud":["a",1]}`:   token.ReasonAudience,
		`{"active":true,"cnf":{}}`:        token.ReasonConfirmation,
		`{"active":true,"cnf":{"jkt":1}}`: token.ReasonConfirmation,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, e := newTest(t, Server{})
			e.say(body, nil)
			if _, err := introspect(t, c, "raw"); reason == token.ReasonNone && err != nil {
				t.Errorf("%s: %v", body, err)
			}
			if e.say(body, nil); reason != token.ReasonNone {
				want(t, c, "raw", reason)
			}
		})
	}
}

func TestRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: 30 * time.Second})
		want(t, c, "raw", "")
		time.Sleep(30*time.Second - 1)
		e.say(`{"active":false}`, nil)
		want(t, c, "raw", "")
		wantAsked(t, e, 1)
		time.Sleep(time.Nanosecond)
		want(t, c, "raw", token.ReasonInactive)
		e.say(`{"active":true}`, nil)
		time.Sleep(10*time.Second - 1)
		want(t, c, "raw", token.ReasonInactive)
		wantAsked(t, e, 2)
		time.Sleep(time.Nanosecond)
		want(t, c, "raw", "")
		wantAsked(t, e, 3)
	})
}

func TestNeverPastExp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: 60 * time.Second, Grace: time.Hour})
		e.say(fmt.Sprintf(`{"active":true,"exp":%d}`, time.Now().Unix()+5), nil)
		want(t, c, "raw", "")
		time.Sleep(5*time.Second - 1)
		want(t, c, "raw", "")
		wantAsked(t, e, 1)
		time.Sleep(time.Nanosecond)
		e.say("", errors.New("down"))
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		wantAsked(t, e, 2)
	})
}

func TestNothingRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		want(t, c, "raw", "")
		want(t, c, "raw", "")
		wantAsked(t, e, 2)
	})
}

func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: 10 * time.Second, Grace: 20 * time.Second})
		want(t, c, "raw", "")
		e.say("", errors.New("down"))
		time.Sleep(30*time.Second - 1)
		want(t, c, "raw", "")
		want(t, c, "other", token.ReasonIntrospectionUnavailable)
		time.Sleep(time.Nanosecond)
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		e.say(`{"active":false}`, nil)
		want(t, c, "raw", token.ReasonInactive)
	})
}

// TestOneCall: all who come with one token while it is asked about wait for one
// answer, also when the first of them goes away.
func TestOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: time.Second})
		e.took = time.Second
		ctx, leave := context.WithCancel(t.Context())
		digest := sha256.Sum256([]byte("raw"))
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := c.Introspect(ctx, "as", "raw", digest); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		for range 999 {
			group.Go(func() { want(t, c, "raw", "") })
		}
		synctest.Wait()
		leave()
		group.Wait()
		wantAsked(t, e, 1)
	})
}

// TestBulkhead: of a thousand tokens at once, 64 are asked about, and the rest
// is told to come again within 100 ms.
func TestBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.took = time.Second
		began, busy := time.Now(), 0
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				_, err := introspect(t, c, fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					busy++
					if !errors.Is(err, errBusy) || time.Since(began) != 100*time.Millisecond {
						t.Errorf("%v after %s", err, time.Since(began))
					}
				}
			})
		}
		group.Wait()
		if e.most != 64 || busy != 936 {
			t.Errorf("%d at once, %d busy", e.most, busy)
		}
		want(t, c, "again", "")
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.took = time.Hour
		began := time.Now()
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []bool
		c, e := newTest(t, Server{})
		c.servers["as"].breaker.onChange = func(open bool) { changes = append(changes, open) }
		e.say("", &fetch.StatusError{Code: 500})
		for i := range 40 {
			want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable)
		}
		wantAsked(t, e, 20)
		time.Sleep(5*time.Second - 1)
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		wantAsked(t, e, 20)
		time.Sleep(time.Nanosecond)
		e.took = time.Second // the probe: nobody else is let by while it runs
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() { want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable) })
		}
		group.Wait()
		wantAsked(t, e, 21)
		e.say(`{"active":true}`, nil)
		time.Sleep(5 * time.Second)
		want(t, c, "raw", "")
		for i := range 10 {
			want(t, c, fmt.Sprint(i), "")
		}
		if fmt.Sprint(changes) != "[true false]" {
			t.Errorf("changes %v", changes)
		}
	})
}

// TestOddTokensKeepTheBreakerShut: what the server says of one token, readable
// or not, is no failure of the server.
func TestOddTokensKeepTheBreakerShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.say(`{"active":true,"active":true}`, nil)
		for i := range 40 {
			want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable)
		}
		wantAsked(t, e, 40)
	})
}

func TestCredentialsRefused(t *testing.T) {
	for _, code := range []int{401, 403} {
		synctest.Test(t, func(t *testing.T) {
			c, e := newTest(t, Server{})
			told := []string{}
			c.options.OnAsked = func(a Asked) { told = append(told, a.Result) }
			e.say("", &fetch.StatusError{Code: code})
			want(t, c, "raw", token.ReasonIntrospectionUnavailable)
			want(t, c, "raw", token.ReasonIntrospectionUnavailable)
			wantAsked(t, e, 1)
			if fmt.Sprint(told) != "[denied paused]" {
				t.Errorf("told %v", told)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for said, held := range map[time.Duration]time.Duration{3 * time.Second: 3 * time.Second, time.Hour: 30 * time.Second} {
		for _, code := range []int{429, 503} {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{})
				e.say("", &fetch.StatusError{Code: code, RetryAfter: said})
				_, err := introspect(t, c, "raw")
				if fault, ok := errors.AsType[*token.Fault](err); !ok || fault.RetryAfter != held {
					t.Errorf("%v", err)
				}
				e.say(`{"active":true}`, nil)
				time.Sleep(held - 1)
				want(t, c, "raw", token.ReasonIntrospectionUnavailable)
				wantAsked(t, e, 1)
				time.Sleep(time.Nanosecond)
				want(t, c, "raw", "")
			})
		}
	}
}

// TestServersApart: one token at two servers, or at one as two clients, has
// verdicts of its own, and a reload that changes neither keeps them.
func TestServersApart(t *testing.T) {
	a := Server{Name: "a", Issuer: "https://a.example.com", Endpoint: "https://a.example.com/i", ClientID: "gate"}
	keys := map[[32]byte]bool{}
	for _, change := range []func(*Server){
		func(*Server) {}, func(s *Server) { s.Issuer = "https://b.example.com" }, func(s *Server) { s.Endpoint = "https://b.example.com/i" },
		func(s *Server) { s.ClientID = "other" }, func(s *Server) { s.Issuer, s.Endpoint = "https://a.example.comh", "ttps://a.example.com/i" },
	} {
		s := a
		change(&s)
		keys[newServer(s, nil).key([32]byte{})] = true
	}
	if len(keys) != 5 {
		t.Errorf("%d keys of 5 servers", len(keys))
	}
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: time.Minute})
		want(t, c, "raw", "")
		same := c.servers["as"].Server
		before := c.servers["as"]
		if c.Configure([]Server{same}); c.servers["as"] != before {
			t.Error("a server that stays was replaced")
		}
		same.Secret = "new"
		if c.Configure([]Server{same}); c.servers["as"] == before {
			t.Error("a server with another secret was kept")
		}
		want(t, c, "raw", "")
		wantAsked(t, e, 1)
		c.Configure(nil)
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
	})
}

// TestRememberedAsConfigured: how long an answer serves the settings in force say,
// not those it was remembered under.
func TestRememberedAsConfigured(t *testing.T) {
	for name, row := range map[string]struct {
		cache, grace time.Duration // from the reload on
		age          time.Duration
		away         bool // nobody answers now
		asked        int
		reason       token.Reason
	}{
		"as it was":                {time.Minute, time.Hour, 59 * time.Second, false, 1, ""},
		"for less time":            {30 * time.Second, time.Hour, 29 * time.Second, false, 1, ""},
		"too old by now":           {30 * time.Second, time.Hour, 30 * time.Second, false, 2, token.ReasonInactive},
		"not at all":               {0, 0, time.Second, false, 2, token.ReasonInactive},
		"not at all, and away":     {0, 0, time.Second, true, 2, token.ReasonIntrospectionUnavailable},
		"without grace":            {30 * time.Second, 0, 30 * time.Second, true, 2, token.ReasonIntrospectionUnavailable},
		"with less grace":          {30 * time.Second, 30 * time.Second, 59 * time.Second, true, 2, ""},
		"with less grace, too old": {30 * time.Second, 30 * time.Second, time.Minute, true, 2, token.ReasonIntrospectionUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{Cache: time.Minute, Grace: time.Hour})
				want(t, c, "raw", "")
				e.say(`{"active":false}`, nil)
				if row.away {
					e.say("", errors.New("down"))
				}
				time.Sleep(row.age)
				s := c.servers["as"].Server
				s.Cache, s.Grace = row.cache, row.grace
				c.Configure([]Server{s})
				c.servers["as"].post = e.post
				want(t, c, "raw", row.reason)
				wantAsked(t, e, row.asked)
			})
		})
	}
}

// A reload while a question is open counts for what becomes of it.
func TestGraceTakenBackMeanwhile(t *testing.T) {
	for name, change := range map[string]func(*Server) []Server{
		"less":   func(s *Server) []Server { s.Grace = 0; return []Server{*s} },
		"none":   func(*Server) []Server { return nil },
		"enough": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{Cache: time.Second, Grace: time.Hour})
				want(t, c, "raw", "")
				e.say("", errors.New("down"))
				time.Sleep(time.Minute)
				e.mu.Lock()
				e.took = time.Second
				e.mu.Unlock()
				reason := token.ReasonNone
				if change != nil {
					reason = token.ReasonIntrospectionUnavailable
					s := c.servers["as"].Server
					go func() { time.Sleep(time.Millisecond); c.Configure(change(&s)) }()
				}
				want(t, c, "raw", reason)
			})
		})
	}
}

// TestBounded: neither garbage nor long answers grow the memory, and garbage
// drives out no good answer.
func TestBounded(t *testing.T) {
	now, a := time.Now(), newAnswers()
	key := func(i int) [32]byte { return sha256.Sum256(fmt.Append(nil, i)) }
	a.keep(key(-1), &answer{claims: &token.Claims{}, size: 100}, now, time.Minute)
	for i := range negativeCount + 100 {
		a.refuse(key(i), token.Refuse(token.InvalidToken, token.ReasonInactive), now)
	}
	if a.refused.Len() != negativeCount || a.get(key(-1), now, time.Minute) == nil {
		t.Errorf("%d refusals; the good answer: %v", a.refused.Len(), a.get(key(-1), now, time.Minute))
	}
	for i := range 2000 {
		a.keep(key(i), &answer{claims: &token.Claims{}, size: maxBody}, now, time.Minute)
		a.keep(key(i), &answer{claims: &token.Claims{}, size: maxBody}, now, time.Minute)
	}
	if a.bytes > positiveBytes || a.bytes < positiveBytes-2*maxBody || a.active.Len() != a.bytes/(maxBody+entryCost) {
		t.Errorf("%d octets in %d answers", a.bytes, a.active.Len())
	}
}

// TestNoGraceForTheRevoked: an answer that was taken back never stands in again.
func TestNoGraceForTheRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{Cache: time.Second, Grace: time.Minute})
		want(t, c, "raw", "")
		time.Sleep(time.Second)
		e.say(`{"active":false}`, nil)
		want(t, c, "raw", token.ReasonInactive)
		e.say("", errors.New("down"))
		time.Sleep(11 * time.Second)
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
	})
}
