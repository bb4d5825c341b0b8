package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy"
)

// permitted is the only verdicts a request may get.
type permitted uint8

const (
	mustPass permitted = 1 << iota
	mustRefuse
	mustBusy
)

// oracle knows the permitted verdict of each request before it is sent, and
// counts what came: wrongly accepted and wrongly refused are never right; busy
// is, where nobody could tell.
type oracle struct {
	mu                                               sync.Mutex // guards the counts
	asked, wrongAccept, wrongRefuse, busy, wrongBusy int
}

func (o *oracle) judge(status int, may permitted) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	switch status {
	case http.StatusOK:
		if may&mustPass == 0 {
			o.wrongAccept++
		}
	case http.StatusServiceUnavailable:
		o.busy++
		if may&mustBusy == 0 {
			o.wrongBusy++
		}
	default:
		if may&mustRefuse == 0 || status != http.StatusUnauthorized {
			o.wrongRefuse++
		}
	}
}

// clean reports the counts, and every one that must be zero and is not.
func (o *oracle) clean(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	t.Logf("%d requests: %d wrongly accepted, %d wrongly refused, %d busy (%d of them wrongly)", o.asked, o.wrongAccept, o.wrongRefuse, o.busy, o.wrongBusy)
	if o.wrongAccept+o.wrongRefuse+o.wrongBusy != 0 || o.asked == 0 {
		t.Error("a verdict is wrong")
	}
}

// faultIssuers starts n issuers with one key each. They live outside of the
// bubble of fake time: what waits for a socket there would stop its clock.
func faultIssuers(t *testing.T, n int) []*devissuer.Running {
	t.Helper()
	list := make([]*devissuer.Running, n)
	for i := range list {
		one, err := devissuer.Start(devissuer.Options{Audience: testIdentifier, Algorithms: []string{"ES256"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = one.Close() })
		list[i] = one
	}
	return list
}

// faultUpstream keeps no connection open, for the same reason.
func faultUpstream(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "upstream")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// faultLab is a gate in a bubble of fake time, whose front door is called
// without a listener. Its issuers are called i0, i1, …
type faultLab struct {
	t       *testing.T
	oracle  oracle
	gateway *gateway
	door    http.Handler
	admin   http.Handler
	issuers []*devissuer.Running
	log     *lockedBuffer
	stop    func()
}

// newFaultLab must be called in the bubble. more is YAML at the top level;
// settings are those of every issuer.
func newFaultLab(t *testing.T, issuers []*devissuer.Running, upstream, settings, more string) *faultLab {
	t.Helper()
	var text strings.Builder
	text.WriteString("version: 1\nlisten: \"127.0.0.1:1\"\n" + more + "\nissuers:\n")
	for i, one := range issuers {
		fmt.Fprintf(&text, "  - {name: i%d, issuer: %q%s}\n", i, one.Identifier(), settings)
	}
	fmt.Fprintf(&text, "resources:\n  - {identifier: %q, name: rs, behind_tls: true, upstream: %q}\n", testIdentifier, upstream)
	l := &faultLab{t: t, issuers: issuers, log: &lockedBuffer{}}
	a := &app{ctx: t.Context(), stdout: io.Discard, stderr: l.log, env: func(string) (string, bool) { return "", false }}
	file, err := config.Load(written(t, text.String()), a.env)
	if err != nil {
		t.Fatal(err)
	}
	if l.gateway, err = newGateway(a, "", file); err != nil {
		t.Fatal(err)
	}
	l.door = proxy.NewReverse(proxy.ReverseOptions{Listen: file.Listen, Switch: l.gateway.gates, Decided: l.gateway.metrics.Decided(file.Listen)})
	l.admin = l.gateway.adminHandler()
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { l.gateway.stores.keys.Run(ctx) })
	l.stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		l.gateway.stores.upstreams.Close()
		l.gateway.stores.answers.Close()
		wantConcealed(l.t, "the log", l.log.String())
	})
	t.Cleanup(l.stop)
	return l
}

// mint makes a token of an issuer that lasts for two days.
func (l *faultLab) mint(issuer *devissuer.Running, token devissuer.Token) string {
	l.t.Helper()
	claims := changes{"exp": time.Now().Add(48 * time.Hour).Unix()}
	for name, value := range token.Claims {
		claims[name] = value
	}
	token.Claims = claims
	raw, err := issuer.Mint(token)
	if err != nil {
		l.t.Fatal(err)
	}
	confided.add(raw)
	return raw
}

func (l *faultLab) good(i int) string { return l.mint(l.issuers[i], devissuer.Token{}) }

// stray is a token of an issuer, a minute old, with a kid nobody has.
func (l *faultLab) stray(i int, kid string) string {
	return l.mint(l.issuers[i], devissuer.Token{Header: changes{"kid": kid}, Claims: changes{"iat": time.Now().Unix() - 60}})
}

// send asks the front door and has the oracle judge.
func (l *faultLab) send(raw string, may permitted) int {
	status := l.status(l.door, "/x", raw)
	l.oracle.judge(status, may)
	return status
}

func (*faultLab) status(h http.Handler, path, raw string) int {
	r := httptest.NewRequest(http.MethodGet, testIdentifier+path, nil)
	r.RemoteAddr = "127.0.0.1:1" // of nobody in particular: these faults are about keys, not about who floods
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// page is what the admin listener says.
func (l *faultLab) page(path string) string {
	w := httptest.NewRecorder()
	l.admin.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://admin"+path, nil))
	return strconv.Itoa(w.Code) + " " + w.Body.String()
}

// count is the value of a series.
func (l *faultLab) count(series string) float64 {
	l.t.Helper()
	for line := range strings.Lines(l.page("/metrics")) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				l.t.Fatal(err)
			}
			return n
		}
	}
	l.t.Fatalf("no series %s", series)
	return 0
}

// fetches is how often an issuer was asked for its keys.
func (l *faultLab) fetches(i int) int { return l.issuers[i].Hits("/jwks") }

// loaded is when the keys held were asked for.
func (l *faultLab) loaded(i int) time.Time { return l.gateway.stores.keys.Status()[i].LastSuccess }

// onlyFile is the one file in a folder.
func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v, want one file", found, err)
	}
	return found[0]
}

func flipBit(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 4
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
