package main

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestIntrospectionFaults runs the rows of the fault catalogue about issuers
// that are asked, each under its name there.
func TestIntrospectionFaults(t *testing.T) {
	for _, fault := range []conformanceRow{{"R-30", faultR30}, {"R-31", faultR31}} {
		t.Run(fault.id, fault.run)
	}
}

// mixed is a load of JWTs and opaque tokens at once, half and half, every
// verdict known. opaque is that of an opaque token of issuer A.
type mixed struct {
	a                     *introspecting
	sent                  atomic.Int64 // opaque tokens, no two the same
	wrongAccept, wrongRef atomic.Int64
	busy                  atomic.Int64 // JWTs that were told to wait
}

func (m *mixed) send(t *testing.T, raw string, want int) {
	r := m.a.sendToken(raw)
	switch {
	case r.StatusCode == want:
	case r.StatusCode == http.StatusOK:
		m.wrongAccept.Add(1)
	case r.StatusCode == http.StatusServiceUnavailable:
		m.busy.Add(1)
	default:
		m.wrongRef.Add(1)
	}
	if r.StatusCode == http.StatusServiceUnavailable && (r.Header.Get("Retry-After") == "" || len(r.Header["Www-Authenticate"]) > 0) {
		t.Errorf("503 with %v", r.Header)
	}
}

// run sends from so many clients of each kind, each so many tokens. Of the opaque
// ones every other is garbage: good and garbage have their own verdict.
func (m *mixed) run(t *testing.T, clients, each, good, garbage int) {
	t.Helper()
	jwt := m.a.AT(nil)
	forged := tampered(t, jwt)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for i := range each {
				if i%2 == 0 {
					m.send(t, jwt, http.StatusOK)
				} else {
					m.send(t, forged, http.StatusUnauthorized)
				}
			}
		})
		group.Go(func() {
			for i := range each {
				n := m.sent.Add(1)
				if i%2 == 0 {
					m.send(t, m.a.opaque(nil), good)
				} else {
					m.send(t, "garbage-"+strconv.FormatInt(n, 10), garbage)
				}
			}
		})
	}
	group.Wait()
	if a, r, b := m.wrongAccept.Load(), m.wrongRef.Load(), m.busy.Load(); a+r+b > 0 {
		t.Errorf("wrongly accepted %d, wrongly refused %d, told to wait without need %d", a, r, b)
	}
}

// flights are the goroutines that ask about a token.
func flights() int {
	text := make([]byte, 16<<20)
	return bytes.Count(text[:runtime.Stack(text, true)], []byte("introspect.(*Client).fly("))
}

func faultR30(t *testing.T) {
	a := newAsking(t, "cache: 0s, timeout: 2s") // a busy machine is no fault
	m := &mixed{a: a}
	m.run(t, 40, 20, http.StatusOK, http.StatusUnauthorized)
	http.DefaultClient.CloseIdleConnections()
	base := runtime.NumGoroutine()

	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	before := a.questions()
	m.run(t, 40, 30, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	if n := a.questions() - before; n < 20 || n > 64 {
		t.Errorf("%d questions until the breaker opened", n)
	}
	if a.count(`introspection_paused{issuer="a"}`) != "1" {
		t.Error("the breaker is not open")
	}

	before = a.questions()
	eventually(t, "a probe", func() bool {
		m.run(t, 8, 4, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
		return a.questions() > before
	})
	m.run(t, 40, 10, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	a.wantQuestions(t, before, 1)

	a.a.Heal()
	close(release)
	raw, was := a.opaque(nil), a.questions()
	eventually(t, "recovery", func() bool {
		r := a.sendToken(raw)
		m.sent.Add(1)
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d", r.StatusCode)
		}
		return r.StatusCode == http.StatusOK
	})
	a.wantQuestions(t, was, 1)
	m.run(t, 16, 20, http.StatusOK, http.StatusUnauthorized)
	eventually(t, "goroutines as before", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return runtime.NumGoroutine() <= base+16 && flights() == 0
	})
	total := 0
	for _, result := range []string{"active", "inactive", "denied", "error", "timeout", "busy", "paused"} {
		n, _ := strconv.Atoi(a.count(fmt.Sprintf(`introspection_requests_total{issuer="a",result=%q}`, result)))
		total += n
	}
	if sent := int(m.sent.Load()); total != sent {
		t.Errorf("%d questions are counted of %d", total, sent)
	}
}

// faultR31 loses some connections. The answer that was to come is good: a second
// question finds it, and the client sees nothing of it.
func faultR31(t *testing.T) {
	a := newAsking(t, "cache: 0s")
	const misses = 400
	for i := range misses {
		if i%40 == 0 {
			a.a.Fail(devissuer.Fault{Path: "/introspect", Reset: true, Times: 1})
		}
		a.passes(t, a.opaque(nil))
	}
	if n := a.questions(); n <= misses || n > misses*105/100 {
		t.Errorf("%d questions about %d tokens", n, misses)
	}
	ask := func(name string, fault devissuer.Fault, questions int) {
		t.Run(name, func(t *testing.T) {
			fault.Path = "/introspect"
			a.a.Fail(fault)
			defer a.a.Heal()
			before := a.questions()
			a.undecided(t, a.opaque(nil))
			a.wantQuestions(t, before, questions)
		})
	}
	ask("lost twice", devissuer.Fault{Reset: true, Times: 2}, 2)
	ask("cut", devissuer.Fault{Truncate: 5, Times: 1}, 1)
	ask("status", devissuer.Fault{Status: http.StatusBadGateway, Times: 1}, 1)
	for range 100 {
		a.passes(t, a.opaque(nil))
	}
	before := a.questions()
	a.a.Fail(devissuer.Fault{Path: "/introspect", Reset: true})
	for range 30 {
		a.undecided(t, a.opaque(nil))
	}
	a.wantQuestions(t, before, 20+2) // until the breaker opens; two second tries were saved up
}
