package validator

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// TestReissuedWhileTheFirstLeaves: the first one to bring a token goes away while the
// issuer is asked for the key that it put under an old kid. Whoever waited for the
// first one waits for that key then.
func TestReissuedWhileTheFirstLeaves(t *testing.T) {
	b := newBounded(t, Options{})
	jwk, err := devissuer.JWK(b.stranger.Signer.Public(), "es256-1", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	var reissued atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := b.issuer.JWKS()
		if reissued.Load() {
			close(asked)
			<-answer
			text = append(append([]byte(`{"keys":[`), jwk...), `]}`...)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	b.keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, JWKSURI: server.URL, InsecureHTTP: true}})
	b.costs("by the old key", b.mint(devissuer.Token{}), "", 1)
	reissued.Store(true)

	cred := token.Credential{Scheme: token.Bearer, Raw: b.forged()}
	first, leave := context.WithCancel(t.Context())
	defer leave()
	left, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := b.r.Validate(first, cred); left <- err }()
	select {
	case <-asked:
	case err := <-left:
		t.Fatalf("the issuer was not asked: %v", err)
	}
	go func() { _, err := b.r.Validate(t.Context(), cred); second <- err }()
	for !b.awaited(cred.Digest()) {
		runtime.Gosched()
	}
	leave()
	if err := <-left; err == nil {
		t.Error("the first one is let in")
	}
	close(answer)
	if err := <-second; err != nil {
		t.Errorf("the second one, whose token is good: %v", err)
	}
	b.costs("and then", cred.Raw, "", 0)
}

// TestWaitingClientLeaves: a client that goes away while its token waits to be
// verified is no fault of ours, whatever it waited for.
func TestWaitingClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		b.costs("a good token", b.mint(devissuer.Token{}), "", 1)
		if _, err := b.gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.gate.Leave()
		ctx, leave := context.WithCancel(t.Context())
		cred := token.Credential{Scheme: token.Bearer, Raw: b.mint(devissuer.Token{})}
		var wait sync.WaitGroup
		for range 2 { // one waits for a place, the other for the first one
			wait.Go(func() {
				if got := b.reason(b.r.Validate(ctx, cred)); got != token.ReasonBusy {
					t.Errorf("it was refused for %q", got)
				}
			})
			synctest.Wait()
		}
		leave()
		wait.Wait()
	})
}

// TestPanicLands: whoever panics while checking a signature leaves nobody waiting, and
// gives its place back.
func TestPanicLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		b.costs("a good token", b.mint(devissuer.Token{}), "", 1)
		told, times := b.validator.bounds.OnSignature, 0
		b.validator.bounds.OnSignature = func(held bool) {
			if times++; times == 1 {
				panic("by the first one")
			}
			told(held)
		}
		if _, err := b.gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw, panics := b.mint(devissuer.Token{}), 0
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				defer func() {
					if recover() != nil {
						panics++
					}
				}()
				if got := b.present(raw, "192.0.2.1"); got != "" {
					t.Errorf("refused for %q", got)
				}
			})
			synctest.Wait()
		}
		b.gate.Leave()
		wait.Wait()
		if panics != 1 || len(b.validator.flights.under) != 0 {
			t.Errorf("%d panics, %d flights never landed", panics, len(b.validator.flights.under))
		}
		if waited, err := b.gate.Enter(t.Context()); waited || err != nil {
			t.Errorf("the place is not free: waited %t, %v", waited, err)
		}
		b.gate.Leave()
	})
}

// awaited tells whether somebody waits for the flight of a token.
func (b *bounded) awaited(digest [32]byte) bool {
	b.validator.flights.mu.Lock()
	defer b.validator.flights.mu.Unlock()
	own := b.validator.flights.under[digest]
	return own != nil && own.landed != nil
}
