package validator

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/budget"
)

// bounded is a world whose signatures are counted.
type bounded struct {
	*world
	r             *Resource
	checked, held atomic.Int64
	spared        atomic.Int64
	gate          *budget.Gate
	stranger      *devissuer.ClientKey
	forgeries     int
}

type sender string

func (s sender) Payer() netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(string(s))
}

func newBounded(t *testing.T, o Options) *bounded {
	t.Helper()
	if o.Leeway == 0 {
		o.Leeway = 30 * time.Second
	}
	o.Name, o.Issuer = "as", issuerName
	b := &bounded{world: newWorld(t, o, 100), gate: budget.NewGate(1, 50*time.Millisecond)}
	v, err := New(Parts{
		Issuers: []Options{o}, Keys: b.keys, CacheSize: 100,
		Bounds: Bounds{
			Refused: 100, Gate: b.gate,
			Failures: budget.NewSources(budget.Options{Burst: 20, PerSecond: 10, Count: 100}),
			OnSignature: func(held bool) {
				b.checked.Add(1)
				if held {
					b.held.Add(1)
				}
			},
			OnRefused: func() { b.spared.Add(1) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.validator, b.r = v, v.For(Audience{Any: []string{"https://rs.example.com"}})
	if b.stranger, err = devissuer.NewClientKey("ES256"); err != nil {
		t.Fatal(err)
	}
	return b
}

// forged is a token like the issuer's, each with a text of its own, by another key.
func (b *bounded) forged() string {
	b.forgeries++
	return b.mint(devissuer.Token{Key: b.stranger.Signer, Alg: "ES256", Header: map[string]any{"kid": "es256-1"}, Claims: map[string]any{
		"iat": time.Now().Unix() - 60, "jti": time.Now().String(), "n": b.forgeries,
	}})
}

func (b *bounded) present(raw, from string) token.Reason {
	b.t.Helper()
	return b.reason(b.r.Validate(b.t.Context(), token.Credential{Scheme: token.Bearer, Raw: raw, Sender: sender(from)}))
}

// costs runs present and wants a reason and so many signature checks.
func (b *bounded) costs(what, raw string, want token.Reason, checks int64) {
	b.t.Helper()
	before := b.checked.Load()
	if got := b.present(raw, ""); got != want {
		b.t.Errorf("%s: refused for %q, want %q", what, got, want)
	}
	if got := b.checked.Load() - before; got != checks {
		b.t.Errorf("%s: %d signatures were checked, want %d", what, got, checks)
	}
}

// TestRefusedAgain: a token whose signature was found bad costs no signature for a
// while, and the answer is the same. Its like at another resource is looked at.
func TestRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		forged := b.forged()
		b.costs("the first time", forged, token.ReasonSignature, 1)
		_, first := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: forged})
		b.costs("again", forged, token.ReasonSignature, 0)
		if b.spared.Load() != 2 {
			t.Errorf("%d were spared", b.spared.Load())
		}
		_, again := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: forged})
		if first.Error() != again.Error() {
			t.Errorf("%v, and then %v", first, again)
		}
		if got := b.judge(forged, "https://other.example.com"); got != token.ReasonAudience {
			t.Errorf("at another resource: %q", got)
		}
		time.Sleep(refusedFor)
		b.costs("later", forged, token.ReasonSignature, 1)
		b.validator.Forget()
		b.costs("all forgotten", forged, token.ReasonSignature, 1)
		before := b.checked.Load()
		if _, err := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: forged, Trace: &token.Trace{}}); err == nil || b.checked.Load() != before+1 {
			t.Errorf("explain is told from memory: %v", err)
		}
	})
}

// What may be good in a moment is never remembered as bad: a key that comes, an
// issuer that comes back, a time that comes.
func TestNotRefusedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		// The stranger's key becomes the issuer's, under the old kid.
		forged := b.forged()
		b.costs("before", forged, token.ReasonSignature, 1)
		b.costs("again", forged, token.ReasonSignature, 0)
		b.keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: b.file + ".none"}})
		if got := b.present(forged, ""); got != token.ReasonKeysUnavailable {
			t.Errorf("without keys: %q", got)
		}
		b.keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: b.file}})
		b.costs("after another set", forged, token.ReasonSignature, 1)

		early := b.mint(devissuer.Token{Claims: map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}})
		b.costs("not yet", early, token.ReasonNotYet, 0)
		time.Sleep(31 * time.Second)
		b.costs("in time", early, "", 1)

		short := b.mint(devissuer.Token{Claims: map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()}})
		parts := short[:len(short)-4] + "AAAA"
		b.costs("tampered with", parts, token.ReasonSignature, 1)
		time.Sleep(4*time.Second + 30*time.Second)
		b.costs("and expired", parts, token.ReasonExpired, 0)
	})
}

// What is signed and refused all the same costs its signature once, and is judged
// anew each time.
func TestSignedAndRefused(t *testing.T) {
	b := newBounded(t, Options{Profile: JWT})
	id := b.mint(devissuer.Token{Claims: map[string]any{"nonce": "n"}})
	b.costs("an ID token", id, token.ReasonKind, 1)
	for range 3 {
		b.costs("again", id, token.ReasonKind, 0)
	}
	if b.validator.Remembered() != 0 {
		t.Error("it has a place among the good ones")
	}
	claimless := b.mint(devissuer.Token{Claims: map[string]any{"cnf": "x"}})
	reason := b.present(claimless, "")
	b.costs("malformed claims", claimless, reason, 0)
}

// TestEarlierThanSignatures: whatever can be told without a signature is.
func TestEarlierThanSignatures(t *testing.T) {
	b := newBounded(t, Options{})
	now := time.Now()
	type m = map[string]any
	for name, c := range map[string]struct {
		token devissuer.Token
		want  token.Reason
	}{
		"iss":                  {devissuer.Token{Claims: m{"iss": "https://x.example.com"}}, token.ReasonIssuer},
		"aud":                  {devissuer.Token{Claims: m{"aud": "https://x.example.com"}}, token.ReasonAudience},
		"exp":                  {devissuer.Token{Claims: m{"exp": 1}}, token.ReasonExpired},
		"exp of another kind":  {devissuer.Token{Claims: m{"exp": "1"}}, token.ReasonClaim},
		"nbf":                  {devissuer.Token{Claims: m{"nbf": now.Add(time.Hour).Unix()}}, token.ReasonNotYet},
		"nbf of another kind":  {devissuer.Token{Claims: m{"nbf": "1"}}, token.ReasonClaim},
		"iat":                  {devissuer.Token{Claims: m{"iat": now.Add(time.Hour).Unix()}}, token.ReasonIssuedAt},
		"typ":                  {devissuer.Token{Header: m{"typ": "JWT"}}, token.ReasonType},
		"alg of another key":   {devissuer.Token{Header: m{"alg": "RS256"}, Claims: m{"iat": now.Unix() - 60}}, token.ReasonUnknownKey},
		"kid":                  {devissuer.Token{Header: m{"kid": "x"}, Claims: m{"iat": now.Unix() - 60}}, token.ReasonUnknownKey},
		"alg that is not used": {devissuer.Token{Alg: "HS256", Secret: make([]byte, 32)}, token.ReasonAlgorithm},
	} {
		t.Run(name, func(t *testing.T) { b.costs(name, b.mint(c.token), c.want, 0) })
	}
	good := b.mint(devissuer.Token{})
	signed := good[:strings.LastIndexByte(good, '.')+1]
	b.costs("a short signature", signed+base64.RawURLEncoding.EncodeToString(make([]byte, 63)), token.ReasonSignature, 0)
	b.costs("a long signature", signed+base64.RawURLEncoding.EncodeToString(make([]byte, 65)), token.ReasonSignature, 0)
	b.costs("good", good, "", 1)
	b.costs("good again", good, "", 0)
}

// TestFailuresPerSource: an address that sends forged tokens runs out of them.
// What is known to be good passes from there all the same.
func TestFailuresPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		known, fresh := b.mint(devissuer.Token{}), b.mint(devissuer.Token{})
		if got := b.present(known, "192.0.2.1"); got != "" {
			t.Fatalf("a good token: %q", got)
		}
		for n := range 20 {
			if got := b.present(b.forged(), "192.0.2.1"); got != token.ReasonSignature {
				t.Fatalf("forged token %d: %q", n, got)
			}
		}
		checked := b.checked.Load()
		for range 10 {
			if got := b.present(b.forged(), "192.0.2.1"); got != token.ReasonFailures {
				t.Errorf("beyond the budget: %q", got)
			}
		}
		if got := b.present(fresh, "192.0.2.1"); got != token.ReasonFailures {
			t.Errorf("a good token that nobody knows yet: %q", got)
		}
		if got := b.checked.Load(); got != checked {
			t.Errorf("%d signatures were checked beyond the budget", got-checked)
		}
		_, err := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: fresh, Sender: sender("192.0.2.1")})
		var refusal *token.Error
		if ok := asRefusal(err, &refusal); !ok || refusal.Code != token.TooManyRequests || refusal.Wait <= 0 || refusal.Wait > time.Second {
			t.Errorf("the answer is %+v", err)
		}
		for what, got := range map[string]token.Reason{
			"a known token":             b.present(known, "192.0.2.1"),
			"from another address":      b.present(b.mint(devissuer.Token{}), "192.0.2.2"),
			"from nobody knows where":   b.present(b.mint(devissuer.Token{}), ""),
			"an hour of a stream later": b.reason(nil, b.r.Recheck(t.Context(), token.Credential{Scheme: token.Bearer, Raw: b.mint(devissuer.Token{}), Sender: sender("192.0.2.1")})),
		} {
			if got != "" {
				t.Errorf("%s: %q", what, got)
			}
		}
		if got := b.present(b.mint(devissuer.Token{Claims: map[string]any{"exp": 1}}), "192.0.2.1"); got != token.ReasonExpired {
			t.Errorf("what needs no signature: %q", got)
		}
		time.Sleep(time.Second)
		if got := b.present(fresh, "192.0.2.1"); got != "" {
			t.Errorf("a second later: %q", got)
		}
	})
}

func asRefusal(err error, into **token.Error) (ok bool) {
	*into, ok = err.(*token.Error) //nolint:errorlint // what is returned itself
	return ok
}

// TestOneAtATime: signatures wait for a place, in vain if need be; what is
// remembered never does.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		known := b.mint(devissuer.Token{})
		b.costs("a good token", known, "", 1)
		if _, err := b.gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b.costs("known", known, "", 0)
		b.costs("expired", b.mint(devissuer.Token{Claims: map[string]any{"exp": 1}}), token.ReasonExpired, 0)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("they waited %v", waited)
		}
		_, err := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: b.mint(devissuer.Token{})})
		if fault, ok := err.(*token.Fault); !ok || fault.Reason != token.ReasonBusy || fault.RetryAfter < time.Second || time.Since(began) != 50*time.Millisecond { //nolint:errorlint // what is returned itself
			t.Errorf("%v after %v", err, time.Since(began))
		}
		gone, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began = time.Now()
		if _, err := b.r.Validate(gone, token.Credential{Scheme: token.Bearer, Raw: b.mint(devissuer.Token{})}); err == nil || time.Since(began) != 10*time.Millisecond {
			t.Errorf("a client that went away: %v after %v", err, time.Since(began))
		}
		// A flood from one address gets no more than its budget out of the queue.
		var reasons sync.Map
		var wait sync.WaitGroup
		for range 40 {
			raw := b.forged()
			wait.Go(func() {
				reason := b.present(raw, "192.0.2.1")
				n, _ := reasons.LoadOrStore(reason, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			})
		}
		synctest.Wait()
		b.gate.Leave()
		wait.Wait()
		for reason, want := range map[token.Reason]int64{token.ReasonSignature: 20, token.ReasonFailures: 20} {
			if n, _ := reasons.Load(reason); n == nil || n.(*atomic.Int64).Load() != want {
				t.Errorf("%v were refused for %s, want %d", n, reason, want)
			}
		}
		b.costs("and then", b.mint(devissuer.Token{}), "", 1)
	})
}

// TestVerifiedOnce: a token that comes many times at once is verified once, though
// the first to bring it goes away.
func TestVerifiedOnce(t *testing.T) {
	for name, leaves := range map[string]bool{"all stay": false, "the first goes away": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBounded(t, Options{})
				good, forged := b.mint(devissuer.Token{}), b.forged()
				for raw, want := range map[string]token.Reason{good: "", forged: token.ReasonSignature} {
					before := b.checked.Load()
					if _, err := b.gate.Enter(t.Context()); err != nil {
						t.Fatal(err)
					}
					first, leave := context.WithCancel(t.Context())
					var wait sync.WaitGroup
					for n := range 50 {
						ctx := t.Context()
						if n == 0 {
							ctx = first
						}
						wait.Go(func() {
							got := token.ReasonNone
							_, err := b.r.Validate(ctx, token.Credential{Scheme: token.Bearer, Raw: raw})
							if ctx.Err() == nil {
								got = b.reason(nil, err)
							}
							if ctx.Err() == nil && got != want {
								t.Errorf("number %d: %q, want %q", n, got, want)
							}
						})
						synctest.Wait()
					}
					if leaves {
						leave()
						synctest.Wait()
					}
					b.gate.Leave()
					wait.Wait()
					leave()
					got, most := b.checked.Load()-before, int64(1)
					if leaves {
						most = 49 // each for itself, but nobody is let down
					}
					if got < 1 || got > most {
						t.Errorf("%d signatures were checked", got)
					}
				}
				if len(b.validator.flights.under) != 0 {
					t.Errorf("%d flights never landed", len(b.validator.flights.under))
				}
			})
		})
	}
}

// A token that is refused for what it claims is remembered with its key, and no
// longer than that is the issuer's.
func TestRefusedClaimsDieWithTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(t, Options{})
		other := b.mint(devissuer.Token{Claims: map[string]any{"jti": nil}})
		b.costs("the first time", other, token.ReasonClaim, 1)
		b.costs("again", other, token.ReasonClaim, 0)
		b.validator.Forget()
		b.costs("all forgotten", other, token.ReasonClaim, 1)
		good := b.mint(devissuer.Token{})
		b.costs("a good one", good, "", 1)
		if _, err := b.issuer.Rotate("ES256"); err != nil {
			t.Fatal(err)
		}
		b.publish()
		time.Sleep(time.Minute)
		b.costs("of the new key", b.mint(devissuer.Token{}), "", 1)
		held := b.validator.Remembered()
		b.costs("of the old key", good, token.ReasonUnknownKey, 0)
		if n := b.validator.Remembered(); n != held-1 {
			t.Errorf("%d are remembered, want %d: room is taken for what can never be good again", n, held-1)
		}
		b.costs("of the old key, refused before", other, token.ReasonUnknownKey, 0)
	})
}

// A signature that no key can have made costs nobody's budget: it is not checked.
func TestSignaturesOfNoLengthCostNothing(t *testing.T) {
	b := newBounded(t, Options{})
	raw := b.mint(devissuer.Token{})
	for i := range 50 { // each another one, or it would be known
		short := b.mint(devissuer.Token{Claims: map[string]any{"n": i}})
		short = short[:strings.LastIndexByte(short, '.')+1] + "AAAA"
		if got := b.present(short, "192.0.2.9"); got != token.ReasonSignature {
			t.Fatalf("refused for %q, want signature", got)
		}
	}
	if got := b.present(raw, "192.0.2.9"); got != "" || b.checked.Load() != 1 {
		t.Errorf("the good one from there: refused for %q; %d signatures were checked, want one", got, b.checked.Load())
	}
}
