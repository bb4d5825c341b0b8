package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestNonceSecretFile: a file that holds no secret is a mistake in the
// configuration, told without a word of what it holds.
func TestNonceSecretFile(t *testing.T) {
	for name, c := range map[string]struct {
		secret, complaint string
		exit              int
	}{
		"good":         {strings.Repeat("s", 32), "", exitOK},
		"a newline":    {strings.Repeat("s", 32) + "\n", "", exitOK},
		"octets":       {strings.Repeat("\x00\xff\r\n", 8) + "ab", "", exitOK},
		"short":        {strings.Repeat("s", 31), "holds 31 octets, and a secret has 32 or more", exitConfig},
		"short line":   {strings.Repeat("s", 31) + "\r\n", "holds 31 octets", exitConfig},
		"empty":        {"", "holds 0 octets", exitConfig},
		"another file": {strings.Repeat("s", maxNonceSecret+1), "holds more than 65536 octets", exitConfig},
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, config.Smallest()+"dpop: {nonce: required, nonce_secret_file: nonce.key}\n")
			writeSecret(t, filepath.Join(filepath.Dir(path), "nonce.key"), c.secret)
			r := command(t, "check", "--config", path)
			r.want(t, c.exit)
			if c.complaint != "" && !strings.Contains(r.stderr, "dpop.nonce_secret_file: "+c.complaint) {
				t.Errorf("said %s", r.stderr)
			}
			if strings.Contains(r.stderr, "sss") {
				t.Errorf("said the secret: %s", r.stderr)
			}
		})
	}
}

// TestNonceSecretChanges: nonces of the old secret pass until they end, and
// bring the new one.
func TestNonceSecretChanges(t *testing.T) {
	path, edit := withSecret(t, oneSecret)
	f, key := newFixture(t, edit), newClientKey(t, "ES256")
	f.untilReady()
	raw := f.bound(key, nil)
	old := f.nonceAt(0)
	reload := func(successful string) {
		f.gateway.tryReload("test")
		f.wantReload(successful)
	}
	reload("1")
	if f.nonceAt(0) != old {
		t.Error("a reload without a change changes the nonce")
	}
	writeSecret(t, path, "short")
	reload("0")
	if f.nonceAt(0) != old {
		t.Error("a secret that was refused changes the nonce")
	}
	writeSecret(t, path, otherSecret)
	reload("1")
	r := f.sendBound(key, raw, devissuer.Proof{Nonce: old})
	wantPassed(t, r)
	if fresh := f.wantOneNonce(t, r); fresh == old {
		t.Error("the nonce of the old secret is given out")
	}
	f.rewrite("nonce_max_age: 24h", "nonce_max_age: 12h")
	shared := f.nonceAt(0)
	reload("1")
	for _, nonce := range []string{old, shared} {
		r := f.sendBound(key, raw, devissuer.Proof{Nonce: nonce})
		wantPassed(t, r)
		f.wantOneNonce(t, r)
	}
	if log := f.log.String(); strings.Contains(log, strings.TrimSpace(oneSecret)) || strings.Contains(log, strings.TrimSpace(otherSecret)) || strings.Contains(log, old) {
		t.Error("the log holds a secret or a nonce")
	}
}

// TestNonceSecretIsWatched: the file counts as a part of the configuration.
func TestNonceSecretIsWatched(t *testing.T) {
	t.Parallel()
	path, edit := withSecret(t, oneSecret)
	f := newFixture(t, edit)
	f.untilReady()
	old := f.nonceAt(0)
	slowly(t, "a first look", func() bool { return true })
	writeSecret(t, path, otherSecret)
	slowly(t, "the new secret", func() bool { return f.nonceAt(0) != old })
}

// TestNonceSwitchedOn: no request between two configurations gets by.
func TestNonceSwitchedOn(t *testing.T) {
	f, key := newFixture(t, nil), newClientKey(t, "ES256")
	f.untilReady()
	raw := f.bound(key, nil)
	r := f.sendBound(key, raw, devissuer.Proof{})
	wantPassed(t, r)
	wantNoNonce(t, r)
	f.rewrite("version: 1", "version: 1\ndpop: {nonce: required}")
	f.gateway.tryReload("test")
	f.wantReload("1")
	nonce := f.wantNonceAsked(t, f.sendBound(key, raw, devissuer.Proof{}), 1)
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Nonce: nonce}))
}

// TestNonceAfterRestart is D-34: whatever the process before took is taken no
// more, and clients know what to do.
func TestNonceAfterRestart(t *testing.T) {
	t.Run("instance", func(t *testing.T) {
		first, key, raw := newNonced(t)
		used := first.proof(key, raw, "GET", "/any/x", devissuer.Proof{Nonce: first.nonceAt(0)})
		wantPassed(t, first.sendProof(raw, used))
		second := newTwin(first, withNonces)
		nonce := second.wantNonceAsked(t, second.sendProof(raw, used), 0)
		// A nonce of this process tells that the proof is new, whatever its clock says.
		wantPassed(t, second.sendBound(key, raw, devissuer.Proof{Nonce: nonce, IssuedAt: time.Now().Add(-30 * time.Second)}))
	})
	t.Run("shared", func(t *testing.T) {
		_, edit := withSecret(t, oneSecret)
		second, key := newFixture(t, edit), newClientKey(t, "ES256")
		raw := second.bound(key, nil)
		r := second.sendBound(key, raw, devissuer.Proof{Nonce: second.nonceAt(0), IssuedAt: time.Now().Add(-30 * time.Second)})
		second.wantNonceAsked(t, r, 0)
		if got := second.metric(`wicketgate_refusals_total{reason="dpop_iat"}`); got != "1" {
			t.Errorf("%s refusals for their time", got)
		}
	})
}

// TestNonceRotationUnderLoad is D-41 through the front door: the secret changes
// again and again while clients ask; none is refused twice in a row.
func TestNonceRotationUnderLoad(t *testing.T) {
	path, edit := withSecret(t, oneSecret)
	f := newFixture(t, edit)
	f.untilReady()
	const count, rotations = 4, 3
	var stop atomic.Bool
	var asked [count]atomic.Int64
	var extra [count]int
	var clients sync.WaitGroup
	for i := range count {
		key := newClientKey(t, "ES256")
		raw := f.bound(key, nil)
		clients.Go(func() {
			nonce := ""
			send := func() (int, string) {
				proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: testIdentifier + "/any/x", AccessToken: raw, Nonce: nonce})
				if err != nil {
					t.Error(err)
				}
				req, err := http.NewRequest("GET", f.url+"/any/x", nil)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				req.Header = http.Header{"Authorization": {"DPoP " + raw}, "Dpop": {proof}}
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				_ = resp.Body.Close()
				return resp.StatusCode, resp.Header.Get("DPoP-Nonce")
			}
			for ; !stop.Load() && !t.Failed(); asked[i].Add(1) {
				status, next := send()
				if next != "" {
					nonce = next
				}
				if status == http.StatusUnauthorized {
					extra[i]++
					status, _ = send()
				}
				if status != http.StatusOK {
					t.Errorf("client %d: status %d", i, status)
				}
			}
		})
	}
	everybody := func() {
		for i := range count {
			seen := asked[i].Load()
			eventually(t, "a request between two rotations", func() bool { return asked[i].Load() > seen+1 || t.Failed() })
		}
	}
	for i := range rotations {
		everybody()
		writeSecret(t, path, strings.Repeat(string(rune('a'+i)), 32))
		f.gateway.tryReload("test")
	}
	everybody()
	stop.Store(true)
	clients.Wait()
	for i, n := range extra {
		if n != 1 { // the first nonce; all others were sent ahead
			t.Errorf("client %d made %d more round trips", i, n)
		}
	}
}

// TestProofWithNonce: the command line can answer use_dpop_nonce too.
func TestProofWithNonce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.json")
	args := []string{"proof", "--token", "t", "--url", "https://rs.example.com/a", "--key", path}
	if claims := part(t, command(t, args...).stdout, 1); claims["nonce"] != nil {
		t.Errorf("claims %v", claims)
	}
	if claims := part(t, command(t, append(args, "--nonce", "n")...).stdout, 1); claims["nonce"] != "n" {
		t.Errorf("claims %v", claims)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
