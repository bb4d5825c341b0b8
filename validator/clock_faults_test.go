package validator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// the wall clock is set while tokens and proofs are remembered. No proof
// is good twice, not even when the clock comes to its time again.
func TestFaultsClock(t *testing.T) {
	t.Run("R-21", func(t *testing.T) {
		for _, set := range []time.Duration{time.Hour, -time.Hour, -30 * time.Second, -3 * time.Second, 90 * time.Second} {
			t.Run(set.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { setClock(t, set) })
			})
		}
	})
}

// Who dates proofs ahead of time, as far as that is let pass, moves no horizon
// but his own when the clock is set back.
func TestClockSetBackByOneHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Leeway: 30 * time.Second}, 100)
		horizon, jump := &dpop.Horizon{}, time.Hour
		proofs, err := dpop.New(dpop.Options{Horizon: horizon}, replay.NewMemory(1000))
		if err != nil {
			t.Fatal(err)
		}
		w.validator.dpop = proofs
		w.validator.now = func() time.Time { return time.Now().Add(jump) }
		present := func(key *devissuer.ClientKey, ahead time.Duration) token.Reason {
			now := w.validator.now()
			raw := w.mint(devissuer.Token{Claims: map[string]any{"iat": now.Unix() - 7200, "exp": now.Unix() + 7200, "cnf": map[string]any{"jkt": key.Thumbprint()}}})
			proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/x", AccessToken: raw, Claims: map[string]any{"iat": now.Add(ahead).Unix()}})
			if err != nil {
				t.Fatal(err)
			}
			return w.reason(w.validator.For(Audience{Any: []string{"https://rs.example.com"}}).Validate(context.Background(), token.Credential{
				Scheme: token.DPoP, Raw: raw, Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/x", Proofs: []string{proof},
			}))
		}
		holder := func() *devissuer.ClientKey {
			key, err := devissuer.NewClientKey("ES256")
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
		ahead := holder()
		if got := present(ahead, 29*time.Second); got != "" {
			t.Fatalf("a proof dated ahead: %q", got)
		}
		jump = 0
		horizon.SetBack()
		if got := present(ahead, 0); got != token.ReasonDPoPTime {
			t.Errorf("his next proof: %q", got)
		}
		refused := 0
		for range 20 {
			if present(holder(), 0) != "" {
				refused++
			}
		}
		if refused > 1 { // two of twenty in the place of one holder: once in 90,000
			t.Errorf("%d of 20 others are refused", refused)
		}
	})
}

func setClock(t *testing.T, set time.Duration) {
	w := newWorld(t, Options{Leeway: 30 * time.Second}, 100)
	horizon, jump := &dpop.Horizon{}, time.Duration(0)
	proofs, err := dpop.New(dpop.Options{Horizon: horizon}, replay.NewMemory(1000))
	if err != nil {
		t.Fatal(err)
	}
	w.validator.dpop = proofs
	w.validator.now = func() time.Time { return time.Now().Add(jump) }
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	lasting := map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()}
	bearer := w.mint(devissuer.Token{Claims: lasting})
	lasting["cnf"] = map[string]any{"jkt": key.Thumbprint()}
	raw := w.mint(devissuer.Token{Claims: lasting})
	short := w.mint(devissuer.Token{Claims: map[string]any{"exp": time.Now().Add(20 * time.Minute).Unix(), "iat": lasting["iat"]}})
	prove := func() string {
		proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/x", AccessToken: raw, Claims: map[string]any{"iat": w.validator.now().Unix()}})
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	present := func(proof string) token.Reason {
		return w.reason(w.validator.For(Audience{Any: []string{"https://rs.example.com"}}).Validate(context.Background(), token.Credential{
			Scheme: token.DPoP, Raw: raw, Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/x", Proofs: []string{proof},
		}))
	}
	var used []string
	for range 12 { // two minutes: some of it is forgotten by now
		used = append(used, prove())
		if got := present(used[len(used)-1]); got != "" {
			t.Fatalf("a good proof: %q", got)
		}
		time.Sleep(10 * time.Second)
	}
	for _, one := range []string{bearer, short} {
		if got := w.judge(one); got != "" {
			t.Fatalf("a good token: %q", got)
		}
	}
	jump = set
	if set < 0 {
		horizon.SetBack()
	}
	w.validator.Forget()
	if w.validator.Remembered() != 0 {
		t.Error("tokens are remembered still")
	}
	want := token.Reason("")
	if set > 30*time.Minute {
		want = token.ReasonExpired
	}
	if got := w.judge(short); got != want {
		t.Errorf("a token of twenty minutes: %q, want %q", got, want)
	}
	if got := w.judge(bearer); got != "" {
		t.Errorf("a token of a day: %q", got)
	}
	for end := time.Now().Add(set.Abs() + 3*time.Minute); time.Now().Before(end); time.Sleep(5 * time.Second) {
		for n, proof := range used {
			if got := present(proof); got == "" {
				t.Fatalf("proof %d was good twice, %s after the clock was set", n, time.Until(end))
			}
		}
	}
	if got := present(prove()); got != "" {
		t.Errorf("a new proof, in the end: %q", got)
	}
}
