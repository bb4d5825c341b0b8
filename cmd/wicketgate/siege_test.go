package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestThreats runs the rows of the attack catalogue, each under its name there.
func TestThreats(t *testing.T) {
	for _, r := range slices.Concat(tokenThreats, presentationThreats, proofThreats, redisThreats, certificateThreats, upgradeThreats) {
		t.Run(r.id, r.run)
	}
}

// siege is a fixture under attack that keeps count: a refusal moves the counter
// of its own reason by one and no other, nothing reaches the upstream, and no
// panic is ever counted.
type siege struct {
	*fixture
	counts  map[string]float64
	reached int
}

func besiege(f *fixture) *siege {
	s := &siege{fixture: f}
	s.counts, s.reached = s.counters(), f.upstream.count()
	return s
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	return besiege(newFixture(t, nil))
}

const panics = "wicketgate_panics_total"

func refusals(r token.Reason) string { return `wicketgate_refusals_total{reason="` + string(r) + `"}` }

// counters are the refusals by reason, and the panics.
func (s *siege) counters() map[string]float64 {
	s.t.Helper()
	found := map[string]float64{}
	for line := range strings.Lines(s.metrics(panics, "wicketgate_refusals_total")) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != panics && !strings.HasPrefix(series, "wicketgate_refusals_total{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		found[series] = n
	}
	if _, there := found[panics]; !there || len(found) < 2 {
		s.t.Fatal("the counters are not there")
	}
	return found
}

// moved checks that since the last look the reason was counted once, and none
// other.
func (s *siege) moved(t *testing.T, reason token.Reason) {
	t.Helper()
	now := s.counters()
	for series, value := range now {
		want := s.counts[series]
		if reason != token.ReasonNone && series == refusals(reason) {
			want++
		}
		if value != want || series == panics && value != 0 {
			t.Errorf("%s is %v, want %v", series, value, want)
		}
	}
	s.counts = now
	if n := s.upstream.count(); n != s.reached {
		t.Errorf("the upstream saw %d requests", n-s.reached)
		s.reached = n
	}
}

// verdict is how an attack must be answered.
type verdict struct {
	status       int
	bearer, dpop string // the challenges, as for wantChallenges
}

var (
	nothingPresented = verdict{http.StatusUnauthorized, bare, bare}
	badRequest       = verdict{http.StatusBadRequest, "invalid_request", bare}
	badToken         = verdict{http.StatusUnauthorized, "invalid_token", bare}
	badBoundToken    = verdict{http.StatusUnauthorized, bare, "invalid_token"}
	badProof         = verdict{http.StatusUnauthorized, bare, "invalid_dpop_proof"}
	badScope         = verdict{http.StatusForbidden, "insufficient_scope", bare}
	noSuchRoute      = verdict{http.StatusNotFound, absent, absent}
)

// repels checks the whole of an answer to an attack.
func (s *siege) repels(t *testing.T, r *reply, v verdict, reason token.Reason) {
	t.Helper()
	if r.StatusCode != v.status {
		t.Errorf("status %d, want %d; body %s", r.StatusCode, v.status, r.body)
	}
	wantChallenges(t, r, v.bearer, v.dpop)
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	for _, code := range []string{v.bearer, v.dpop} {
		if code != bare && code != absent && bodyOf(t, r)["error"] != code {
			t.Errorf("body %s, want %s", r.body, code)
		}
	}
	s.moved(t, reason)
}

// passes checks that a request reached the upstream and was counted as no refusal.
func (s *siege) passes(t *testing.T, r *reply) {
	t.Helper()
	wantPassed(t, r)
	s.reached++
	s.moved(t, token.ReasonNone)
}

// undecided checks a 503 that tells no client to throw its token away.
func (s *siege) undecided(t *testing.T, r *reply, reason token.Reason) {
	t.Helper()
	s.wantUndecided(t, r, s.reached)
	s.moved(t, reason)
}

// forged is a token with the reason it must be refused for.
type forged struct {
	raw    string
	reason token.Reason
}

func (s *siege) tokens(t *testing.T, tokens map[string]forged) {
	t.Helper()
	for name, f := range tokens {
		t.Run(name, func(t *testing.T) { s.repels(t, s.sendToken(f.raw), badToken, f.reason) })
	}
}

// tokensFor is tokens that are all refused for one reason.
func (s *siege) tokensFor(t *testing.T, reason token.Reason, tokens map[string]string) {
	t.Helper()
	for name, raw := range tokens {
		t.Run(name, func(t *testing.T) { s.repels(t, s.sendToken(raw), badToken, reason) })
	}
}

// garbled is tokensFor texts some of which are no credential at all: those are
// a bad request.
func (s *siege) garbled(t *testing.T, texts map[string]string) {
	t.Helper()
	for name, raw := range texts {
		t.Run(name, func(t *testing.T) {
			v := badToken
			if strings.ContainsAny(strings.TrimRight(raw, "="), " \t{}\"%=") {
				v = badRequest
			}
			s.repels(t, s.sendToken(raw), v, token.ReasonMalformed)
		})
	}
}

// proofsFor wants each change of a good proof refused for one reason.
func (s *siege) proofsFor(t *testing.T, reason token.Reason, key *devissuer.ClientKey, proofs map[string]devissuer.Proof) {
	t.Helper()
	raw := s.bound(key, nil)
	for name, p := range proofs {
		t.Run(name, func(t *testing.T) { s.repels(t, s.sendBound(key, raw, p), badProof, reason) })
	}
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
}

// overflows sends a header section that net/http refuses by itself: with its
// own 431, before anything of ours sees it.
func (s *siege) overflows(t *testing.T, lines ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = io.WriteString(conn, head("GET", "/any/x", lines...)) // the other side hangs up in the middle
	}()
	answer := make([]byte, 16)
	n, err := io.ReadFull(conn, answer)
	if got := string(answer[:n]); got != "HTTP/1.1 431 Req" {
		t.Errorf("answer %q (%v), want 431", got, err)
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	<-wrote
	s.moved(t, token.ReasonNone)
}
