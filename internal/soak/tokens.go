package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// leeway is the gate's for exp and nbf.
const leeway = 30 * time.Second

// jwt is a token with what must become of it.
type jwt struct {
	raw   string
	want  expectation
	bound *devissuer.ClientKey // nil: a bearer token
}

// pool is the tokens of one issuer that are used again and again.
type pool struct {
	mu      sync.Mutex // guards all below
	current []*jwt
	retired []*jwt // of keys that are not the newest any more
}

const (
	poolSize    = 24 // tokens of each issuer
	poolRetired = 3 * poolSize
)

// wallet mints and keeps the tokens of all clients.
type wallet struct {
	stage   *stage
	clients []*devissuer.ClientKey
	pools   map[*issuer]*pool
	number  atomic.Int64
}

func newWallet(s *stage) (*wallet, error) {
	w := &wallet{stage: s, pools: map[*issuer]*pool{}}
	for range 8 {
		k, err := devissuer.NewClientKey("ES256")
		if err != nil {
			return nil, err
		}
		w.clients = append(w.clients, k)
	}
	for _, is := range s.issuers {
		w.pools[is] = &pool{}
		if err := w.refill(is); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *wallet) anyIssuer() *issuer { return w.stage.issuers[rand.IntN(len(w.stage.issuers))] }

func (w *wallet) anyClient() *devissuer.ClientKey { return w.clients[rand.IntN(len(w.clients))] }

// change is in what a token differs from a good one.
type change struct {
	token  devissuer.Token
	claims map[string]any
	bound  *devissuer.ClientKey
	by     *key          // default: the issuer's newest
	ends   time.Duration // from now on; default 10 minutes
	issued time.Duration // from now on
}

// mint makes a token for a subject of its own, so that no two callers look alike
// to the upstream.
func (w *wallet) mint(is *issuer, c change) (*jwt, error) {
	if c.by == nil {
		c.by = is.current()
	}
	if c.ends == 0 {
		c.ends = 10 * time.Minute
	}
	now := time.Now()
	issued, ends := now.Add(c.issued).Truncate(time.Second), now.Add(c.ends).Truncate(time.Second)
	subject := fmt.Sprintf("%s-%d", is.name, w.number.Add(1))
	claims := map[string]any{"sub": subject, "iat": issued.Unix(), "exp": ends.Unix()}
	told := facts{subject, is.url, "client-1", "read", ""}
	if c.bound != nil {
		claims["cnf"] = map[string]any{"jkt": c.bound.Thumbprint()}
		told.binding = "dpop"
	}
	for name, value := range c.claims {
		claims[name] = value
	}
	if c.token.KeyID == "" {
		c.token.KeyID = c.by.id
	}
	if c.token.Alg == "" {
		c.token.Alg = is.alg
	}
	c.token.Claims = claims
	raw, err := is.Mint(c.token)
	return &jwt{raw, expectation{
		final: passed, issuer: is, key: c.by, issued: issued, until: ends.Add(leeway), facts: told,
	}, c.bound}, err
}

// refill makes the pool of an issuer anew, half of it bound to clients' keys.
func (w *wallet) refill(is *issuer) error {
	var list []*jwt
	for i := range poolSize {
		c := change{}
		if i%2 == 0 {
			c.bound = w.anyClient()
		}
		t, err := w.mint(is, c)
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	p := w.pools[is]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.current) > 0 && p.current[0].want.key != list[0].want.key {
		p.retired = append(p.retired, p.current...)
		p.retired = p.retired[max(0, len(p.retired)-poolRetired):]
	}
	p.current = list
	return nil
}

// pick is a token of the pool.
func (w *wallet) pick(is *issuer, bound bool) *jwt {
	p := w.pools[is]
	p.mu.Lock()
	defer p.mu.Unlock()
	i := rand.IntN(poolSize/2) * 2
	if !bound {
		i++
	}
	return p.current[i]
}

// older is a bearer token of a key that is not the newest; nil when there is none
// that may be sent. A key that is gone makes the gate ask again each time it may,
// so that issuers whose fetches are counted see one only while it may not.
func (w *wallet) older(is *issuer) *jwt {
	p := w.pools[is]
	p.mu.Lock()
	list := slices.Clone(p.retired)
	p.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	t := list[rand.IntN(poolRetired)%len(list)|1]
	if is != w.stage.issuers[busyIssuer] && is.timeline.gone(t.want.key, time.Now()) > refetchGap*7/10 {
		return nil
	}
	return t
}
