package main

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestThreatsIntrospection runs the attacks on tokens that their issuer is
// asked about, each under its name in the list of threats. Where a row of the
// conformance list tries the same, it is that row; what takes time is tried
// again by the clock of package introspect.
func TestThreatsIntrospection(t *testing.T) {
	for _, threat := range []conformanceRow{
		{"I-01", rowINTR03}, {"I-02", rowINTR15}, {"I-03", threatI03}, {"I-05", rowINTR13}, {"I-06", rowINTR07}, {"I-07", rowINTR04}, {"I-08", rowDPOP51},
		{"I-09", rowINTR10}, {"I-10", threatI10}, {"I-11", rowINTR08}, {"I-12", rowINTR09}, {"I-13", threatI13}, {"I-14", threatI14}, {"I-15", threatI15}, {"I-16", rowINTR11},
		{"I-17", threatI17}, {"I-19", threatI19}, {"I-20", threatI20},
	} {
		t.Run(threat.id, threat.run)
	}
}

func threatI03(t *testing.T) {
	a := newAsking(t, "")
	a.write("secret", "wrong")
	a.gateway.tryReload("test")
	raw := a.opaque(nil)
	a.undecided(t, raw)
	a.undecided(t, raw)
	a.wantQuestions(t, 0, 1)
	if a.count(`introspection_requests_total{issuer="a",result="denied"}`) != "1" || a.count(`introspection_paused{issuer="a"}`) != "1" {
		t.Error("nobody is told that our credentials are refused")
	}
}

func threatI10(t *testing.T) {
	a := newAsking(t, "")
	raw := a.opaque(nil)
	wantPassed(t, a.do("GET", "/read", "Authorization", "Bearer "+raw))
	before := a.upstream.count()
	a.wantError(t, a.do("GET", "/both", "Authorization", "Bearer "+raw), before, http.StatusForbidden, "Bearer", "insufficient_scope")
	a.wantQuestions(t, 0, 1)
}

func threatI13(t *testing.T) {
	a := newAsking(t, "")
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	var group sync.WaitGroup
	for i := range 150 {
		group.Go(func() {
			if r := a.sendToken("garbage-" + string(rune('a'+i%26)) + string(rune('a'+i/26))); r.StatusCode != 503 && r.StatusCode != 401 {
				t.Errorf("status %d", r.StatusCode)
			}
		})
	}
	busy := `introspection_requests_total{issuer="a",result="busy"}`
	eventually(t, "the others are told to come again", func() bool { return a.count(busy) == "86" })
	if n := a.questions(); n > 64 {
		t.Errorf("%d questions at once", n)
	}
	close(release)
	group.Wait()
}

func threatI14(t *testing.T) {
	a := newAsking(t, "")
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	raw := a.opaque(nil)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/any/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	var first, group sync.WaitGroup
	first.Go(func() {
		if r, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = r.Body.Close()
			t.Error("who left was answered")
		}
	})
	eventually(t, "a question", func() bool { return a.questions() > 0 })
	group.Go(func() { wantPassed(t, a.sendToken(raw)) })
	leave()
	first.Wait()
	close(release)
	group.Wait()
	a.wantQuestions(t, 0, 1)
}

// threatI15 sends every character a token can have; others are in the secret of
// INTR-02, which goes through the same form.
func threatI15(t *testing.T) {
	a := newAsking(t, "auth: post")
	raw, err := a.a.Opaque("a+b/c~d.e_f-%26token=", devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	a.wantRefusal(t, a.sendToken(raw), http.StatusBadRequest, 0) // a percent sign is in no token
	if raw, err = a.a.Opaque("a+b/c~d.e_f-", devissuer.Token{}); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, a.sendToken(raw))
	if q := a.a.Questions(); len(q) != 1 || len(q[0].Form["token"]) != 1 || q[0].Form.Get("token") != raw {
		t.Errorf("asked %v", q)
	}
}

func threatI17(t *testing.T) {
	a := newAsking(t, "")
	a.passes(t, a.answering(changes{"sub": "x\r\nX-Auth-Scope: admin"}))
	wantSeen(t, a.fixture, "X-Auth-Subject", "x%0D%0AX-Auth-Scope: admin")
	wantSeen(t, a.fixture, "X-Auth-Scope", "read")
}

func threatI19(t *testing.T) {
	a := newAskingByCertificate(t)
	raw := a.opaque(nil)
	a.rewrite(a.dir+"/issuer-ca.pem", caOfAnother(t))
	a.gateway.tryReload("test")
	a.wantReload("1")
	a.undecided(t, raw)
	a.wantQuestions(t, 0, 0)
}

// caOfAnother writes the certificate of somebody else and names the file.
func caOfAnother(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writePair(t, dir+"/ca.pem", dir+"/key.pem", 9)
	return dir + "/ca.pem"
}

func threatI20(t *testing.T) {
	a := newAsking(t, "")
	raw := a.opaque(nil)
	a.a.Change(func(o *devissuer.Options) { o.Clients = []devissuer.Client{{ID: "gate", Secret: "second"}} })
	a.undecided(t, raw)
	a.write("secret", "second")
	a.gateway.tryReload("test")
	a.passes(t, raw)
	a.repels(t, a.sendToken("unknown"), badToken, token.ReasonInactive)
}
