package dpop

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

var sharedSecret = []byte("0123456789abcdef0123456789abcdef")

func good(n *Nonces, nonce string) bool { return n.find(nonce, time.Now()).good }

// DPOP-46: only NQCHAR (RFC 9449 section 8.1), and short.
func TestNonceForm(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		nonce := NewNonces().At(time.Now())
		odd := strings.ContainsFunc(nonce, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		})
		if odd || len(nonce) < 22 || len(nonce) > 43 {
			t.Errorf("nonce %q", nonce)
		}
		if seen[nonce] {
			t.Errorf("%q comes from two processes", nonce)
		}
		seen[nonce] = true
	}
}

// DPOP-46, D-40: one octet changed, added or missing, and a megabyte.
func TestNonceChanged(t *testing.T) {
	n := NewNonces()
	now := time.Now()
	nonce := n.At(now)
	changed := []string{"", nonce[1:], nonce[:len(nonce)-1], nonce + "A", nonce + "=", " " + nonce, nonce + "\n", strings.ToUpper(nonce), strings.Repeat("A", 1<<20), nonce + strings.Repeat("A", 1<<20)}
	for i := range nonce {
		for bit := range 8 {
			octets := []byte(nonce)
			octets[i] ^= 1 << bit
			changed = append(changed, string(octets))
		}
	}
	for _, text := range changed {
		if n.find(text, now).good {
			t.Errorf("%.50q passes for %q", text, nonce)
		}
	}
	if !n.find(nonce, now).good {
		t.Error("the nonce itself does not pass")
	}
}

// DPOP-46: nothing is kept of a million nonces.
func TestNoncesDoNotGrow(t *testing.T) {
	n := NewNonces()
	n.Use(sharedSecret, 24*time.Hour)
	now := time.Now()
	forged := n.At(now)[1:] + "."
	kept := len(n.state.Load().retired)
	if per := testing.AllocsPerRun(10_000, func() {
		if n.find(forged, now).good {
			t.Error("forged")
		}
	}); per != 0 {
		t.Errorf("%v allocations to look for a nonce", per)
	}
	if per := testing.AllocsPerRun(1_000_000, func() { _ = n.At(now) }); per > 1 {
		t.Errorf("%v allocations to give out a nonce", per)
	}
	if now := len(n.state.Load().retired); now != kept {
		t.Errorf("%d series are kept, %d were", now, kept)
	}
}

// DPOP-44: whenever it was given out, a nonce is good for one max age at least
// and for two at most.
func TestNonceAges(t *testing.T) {
	const age = 5 * time.Minute
	for _, offset := range []time.Duration{0, 1, time.Second, age / 2, age - time.Second, age - 1} {
		t.Run(offset.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNonces()
				time.Sleep(time.Until(time.Now().Truncate(age).Add(age + offset)))
				nonce := n.At(time.Now())
				for _, step := range []struct {
					at           time.Duration
					good, ending bool
				}{{0, true, false}, {age - offset - 1, true, false}, {age - offset, true, true}, {age, true, true}, {2*age - offset - 1, true, true}, {2*age - offset, false, false}, {2 * age, false, false}, {1000 * age, false, false}} {
					found := n.find(nonce, time.Now().Add(step.at))
					if found.good != step.good || found.ending != step.ending {
						t.Errorf("after %s: %+v", step.at, found)
					}
				}
			})
		})
	}
}

// C20, DPOP-31: whose nonces a process takes.
func TestNonceScope(t *testing.T) {
	one, two := NewNonces(), NewNonces()
	if good(two, one.At(time.Now())) || good(one, two.At(time.Now())) {
		t.Error("a nonce of another process passes")
	}
	one.Use(sharedSecret, time.Hour)
	two.Use(sharedSecret, time.Hour)
	if found := two.find(one.At(time.Now()), time.Now()); !found.good || found.own {
		t.Errorf("a nonce with the shared secret: %+v", found)
	}
	for name, other := range map[string]struct {
		secret string
		age    time.Duration
	}{"another secret": {"x" + string(sharedSecret[1:]), time.Hour}, "longer secret": {string(sharedSecret) + "\x00", time.Hour}, "another age": {string(sharedSecret), 2 * time.Hour}} {
		third := NewNonces()
		third.Use([]byte(other.secret), other.age)
		if good(third, one.At(time.Now())) {
			t.Errorf("%s: it passes", name)
		}
	}
}

// Replicas whose clocks differ take each other's nonces.
func TestNonceOfAFastClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNonces()
		n.Use(sharedSecret, time.Minute)
		now := time.Now()
		ahead := n.At(now.Add(time.Minute))
		if found := n.find(ahead, now); !found.good || found.ending {
			t.Errorf("of the span ahead: %+v", found)
		}
		if n.find(n.At(now.Add(2*time.Minute)), now).good {
			t.Error("a nonce of two spans ahead passes")
		}
	})
}

// The secret is read again when its file changes: what was given out before
// ends when it would have, and nothing is given out with it.
func TestNonceSecretChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = time.Minute
		n := NewNonces()
		n.Use(sharedSecret, age)
		old := n.At(time.Now())
		n.Use(slices.Clone(sharedSecret), age)
		if found := n.find(old, time.Now()); !found.good || found.ending || n.At(time.Now()) != old {
			t.Errorf("nothing has changed, but %+v", found)
		}
		n.Use([]byte(strings.Repeat("n", 32)), age)
		if found := n.find(old, time.Now()); !found.good || !found.ending || found.own {
			t.Errorf("right after the change: %+v", found)
		}
		if fresh := n.At(time.Now()); fresh == old || !good(n, fresh) {
			t.Errorf("the nonce given out now: %q", fresh)
		}
		time.Sleep(age)
		if !good(n, old) {
			t.Error("the old nonce ends early")
		}
		time.Sleep(age)
		if good(n, old) {
			t.Error("the old nonce outlives its time")
		}
		for range 10 * maxRetired { // the old secret leaked: nothing made with it later passes
			leaked := NewNonces()
			leaked.Use(sharedSecret, age)
			if good(n, leaked.At(time.Now())) {
				t.Fatal("a nonce made with a secret long gone passes")
			}
			time.Sleep(age / 2)
		}
	})
}

// A change there and back, between shared and own, and of the age.
func TestNonceSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNonces()
		n.Use(nil, time.Minute)
		own := n.At(time.Now())
		n.Use(sharedSecret, time.Minute)
		shared := n.At(time.Now())
		n.Use(sharedSecret, time.Hour)
		long := n.At(time.Now())
		for nonce, want := range map[string]finding{own: {true, true, true}, shared: {true, false, true}, long: {true, false, false}} {
			if got := n.find(nonce, time.Now()); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		n.Use(nil, time.Minute)
		if n.At(time.Now()) != own || !good(n, shared) || !good(n, long) {
			t.Error("back at the first setting, not all is as it was")
		}
		time.Sleep(119 * time.Minute)
		if good(n, own) || good(n, shared) || !good(n, long) {
			t.Error("not everything ended in its own time")
		}
		for i := range maxRetired - 1 { // what has ended takes no room
			n.Use(sharedSecret, time.Duration(i+10)*time.Second)
		}
		time.Sleep(30 * time.Second)
		n.Use(sharedSecret, time.Minute)
		if !good(n, long) {
			t.Error("crowded out by nonces that have ended")
		}
		for i := range 100 {
			n.Use(sharedSecret, time.Duration(i+60)*time.Second)
		}
		if kept := len(n.state.Load().retired); kept > maxRetired {
			t.Errorf("%d series are kept", kept)
		}
	})
}

// nonced is a verifier and a client for requests that need a nonce.
type nonced struct {
	*holder
	t      testing.TB
	v      *Verifier
	thumb  string
	serial atomic.Int64
}

func newNonced(t testing.TB, o Options) *nonced {
	h := newClient(t)
	return &nonced{holder: h, t: t, v: newVerifier(t, o), thumb: h.jkt(t)}
}

// claims are good ones for now, with a nonce.
func (n *nonced) claims(nonce any) members {
	return claimsAt(time.Now(), "j"+strconv.FormatInt(n.serial.Add(1), 10)).with(members{"nonce": nonce})
}

func (n *nonced) send(proofs ...string) (string, error) {
	cred := credentialWith(proofs...)
	cred.NonceNeeded = true
	return n.v.Confirm(context.Background(), cred, tokenDigest, n.thumb, time.Now())
}

func (n *nonced) try(claims members) (string, error) { return n.send(n.proof(n.header(), claims)) }

func (n *nonced) fresh() string { return n.v.options.Nonces.At(time.Now()) }

// given is the nonce of a refusal.
func given(err error) string {
	if refusal, ok := errors.AsType[*token.Error](err); ok {
		return refusal.Nonce
	}
	return ""
}

// DPOP-41, D-40: every nonce but a good one is answered with a good one, and
// the proof is not used up.
func TestNonceRequired(t *testing.T) {
	n := newNonced(t, Options{})
	old, foreign := n.v.options.Nonces.At(time.Now().Add(-3*DefaultNonceMaxAge)), NewNonces().At(time.Now())
	for name, nonce := range map[string]any{
		"none": absent, "empty": "", "wrong": "wrong", "old": old, "of another process": foreign, "long": strings.Repeat("A", 4000),
		"null": nil, "number": 1, "list": []string{n.fresh()}, "object": members{"a": n.fresh()}, "space": n.fresh() + " ", "true": true,
	} {
		t.Run(name, func(t *testing.T) {
			claims := n.claims(nonce)
			next, err := n.try(claims)
			want(t, err, token.UseDPoPNonce, token.ReasonDPoPNonce)
			if next != "" || given(err) != n.fresh() {
				t.Errorf("given %q, %q", next, given(err))
			}
			if memory(n.v).Len() != 0 {
				t.Fatal("a refused proof is remembered")
			}
		})
	}
	claims := n.claims(absent)
	_, err := n.try(claims)
	next, err := n.try(claims.with(members{"nonce": given(err)}))
	if want(t, err, "", ""); next != "" {
		t.Errorf("another nonce right away: %q", next)
	}
}

// D-40: a megabyte is too long for any proof, and is not looked at.
func TestNonceOfAMegabyte(t *testing.T) {
	n := newNonced(t, Options{})
	_, err := n.try(n.claims(strings.Repeat("A", 1<<20)))
	want(t, err, token.InvalidDPoPProof, token.ReasonDPoPMalformed)
}

// DPOP-47: where none is needed, a nonce means nothing and none is handed out.
func TestNonceNotNeeded(t *testing.T) {
	n := newNonced(t, Options{})
	for _, claims := range []members{n.claims("x"), n.claims(1), n.claims(absent)} {
		next, err := n.v.Confirm(context.Background(), credentialWith(n.proof(n.header(), claims)), tokenDigest, n.thumb, time.Now())
		if want(t, err, "", ""); next != "" {
			t.Errorf("handed out %q", next)
		}
	}
	err := confirm(n.v, n.thumb, time.Now(), n.proof(n.header(), n.claims("x").with(members{"htm": "PUT"})))
	if want(t, err, token.InvalidDPoPProof, token.ReasonDPoPMethod); given(err) != "" {
		t.Error("a refusal hands out a nonce")
	}
}

// A good nonce makes up for nothing else, and every refusal of a proof helps
// the client to the next one. One of the token does not.
func TestNonceBesideOtherFaults(t *testing.T) {
	n, other := newNonced(t, Options{}), newClient(t)
	stale := members{"iat": time.Now().Unix() - 61}
	good := func(changes members) string { return n.proof(n.header(), n.claims(n.fresh()).with(changes)) }
	used := good(nil)
	if _, err := n.send(used); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		proofs []string
		code   token.Code
		reason token.Reason
	}{
		"no proof":        {nil, token.InvalidDPoPProof, token.ReasonDPoPMissing},
		"two proofs":      {[]string{good(nil), good(nil)}, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		"garbage":         {[]string{"x"}, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		"other method":    {[]string{good(members{"htm": "PUT"})}, token.InvalidDPoPProof, token.ReasonDPoPMethod},
		"other path":      {[]string{good(members{"htu": origin})}, token.InvalidDPoPProof, token.ReasonDPoPTarget},
		"other token":     {[]string{good(members{"ath": "x"})}, token.InvalidDPoPProof, token.ReasonDPoPToken},
		"stale":           {[]string{good(stale)}, token.InvalidDPoPProof, token.ReasonDPoPTime},
		"stale and wrong": {[]string{good(stale.with(members{"nonce": "x"}))}, token.UseDPoPNonce, token.ReasonDPoPNonce},
		"no signature":    {[]string{good(nil)[:len(used)-86] + strings.Repeat("A", 86)}, token.InvalidDPoPProof, token.ReasonDPoPSignature},
		"used before":     {[]string{used}, token.InvalidDPoPProof, token.ReasonDPoPReplay},
		"another's key":   {[]string{other.proof(other.header(), n.claims(n.fresh()))}, token.InvalidToken, token.ReasonDPoPBinding},
		"neither":         {[]string{other.proof(other.header(), n.claims(absent))}, token.InvalidToken, token.ReasonDPoPBinding},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.send(test.proofs...)
			want(t, err, test.code, test.reason)
			if wanted := test.code != token.InvalidToken; (given(err) == n.fresh()) != wanted {
				t.Errorf("handed out %q", given(err))
			}
			if memory(n.v).Len() != 1 {
				t.Error("a refused proof is remembered")
			}
		})
	}
}

// DPOP-43: once the nonce is of the span before, its success brings the next.
func TestNonceSentAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNonced(t, Options{})
		first := n.fresh()
		for range 50 { // DPOP-44: one nonce, many proofs
			next, err := n.try(n.claims(first))
			if want(t, err, "", ""); next != "" {
				t.Fatal("sent ahead too early")
			}
		}
		time.Sleep(DefaultNonceMaxAge)
		next, err := n.try(n.claims(first))
		if want(t, err, "", ""); next == first || next != n.fresh() {
			t.Errorf("sent ahead %q", next)
		}
		time.Sleep(DefaultNonceMaxAge)
		_, err = n.try(n.claims(first))
		want(t, err, token.UseDPoPNonce, token.ReasonDPoPNonce)
		_, err = n.try(n.claims(next))
		want(t, err, "", "")
	})
}

// D-34: a proof made before the process started was used before, perhaps. Its
// nonce tells, when no other process can have given it out.
func TestNonceAndSince(t *testing.T) {
	start := time.Now()
	before := members{"iat": start.Unix() - 10}
	own := newNonced(t, Options{Since: start})
	_, err := own.try(own.claims(own.fresh()).with(before))
	want(t, err, "", "")
	_, err = own.try(own.claims(NewNonces().At(start)).with(before))
	want(t, err, token.UseDPoPNonce, token.ReasonDPoPNonce)

	shared := newNonced(t, Options{Since: start, Nonces: NewNonces()})
	shared.v.options.Nonces.Use(sharedSecret, time.Minute)
	nonce := shared.fresh()
	_, err = shared.try(shared.claims(nonce).with(before))
	if want(t, err, token.UseDPoPNonce, token.ReasonDPoPTime); given(err) != shared.fresh() {
		t.Errorf("handed out %q", given(err))
	}
	_, err = shared.try(shared.claims(shared.fresh()).with(members{"iat": start.Unix()}))
	want(t, err, "", "")
	shared.v.options.Nonces.Use(nil, time.Minute)
	_, err = shared.try(shared.claims(nonce).with(before))
	want(t, err, token.UseDPoPNonce, token.ReasonDPoPTime)

	err = confirm(own.v, own.thumb, start, own.proof(own.header(), own.claims(own.fresh()).with(before)))
	want(t, err, token.InvalidDPoPProof, token.ReasonDPoPTime)
}

// D-41: busy and idle clients go through many rotations and a change of the
// secret. A rotation costs a client at most one more round trip, and none when
// it asked within the age of a nonce; no request fails for good.
func TestNonceRotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age, spans = time.Minute, 12
		shared := newVerifier(t, Options{Nonces: NewNonces()})
		shared.options.Nonces.Use(sharedSecret, age)
		intervals := []time.Duration{age / 7, age / 3, age / 2, age - time.Second, age + time.Second, 3 * age}
		var clients sync.WaitGroup
		extra := make([]int, 2*len(intervals))
		for i := range extra {
			client := newNonced(t, Options{})
			client.v = shared
			interval := intervals[i%len(intervals)]
			clients.Go(func() {
				nonce, end := "", time.Now().Add(spans*age)
				for ; time.Now().Before(end); time.Sleep(interval) {
					next, err := client.try(client.claims(nonce))
					if err != nil {
						extra[i]++
						want(t, err, token.UseDPoPNonce, token.ReasonDPoPNonce)
						nonce = given(err)
						next, err = client.try(client.claims(nonce))
					}
					if err != nil {
						t.Errorf("a client every %s: the second try: %v", interval, err)
					}
					if next != "" {
						nonce = next
					}
				}
			})
		}
		time.Sleep(spans / 2 * age)
		shared.options.Nonces.Use([]byte(strings.Repeat("n", 32)), age)
		clients.Wait()
		for i, n := range extra {
			interval, allowed := intervals[i%len(intervals)], 1 // its first nonce
			if interval > age {
				allowed = spans
			}
			if n < 1 || n > allowed {
				t.Errorf("a client every %s made %d more round trips, of %d", interval, n, allowed)
			}
		}
	})
}

// Many callers at the turn of a span find one truth.
func TestNonceConcurrency(t *testing.T) {
	n := NewNonces()
	n.Use(nil, time.Minute)
	turn := time.Now().Truncate(time.Minute)
	before, after := n.At(turn.Add(-1)), n.At(turn)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for range 500 {
				now := turn.Add(time.Duration(i%2) - 1)
				if !n.find(before, now).good || !n.find(after, now).good {
					t.Error("a nonce does not pass at the turn of its span")
				}
				if i == 0 {
					n.Use(nil, time.Minute)
				}
			}
		})
	}
	callers.Wait()
}

func BenchmarkNonce(b *testing.B) {
	n, now := NewNonces(), time.Now()
	nonce := n.At(now)
	b.ReportAllocs()
	for b.Loop() {
		if !n.find(nonce, now).good {
			b.Fatal("not good")
		}
	}
}

// Replicas of two versions share a secret while one takes the place of the other:
// the nonces it makes must be these.
func TestNonceIsTheSameInEveryVersion(t *testing.T) {
	n := NewNonces()
	n.Use([]byte("a secret that is long enough to be one"), 5*time.Minute)
	if got, want := n.At(time.Unix(1_800_000_000, 0)), "T-URMppKfgIeytJCPgEqlbMTTcevkJpg"; got != want {
		t.Errorf("the nonce is %q, want %q", got, want)
	}
}
