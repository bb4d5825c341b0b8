package main

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestHostileCost runs the threats that make the gate do more than its client.
// What is refused before any signature is checked has its tests where that is
// decided: H-80 in package dpop, H-81 in package validator.
func TestHostileCost(t *testing.T) { t.Run("H-79", threatH79) }

// A request of n octets may make the whole process allocate this much.
const (
	octetsPerOctet = 16
	octetsAtAll    = 64 << 10
)

// costly are requests that have made some server pay many times what they cost
// to send, as lines without the last.
func costly(f *fixture) map[string]string {
	get := func(target string, lines ...string) string {
		return strings.Join(append([]string{"GET " + target + " HTTP/1.1", "Host: rs.example.com"}, lines...), "\r\n") + "\r\n"
	}
	bearer := func(raw string) string { return get("/any/x", "Authorization: Bearer "+raw) }
	good, nested := f.AT(nil), strings.Repeat(`{"a":`, 2000)+"1"+strings.Repeat("}", 2000)
	header, _, _ := strings.Cut(good, ".")
	with := func(payload string) string {
		return bearer(header + "." + base64url([]byte(payload)) + "." + base64url(make([]byte, 64)))
	}
	deep := func(name string, text string) string {
		return base64url([]byte(`{"typ":"dpop+jwt","alg":"ES256","`+name+`":`+text+`}`)) + "." + base64url([]byte("{}")) + ".AAAA"
	}
	bound := "Authorization: DPoP " + f.bound(newClientKey(f.t, "ES256"), nil)
	rsa, err := newClientKey(f.t, "RS256").Proof(devissuer.Proof{Method: "GET", URL: testIdentifier + "/dpop/x"})
	if err != nil {
		f.t.Fatal(err)
	}
	long := strings.Repeat("x", 14<<10)
	return map[string]string{
		"nothing":              get("/any/x"),
		"one huge field":       get("/any/x", "X-A: "+strings.Repeat("x", 60<<10)),
		"fields beyond limit":  get("/any/x", "X-A: "+strings.Repeat("x", 90<<10)),
		"many fields":          get("/any/x", strings.TrimSuffix(strings.Repeat("X-A: b\r\n", 95), "\r\n")),
		"too many fields":      get("/any/x", strings.TrimSuffix(strings.Repeat("X-A: b\r\n", 3000), "\r\n")),
		"different fields":     get("/any/x", differentFields(95)),
		"underscores":          get("/any/x", "X"+strings.Repeat("_", 10<<10)+": a"),
		"Connection names":     get("/any/x", "Connection: "+strings.Repeat("a,", 10<<10)+"close"),
		"long path":            get("/any/" + long),
		"many segments":        get("/any" + strings.Repeat("/a", 7<<10)),
		"escapes":              get("/any/" + strings.Repeat("%41", 4<<10)),
		"bad escapes":          get("/any/" + strings.Repeat("%zz", 4<<10)),
		"dots":                 get("/any" + strings.Repeat("/..", 4<<10)),
		"long query":           get("/any/x?" + strings.Repeat("a=b&", 3<<10)),
		"many tokens":          get("/any/x?" + strings.Repeat("access_token=a&", 900)),
		"garbage":              bearer(strings.Repeat("x", 16000)),
		"token beyond limit":   bearer(strings.Repeat("x", 40<<10)),
		"dots in a token":      bearer(strings.Repeat(".", 16000)),
		"many credentials":     get("/any/x", "Authorization: "+strings.Repeat("Bearer a, ", 5000)),
		"deep claims":          with(nested),
		"many claims":          with("{" + strings.Repeat(`"a":1,`, 1800) + `"b":1}`),
		"many elements":        with(`{"aud":[` + strings.Repeat(`"",`, 3500) + `""]}`),
		"long number":          with(`{"exp":` + strings.Repeat("9", 11000) + "}"),
		"small exponent":       with(`{"exp":1e999999999}`),
		"escapes in claims":    with(`{"iss":"` + strings.Repeat(`\u0041`, 1800) + `"}`),
		"deep token header":    bearer(base64url([]byte(nested)) + ".e30.AAAA"),
		"forged":               bearer(good[:len(good)-4] + "AAAA"),
		"unknown kid":          bearer(f.strayed(strings.Repeat("k", 200))),
		"proof that nests":     get("/dpop/x", bound, "DPoP: "+deep("jwk", nested[:2000])),
		"proof of many":        get("/dpop/x", bound, "DPoP: "+deep("jwk", "{"+strings.Repeat(`"a":1,`, 600)+`"b":1}`)),
		"proof with a huge n":  get("/dpop/x", bound, "DPoP: "+deep("jwk", `{"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("A", 4000)+`"}`)),
		"proof with a huge x":  get("/dpop/x", bound, "DPoP: "+deep("jwk", `{"kty":"EC","crv":"P-256","x":"`+strings.Repeat("A", 4000)+`","y":"A"}`)),
		"proof of another key": get("/dpop/x", bound, "DPoP: "+rsa),
		"proof beyond limit":   get("/dpop/x", bound, "DPoP: "+strings.Repeat("x", 40<<10)),
		"many proofs":          get("/dpop/x", bound, strings.TrimSuffix(strings.Repeat("DPoP: a.b.c\r\n", 90), "\r\n")),
		"many cookies":         get("/any/x", "Cookie: "+strings.Repeat("a=b; ", 10<<10)+"session=a.b.c"),
		"many sessions":        get("/any/x", "Cookie: "+strings.Repeat("session=a.b.c; ", 3<<10)),
		"many hops":            get("/any/x", "X-Forwarded-For: "+strings.Repeat("1.2.3.4, ", 6<<10)+"1.2.3.4"),
		"many elements of hop": get("/any/x", "Forwarded: "+strings.Repeat(`for="[::1]";proto=https, `, 2<<10)+"for=1.2.3.4"),
		"XFCC":                 get("/mtls/x", "X-Forwarded-Client-Cert: "+strings.Repeat(`Hash=00;Subject="a\"b",`, 2000)+"Hash=00"),
		"XFCC escapes":         get("/mtls/x", `X-Forwarded-Client-Cert: Cert="`+strings.Repeat("%41", 10<<10)+`"`),
		"accepts":              get("/any/x", "Accept: "+strings.Repeat("application/problem+json;q=0.1,", 1500)+"a/b"),
		"preflight":            strings.Replace(get("/any/x", "Origin: https://a.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: "+strings.Repeat("a,", 20<<10)), "GET", "OPTIONS", 1),
		"form":                 strings.Replace(get("/any/x", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 60000"), "GET", "POST", 1) + "\x00" + strings.Repeat("a=b&", 15000),
		"form of escapes":      strings.Replace(get("/any/x", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 60000"), "GET", "POST", 1) + "\x00" + "access_token=" + strings.Repeat("%41", 20000)[:59987],
	}
}

func differentFields(n int) string {
	var lines []string
	for i := range n {
		lines = append(lines, "X-"+strings.Repeat("a", i+1)+": b")
	}
	return strings.Join(lines, "\r\n")
}

// threatH79 measures on an open listener what one request makes the process
// allocate, its client's part included: that client sends ready octets and
// reads into an array.
func threatH79(t *testing.T) {
	f := newExposed(t)
	for name, text := range costly(f) {
		t.Run(name, func(t *testing.T) {
			head, body, _ := strings.Cut(text, "\x00")
			request := []byte(head + "Connection: close\r\n\r\n" + body)
			const rounds = 20
			bound := uint64(octetsPerOctet*len(request) + octetsAtAll)
			f.sendOctets(t, request, 3) // what is made once is nobody's fault
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f.sendOctets(t, request, rounds)
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > bound {
				t.Errorf("%d octets made the gate allocate %d, more than %d", len(request), each, bound)
			}
		})
	}
}

// BenchmarkHostileCost is what each of these requests costs in processor time,
// client, connection and all. The bar is 2 ms.
func BenchmarkHostileCost(b *testing.B) {
	f := newExposed(b)
	for name, text := range costly(f) {
		b.Run(name, func(b *testing.B) {
			head, body, _ := strings.Cut(text, "\x00")
			request := []byte(head + "Connection: close\r\n\r\n" + body)
			from, n := processorTime(b), 0
			for b.Loop() {
				f.sendOctets(b, request, 1)
				n++
			}
			b.ReportMetric(float64(processorTime(b)-from)/float64(n), "cpu-ns/op")
		})
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// newExposed is a fixture that reads whatever a client may send.
func newExposed(t testing.TB) *fixture {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nmtls: {from: header, header: xfcc}\nadmin:")
		text = instead(t, text, "    behind_tls: true", "    behind_tls: true\n    token_sources: {cookie: session, query: true, body: true}\n    cors: {preflight: answer, origins: [https://app.example.com]}")
		return instead(t, text, "log: {level: debug, access: all}", "      - {name: mtls, path: /mtls/**, binding: mtls}\nlog: {level: error, access: off}")
	})
	f.untilReady()
	return f
}

// sendOctets sends ready octets so many times, each over a connection of its own,
// and reads until the gate closes it.
func (f *fixture) sendOctets(t testing.TB, request []byte, times int) {
	t.Helper()
	var buffer [4 << 10]byte
	for range times {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(request) // a gate that has seen enough closes before the end
		for err = nil; err == nil; {
			_, err = conn.Read(buffer[:])
		}
		if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset by peer") {
			t.Errorf("reading: %v", err)
		}
		_ = conn.Close()
	}
}
