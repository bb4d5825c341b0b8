package prometheus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// traffic sends requests of every kind, a mix of them, until it is stopped.
type traffic struct {
	*stand
	good, forged, noScope, otherAudience, expired string
	proven, certified, opaque, inactive           string
	began                                         time.Time

	mix     atomic.Pointer[mix]
	sent    atomic.Int64
	running sync.WaitGroup
}

// mix is how many a second there are of each kind.
type mix map[string]float64

// usual is a day on which some of everything goes wrong.
var usual = mix{
	"good": 20, "new": 4, "slow": 1, "missing-upstream": 1, "catalogue": 6, "dpop": 5, "certificate": 3, "opaque": 4,
	"no token": 2, "expired": 2, "forged": 1, "unknown key": 4, "other audience": 1, "malformed": 1, "scope": 2, "no route": 1, "path": 1, "stranger": 1,
	"replay": 1, "old proof": 1, "no proof": 1, "other key": 1, "no certificate": 1, "inactive": 1,
	"fail": 1, "hang": 1, "cut": 0.5, "gone": 1,
}

// statuses are what each kind is answered with; 0 is half an answer.
var statuses = map[string]int{
	"good": 200, "new": 200, "slow": 200, "missing-upstream": 404, "catalogue": 200, "dpop": 200, "certificate": 200, "opaque": 200,
	"no token": 401, "expired": 401, "forged": 401, "unknown key": 401, "other audience": 401, "malformed": 401, "scope": 403, "no route": 404, "path": 400, "stranger": 401,
	"old proof": 401, "no proof": 401, "other key": 401, "no certificate": 401, "inactive": 401,
	"fail": 500, "hang": 504, "cut": 0, "gone": 502,
}

// wantStatuses sees that each kind is what it is called.
func (w *traffic) wantStatuses() {
	w.t.Helper()
	for kind, want := range statuses {
		if got := w.send(w.request(kind)); got != want {
			w.t.Errorf("%s: status %d, want %d", kind, got, want)
		}
	}
	if first, again := w.send(w.request("replay")), w.send(w.request("replay")); first != 200 || again != 401 {
		w.t.Errorf("a proof that comes again: status %d, then %d", first, again)
	}
	if len(statuses)+1 != len(usual) {
		w.t.Errorf("%d kinds, %d statuses", len(usual), len(statuses))
	}
}

func (s *stand) start(ctx context.Context) *traffic {
	s.t.Helper()
	w := &traffic{stand: s, began: time.Now()}
	w.renew()
	w.wantStatuses()
	w.mix.Store(&usual)
	for kind := range usual {
		w.running.Go(func() { w.run(ctx, kind) })
	}
	return w
}

// renew makes tokens that last as long as a run.
func (w *traffic) renew() {
	hour := time.Now().Add(time.Hour).Unix()
	with := func(issuer *devissuer.Running, claims map[string]any) string {
		claims["exp"] = hour
		return w.mint(issuer, claims)
	}
	w.good = with(w.corp, map[string]any{})
	w.forged = w.good[:strings.LastIndexByte(w.good, '.')+1] + strings.Repeat("A", 86)
	w.noScope = with(w.corp, map[string]any{"scope": "other"})
	w.otherAudience = with(w.corp, map[string]any{"aud": "https://elsewhere.example"})
	w.expired = w.mint(w.corp, map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix()})
	w.proven = with(w.corp, map[string]any{"cnf": map[string]any{"jkt": w.key.Thumbprint()}})
	w.certified = with(w.corp, map[string]any{"cnf": map[string]any{"x5t#S256": w.thumbprint}})
	var err error
	if w.opaque, err = w.partner.Opaque("opaque_", devissuer.Token{Claims: map[string]any{"exp": hour}}); err != nil {
		w.t.Error(err)
	}
	w.inactive = "opaque_which_nobody_issued"
}

func (w *traffic) proof(path string, p devissuer.Proof) string {
	p.Method, p.URL, p.AccessToken = "GET", "https://"+host+path, w.proven
	proof, err := w.key.Proof(p)
	if err != nil {
		w.t.Error(err)
	}
	return proof
}

// usedProof is one that came before, but for the first of half a minute: an older
// one would be refused for its age.
func (w *traffic) usedProof() string {
	period := time.Since(w.began) / (30 * time.Second)
	return w.proof("/pay/again", devissuer.Proof{ID: fmt.Sprint("used-", period), IssuedAt: w.began.Add(period * 30 * time.Second)})
}

// run sends requests of a kind, at odd intervals as independent clients do. What
// takes long does not hold up the next.
func (w *traffic) run(ctx context.Context, kind string) {
	for {
		rate := (*w.mix.Load())[kind]
		pause := time.Second
		if rate > 0 {
			pause = min(time.Duration(rand.ExpFloat64()/rate*float64(time.Second)), 2*time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if rate > 0 {
			w.running.Go(func() { w.one(kind) })
		}
	}
}

// one sends a request of a kind. A tenth of them are traced.
func (w *traffic) one(kind string) {
	q := w.request(kind)
	if n := w.sent.Add(1); n%10 == 0 {
		q.trace = traceOf(n)
	}
	w.send(q)
}

const traceMark = "5eed000000000000"

func traceOf(n int64) string { return fmt.Sprintf("%s%016x", traceMark, n) }

// request makes one of a kind that gets an answer of the upstream, or a refusal
// after more than a look.
func (w *traffic) request(kind string) request {
	switch kind {
	case "catalogue":
		return request{path: "/catalogue/1"}
	case "dpop":
		return request{path: "/pay/1", token: w.proven, proof: w.proof("/pay/1", devissuer.Proof{})}
	case "replay":
		return request{path: "/pay/again", token: w.proven, proof: w.usedProof()}
	case "old proof":
		return request{path: "/pay/1", token: w.proven, proof: w.proof("/pay/1", devissuer.Proof{IssuedAt: time.Now().Add(-time.Hour)})}
	case "other key":
		return request{path: "/pay/1", token: w.good, proof: w.proof("/pay/1", devissuer.Proof{})}
	case "certificate":
		return request{path: "/partners/1", token: w.certified, certificate: true}
	case "no certificate":
		return request{path: "/partners/1", token: w.certified}
	case "gone":
		return request{host: oldHost, path: "/", token: w.good}
	case "no token":
		return request{path: "/orders/1"}
	case "no route":
		return request{path: "/nowhere", token: w.good}
	case "path":
		return request{path: "/orders//1", token: w.good}
	case "scope":
		return request{path: "/admin", token: w.good}
	case "no proof":
		return request{path: "/pay/1", token: w.good}
	case "cut":
		return request{method: "POST", path: "/orders/cut", token: w.good} // what is not idempotent, net/http does not send again
	case "fail", "hang", "slow", "missing-upstream":
		return request{path: "/orders/" + strings.TrimSuffix(kind, "-upstream"), token: w.good}
	}
	return request{path: "/orders/1", token: w.bearer(kind)}
}

// bearer is the token of a kind that differs in nothing else.
func (w *traffic) bearer(kind string) string {
	switch kind {
	case "new":
		return w.mint([]*devissuer.Running{w.corp, w.partner}[rand.IntN(2)], nil)
	case "opaque":
		return w.opaque
	case "inactive":
		return w.inactive
	case "expired":
		return w.expired
	case "forged":
		return w.forged
	case "other audience":
		return w.otherAudience
	case "malformed":
		return "this.is.nothing"
	case "unknown key":
		return w.token(w.corp, devissuer.Token{
			Header: map[string]any{"kid": fmt.Sprint("retired-", rand.IntN(100))},
			Claims: map[string]any{"iat": time.Now().Add(-5 * time.Minute).Unix()}, // younger than our keys, it would be 503
		})
	case "stranger":
		return w.mint(w.corp, map[string]any{"iss": "https://stranger.example"})
	}
	return w.good
}
