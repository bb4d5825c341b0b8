package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/clock"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// sentinel is a server that nobody may ask anything.
func sentinel(t *testing.T) (address string, hits *atomic.Int64) {
	t.Helper()
	hits = new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			hits.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), hits
}

// faultForgery has an issuer that somebody took over, or on whose way somebody
// is, send the gate elsewhere.
func faultForgery(t *testing.T) {
	address, hits := sentinel(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	const document, keys = "/.well-known/oauth-authorization-server", "/jwks"
	names := func(member, value string) func(*devissuer.Running) {
		return func(is *devissuer.Running) {
			said, _ := json.Marshal(value)
			is.Change(func(o *devissuer.Options) { o.Members = map[string]json.RawMessage{member: said} })
		}
	}
	redirects := func(path, to string, status int) func(*devissuer.Running) {
		return func(is *devissuer.Running) { is.Fail(devissuer.Fault{Path: path, Redirect: to, Status: status}) }
	}
	for name, prepare := range map[string]func(*devissuer.Running){
		"metadata redirects":          redirects("", "http://"+address+document, 302),
		"metadata redirects for good": redirects("", "http://"+address+document, 308),
		"keys redirect":               redirects(keys, "http://"+address+keys, 302),
		"keys redirect, 307":          redirects(keys, "http://localhost:"+port+keys, 307),
		"keys redirect to metadata":   redirects(keys, "http://169.254.169.254/latest/meta-data/", 302),
		"jwks_uri":                    names("jwks_uri", "http://"+address+keys),
		"jwks_uri by name":            names("jwks_uri", "http://localhost:"+port+keys),
		"jwks_uri by another name":    names("jwks_uri", "http://rebound.localhost:"+port+keys),
		"jwks_uri, mapped":            names("jwks_uri", "http://[::ffff:127.0.0.1]:"+port+keys),
		"jwks_uri with a user":        names("jwks_uri", "http://127.0.0.1@"+address+keys),
		"jwks_uri, metadata service":  names("jwks_uri", "http://169.254.169.254/keys"),
		"jwks_uri, file":              names("jwks_uri", "file:///etc/passwd"),
		"jwks_uri, no URL":            names("jwks_uri", "::"),
		"another issuer":              names("issuer", "http://"+address),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOf(t, devissuer.Options{}, prepare, nil)
			var o oracle
			o.judge(f.sendToken(f.AT(nil)).StatusCode, mustBusy)
			o.judge(f.sendToken(f.mint(f.b, devissuer.Token{})).StatusCode, mustPass)
			o.clean(t)
		})
	}
	t.Run("operator's own word", func(t *testing.T) { // forbidden addresses stay so
		for _, place := range []string{"http://169.254.169.254/keys", "http://[::ffff:169.254.169.254]/keys", "http://[fd00:ec2::254]/keys", "http://0.0.0.0:" + port + "/keys"} {
			f := newFixture(t, func(text string) string {
				return instead(t, text, "{name: a, ", fmt.Sprintf("{name: a, insecure_http: true, jwks_uri: %q, ", place))
			})
			f.wantUndecided(t, f.sendToken(f.AT(nil)), 0)
		}
	})
	t.Run("introspection_endpoint", func(t *testing.T) {
		a := newAskingOf(t, devissuer.Options{
			Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}},
			Members: map[string]json.RawMessage{"introspection_endpoint": json.RawMessage(`"http://` + address + `/introspect"`)},
		}, "", nil)
		a.undecided(t, a.opaque(nil))
	})
	t.Run("introspection redirects", func(t *testing.T) {
		a := newAsking(t, "")
		a.a.Fail(devissuer.Fault{Path: "/introspect", Redirect: "http://" + address + "/introspect", Status: 307})
		a.undecided(t, a.opaque(nil))
	})
	if n := hits.Load(); n != 0 {
		t.Errorf("the sentinel was asked %d times", n)
	}
}

// gateProcess is the program in a process of its own.
type gateProcess struct {
	*exec.Cmd
	url, admin string
}

func startProcess(t *testing.T, path, address, admin string, env ...string) *gateProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "wicketgate", "serve", "--config", path)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	p := &gateProcess{Cmd: cmd, url: "http://" + address, admin: "http://" + admin}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	eventually(t, "the process to live", func() bool { return statusOf(p.admin+"/livez", "") == http.StatusOK })
	return p
}

// kill ends the process as a crash does.
func (p *gateProcess) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // it was killed
}

// faultRestart kills the program itself and starts it again without its issuer.
// A proxy in the environment, as everywhere, is not asked anything.
func faultRestart(t *testing.T) {
	issuer, upstream := faultIssuers(t, 1)[0], faultUpstream(t)
	proxied, hits := sentinel(t)
	address, admin, dir := process.Free(t), process.Free(t), filepath.Join(t.TempDir(), "keys")
	path := written(t, fmt.Sprintf("version: 1\nlisten: %q\nadmin: {listen: %q}\ncache_dir: %q\nissuers:\n  - {name: a, issuer: %q}\n  - {name: never, issuer: \"https://issuer.invalid\"}\n"+
		"resources:\n  - {identifier: %q, name: rs, behind_tls: true, upstream: %q}\n", address, admin, dir, issuer.Identifier(), testIdentifier, upstream))
	proxies := []string{"HTTP_PROXY=http://" + proxied, "HTTPS_PROXY=http://" + proxied, "ALL_PROXY=http://" + proxied, "https_proxy=http://" + proxied, "NO_PROXY="}
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	var o oracle
	send := func(p *gateProcess, may permitted) { o.judge(statusOf(p.url+"/x", raw), may) }

	p := startProcess(t, path, address, admin, proxies...)
	send(p, mustPass)
	eventually(t, "the copy on disk", func() bool { found, _ := filepath.Glob(filepath.Join(dir, "*.json")); return len(found) == 1 })
	p.kill(t)
	away(issuer)
	copied := onlyFile(t, dir)
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	p = startProcess(t, path, address, admin, proxies...)
	for range 20 {
		send(p, mustPass)
		o.judge(statusOf(p.url+"/x", raw+"x"), mustRefuse)
	}
	p.kill(t)

	flipBit(t, copied)
	p = startProcess(t, path, address, admin, proxies...)
	for range 20 {
		send(p, mustBusy)
	}
	if statusOf(p.admin+"/livez", "") != http.StatusOK {
		t.Error("not alive")
	}
	p.kill(t)
	if n := hits.Load(); n != 0 {
		t.Errorf("a proxy was asked %d times", n)
	}
	o.clean(t)
	t.Run("age", faultRestartAge)
}

// faultRestartAge restarts in fake time: a copy serves for as long as the set
// itself would have, and a key that was withdrawn stays withdrawn.
func faultRestartAge(t *testing.T) {
	issuers, upstream := faultIssuers(t, 2), faultUpstream(t)
	more := fmt.Sprintf("cache_dir: %q", filepath.Join(t.TempDir(), "keys"))
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", more)
		time.Sleep(time.Second)
		old := l.good(0)
		l.send(old, mustPass)
		if _, err := issuers[0].Rotate("ES256"); err != nil {
			t.Fatal(err)
		}
		kept := l.good(0)
		l.send(kept, mustPass)
		other := l.good(1)
		l.send(other, mustPass)
		last := l.loaded(0)
		l.stop()
		for _, one := range issuers {
			away(one)
		}
		for _, age := range []time.Duration{time.Hour, 12 * time.Hour, 24*time.Hour - time.Minute} {
			time.Sleep(time.Until(last.Add(age)))
			again := newFaultLab(t, issuers, upstream, "", more)
			again.send(kept, mustPass)
			again.send(old, mustRefuse|mustBusy)
			again.send(again.stray(0, "x"), mustRefuse|mustBusy)
			if got := again.loaded(0); got.Sub(last).Abs() > time.Second {
				t.Errorf("after %s the set is of %s, want %s", age, got, last)
			}
			again.stop()
			again.oracle.clean(t)
		}
		time.Sleep(time.Until(last.Add(24*time.Hour - time.Second)))
		again := newFaultLab(t, issuers, upstream, "", more)
		again.send(kept, mustPass)
		time.Sleep(2 * time.Second)
		again.send(kept, mustBusy)
		again.stop()
		again.oracle.clean(t)
		again = newFaultLab(t, issuers, upstream, "", more)
		again.send(kept, mustBusy)
		again.send(other, mustBusy)
		if n := again.count(`wicketgate_jwks_copies_total{issuer="i0",result="ignored"}`); n != 1 {
			t.Errorf("%v copies ignored", n)
		}
		again.stop()
		again.oracle.clean(t)
		l.oracle.clean(t)
	})
}

// A step back that is no jump yet may still be more than the second for which
// proofs are remembered beyond their time.
func TestClockStepsBack(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	read, set := clock.Now(), time.Duration(0)
	w := clock.NewWatch(func() (time.Time, time.Duration) { wall, mono := read(); return wall.Add(set), mono })
	made := changes{"iat": time.Now().Unix()}
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Claims: made}))
	for _, step := range []struct {
		by   time.Duration
		good bool
	}{{0, true}, {-900 * time.Millisecond, true}, {time.Minute, true}, {-1500 * time.Millisecond, false}} {
		set += step.by
		f.gateway.lookAtClock(w)
		if r := f.sendBound(key, raw, devissuer.Proof{Claims: made}); (r.StatusCode == http.StatusOK) != step.good {
			t.Errorf("after %s a proof of before is answered with %d", step.by, r.StatusCode)
		}
	}
}

// faultClockSet sets the wall clock; how tokens and proofs fare is tried in
// package validator, whose clock can be set.
func faultClockSet(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		read, set := clock.Now(), time.Duration(0)
		w := clock.NewWatch(func() (time.Time, time.Duration) { wall, mono := read(); return wall.Add(set), mono })
		for n, step := range []struct {
			by    time.Duration
			jumps bool
		}{{0, false}, {time.Second, false}, {2 * time.Second, false}, {time.Hour, true}, {-time.Hour, true}, {-3 * time.Second, true}, {-time.Second, false}} {
			l.send(l.good(0), mustPass)
			time.Sleep(clockEvery)
			set += step.by
			l.gateway.lookAtClock(w)
			remembered := l.count("wicketgate_token_cache_entries")
			if flushed := remembered == 0; flushed != step.jumps {
				t.Errorf("step %d, %s: %v tokens remembered", n, step.by, remembered)
			}
		}
		if f, b := l.count(`wicketgate_clock_jumps_total{direction="forward"}`), l.count(`wicketgate_clock_jumps_total{direction="back"}`); f != 1 || b != 2 {
			t.Errorf("%v jumps forward, %v back", f, b)
		}
		l.oracle.clean(t)
	})
}

func faultExpiry(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		end := time.Now().Add(time.Minute).Truncate(time.Second)
		tokens := make([]string, 1000)
		for i := range tokens {
			tokens[i] = l.mint(issuers[0], devissuer.Token{Claims: changes{"exp": end.Unix(), "n": i}})
			l.send(tokens[i], mustPass)
		}
		time.Sleep(time.Until(end.Add(30*time.Second - time.Millisecond)))
		for _, raw := range tokens {
			l.send(raw, mustPass)
		}
		if n := l.count(`wicketgate_token_cache_requests_total{result="hit"}`); n != 1000 {
			t.Errorf("%v of them were remembered", n)
		}
		time.Sleep(time.Millisecond)
		for _, raw := range tokens {
			l.send(raw, mustRefuse)
		}
		l.oracle.clean(t)
	})
}

// faultOddDates has dates that a narrower number or a calendar would get wrong.
func faultOddDates(t *testing.T) {
	issuers, upstream := faultIssuers(t, 1), faultUpstream(t)
	synctest.Test(t, func(t *testing.T) {
		l := newFaultLab(t, issuers, upstream, "", "")
		time.Sleep(time.Second)
		ends := func(exp any, may permitted) {
			l.send(l.mint(issuers[0], devissuer.Token{Claims: changes{"exp": exp}}), may)
		}
		for _, exp := range []string{"2147483647", "2147483648", "2147483648.5", "4294967296", "4294967297.25", "1e10", "253402300799"} {
			ends(json.RawMessage(exp), mustPass)
		}
		for _, exp := range []string{"1", "0", "0.5", "1e2", "-2147483649", "-1", "1e400", "915148799.5"} { // the last: around the leap second of 1998
			ends(json.RawMessage(exp), mustRefuse)
		}
		zone := time.FixedZone("summer", 2*3600) // an offset changes no date
		ends(time.Now().In(zone).Add(time.Hour).Unix(), mustPass)
		ends(float64(time.Now().Unix())-29.5, mustPass)
		ends(float64(time.Now().Unix())-30.5, mustRefuse)
		l.oracle.clean(t)
	})
}
