package introspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/token"
)

var errLost = fmt.Errorf("%w: reset", fetch.ErrUnanswered)

// TestRetry: one question is asked again, once, when the connection was lost,
// and the server is not asked twice as often for it.
func TestRetry(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		asked int
	}{
		"lost": {errLost, 2}, "began to answer": {errors.New("unexpected EOF"), 1},
		"status": {&fetch.StatusError{Code: http.StatusInternalServerError}, 1}, "timeout": {fetch.ErrTimeout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{})
				e.say("", test.err)
				want(t, c, "raw", token.ReasonIntrospectionUnavailable)
				wantAsked(t, e, test.asked)
			})
		})
	}
	t.Run("seldom", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, e := newTest(t, Server{})
			const misses = 1000
			for i := range misses {
				e.say(`{"active":true}`, nil)
				if i%3 == 0 {
					e.say("", errLost)
				}
				_, _ = introspect(t, c, fmt.Sprint(i))
				time.Sleep(time.Second)
			}
			if n := e.asked(); n <= misses || n > misses*105/100 {
				t.Errorf("%d questions about %d tokens", n, misses)
			}
		})
	})
}

// TestForbidden: a firewall before the server may dislike a token, and whoever
// sends that keeps nobody else's from being asked about. A server that has
// answered nobody yet refuses us.
func TestForbidden(t *testing.T) {
	refusal := &fetch.StatusError{Code: http.StatusForbidden}
	for name, works := range map[string]bool{"works": true, "never answered": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{})
				if works {
					want(t, c, "first", "")
				}
				before := e.asked()
				e.say("", refusal)
				want(t, c, "odd", token.ReasonIntrospectionUnavailable)
				e.say(`{"active":true}`, nil)
				if !works {
					want(t, c, "raw", token.ReasonIntrospectionUnavailable)
					wantAsked(t, e, before+1)
					return
				}
				want(t, c, "raw", "")
				e.say("", refusal)
				for i := range 2 * failuresToOpen {
					want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable)
				}
				wantAsked(t, e, failuresToOpen) // half of so many have failed
			})
		})
	}
}

// TestProbeOnce: the question that finds out whether a server is back is not
// asked again.
func TestProbeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.say("", errors.New("down"))
		for i := range failuresToOpen {
			want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable)
		}
		time.Sleep(openTime)
		e.say("", errLost)
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		wantAsked(t, e, failuresToOpen+1)
	})
}

// TestRetryInTime: the second try has what is left of the time.
func TestRetryInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.took = 1500 * time.Millisecond
		e.say("", errLost)
		began := time.Now()
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		if took := time.Since(began); took != 2*time.Second || e.asked() != 2 {
			t.Errorf("it took %s and %d questions", took, e.asked())
		}
	})
}

// TestRetryAsserts: an assertion that may have been read is not used again.
func TestRetryAsserts(t *testing.T) {
	key, err := signer.New("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, _ := newTest(t, Server{Method: PrivateKeyJWT, Key: key})
		seen := map[string]bool{}
		c.servers["as"].post = func(_ context.Context, _ string, form url.Values, _ http.Header) (*fetch.Body, error) {
			seen[form.Get("client_assertion")] = true
			return nil, errLost
		}
		want(t, c, "raw", token.ReasonIntrospectionUnavailable)
		if len(seen) != 2 {
			t.Errorf("%d assertions", len(seen))
		}
	})
}

// TestHalfFails opens the breaker on a server that fails every other question,
// but for no fewer than twenty of them, nor for some that are long ago.
func TestHalfFails(t *testing.T) {
	ask := func(t *testing.T, c *Client, e *endpoint, n, burst int, pause time.Duration, fails func(int) bool) {
		t.Helper()
		for i := range n {
			e.say(`{"active":true}`, nil)
			if fails(i) {
				e.say("", errors.New("down"))
			}
			_, _ = introspect(t, c, fmt.Sprint(time.Now(), i))
			if i%burst == burst-1 {
				time.Sleep(pause)
			}
		}
	}
	half := func(i int) bool { return i%2 == 1 }
	for name, test := range map[string]struct {
		n     int
		burst int
		pause time.Duration
		fails func(int) bool
		open  bool
	}{
		"half":         {20, 1, 0, half, true},
		"too few":      {19, 1, 0, half, false},
		"less":         {300, 1, 0, func(i int) bool { return i%5 < 2 }, false},
		"in 10 s":      {20, 1, 500 * time.Millisecond, half, true},
		"not in 10 s":  {200, 1, 600 * time.Millisecond, half, false},
		"bursts":       {200, 10, 13 * time.Second, half, false},
		"all, at last": {20, 1, 10 * time.Second, func(int) bool { return true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, e := newTest(t, Server{})
				ask(t, c, e, test.n, test.burst, test.pause, test.fails)
				if open := c.servers["as"].breaker.open; open != test.open {
					t.Errorf("open: %t", open)
				}
			})
		})
	}
}

// TestRecovery: a server that comes back is found within 6 s, whatever the last
// probe met; and while it hangs, one question at a time is asked.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		e.took = time.Hour
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() { want(t, c, fmt.Sprint(i), token.ReasonIntrospectionUnavailable) })
		}
		group.Wait()
		if n := e.asked(); n != inFlight {
			t.Errorf("%d questions", n)
		}
		time.Sleep(openTime)
		before := e.asked()
		group.Go(func() { want(t, c, "probe", token.ReasonIntrospectionUnavailable) })
		synctest.Wait()
		e.mu.Lock()
		e.took = 0 // it is back, but for the one that hangs
		e.mu.Unlock()
		for i := range 200 {
			want(t, c, fmt.Sprint("meanwhile", i), token.ReasonIntrospectionUnavailable)
		}
		wantAsked(t, e, before+1)
		time.Sleep(openTime)
		want(t, c, "back", "")
		group.Wait()
	})
}
