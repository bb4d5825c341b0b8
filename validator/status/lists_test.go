package status

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerName = "https://as.example.com"
	listURI    = issuerName + "/status/1"
)

// publisher is where an issuer's lists are, in memory: one status for all, in
// lists of 16 tokens.
type publisher struct {
	issuer *devissuer.Issuer

	mu     sync.Mutex // guards all below
	claims map[string]any
	value  int
	maxAge time.Duration
	took   time.Duration
	err    error
	calls  int
}

func (p *publisher) get(ctx context.Context, address, _ string) (*fetch.Body, error) {
	p.mu.Lock()
	p.calls++
	took := p.took
	p.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	lists := [...]string{"eNpjYAAAAAIAAQ", "eNr7_x8AAv8B_w"} // sixteen times 0, sixteen times 1
	claims := map[string]any{"sub": address, "aud": nil, "exp": nil, "status_list": map[string]any{"bits": 1, "lst": lists[p.value]}}
	maps.Copy(claims, p.claims)
	raw, err := p.issuer.Mint(devissuer.Token{Header: map[string]any{"typ": "statuslist+jwt"}, Claims: claims})
	body := &fetch.Body{Bytes: []byte(raw), ContentType: mediaType, MaxAge: p.maxAge, HasMaxAge: p.maxAge > 0}
	return body, err
}

func (p *publisher) set(change func(*publisher)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *publisher) fail(err error) { p.set(func(p *publisher) { p.err = err }) }

func (p *publisher) wantCalls(t *testing.T, n int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls != n {
		t.Errorf("after %v: asked %d times, want %d", time.Now(), p.calls, n)
	}
}

// newTest makes Lists of one issuer. It is called in a bubble.
func newTest(t testing.TB, claims map[string]any) (*Lists, *publisher) {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: issuerName, Algorithms: []string{"EdDSA"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := jwks.NewCache(jwks.Options{})
	keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: file}})
	p := &publisher{issuer: issuer, claims: claims}
	l := New(Options{Keys: keys})
	l.Configure([]Source{{Name: "as"}})
	(*l.issuers.Load())["as"].get = p.get
	t.Cleanup(l.Close)
	return l, p
}

func value(t testing.TB, l *Lists) (uint8, error) {
	t.Helper()
	return l.Value(t.Context(), "as", Reference{URI: listURI, Index: 3})
}

func want(t *testing.T, l *Lists, status uint8) {
	t.Helper()
	if got, err := value(t, l); got != status || err != nil {
		t.Errorf("at %v: status %d, %v, want %d", time.Now(), got, err, status)
	}
}

func wantFault(t *testing.T, l *Lists) {
	t.Helper()
	got, err := value(t, l)
	_, refused := errors.AsType[*token.Error](err)
	f, faulty := errors.AsType[*token.Fault](err)
	if refused || !faulty || f.Reason != token.ReasonStatusUnavailable || f.RetryAfter < time.Second {
		t.Errorf("at %v: status %d, %v, want a fault", time.Now(), got, err)
	}
}

var errDown = errors.New("down")

// in tells a claim that is so far from now.
func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// TestConformanceTTL: the list says when to ask anew, whatever HTTP says (TSL-08).
func TestConformanceTTL(t *testing.T) { t.Run("TSL-08", askAnew) }

func askAnew(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 60})
		p.maxAge = 365 * 24 * time.Hour
		want(t, l, 0)
		p.set(func(p *publisher) { p.value = 1 })
		time.Sleep(40 * time.Second)
		want(t, l, 0)
		p.wantCalls(t, 1)
		time.Sleep(20 * time.Second) // asked anew ahead of the end
		want(t, l, 1)
		p.wantCalls(t, 2)
	})
}

// TestNoTTL: HTTP is heard where the list is silent, within bounds.
func TestNoTTL(t *testing.T) {
	for maxAge, bounds := range map[time.Duration][2]time.Duration{
		0: {defaultFresh * 7 / 10, defaultFresh}, time.Hour: {42 * time.Minute, time.Hour},
		time.Second: {7 * time.Second, minFresh}, 365 * 24 * time.Hour: {17 * time.Hour, maxFresh},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, p := newTest(t, map[string]any{})
			p.maxAge = maxAge
			want(t, l, 0)
			p.set(func(p *publisher) { p.value = 1 })
			for range 10 {
				time.Sleep(bounds[0] / 10)
				want(t, l, 0)
			}
			p.wantCalls(t, 1)
			time.Sleep(bounds[1] - bounds[0])
			want(t, l, 1)
		})
	}
}

// TestBounds: no ttl makes the gate ask all the time, and none never.
func TestBounds(t *testing.T) {
	for ttl, bounds := range map[float64][2]time.Duration{0.5: {7 * time.Second, minFresh}, 1: {7 * time.Second, minFresh}, 1e10: {17 * time.Hour, maxFresh}} {
		synctest.Test(t, func(t *testing.T) {
			l, p := newTest(t, map[string]any{"ttl": ttl})
			want(t, l, 0)
			p.set(func(p *publisher) { p.value = 1 })
			for range 20 {
				time.Sleep(bounds[0] / 20)
				want(t, l, 0)
			}
			p.wantCalls(t, 1)
			time.Sleep(bounds[1] - bounds[0])
			want(t, l, 1)
		})
	}
}

// TestStale: while no other can be had a list serves until its end, and not a
// moment longer.
func TestStale(t *testing.T) {
	for name, c := range map[string]struct {
		ttl, exp int64
		serves   time.Duration
	}{
		"exp": {60, 600, 10 * time.Minute}, "no exp": {60, 0, time.Minute}, "exp before ttl": {3600, 60, time.Minute},
		"far exp": {60, 365 * 24 * 3600, maxUse},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				claims := map[string]any{"ttl": c.ttl}
				if c.exp > 0 {
					claims["exp"] = in(time.Duration(c.exp) * time.Second)
				}
				l, p := newTest(t, claims)
				want(t, l, 0)
				p.fail(errDown)
				for range 30 {
					time.Sleep(c.serves/30 - time.Millisecond)
					want(t, l, 0)
				}
				time.Sleep(30 * time.Millisecond)
				wantFault(t, l)
				p.set(func(p *publisher) { p.err, p.value, p.claims = nil, 1, map[string]any{"ttl": 60} })
				time.Sleep(time.Minute)
				want(t, l, 1)
			})
		})
	}
}

// TestEndedIsNoList: one that ends now is none.
func TestEndedIsNoList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for exp, good := range map[int64]bool{in(0): false, in(-time.Hour): false, in(time.Second): true} {
			l, p := newTest(t, map[string]any{"exp": exp})
			for range 10 { // nor is it asked for each time
				if _, err := value(t, l); (err == nil) != good {
					t.Errorf("exp %d: %v", exp-time.Now().Unix(), err)
				}
			}
			p.wantCalls(t, 1)
			l.Close()
		}
	})
}

// TestWaits: a list past its ttl is not used while a newer one is on its way,
// unless the last attempt to get one failed.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 10, "exp": in(time.Hour)})
		want(t, l, 0)
		p.set(func(p *publisher) { p.value, p.took = 1, 5*time.Second })
		time.Sleep(10*time.Second + time.Millisecond)
		want(t, l, 1)
		p.set(func(p *publisher) { p.took = time.Hour })
		time.Sleep(time.Minute)
		began := time.Now()
		want(t, l, 1)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %s for a server that hangs, with a list at hand", waited)
		}
	})
}

// TestBusyStart: whoever comes while a list is on its way waits for that one,
// and who goes away ends nothing.
func TestBusyStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 60})
		p.took = time.Second
		gone, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := l.Value(gone, "as", Reference{URI: listURI}); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		for range 100 {
			group.Go(func() { want(t, l, 0) })
		}
		synctest.Wait()
		leave()
		group.Wait()
		p.wantCalls(t, 1)
	})
}

// TestDown: while there is no list nobody is asked at every request.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 60})
		p.fail(errDown)
		for range 1000 {
			wantFault(t, l)
		}
		p.wantCalls(t, 1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		p.mu.Lock()
		if p.calls > 40 {
			t.Errorf("asked %d times in 10 minutes", p.calls)
		}
		p.mu.Unlock()
		p.fail(nil)
		time.Sleep(time.Minute)
		want(t, l, 0)
	})
}

// TestIdle: what nobody asks about any more is not fetched any more.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 600})
		want(t, l, 0)
		time.Sleep(idleTime + 10*time.Minute)
		synctest.Wait()
		p.mu.Lock()
		before := p.calls
		p.mu.Unlock()
		if n := len(*(*l.issuers.Load())["as"].table.Load()); n != 0 {
			t.Errorf("%d lists are at hand", n)
		}
		time.Sleep(24 * time.Hour)
		p.wantCalls(t, before)
		want(t, l, 0)
		p.wantCalls(t, before+1)
	})
}

func TestManyLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 3600})
		look := func(n int) {
			t.Helper()
			if _, err := l.Value(t.Context(), "as", Reference{URI: fmt.Sprintf("%s/status/n%d", issuerName, n)}); err != nil {
				t.Error(err)
			}
		}
		for n := range maxLists {
			look(n)
			time.Sleep(2 * time.Second)
		}
		look(0)
		time.Sleep(2 * time.Second)
		look(maxLists)
		p.wantCalls(t, maxLists+1)
		look(0) // used since
		look(2)
		p.wantCalls(t, maxLists+1)
		look(1) // the one that was not
		p.wantCalls(t, maxLists+2)
		if n := len(*(*l.issuers.Load())["as"].table.Load()); n != maxLists {
			t.Errorf("%d lists are at hand", n)
		}
	})
}

func TestManyOctets(t *testing.T) {
	l, _ := newTest(t, nil)
	s := (*l.issuers.Load())["as"]
	table := map[string]*entry{}
	for n := range 9 {
		e := &entry{uri: fmt.Sprint(n), stop: func() {}}
		e.used.Store(int64(n))
		e.last.Store(&held{list: list{bits: 1, packed: make([]byte, 16<<20)}})
		table[e.uri] = e
	}
	s.table.Store(&table)
	l.makeRoom(s, table["0"])
	left := *s.table.Load()
	if lists, bytes, _ := size(left); lists != 8 || bytes != maxBytes || left["0"] == nil || left["1"] != nil || !table["1"].gone.Load() {
		t.Errorf("%d lists of %d octets are left", lists, bytes)
	}
}

func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 3600})
		want(t, l, 0)
		l.Configure([]Source{{Name: "as"}, {Name: "other"}})
		want(t, l, 0)
		p.wantCalls(t, 1)
		l.Configure([]Source{{Name: "as", Algorithms: []string{"ES256"}}})
		(*l.issuers.Load())["as"].get = p.get
		wantFault(t, l) // EdDSA is not allowed any more
		p.wantCalls(t, 2)
		l.Configure(nil)
		wantFault(t, l)
		l.Close()
		l.Configure([]Source{{Name: "as"}})
		(*l.issuers.Load())["as"].get = p.get
		wantFault(t, l)
		p.wantCalls(t, 2)
	})
}

// TestClockSetForward: a list that has ended by the clock is not used, however
// short a time ago it was got.
func TestClockSetForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newTest(t, map[string]any{"ttl": 3600})
		want(t, l, 0)
		e := (*(*l.issuers.Load())["as"].table.Load())[listURI]
		p.set(func(p *publisher) { p.value = 1 })
		time.Sleep(time.Second)
		held := e.last.Load()
		held.fresh, held.end = time.Now(), time.Now()
		want(t, l, 1)
		p.fail(errDown)
		time.Sleep(time.Second)
		held = e.last.Load()
		held.fresh, held.end = time.Now(), time.Now()
		wantFault(t, l)
		wantFault(t, l) // nor while nobody may be asked again yet
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	l, _ := newTest(t, map[string]any{"ttl": 3600})
	if _, err := value(t, l); err != nil {
		t.Fatal(err)
	}
	at := Reference{URI: listURI, Index: 3}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := l.Value(t.Context(), "as", at); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a list that is at hand", n)
	}
}

func BenchmarkValue(b *testing.B) {
	l, _ := newTest(b, map[string]any{"ttl": 3600})
	if _, err := value(b, l); err != nil {
		b.Fatal(err)
	}
	at, ctx := Reference{URI: listURI, Index: 3}, b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Value(ctx, "as", at); err != nil {
				b.Error(err)
			}
		}
	})
}
