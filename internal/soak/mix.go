package main

import (
	"crypto/rand"
	"fmt"
	math "math/rand/v2"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// request is one to be sent, with what must become of it.
type request struct {
	class         string
	path          string
	authorization string
	proof         string
	want          expectation
	told          func(got outcome) // may be nil
}

// class is one kind of request, and its part of the mix.
type class struct {
	name   string
	weight int
	make   func() ([]*request, error) // several are sent at once; none: not now
}

// mix makes the requests.
type mix struct {
	wallet  *wallet
	opaque  *opaques
	classes []class
	total   int

	mu       sync.Mutex // guards all below
	used     []*request // proofs that were accepted, the last of them
	older    []*request // some of those, kept until they are too old for their time
	ending   []*jwt     // tokens that are about to expire, or just did
	endingOp []*opaque
}

func newMix(s *stage) (*mix, error) {
	w, err := newWallet(s)
	if err != nil {
		return nil, err
	}
	m := &mix{wallet: w, opaque: s.opaque}
	m.classes = []class{
		{"JWT, fresh", 18, m.fresh}, {"JWT, repeated", 25, m.repeated},
		{"JWT of an older key", 6, m.olderKey}, {"JWT minted with an older key", 2, m.olderMint},
		{"JWT near its expiry", 4, m.nearExpiry}, {"JWT near its nbf", 1, m.nearStart},
		{"JWT expired", 2, m.expired}, {"JWT not valid yet", 2, m.notYet},
		{"JWT for another audience", 3, m.otherAudience}, {"JWT with another scope", 3, m.otherScope},
		{"JWT forged under a good kid", 3, m.forged}, {"JWT signed by another issuer", 2, m.otherIssuer},
		{"JWT with a random kid", 2, m.randomKid}, {"JWT with alg none", 1, m.unsigned},
		{"DPoP, fresh proof", 14, m.proven}, {"DPoP, proof used before", 4, m.replay},
		{"DPoP, one proof twice at once", 1, m.twins}, {"DPoP, bad proof", 3, m.badProof},
		{"DPoP token as Bearer", 1, m.boundAsBearer},
		{"opaque", 6, m.opaqueGood}, {"opaque, revoked", 2, m.opaqueRevoked},
		{"opaque near its expiry", 1, m.opaqueEnding}, {"opaque, unknown", 1, m.opaqueUnknown},
		{"garbage", 2, m.garbage}, {"no token", 2, m.noToken}, {"public route", 3, m.public},
	}
	for _, c := range m.classes {
		m.total += c.weight
	}
	return m, nil
}

func (m *mix) next() ([]*request, error) {
	at := math.IntN(m.total)
	for _, c := range m.classes {
		if at -= c.weight; at < 0 {
			list, err := c.make()
			for _, r := range list {
				r.class = c.name
			}
			return list, err
		}
	}
	return nil, nil
}

func bearer(raw string, want expectation) []*request {
	return []*request{{path: "/read", authorization: "Bearer " + raw, want: want}}
}

// minted is a bearer token with a change, and an expectation with one.
func (m *mix) minted(is *issuer, c change, alter func(*expectation)) ([]*request, error) {
	t, err := m.wallet.mint(is, c)
	if err != nil {
		return nil, err
	}
	if alter != nil {
		alter(&t.want)
	}
	return bearer(t.raw, t.want), nil
}

func early(o outcome, reason string) func(*expectation) {
	return func(e *expectation) { e.early, e.reason = o, reason }
}

func final(o outcome, reason string) func(*expectation) {
	return func(e *expectation) { e.final, e.reason = o, reason }
}

func (m *mix) fresh() ([]*request, error) { return m.minted(m.wallet.anyIssuer(), change{}, nil) }

func (m *mix) repeated() ([]*request, error) {
	t := m.wallet.pick(m.wallet.anyIssuer(), false)
	return bearer(t.raw, t.want), nil
}

func (m *mix) olderKey() ([]*request, error) {
	t := m.wallet.older(m.wallet.anyIssuer())
	if t == nil {
		return nil, nil
	}
	return bearer(t.raw, t.want), nil
}

// olderMint is what somebody can do who keeps a key that was withdrawn.
func (m *mix) olderMint() ([]*request, error) {
	is := m.wallet.anyIssuer()
	t := m.wallet.older(is)
	if t == nil {
		return nil, nil
	}
	return m.minted(is, change{by: t.want.key}, nil)
}

// nearExpiry sends the same tokens before and after they expire, so that what the
// gate remembers of them must expire too.
func (m *mix) nearExpiry() ([]*request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ending) < 12 || time.Since(m.ending[0].want.until) > time.Second {
		t, err := m.wallet.mint(m.wallet.anyIssuer(), change{issued: -time.Minute, ends: 3*time.Second - leeway})
		if err != nil {
			return nil, err
		}
		t.want.reason = "expired"
		m.ending = append(m.ending, t)
		m.ending = m.ending[max(0, len(m.ending)-12):]
	}
	t := m.ending[math.IntN(len(m.ending))]
	return bearer(t.raw, t.want), nil
}

func (m *mix) nearStart() ([]*request, error) {
	begins := time.Now().Add(leeway).Truncate(time.Second).Add(time.Duration(math.IntN(2)) * time.Second)
	return m.minted(m.wallet.anyIssuer(), change{claims: map[string]any{"nbf": begins.Unix()}}, func(e *expectation) { e.from = begins.Add(-leeway) })
}

func (m *mix) expired() ([]*request, error) {
	since := time.Duration(1+math.IntN(3600)) * time.Second
	return m.minted(m.wallet.anyIssuer(), change{issued: -2 * time.Hour, ends: -leeway - since}, early(badToken, "expired"))
}

func (m *mix) notYet() ([]*request, error) {
	begins := time.Now().Add(time.Hour).Truncate(time.Second)
	return m.minted(m.wallet.anyIssuer(), change{claims: map[string]any{"nbf": begins.Unix()}}, final(badToken, "not_yet"))
}

func (m *mix) otherAudience() ([]*request, error) {
	return m.minted(m.wallet.anyIssuer(), change{claims: map[string]any{"aud": audience + "/other"}}, early(badToken, "audience"))
}

func (m *mix) otherScope() ([]*request, error) {
	return m.minted(m.wallet.anyIssuer(), change{claims: map[string]any{"scope": "write"}}, final(tooSmall, "scope"))
}

func (m *mix) forged() ([]*request, error) {
	is := m.wallet.anyIssuer()
	return m.minted(is, change{token: devissuer.Token{Key: is.attacker}}, final(badToken, "signature"))
}

func (m *mix) otherIssuer() ([]*request, error) {
	i := math.IntN(len(m.wallet.stage.issuers))
	is, other := m.wallet.stage.issuers[i], m.wallet.stage.issuers[(i+1)%len(m.wallet.stage.issuers)]
	return m.minted(is, change{token: devissuer.Token{Key: other.current().signer, Alg: other.alg}}, final(badToken, "unknown_key"))
}

// randomKid dates half of the tokens so that the gate's set is newer than they
// are: then not even a gate that may not ask has a doubt.
func (m *mix) randomKid() ([]*request, error) {
	is := m.wallet.stage.issuers[busyIssuer]
	c := change{token: devissuer.Token{Key: is.attacker, KeyID: rand.Text()}}
	if math.IntN(2) == 0 {
		c.issued = -3 * time.Minute
	}
	return m.minted(is, c, func(e *expectation) { e.key, e.final, e.reason = nil, badToken, "unknown_key" })
}

func (m *mix) unsigned() ([]*request, error) {
	return m.minted(m.wallet.anyIssuer(), change{token: devissuer.Token{Alg: devissuer.None}}, early(badToken, "malformed")) // there is no signature to read
}

func (m *mix) opaqueOf(raw string, t *opaque) []*request {
	want := expectation{final: passed, asks: m.opaque, opaque: t, reason: "inactive"}
	if t != nil {
		want.facts = t.facts
	}
	return bearer(raw, want)
}

func (m *mix) opaqueGood() ([]*request, error)    { return m.opaquePicked(false) }
func (m *mix) opaqueRevoked() ([]*request, error) { return m.opaquePicked(true) }

func (m *mix) opaquePicked(revoked bool) ([]*request, error) {
	t := m.opaque.pick(revoked)
	if t == nil {
		return nil, nil
	}
	return m.opaqueOf(t.raw, t), nil
}

func (m *mix) opaqueUnknown() ([]*request, error) { return m.opaqueOf(m.opaque.unknown(), nil), nil }

func (m *mix) opaqueEnding() ([]*request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.endingOp) < 4 || time.Since(m.endingOp[0].expires) > 4*time.Second {
		t, err := m.opaque.mint(4 * time.Second)
		if err != nil {
			return nil, err
		}
		m.endingOp = append(m.endingOp, t)
		m.endingOp = m.endingOp[max(0, len(m.endingOp)-4):]
	}
	t := m.endingOp[math.IntN(len(m.endingOp))]
	return m.opaqueOf(t.raw, t), nil
}

func (*mix) garbage() ([]*request, error) {
	return bearer("garbage-"+rand.Text(), expectation{early: badToken, reason: "malformed"}), nil
}

func (*mix) noToken() ([]*request, error) {
	return []*request{{path: "/read", want: expectation{early: asked, reason: "missing"}}}, nil
}

func (*mix) public() ([]*request, error) {
	r := &request{path: "/open", want: expectation{early: passed}}
	if math.IntN(2) == 0 {
		r.authorization = fmt.Sprintf("Bearer garbage-%d", math.Int())
	}
	return []*request{r}, nil
}
