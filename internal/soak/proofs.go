package main

import (
	math "math/rand/v2"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// dpop is a request with a proof of t's client that differs from a good one as p
// says.
func (m *mix) dpop(t *jwt, p devissuer.Proof) (*request, error) {
	p.Method = "GET"
	if p.URL == "" {
		p.URL = audience + "/read"
	}
	if p.AccessToken == "" {
		p.AccessToken = t.raw
	}
	proof, err := t.bound.Proof(p)
	return &request{path: "/read", authorization: "DPoP " + t.raw, proof: proof, want: t.want}, err
}

func (m *mix) bound() (*jwt, error) {
	is := m.wallet.anyIssuer()
	if math.IntN(3) > 0 {
		return m.wallet.pick(is, true), nil
	}
	return m.wallet.mint(is, change{bound: m.wallet.anyClient()})
}

func (m *mix) proven() ([]*request, error) {
	t, err := m.bound()
	if err != nil {
		return nil, err
	}
	r, err := m.dpop(t, devissuer.Proof{})
	if err != nil {
		return nil, err
	}
	again := *r
	again.want.final, again.want.reason = badProof, "dpop_replay"
	r.told = func(got outcome) {
		if got == passed {
			m.keep(&again)
		}
	}
	return []*request{r}, nil
}

// keep remembers a proof that was accepted: the last ones, and a few for so long
// that the gate may have forgotten them.
func (m *mix) keep(r *request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = append(m.used, r)
	m.used = m.used[max(0, len(m.used)-64):]
	if math.IntN(40) == 0 {
		m.older = append(m.older, r)
		m.older = m.older[max(0, len(m.older)-128):]
	}
}

func (m *mix) replay() ([]*request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.used
	if math.IntN(2) == 0 && len(m.older) > 0 {
		list = m.older
	}
	if len(list) == 0 {
		return nil, nil
	}
	again := *list[math.IntN(len(list))]
	return []*request{&again}, nil
}

// twins are two requests with one proof: exactly one is the first.
func (m *mix) twins() ([]*request, error) {
	t, err := m.bound()
	if err != nil {
		return nil, err
	}
	r, err := m.dpop(t, devissuer.Proof{})
	if err != nil {
		return nil, err
	}
	r.want.final, r.want.reason = passed|badProof, "dpop_replay"
	other := *r
	return []*request{r, &other}, nil
}

func (m *mix) badProof() ([]*request, error) {
	t, err := m.bound()
	if err != nil {
		return nil, err
	}
	by, p, want := t, devissuer.Proof{}, final(badProof, "dpop_ath")
	switch math.IntN(5) {
	case 0: // for another token
		p.AccessToken = "another"
	case 1: // for another place
		p.URL, want = audience+"/open", final(badProof, "dpop_htu")
	case 2: // too old
		p.IssuedAt, want = time.Now().Add(-62*time.Second), final(badProof, "dpop_iat")
	case 3: // ahead of its time
		p.IssuedAt, want = time.Now().Add(10*time.Minute), final(badProof, "dpop_iat")
	case 4: // by somebody else
		thief, err := devissuer.NewClientKey("ES256")
		if err != nil {
			return nil, err
		}
		by, want = &jwt{t.raw, t.want, thief}, final(badToken, "dpop_binding")
	}
	r, err := m.dpop(by, p)
	if err != nil {
		return nil, err
	}
	want(&r.want)
	return []*request{r}, nil
}

func (m *mix) boundAsBearer() ([]*request, error) {
	t, err := m.bound()
	if err != nil {
		return nil, err
	}
	want := t.want
	final(badToken, "dpop_binding")(&want)
	return bearer(t.raw, want), nil
}
