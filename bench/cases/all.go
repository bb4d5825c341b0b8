package cases

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/bench/load"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// all is every case, in the order of the table. The targets are ratios to a bare
// proxy that forwards the same requests unchecked.
func (w *World) all() ([]Case, error) {
	good, errG := w.good()
	bad, errB := w.bad()
	forged, errF := w.forgeries()
	return slices.Concat(good, bad, forged, w.badProofs()), errors.Join(errG, errB, errF)
}

func (w *World) good() ([]Case, error) {
	rs, errR := w.mint("RS256", nil)
	es, errE := w.mint("ES256", nil)
	opaque, errO := w.Opaque()
	once := func(alg string) func(int) ([][]byte, error) {
		return func(n int) ([][]byte, error) {
			return each(n, func(i int) ([]byte, error) {
				raw, err := w.mint(alg, map[string]any{"client_id": "client-" + strconv.Itoa(i%50)})
				return Bearer(raw), err
			})
		}
	}
	w.pool = sync.OnceValues(func() ([][]byte, error) { return once("ES256")(PoolSize) })
	proofs := func(n int) ([][]byte, error) {
		return each(n, func(int) ([]byte, error) {
			token, proof, err := w.Proof()
			return load.Get(Host, Read, "Authorization: DPoP "+token, "DPoP: "+proof), err
		})
	}
	return []Case{
		{ID: "pass", Title: "pass-through, no check (public route)", Status: 200, requests: same(load.Get(Host, Open, "Authorization: Bearer "+es))},
		{ID: "rs256-repeated", Title: "RS256, the same token", Status: 200, Target: Target{Ratio: 0.60}, requests: same(Bearer(rs))},
		{ID: "es256-repeated", Title: "ES256, the same token", Status: 200, Target: Target{Ratio: 0.60}, requests: same(Bearer(es))},
		{ID: "pool", Title: "ES256, a pool of 20,000 tokens", Status: 200, Target: Target{Ratio: 0.60}, warm: w.pool, requests: w.fromPool},
		{ID: "es256-once", Title: "ES256, every token once", Status: 200, Target: Target{Ratio: 1.25, Untabled: 1.7}, requests: once("ES256")},
		{ID: "rs256-once", Title: "RS256, every token once", Status: 200, Target: Target{Ratio: 1.05, Untabled: 1.25}, requests: once("RS256")},
		{ID: "dpop", Title: "DPoP ES256, every proof once", Status: 200, Target: Target{Ratio: 1.4, Untabled: 1.8}, requests: proofs},
		{ID: "opaque", Title: "opaque token, answer cached", Status: 200, Target: Target{Ratio: 0.57}, warm: func() ([][]byte, error) { return same(Bearer(opaque))(1) }, requests: same(Bearer(opaque))},
	}, errors.Join(errR, errE, errO)
}

// fromPool takes the next n of the pool, in its order: a token comes back when
// all others have come.
func (w *World) fromPool(n int) ([][]byte, error) {
	pool, err := w.pool()
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = pool[(w.turn+i)%len(pool)]
	}
	w.turn += n
	return out, nil
}

// bad is what a look at the token refuses, without its signature.
func (w *World) bad() ([]Case, error) {
	past := time.Now().Add(-time.Hour).Unix()
	expired, errE := w.mint("ES256", map[string]any{"iat": past - 300, "exp": past})
	other, errI := w.mint("ES256", map[string]any{"iss": "https://other.example.com"})
	elsewhere, errA := w.mint("ES256", map[string]any{"aud": "https://other.example.com"})
	// Issued before the gate read its keys, or it could not know that there is no such key.
	unknown, errK := w.Issuer.Mint(devissuer.Token{Alg: "ES256", Header: map[string]any{"kid": "nobody-has-it"}, Claims: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
	return []Case{
		{ID: "none", Title: "refused: no token", Status: 401, Reason: "missing", Target: Target{Ratio: 0.25}, requests: same(load.Get(Host, Read))},
		{ID: "garbage", Title: "refused: garbage", Status: 401, Reason: "malformed", Target: Target{Ratio: 0.3}, requests: same(Bearer(strings.Repeat("garbage.", 75)))},
		{ID: "expired", Title: "refused: expired", Status: 401, Reason: "expired", Target: Target{Ratio: 0.33}, requests: same(Bearer(expired))},
		{ID: "issuer", Title: "refused: wrong issuer", Status: 401, Reason: "issuer", Target: Target{Ratio: 0.33}, requests: same(Bearer(other))},
		{ID: "audience", Title: "refused: wrong audience", Status: 401, Reason: "audience", Target: Target{Ratio: 0.33}, requests: same(Bearer(elsewhere))},
		{ID: "kid", Title: "refused: unknown kid", Status: 401, Reason: "unknown_key", Target: Target{Ratio: 0.33}, requests: same(Bearer(unknown))},
	}, errors.Join(errE, errI, errA, errK)
}

// forgeries is what only the signature gives away. Those that come from ever
// other sources stay within the budget of each. All come through a proxy that is
// trusted, since nobody pays for addresses of this host.
func (w *World) forgeries() ([]Case, error) {
	const flooder, repeater = 1, 2 // the others begin behind them
	trusted := netip.MustParseAddr(TrustedAddress)
	w.source = repeater
	other := func() int { w.source++; return w.source }
	one := func() int { return flooder }
	fresh := func(alg string, source func() int) func(int) ([][]byte, error) {
		return func(n int) ([][]byte, error) {
			tokens, err := w.Forged(alg, n)
			out := make([][]byte, len(tokens))
			for i, raw := range tokens {
				out[i] = Bearer(raw, elsewhere(source()))
			}
			return out, err
		}
	}
	again, err := w.Forged("ES256", 1)
	if err != nil {
		return nil, err
	}
	once := []int{429} // who is over its budget may be told so
	return []Case{
		{ID: "forged-es256", Title: "refused: bad signature ES256, ever other sources", Status: 401, Reason: "signature", Also: once, Local: trusted, requests: fresh("ES256", other),
			Target: Target{Otherwise: "below ES256 once"}},
		{ID: "forged-rs256", Title: "refused: bad signature RS256, ever other sources", Status: 401, Reason: "signature", Also: once, Local: trusted, requests: fresh("RS256", other),
			Target: Target{Otherwise: "below RS256 once"}},
		{ID: "forged-flood", Title: "refused: bad signature ES256, one source", Status: 401, Also: once, Local: trusted, Target: Target{Ratio: 0.3}, requests: fresh("ES256", one)},
		{ID: "forged-again", Title: "refused: bad signature ES256, the same token", Status: 401, Also: once, Local: trusted, Target: Target{Ratio: 0.3}, requests: same(Bearer(again[0], elsewhere(repeater)))},
	}, nil
}

// badProofs come with the good bound token, each of them once. What a look at the
// proof refuses costs no signature; forged ones come from ever other sources.
func (w *World) badProofs() []Case {
	proofs := func(change func(*devissuer.Proof), after func(string) string, fields func() []string) func(int) ([][]byte, error) {
		return func(n int) ([][]byte, error) {
			out := make([][]byte, n)
			for i := range out {
				p := devissuer.Proof{Method: "GET", URL: Audience + Read, AccessToken: w.bound}
				change(&p)
				proof, err := w.client.Proof(p)
				if err != nil {
					return nil, err
				}
				out[i] = load.Get(Host, Read, append([]string{"Authorization: DPoP " + w.bound, "DPoP: " + after(proof)}, fields()...)...)
			}
			return out, nil
		}
	}
	asItIs := func(proof string) string { return proof }
	none := func() []string { return nil }
	otherSource := func() []string { w.source++; return []string{elsewhere(w.source)} }
	return []Case{
		{ID: "dpop-stale", Title: "refused: DPoP proof too old", Status: 401, Reason: "dpop_iat", Target: Target{Ratio: 0.4},
			requests: proofs(func(p *devissuer.Proof) { p.IssuedAt = time.Now().Add(-time.Hour) }, asItIs, none)},
		{ID: "dpop-htu", Title: "refused: DPoP proof for another URI", Status: 401, Reason: "dpop_htu", Target: Target{Ratio: 0.4},
			requests: proofs(func(p *devissuer.Proof) { p.URL = Audience + "/elsewhere" }, asItIs, none)},
		{ID: "dpop-forged", Title: "refused: DPoP proof with a bad signature", Status: 401, Reason: "dpop_sig", Also: []int{429},
			Local: netip.MustParseAddr(TrustedAddress), Target: Target{Otherwise: "below DPoP once"},
			requests: proofs(func(*devissuer.Proof) {}, forgedSignature, otherSource)},
	}
}
