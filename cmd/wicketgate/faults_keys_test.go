package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestFaults runs the promises about keys and time, each under its name in the
// list of threats: an oracle counts what was wrongly accepted, wrongly refused
// and busy. Hours pass in fake time; where a socket has to wait, a row of the
// conformance list or a process of its own shows the same.
func TestFaults(t *testing.T) {
	for _, r := range []conformanceRow{
		{"R-01", faultDownAtStart}, {"R-02", faultDownForHours}, {"R-03", faultRefreshAhead}, {"R-04", faultGarbage}, {"R-05", faultStatus},
		{"R-06", faultOddKeys}, {"R-07", faultEmptySet}, {"R-08", faultDrip}, {"R-09", faultRotations}, {"R-10", faultReissue}, {"R-11", faultForgery},
		{"R-12", faultUnknownKeys}, {"R-13", faultHerd}, {"R-14", faultMixedIssuers}, {"R-15", faultManyIssuers}, {"R-16", faultRestart},
		{"R-20", threatJ28}, {"R-21", faultClockSet}, {"R-22", faultExpiry}, {"R-23", faultOddDates},
	} {
		t.Run(r.id, r.run)
	}
}

// away makes an issuer answer nobody: every connection is cut.
func away(is *devissuer.Running) { is.Fail(devissuer.Fault{Reset: true}) }

// atEach does something for as long as d, once each step.
func atEach(step, d time.Duration, do func()) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		do()
	}
}

func faultDownAtStart(t *testing.T) {
	issuers, upstream := faultIssuers(t, 2), faultUpstream(t)
	away(issuers[0])
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		atEach(time.Second, time.Minute, func() {
			l.send(l.good(0), mustBusy)
			l.send(l.good(1), mustPass)
			l.send("garbage", mustRefuse)
		})
		if live := l.page("/livez"); live != "200 ok\n" {
			t.Errorf("livez: %s", live)
		}
		if ready := l.page("/readyz"); !strings.HasPrefix(ready, "503 issuer i0: not ready") || strings.Contains(ready, "i1") {
			t.Errorf("readyz: %s", ready)
		}
		issuers[0].Heal()
		back, first := time.Now(), time.Duration(0)
		atEach(time.Second, 40*time.Second, func() {
			if status := l.send(l.good(0), mustPass|mustBusy); status == http.StatusOK && first == 0 {
				first = time.Since(back) + 1
			}
			l.send(l.good(1), mustPass)
		})
		if first == 0 || first > 31*time.Second || !strings.HasPrefix(l.page("/readyz"), "200") {
			t.Errorf("the first 200 came after %s", first)
		}
		if n := len(issuers[0].Requests()); n > 15 {
			t.Errorf("asked %d times", n)
		}
		l.oracle.clean(t)
	})
}

func faultDownForHours(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		raw := l.good(0)
		l.send(raw, mustPass)
		away(issuers[0])
		last := l.loaded(0)
		atEach(10*time.Minute, 24*time.Hour-12*time.Minute, func() {
			l.send(raw, mustPass)
			l.send(l.good(0), mustPass)
			l.send(l.stray(0, "x"), mustRefuse|mustBusy)
		})
		time.Sleep(time.Until(last.Add(24*time.Hour - time.Minute)))
		l.send(raw, mustPass)
		time.Sleep(2 * time.Minute)
		for range 100 {
			l.send(raw, mustBusy) // it was verified before: that counts for nothing without the key
			l.send(l.good(0), mustBusy)
		}
		issuers[0].Heal()
		time.Sleep(31 * time.Second)
		l.send(raw, mustPass)
		l.oracle.clean(t)
	})
}

// KEY-10: a key is withdrawn and no new one is used, so that nothing but the
// refresh can tell.
func faultWithdrawn(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	issuers[0].Change(func(o *devissuer.Options) { o.MaxAge = 5 * time.Minute })
	second, err := issuers[0].Add(devissuer.Key{Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		seen, unseen := l.good(0), l.good(0)
		last := l.loaded(0)
		l.send(seen, mustPass)
		issuers[0].Withdraw(second)
		other := l.mint(issuers[0], devissuer.Token{KeyID: "es256-1"})
		for l.loaded(0).Equal(last) {
			l.send(seen, mustPass)
			l.send(other, mustPass)
			time.Sleep(time.Second)
		}
		if after := l.loaded(0).Sub(last); after > 5*time.Minute*85/100 {
			t.Errorf("refreshed after %s", after)
		}
		for range 100 {
			l.send(seen, mustRefuse)
			l.send(unseen, mustRefuse)
			l.send(other, mustPass)
		}
		l.oracle.clean(t)
	})
}

// What a fetch that takes its time does to requests, row KEY-11 shows.
func faultRefreshAhead(t *testing.T) {
	t.Run("KEY-11", rowKEY11)
	for said, fresh := range map[time.Duration]time.Duration{0: 10 * time.Minute, time.Second: time.Minute, time.Hour: time.Hour, 100 * time.Hour: 24 * time.Hour} {
		t.Run(said.String(), func(t *testing.T) {
			issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
			issuers[0].Change(func(o *devissuer.Options) { o.MaxAge = said })
			synctest.Test(t, func(t *testing.T) {
				l := newFaultLab(t, issuers, upstream, "", "")
				time.Sleep(time.Second)
				before := l.fetches(0)
				atEach(fresh/40, 10*fresh, func() { l.send(l.good(0), mustPass) })
				// 80 % of the freshness, give or take a twentieth: 12.5 fetches in ten times that.
				if n := l.fetches(0) - before; n < 11 || n > 14 {
					t.Errorf("%d fetches", n)
				}
				l.oracle.clean(t)
			})
		})
	}
}

func faultGarbage(t *testing.T) {
	many := func(n int) []byte { return []byte(`{"keys":[` + strings.Repeat(`{"kty":"oct"},`, n-1) + `{}]}`) }
	for name, fault := range map[string]devissuer.Fault{
		"500": {Status: 500}, "204": {Status: 204, Body: []byte{}}, "HTML": {ContentType: "text/html", Body: []byte("<html>moved</html>")}, "HTML that says JSON": {Body: []byte("<html>moved</html>")},
		"{}": {Body: []byte("{}")}, "error": {Body: []byte(`{"error":"server_error"}`)}, "cut": {Truncate: 20}, "keys is no list": {Body: []byte(`{"keys":{}}`)}, "null": {Body: []byte(`{"keys":null}`)},
		"gzip": {Header: http.Header{"Content-Encoding": {"gzip"}}}, "8 MiB": {Body: []byte(`{"keys":[],"x":"` + strings.Repeat("x", 8<<20) + `"}`)},
		"101 keys": {Body: many(101)}, "100,001 keys": {Body: many(100_001)}, "array": {Body: []byte("[]")}, "nothing": {Body: []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
			synctest.Test(t, func(t *testing.T) {
				l := newFaultLab(t, issuers, upstream, "", "")
				time.Sleep(time.Second)
				l.send(l.good(0), mustPass)
				fault.Path = "/jwks"
				issuers[0].Fail(fault)
				atEach(10*time.Second, 10*time.Minute, func() {
					l.send(l.good(0), mustPass)
					l.send(l.stray(0, "x"), mustRefuse|mustBusy)
				})
				if l.count(`wicketgate_jwks_fetches_total{issuer="i0",result="error"}`) == 0 {
					t.Error("nobody is told")
				}
				issuers[0].Heal()
				time.Sleep(31 * time.Second)
				l.send(l.good(0), mustPass)
				l.oracle.clean(t)
			})
		})
	}
}

// attackersSet is a set with a key of the attacker's, under a kid of his own.
func attackersSet(t *testing.T, key *devissuer.ClientKey) []byte {
	t.Helper()
	return []byte(`{"keys":[` + string(jwkOf(t, key, changes{"kid": "evil", "alg": "ES256"})) + `]}`)
}

func faultStatus(t *testing.T) {
	key := newClientKey(t, "ES256")
	issuers, upstream, set := faultIssuers(t, 1), faultUpstream(t), attackersSet(t, key)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		l.send(l.good(0), mustPass)
		for _, status := range []int{500, 502, 503, 404, 401, 201, 202, 203, 206, 300, 302, 304} {
			issuers[0].Fail(devissuer.Fault{Path: "/jwks", Status: status, Body: set})
			before := l.fetches(0)
			for range 10 {
				l.send(l.mint(issuers[0], devissuer.Token{Key: key.Signer, Alg: "ES256", Header: changes{"kid": "evil"}, Claims: changes{"iat": time.Now().Unix() - 60}}), mustRefuse|mustBusy)
				l.send(l.good(0), mustPass)
			}
			if l.fetches(0) == before {
				t.Errorf("%d: nothing was fetched", status)
			}
			time.Sleep(11 * time.Second)
		}
		l.oracle.clean(t)
	})
}

func faultOddKeys(t *testing.T) {
	t.Run("JWK-01", rowJWK01)
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	for _, jwk := range []string{
		`{"kty":"AKP","alg":"ML-DSA-44","kid":"pq","pub":"AAAA"}`, `{"kty":"OKP","crv":"Ed448","kid":"448","x":"AAAA"}`, `{"kty":"EC","crv":"P-256","kid":"broken","x":"AAAA","y":"AAAA"}`, `7`,
	} {
		issuers[0].Publish(json.RawMessage(jwk))
	}
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		atEach(time.Minute, time.Hour, func() {
			l.send(l.good(0), mustPass)
			l.send(l.mint(issuers[0], devissuer.Token{Header: changes{"kid": "broken"}}), mustRefuse|mustBusy)
		})
		if n := l.count(`wicketgate_jwks_skipped_keys{issuer="i0"}`); n != 4 {
			t.Errorf("%v keys are skipped", n)
		}
		l.oracle.clean(t)
	})
}

func faultEmptySet(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		raw := l.good(0)
		for range 3 { // it flickers
			issuers[0].SetJWKS([]byte(`{"keys":[]}`))
			before := l.fetches(0)
			atEach(time.Second, 9*time.Minute, func() {
				if l.fetches(0) > before {
					issuers[0].SetJWKS(nil)
				}
				l.send(raw, mustPass)
			})
		}
		issuers[0].SetJWKS([]byte(`{"keys":[]}`))
		for before := l.fetches(0); l.fetches(0) == before; time.Sleep(time.Second) {
			l.send(raw, mustPass)
		}
		atEach(time.Second, 58*time.Second, func() { l.send(raw, mustPass) })
		time.Sleep(time.Minute)
		atEach(time.Second, 10*time.Second, func() {
			l.send(raw, mustBusy)
			l.send(l.good(0), mustBusy)
		})
		issuers[0].SetJWKS(nil)
		time.Sleep(time.Minute)
		atEach(time.Minute, 10*time.Minute, func() { l.send(raw, mustPass|mustBusy) })
		l.send(raw, mustPass)
		l.oracle.clean(t)
	})
}

// R-08 waits for real: the fetch is given up after its 5 s.
func faultDrip(t *testing.T) {
	f := newFixture(t, nil)
	good := f.AT(nil)
	var o oracle
	o.judge(f.sendToken(good).StatusCode, mustPass)
	f.a.Fail(devissuer.Fault{Path: "/jwks", Drip: 100 * time.Millisecond, Body: []byte(strings.Repeat(" ", 1000))})
	stray, answered := f.strayed("x"), make(chan int, 1)
	go func() { answered <- statusOf(f.url+"/any/x", stray) }()
	eventually(t, "the fetch to be on its way", func() bool { return f.a.Hits("/jwks") > 1 })
	failed := `wicketgate_jwks_fetches_total{issuer="a",result="error"}`
	eventually(t, "the fetch to be given up", func() bool {
		o.judge(f.sendToken(good).StatusCode, mustPass)
		o.judge(f.sendToken(f.AT(nil)).StatusCode, mustPass)
		return seriesValue(t, f, failed) != "0"
	})
	o.judge(<-answered, mustRefuse|mustBusy)
	o.clean(t)
}

// statusOf sends a token from any goroutine; 0 for no answer.
func statusOf(url, raw string) int {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func faultRotations(t *testing.T) {
	issuers, upstream := faultIssuers(t, 3), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		began, asked := time.Now(), l.fetches(0)+l.fetches(1)+l.fetches(2)
		held := []string{l.good(0), l.good(1), l.good(2)}
		for rotation := range 20 {
			i := rotation % 3
			for _, raw := range held {
				l.send(raw, mustPass)
			}
			dead := rotation%4 == 3
			if dead {
				away(issuers[i])
			}
			if _, err := issuers[i].Rotate("ES256"); err != nil {
				t.Fatal(err)
			}
			old := held[i]
			held[i] = l.good(i)
			if dead { // nobody can know the new key, and the old one is the last good one
				l.send(held[i], mustBusy)
				l.send(old, mustPass)
				issuers[i].Heal()
				atEach(time.Second, 31*time.Second, func() { l.send(held[i], mustPass|mustBusy) })
			}
			l.send(held[i], mustPass)
			for range 10 {
				l.send(old, mustRefuse)
				l.send(held[i], mustPass)
			}
			time.Sleep(90 * time.Second)
		}
		most := 20 + 3*int(time.Since(began)/(7*time.Minute)) + 20
		if n := l.fetches(0) + l.fetches(1) + l.fetches(2) - asked; n > most {
			t.Errorf("%d fetches, want up to %d", n, most)
		}
		l.oracle.clean(t)
	})
}

func faultReissue(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	forger := newClientKey(t, "ES256").Signer
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		old := l.good(0)
		l.send(old, mustPass)
		before := l.fetches(0)
		if _, err := issuers[0].Add(devissuer.Key{ID: "es256-1", Algorithm: "ES256"}); err != nil {
			t.Fatal(err)
		}
		l.send(l.good(0), mustPass)
		if n := l.fetches(0) - before; n != 1 {
			t.Errorf("%d fetches for a new key under an old name", n)
		}
		l.send(old, mustRefuse)
		l.send(l.good(0), mustPass)
		began, before := time.Now(), l.fetches(0)
		n := 0
		atEach(50*time.Millisecond, 3*time.Minute, func() {
			n++
			l.send(l.mint(issuers[0], devissuer.Token{Key: forger, Alg: "ES256", Header: changes{"kid": "es256-1"}, Claims: changes{"n": n}}), mustRefuse)
			if n%20 == 0 {
				l.send(l.good(0), mustPass)
			}
		})
		if got, most := l.fetches(0)-before, 1+int(time.Since(began)/time.Minute); got > most {
			t.Errorf("%d fetches for forged signatures in %s", got, time.Since(began))
		}
		// The forger took none of what unknown names may cost.
		if _, err := issuers[0].Rotate("ES256"); err != nil {
			t.Fatal(err)
		}
		l.send(l.good(0), mustPass)
		l.oracle.clean(t)
	})
}

func faultUnknownKeys(t *testing.T) {
	t.Run("KEY-08", rowKEY08)
	issuers, upstream := faultIssuers(t, 2), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		good := []string{l.good(0), l.good(1)}
		before, n := []int{l.fetches(0), l.fetches(1)}, 0
		atEach(20*time.Millisecond, time.Minute, func() {
			n++
			l.send(l.stray(n%2, fmt.Sprint("flood-", n)), mustRefuse)
			if n%10 == 0 {
				l.send(good[n/10%2], mustPass)
			}
		})
		for i := range issuers {
			if got := l.fetches(i) - before[i]; got < 1 || got > 8 {
				t.Errorf("issuer %d: %d fetches in a minute", i, got)
			}
		}
		l.oracle.clean(t)
	})
}

func faultHerd(t *testing.T) {
	issuers, upstream := faultIssuers(t, 2), faultUpstream(t)
	// Real time: everybody waits for one socket. Requests at once are held to what
	// the upstream's descriptors bear; the others come behind them.
	l := newFaultLab(t, issuers, upstream, "", "")
	tokens := []string{l.good(0), l.good(1)}
	var herd sync.WaitGroup
	for worker := range 500 {
		herd.Go(func() {
			for range 10 {
				l.send(tokens[worker%2], mustPass)
			}
		})
	}
	herd.Wait()
	for i, one := range issuers {
		if asked := one.Requests(); len(asked) != 2 || l.fetches(i) != 1 {
			t.Errorf("asked %v", asked)
		}
	}
	l.stop()
	l.oracle.clean(t)
}

func faultMixedIssuers(t *testing.T) {
	t.Run("KEY-06", rowKEY06)
	issuers, upstream := faultIssuers(t, 2), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		for n := range 2000 {
			l.send(l.mint(issuers[n%2], devissuer.Token{Claims: changes{"iss": issuers[1-n%2].Identifier(), "n": n}}), mustRefuse)
		}
		l.send(l.good(0), mustPass)
		l.send(l.good(1), mustPass)
		l.oracle.clean(t)
	})
}

// Fifty issuers share a memory of ten tokens, and rotate through more sets than
// are remembered by their text: each is slower for it, and none is wrong.
func faultManyIssuers(t *testing.T) {
	issuers, upstream := faultIssuers(t, 50), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "cache: {tokens: 10}")
		time.Sleep(time.Second)
		old := make([]string, len(issuers))
		for i := range issuers {
			old[i] = l.good(i)
		}
		for round := range 6 {
			for i := range issuers {
				l.send(old[i], mustPass)
				if _, err := issuers[i].Rotate("ES256"); err != nil {
					t.Fatal(err)
				}
				raw := l.good(i)
				l.send(raw, mustPass)
				l.send(old[i], mustRefuse)
				old[i] = raw
			}
			time.Sleep(time.Minute)
			for i := range issuers {
				other := issuers[(i+1+round)%len(issuers)].Identifier()
				l.send(l.mint(issuers[i], devissuer.Token{Claims: changes{"iss": other}}), mustRefuse)
			}
			time.Sleep(time.Minute)
		}
		for _, one := range issuers { // what is held does not depend on what is remembered
			away(one)
		}
		for i := range issuers {
			l.send(old[i], mustPass)
		}
		if n := l.count("wicketgate_token_cache_entries"); n > 10 {
			t.Errorf("%v tokens remembered", n)
		}
		l.oracle.clean(t)
	})
}
