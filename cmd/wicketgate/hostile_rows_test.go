package main

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// A hostileRow is one way to make the gate work in vain: what is sent, and what it
// may cost.
type hostileRow struct {
	name       string
	request    func(n int) []byte
	status     string
	signatures int  // checked for each request
	refetch    bool // the issuer may be asked once, not for each
}

// hostileAddress is where rows with a budget come from, as the fixture's trusted
// proxy tells it.
const hostileAddress = "203.0.113.66"

type hostileLab struct {
	*fixture
	header, claims string // of a good token
	key            *devissuer.ClientKey
	bound          string
}

func newHostileLab(t testing.TB) *hostileLab {
	l := &hostileLab{fixture: newExposed(t), key: newClientKey(t, "ES256")}
	good := l.AT(map[string]any{"iat": time.Now().Unix() - 60})
	l.header, _, _ = strings.Cut(good, ".")
	l.claims = strings.Split(good, ".")[1]
	l.bound = l.fixture.bound(l.key, nil)
	return l
}

func hostileRequest(path string, lines ...string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: rs.example.com\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n")
}

func hostileBearer(raw string, lines ...string) []byte {
	return hostileRequest("/any/x", append([]string{"Authorization: Bearer " + raw}, lines...)...)
}

// forged is a token of the issuer with a signature that nobody made.
func (l *hostileLab) forged(header, claims string) string {
	var signature [64]byte
	_, _ = rand.Read(signature[:]) // never fails
	signature[0], signature[32] = signature[0]&0x7f, signature[32]&0x7f
	return cmp.Or(header, l.header) + "." + cmp.Or(claims, l.claims) + "." + base64url(signature[:])
}

// claiming is the claims of a token that nobody signed.
func (l *hostileLab) claiming(claims map[string]any) string {
	return strings.Split(l.AT(claims), ".")[1]
}

// dpop is a request with a proof, of which p changes something.
func (l *hostileLab) dpop(key *devissuer.ClientKey, p devissuer.Proof, lines ...string) []byte {
	proof := l.proof(key, l.bound, cmp.Or(p.Method, "GET"), "/dpop/x", p)
	return hostileRequest("/dpop/x", append([]string{"Authorization: DPoP " + l.bound, "DPoP: " + proof}, lines...)...)
}

// signedAmiss is a good proof with another signature.
func (l *hostileLab) signedAmiss(lines ...string) []byte {
	proof := l.proof(l.key, l.bound, "GET", "/dpop/x", devissuer.Proof{})
	at := strings.LastIndexByte(proof, '.')
	parts := strings.Split(l.forged(proof[:at], "x"), ".")
	return hostileRequest("/dpop/x", append([]string{"Authorization: DPoP " + l.bound, "DPoP: " + proof[:at] + "." + parts[len(parts)-1]}, lines...)...)
}

// rows are those of the table of what attacks cost.
func (l *hostileLab) rows() []hostileRow {
	same := func(octets []byte) func(int) []byte { return func(int) []byte { return octets } }
	spent := "X-Forwarded-For: " + hostileAddress
	stranger := newClientKey(l.t, "ES256")
	used := l.dpop(l.key, devissuer.Proof{})
	deep := base64url([]byte(strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)))
	huge := base64url([]byte(`{"typ":"dpop+jwt","alg":"RS256","jwk":{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("A", 2731) + `"}}`))
	kid := func(n int) string {
		return base64url([]byte(`{"typ":"at+jwt","alg":"ES256","kid":"` + strconv.Itoa(n) + `"}`))
	}
	foreign, expired, others, early := l.claiming(map[string]any{"iss": "https://x.example.com"}), l.claiming(map[string]any{"exp": 1}),
		l.claiming(map[string]any{"aud": "https://x.example.com"}), l.claiming(map[string]any{"nbf": time.Now().Unix() + 3600})
	repeated := hostileBearer(l.forged("", ""))
	return []hostileRow{
		{"no token", same(hostileRequest("/any/x")), "401", 0, false},
		{"garbage", same(hostileBearer(strings.Repeat("x", 16000))), "401", 0, false},
		{"huge JOSE header", same(hostileBearer(deep + ".e30.AAAA")), "401", 0, false},
		{"unknown issuer", func(int) []byte { return hostileBearer(l.forged("", foreign)) }, "401", 0, false},
		{"unknown kid", func(n int) []byte { return hostileBearer(l.forged(kid(n), "")) }, "401", 0, true},
		{"algorithm of no key", same(hostileBearer(l.forged(base64url([]byte(`{"typ":"at+jwt","alg":"ES512","kid":"es256-1"}`)), ""))), "401", 0, false},
		{"expired", func(int) []byte { return hostileBearer(l.forged("", expired)) }, "401", 0, false},
		{"for others", func(int) []byte { return hostileBearer(l.forged("", others)) }, "401", 0, false},
		{"not yet", func(int) []byte { return hostileBearer(l.forged("", early)) }, "401", 0, false},
		{"signature too short", same(hostileBearer(l.header + "." + l.claims + ".AAAA")), "401", 0, true},
		{"forged", func(int) []byte { return hostileBearer(l.forged("", "")) }, "401", 1, true},
		{"forged, repeated", same(repeated), "401", 0, false},
		{"forged, budget spent", func(int) []byte { return hostileBearer(l.forged("", ""), spent) }, "429", 0, false},
		{"proof of another key", func(int) []byte { return l.dpop(stranger, devissuer.Proof{}) }, "401", 0, false},
		{"proof for another method", same(l.dpop(l.key, devissuer.Proof{Method: "POST"})), "401", 0, false},
		{"proof for another URL", same(l.dpop(l.key, devissuer.Proof{URL: testIdentifier + "/x"})), "401", 0, false},
		{"proof too old", same(l.dpop(l.key, devissuer.Proof{IssuedAt: time.Now().Add(-time.Hour)})), "401", 0, false},
		{"proof with an RSA key of 16384 bits", same(hostileRequest("/dpop/x", "Authorization: DPoP "+l.bound, "DPoP: "+huge+".e30.AAAA")), "401", 0, false},
		{"proof used before", same(used), "401", 0, false},
		{"proof forged", func(int) []byte { return l.signedAmiss() }, "401", 1, false},
		{"proof forged, budget spent", func(int) []byte { return l.signedAmiss(spent) }, "429", 0, false},
	}
}

// A hostileConn is one connection to the gate that stays.
type hostileConn struct {
	net.Conn
	in *bufio.Reader
}

func (l *hostileLab) dial() *hostileConn {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	return &hostileConn{conn, bufio.NewReader(conn)}
}

// ask sends a request and returns the status.
func (w *hostileConn) ask(t testing.TB, octets []byte) string {
	if _, err := w.Write(octets); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.Status[:3]
}

// prepare gets all into the state that the rows are about: tokens are known, a proof
// is used, a budget is spent. It is done again before each row, since budgets fill.
func (l *hostileLab) prepare(w *hostileConn, row *hostileRow) {
	switch row.name {
	case "forged, repeated", "proof used before":
		w.ask(l.t, row.request(0))
	case "forged, budget spent", "proof forged, budget spent":
		for range 1000 {
			if w.ask(l.t, row.request(0)) == "429" {
				return
			}
		}
		l.t.Fatal("the budget is never spent")
	}
}

func (l *hostileLab) sum(series, label string) int {
	return sumOf(l.adminDo("/metrics").body, series, label)
}

// TestHostileRows counts what each row costs: signatures, questions to the issuer,
// and allocations next to those of a good request.
func TestHostileRows(t *testing.T) {
	l := newHostileLab(t)
	w := l.dial()
	defer func() { _ = w.Close() }()
	const rounds = 30
	known := hostileBearer(l.AT(nil))
	good := func(int) []byte { return known }
	if got := w.ask(t, known); got != "200" {
		t.Fatalf("a good token: %s", got)
	}
	for range 3 {
		w.ask(t, l.dpop(l.key, devissuer.Proof{}))
	}
	_, bar := l.allocations(w, good, rounds)
	for _, row := range l.rows() {
		t.Run(row.name, func(t *testing.T) {
			l.prepare(w, &row)
			signatures, fetches, began := l.sum("wicketgate_signature_checks_total", "of="), l.sum("wicketgate_jwks_fetches_total", "issuer="), time.Now()
			statuses, each := l.allocations(w, row.request, rounds)
			comeBack := 0
			if row.status == "429" { // a little of the budget comes back meanwhile
				comeBack = 10*int(time.Since(began)/time.Second+1) + 1
			}
			if other := rounds - statuses[row.status]; other > comeBack {
				t.Errorf("answers %v, want %s", statuses, row.status)
			}
			if got := l.sum("wicketgate_signature_checks_total", "of=") - signatures; got > rounds*row.signatures+comeBack || got < rounds*row.signatures {
				t.Errorf("%d requests cost %d signatures, want %d each", rounds, got, row.signatures)
			}
			allowed := 0
			if row.refetch {
				allowed = 1 + int(time.Since(began)/time.Second) // refetch_interval of the fixture
			}
			if got := l.sum("wicketgate_jwks_fetches_total", "issuer=") - fetches; got > allowed {
				t.Errorf("%d requests cost %d fetches", rounds, got)
			}
			if each > bar {
				t.Errorf("%d allocations a request, %d for a good one", each, bar)
			}
		})
	}
}

// allocations sends what is ready by then and counts what the whole process, its
// client and the upstream included, allocates for each.
func (l *hostileLab) allocations(w *hostileConn, build func(int) []byte, rounds int) (statuses map[string]int, each uint64) {
	var ready [][]byte
	for n := range rounds {
		ready = append(ready, build(n))
	}
	statuses = map[string]int{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, octets := range ready {
		statuses[w.ask(l.t, octets)]++
	}
	runtime.ReadMemStats(&after)
	return statuses, (after.Mallocs - before.Mallocs) / uint64(rounds)
}

// BenchmarkHostileRows is what each row costs in processor time, next to a good
// request with a token that is remembered plus one check of a signature: client,
// gate and upstream together, all rows in turn, the median of the rounds.
func BenchmarkHostileRows(b *testing.B) {
	l := newHostileLab(b)
	w := l.dial()
	defer func() { _ = w.Close() }()
	known := hostileBearer(l.AT(nil))
	w.ask(b, known)
	rows := append(l.rows(), hostileRow{name: "good and known", request: func(int) []byte { return known }, status: "200"})
	cost := make(map[string][]float64)
	rounds := 0
	for b.Loop() {
		rounds++
		cost["signature"] = append(cost["signature"], checkSignatures(b, 100))
		for _, row := range rows {
			l.prepare(w, &row)
			var ready [][]byte
			for n := range 100 {
				ready = append(ready, row.request(rounds*100+n))
			}
			from := processorTime(b)
			for _, octets := range ready {
				w.ask(b, octets)
			}
			cost[row.name] = append(cost[row.name], float64(processorTime(b)-from)/float64(len(ready)))
		}
	}
	median := func(name string) float64 {
		slices.Sort(cost[name])
		return cost[name][len(cost[name])/2]
	}
	bar := median("good and known") + median("signature")
	b.ReportMetric(bar/1000, "bar-us")
	for _, row := range rows {
		b.ReportMetric(median(row.name)/bar, strings.ReplaceAll(row.name, " ", "-"))
	}
}

func checkSignatures(b *testing.B, n int) float64 {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	from := processorTime(b)
	for range n {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("it does not hold")
		}
	}
	return float64(processorTime(b)-from) / float64(n)
}
