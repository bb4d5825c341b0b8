package main

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// proofThreats are attacks with DPoP proofs, certificateThreats those with
// tokens bound to a certificate that need no certificate.
var (
	proofThreats = []conformanceRow{
		{"D-01", threatD01}, {"D-02", threatD02}, {"D-03", threatD03}, {"D-04", threatD04}, {"D-05", threatD05}, {"D-06", threatD06},
		{"D-07", threatD07}, {"D-08", threatD08}, {"D-09", threatD09}, {"D-10", threatD10}, {"D-11", threatD11}, {"D-12", threatD12},
		{"D-13", threatD13}, {"D-14", threatD14}, {"D-15", threatD15}, {"D-16", threatD16}, {"D-17", threatD17}, {"D-18", threatD18},
		{"D-19", threatD19}, {"D-20", threatD20}, {"D-21", threatD21}, {"D-22", threatD22}, {"D-23", threatD23}, {"D-24", threatD24},
		{"D-25", threatD25}, {"D-30", threatD30}, {"D-31", threatD31}, {"D-34", threatD34}, {"D-43", threatD43}, {"D-44", threatD44},
	}
	certificateThreats = []conformanceRow{{"M-01", withoutTLSM01}, {"M-05", withoutTLSM05}}
)

// newBoundSiege is a siege with a client key and a token bound to it.
func newBoundSiege(t *testing.T) (s *siege, key *devissuer.ClientKey, raw string) {
	t.Helper()
	s, key = newSiege(t), newClientKey(t, "ES256")
	return s, key, s.bound(key, nil)
}

// good is a good proof for a GET where any token will do.
func (s *siege) good(key *devissuer.ClientKey, raw string) string {
	s.t.Helper()
	return s.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
}

func threatD01(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	s.repels(t, s.sendToken(raw), badToken, token.ReasonDPoPBinding)
	s.repels(t, s.do("GET", "/any/x", "Authorization", "Bearer "+raw, "DPoP", s.good(key, raw)), badToken, token.ReasonDPoPBinding)
	s.repels(t, s.do("GET", "/maybe", "Authorization", "Bearer "+raw), badToken, token.ReasonDPoPBinding)
}

func threatD02(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	raw := s.AT(nil)
	s.repels(t, s.sendBound(key, raw, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
	s.repels(t, s.do("GET", "/any/x", "Authorization", "DPoP "+raw), badBoundToken, token.ReasonDPoPBinding)
}

func threatD03(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	one, two := s.good(key, raw), s.good(key, raw)
	s.repels(t, s.do("GET", "/any/x", "Authorization", "DPoP "+raw), badProof, token.ReasonDPoPMissing)
	s.repels(t, s.sendProof(raw, ""), badProof, token.ReasonDPoPMissing)
	for _, second := range []string{one, two, "", "x"} {
		s.repels(t, s.do("GET", "/any/x", "Authorization", "DPoP "+raw, "DPoP", one, "DPoP", second), badProof, token.ReasonDPoPMalformed)
	}
	for _, joined := range []string{one + "," + two, one + ", " + one, one + " " + two, one + ","} {
		s.repels(t, s.sendProof(raw, joined), badProof, token.ReasonDPoPMalformed)
	}
	s.passes(t, s.sendProof(raw, one))
}

func threatD04(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	bad := map[string]devissuer.Proof{"absent": {Header: changes{"typ": nil}}}
	for _, typ := range []string{"JWT", "at+jwt", "dpop", "DPoP+JWT", "application/dpop+jwt", "dpop+jwt ", ""} {
		bad["typ "+typ] = devissuer.Proof{Header: changes{"typ": typ}}
	}
	s.proofsFor(t, token.ReasonDPoPType, key, bad)
	s.proofsFor(t, token.ReasonDPoPMalformed, key, map[string]devissuer.Proof{"number": {Header: changes{"typ": 1}}, "list": {Header: changes{"typ": []string{"dpop+jwt"}}}})
}

func threatD05(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	bad := map[string]devissuer.Proof{}
	for _, alg := range []string{"none", "None", "HS256", "RS256", "RS512", "ES384", "ES512", "EdDSA", "ES256K", "es256", "PS384"} {
		bad[alg] = devissuer.Proof{Header: changes{"alg": alg}}
	}
	s.proofsFor(t, token.ReasonDPoPAlgorithm, key, bad)
	s.proofsFor(t, token.ReasonDPoPMalformed, key, map[string]devissuer.Proof{
		"unsigned": {Alg: devissuer.None}, "absent": {Header: changes{"alg": nil}}, "empty": {Header: changes{"alg": ""}}, "number": {Header: changes{"alg": 1}},
	})
	header, payload := halves(t, s.good(key, raw))
	mac, err := devissuer.SignHMAC("HS256", key.PublicJWK(), []byte(instead(t, header, "ES256", "HS256")), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	s.repels(t, s.sendProof(raw, mac), badProof, token.ReasonDPoPAlgorithm)
	for _, alg := range []string{"ES384", "ES512", "RS384", "PS512"} { // good keys of algorithms that are not on
		other := newClientKey(t, alg)
		s.repels(t, s.sendBound(other, s.bound(other, nil), devissuer.Proof{}), badProof, token.ReasonDPoPAlgorithm)
	}
}

func threatD06(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	bad := map[string]devissuer.Proof{
		"missing": {Header: changes{"jwk": nil}}, "text": {Header: changes{"jwk": string(key.PublicJWK())}}, "list": {Header: changes{"jwk": []json.RawMessage{key.PublicJWK()}}},
		"null": {Header: changes{"jwk": json.RawMessage("null")}}, "empty": {Header: changes{"jwk": changes{}}}, "oct": {Header: changes{"jwk": changes{"kty": "oct", "k": "AAAA"}}},
		"certificate": {Header: changes{"jwk": jwkOf(t, key, changes{"x5c": []string{"MIIB"}})}}, "kid in its place": {Header: changes{"jwk": nil, "kid": key.Thumbprint()}},
		"x5c in its place": {Header: changes{"jwk": nil, "x5c": []string{"MIIB"}}}, "jku in its place": {Header: changes{"jwk": nil, "jku": s.a.URL + "/jwks"}},
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		bad["private "+name] = devissuer.Proof{Header: changes{"jwk": jwkOf(t, key, changes{name: "AAAA"})}}
	}
	s.proofsFor(t, token.ReasonDPoPKey, key, bad)
}

func threatD08(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	stranger := newClientKey(t, "ES256")
	s.repels(t, s.sendBound(stranger, raw, devissuer.Proof{Header: changes{"jwk": key.PublicJWK()}}), badProof, token.ReasonDPoPSignature)
	s.repels(t, s.sendProof(raw, tampered(t, s.good(key, raw))), badProof, token.ReasonDPoPSignature)
	p := strings.Split(s.good(key, raw), ".")
	header, payload := halves(t, strings.Join(p, "."))
	s.repels(t, s.sendProof(raw, base64url([]byte("{ "+header[1:]))+"."+p[1]+"."+p[2]), badProof, token.ReasonDPoPSignature)
	s.repels(t, s.sendProof(raw, p[0]+"."+base64url([]byte("{ "+payload[1:]))+"."+p[2]), badProof, token.ReasonDPoPSignature)
	other := strings.Split(s.good(key, raw), ".")
	s.repels(t, s.sendProof(raw, p[0]+"."+p[1]+"."+other[2]), badProof, token.ReasonDPoPSignature)
	s.passes(t, s.sendProof(raw, strings.Join(p, ".")))
}

func threatD09(t *testing.T) {
	s, _, raw := newBoundSiege(t)
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		s.repels(t, s.sendBound(newClientKey(t, alg), raw, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
	}
}

func threatD10(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	jkt := key.Thumbprint()
	for name, cnf := range map[string]any{
		"number": changes{"jkt": 1}, "list": changes{"jkt": []string{jkt}}, "short": changes{"jkt": jkt[:42]}, "long": changes{"jkt": jkt + "A"}, "padded": changes{"jkt": jkt + "="}, "empty": changes{"jkt": ""},
		"null": changes{"jkt": json.RawMessage("null")}, "hex": changes{"jkt": strings.Repeat("0f", 32)}, "cnf a list": []any{changes{"jkt": jkt}}, "cnf a text": jkt, "cnf null": json.RawMessage("null"),
		"cnf empty": changes{}, "jwk": changes{"jwk": key.PublicJWK()}, "unknown": changes{"x5t#S384": jkt}, "kid": changes{"kid": jkt}, "JKT": changes{"JKT": jkt},
	} {
		t.Run(name, func(t *testing.T) {
			raw := s.AT(changes{"cnf": cnf})
			s.repels(t, s.sendBound(key, raw, devissuer.Proof{}), badBoundToken, token.ReasonConfirmation)
			s.repels(t, s.sendToken(raw), badToken, token.ReasonConfirmation)
		})
	}
	swapped := strings.ToUpper(jkt)
	if swapped == jkt {
		swapped = strings.ToLower(jkt)
	}
	raw := s.AT(changes{"cnf": changes{"jkt": sparse43(swapped)}})
	s.repels(t, s.sendBound(key, raw, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
}

// sparse43 ends a digest's text so that no unused bit is set.
func sparse43(text string) string { return text[:42] + "A" }

func threatD11(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	raw := s.bound(key, changes{"cnf": changes{"jkt": key.Thumbprint(), "x5t#S256": testDigest}})
	s.repels(t, s.sendBound(key, raw, devissuer.Proof{}), badBoundToken, token.ReasonMTLSBinding)
}

func threatD12(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	for _, row := range []struct {
		method string
		htm    any
	}{{"GET", nil}, {"GET", "POST"}, {"GET", "get"}, {"POST", "GET"}, {"get", "GET"}, {"HEADX", "HEAD"}, {"GET", "GET "}, {"GET", ""}, {"GET", []string{"GET"}}, {"GET", 1}} {
		t.Run(fmt.Sprintf("%s with %v", row.method, row.htm), func(t *testing.T) {
			proof := s.proof(key, raw, row.method, "/any/x", devissuer.Proof{Claims: changes{"htm": row.htm}})
			s.repels(t, s.do(row.method, "/any/x", "Authorization", "DPoP "+raw, "DPoP", proof), badProof, token.ReasonDPoPMethod)
		})
	}
}

func threatD13(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	for _, target := range []string{
		"https://RS.example.com/any/x", "HTTPS://rs.example.com/any/x", "https://rs.example.com:443/any/x", "https://rs.example.com/any/%78", "https://rs.example.com/any/x?q=1", "https://rs.example.com/any/x#f", "https://rs.example.com/any/./x",
	} {
		s.passes(t, s.sendBound(key, raw, htu(target)))
	}
	bad := map[string]devissuer.Proof{"missing": {Claims: changes{"htu": nil}}, "number": htu(1), "list": htu([]string{testIdentifier + "/any/x"})}
	for _, target := range []string{
		"https://evil.example/any/x", "https://rs.example.com.evil.example/any/x", "http://rs.example.com/any/x", "https://rs.example.com:8443/any/x", "https://rs.example.com:80/any/x", "https://rs.example.com/any/y",
		"https://rs.example.com/any/x/", "https://rs.example.com/any%2Fx", "https://rs.example.com/any%2fx", "https://rs.example.com/Any/x", "https://user@rs.example.com/any/x", "https://rs.example.com@evil.example/any/x",
		"https://rs.example.com//any/x", "https://r\u0455.example.com/any/x", "https://xn--r-8tb.example.com/any/x", "/any/x", "", "https://rs.example.com", "https://rs.example.com./any/x", "https://rs.example.com/any/x%00", "https://rs.example.com/any/../any/x/..",
	} {
		bad["htu "+target] = htu(target)
	}
	s.proofsFor(t, token.ReasonDPoPTarget, key, bad)
}

func threatD14(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	captured := s.proof(key, raw, "GET", "", htu("https://evil.example/any/x"))
	for name, header := range map[string]http.Header{
		"Host": nil, "X-Forwarded-Host": {"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}}, "Forwarded": {"Forwarded": {"host=evil.example;proto=https"}}, "X-Original-Host": {"X-Original-Host": {"evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, s.sendAs("evil.example", raw, captured, header), badProof, token.ReasonDPoPTarget)
			s.repels(t, s.sendAs("rs.example.com", raw, captured, header), badProof, token.ReasonDPoPTarget)
		})
	}
	s.passes(t, s.sendAs("evil.example", raw, s.good(key, raw), nil))
}

func threatD15(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	_, payload := halves(t, s.good(key, raw))
	var own, other struct{ Ath string }
	if err := json.Unmarshal([]byte(payload), &own); err != nil {
		t.Fatal(err)
	}
	_, payload = halves(t, s.good(key, s.bound(key, nil)))
	if err := json.Unmarshal([]byte(payload), &other); err != nil {
		t.Fatal(err)
	}
	bad := map[string]devissuer.Proof{}
	for name, ath := range map[string]any{
		"missing": nil, "of another token": other.Ath, "padded": own.Ath + "=", "hex": fmt.Sprintf("%x", octets(t, own.Ath)), "empty": "", "number": 1, "list": []string{own.Ath}, "the token": "x" + raw[:40], "null": json.RawMessage("null"),
	} {
		bad[name] = devissuer.Proof{AccessToken: raw, Claims: changes{"ath": ath}}
	}
	s.proofsFor(t, token.ReasonDPoPToken, key, bad)
}

func threatD16(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	now := time.Now()
	bad := map[string]devissuer.Proof{
		"missing": {Claims: changes{"iat": nil}}, "text": {Claims: changes{"iat": fmt.Sprint(now.Unix())}}, "too old": {IssuedAt: now.Add(-62 * time.Second)}, "ahead": {IssuedAt: now.Add(45 * time.Second)},
		"long ago": {IssuedAt: time.Unix(1, 0)}, "far ahead": {IssuedAt: now.Add(24 * time.Hour)}, "null": {Claims: changes{"iat": json.RawMessage("null")}}, "list": {Claims: changes{"iat": []int64{now.Unix()}}},
	}
	for _, iat := range []string{"-1", "0", "1e400", "1e18", "9223372036854775807", "99999999999999999999", "9007199254740993", "-9223372036854775808"} {
		bad[iat] = devissuer.Proof{Claims: changes{"iat": json.RawMessage(iat)}}
	}
	s.proofsFor(t, token.ReasonDPoPTime, key, bad)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{Claims: changes{"iat": float64(now.Unix()) + 1.5}}))
}

func threatD17(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	now := time.Now().Unix()
	s.proofsFor(t, token.ReasonDPoPTime, key, map[string]devissuer.Proof{
		"exp past": {Claims: changes{"exp": now - 5}}, "exp text": {Claims: changes{"exp": "x"}}, "exp null": {Claims: changes{"exp": json.RawMessage("null")}},
		"nbf ahead": {Claims: changes{"nbf": now + 120}}, "nbf list": {Claims: changes{"nbf": []int{1}}},
	})
}

func threatD18(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	bad := map[string]devissuer.Proof{}
	for name, jti := range map[string]any{
		"missing": nil, "empty": "", "number": 1, "list": []string{"j"}, "null": json.RawMessage("null"), "257 octets": strings.Repeat("j", 257), "129 letters of two octets": strings.Repeat("\u00e9", 129),
	} {
		bad[name] = devissuer.Proof{Claims: changes{"jti": jti}}
	}
	s.proofsFor(t, token.ReasonDPoPMalformed, key, bad)
}

func threatD19(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	proof := s.good(key, raw)
	s.passes(t, s.sendProof(raw, proof))
	for range 3 {
		s.repels(t, s.sendProof(raw, proof), badProof, token.ReasonDPoPReplay)
	}
}

// threatD20 opens all connections first, so that the copies arrive together.
func threatD20(t *testing.T) {
	const copies = 1000
	s, key, raw := newBoundSiege(t)
	proof := s.good(key, raw)
	transport := &http.Transport{MaxIdleConnsPerHost: copies}
	t.Cleanup(transport.CloseIdleConnections)
	var passed, refused atomic.Int64
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for range copies {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/any/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "DPoP "+raw)
		req.Header.Set("DPoP", proof)
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			switch {
			case resp.StatusCode == http.StatusOK:
				passed.Add(1)
			case resp.StatusCode == http.StatusUnauthorized && strings.Contains(string(body), "invalid_dpop_proof"):
				refused.Add(1)
			}
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	if passed.Load() != 1 || refused.Load() != copies-1 || s.upstream.count() != 1 {
		t.Errorf("%d passed, %d were refused, the upstream saw %d", passed.Load(), refused.Load(), s.upstream.count())
	}
	counts := s.counters()
	if counts[refusals(token.ReasonDPoPReplay)] != copies-1 || counts[panics] != 0 {
		t.Errorf("counted: %v", counts)
	}
}

func threatD21(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	proof := s.good(key, raw)
	s.passes(t, s.sendProof(raw, proof))
	dot := strings.LastIndexByte(proof, '.')
	signature := octets(t, proof[dot+1:])
	r, half := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	mirrored := fixedWidth(r, half.Sub(elliptic.P256().Params().N, half))
	s.repels(t, s.sendProof(raw, proof[:dot+1]+base64url(mirrored)), badProof, token.ReasonDPoPReplay)
	s.repels(t, s.sendProof(raw, sparse(proof)), badProof, token.ReasonDPoPMalformed)
	s.repels(t, s.sendProof(raw, proof+"="), badProof, token.ReasonDPoPMalformed)
	s.repels(t, s.sendProof(raw, proof[:dot+1]+base64url(append(signature, 0))), badProof, token.ReasonDPoPSignature)
	_, payload := halves(t, proof)
	again := devissuer.Proof{RawPayload: []byte("{ " + payload[1:])}
	s.repels(t, s.sendBound(key, raw, again), badProof, token.ReasonDPoPReplay)
}

func threatD22(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	other := newClientKey(t, "ES256")
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{ID: "j"}))
	s.passes(t, s.sendBound(other, s.bound(other, nil), devissuer.Proof{ID: "j"}))
	s.repels(t, s.sendBound(key, s.bound(key, nil), devissuer.Proof{ID: "j"}), badProof, token.ReasonDPoPReplay)
}

// threatD23 replays a proof over and over until its window has closed. The
// exact second is for the verifier's own tests, with a fake clock.
func threatD23(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string { return text + "dpop: {max_age: 1s}\n" }))
	key := newClientKey(t, "ES256")
	raw := s.bound(key, nil)
	proof := s.good(key, raw)
	s.passes(t, s.sendProof(raw, proof))
	var last *reply
	eventually(t, "the window to close", func() bool {
		last = s.sendProof(raw, proof)
		return last.StatusCode == http.StatusOK || strings.Contains(last.challenge("DPoP"), "too old")
	})
	s.counts = s.counters()
	s.repels(t, last, badProof, token.ReasonNone)
	s.repels(t, s.sendProof(raw, proof), badProof, token.ReasonDPoPTime)
}

func threatD24(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	raw := s.bound(key, nil)
	present := func(path, raw, proof string) *reply {
		return s.do("GET", path, "Authorization", "DPoP "+raw, "DPoP", proof)
	}
	// What is refused before the proof is judged, or forged, uses nothing up.
	elsewhere := s.bound(key, changes{"aud": "https://other.example.com"})
	s.repels(t, present("/any/x", elsewhere, s.proof(key, elsewhere, "GET", "/any/x", devissuer.Proof{ID: "a"})), badBoundToken, token.ReasonAudience)
	s.repels(t, s.sendProof(raw, tampered(t, s.proof(key, raw, "GET", "/any/x", devissuer.Proof{ID: "a"}))), badProof, token.ReasonDPoPSignature)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{ID: "a"}))
	// What is refused after it, or fails behind the gate, does.
	proof := s.proof(key, raw, "GET", "/both", devissuer.Proof{})
	s.repels(t, present("/both", raw, proof), verdict{http.StatusForbidden, bare, "insufficient_scope"}, token.ReasonScope)
	s.repels(t, present("/both", raw, proof), badProof, token.ReasonDPoPReplay)
	s.upstream.setAnswer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	proof = s.good(key, raw)
	if r := s.sendProof(raw, proof); r.StatusCode != http.StatusBadGateway {
		t.Errorf("upstream gone: %d", r.StatusCode)
	}
	s.upstream.setAnswer(nil)
	s.counts, s.reached = s.counters(), s.upstream.count()
	s.repels(t, s.sendProof(raw, proof), badProof, token.ReasonDPoPReplay)
}

func threatD25(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	attacker := newClientKey(t, "ES256")
	s.passes(t, s.sendBound(attacker, s.bound(attacker, nil), devissuer.Proof{ID: "victim"}))
	s.repels(t, s.sendBound(attacker, raw, devissuer.Proof{ID: "victim"}), badBoundToken, token.ReasonDPoPBinding)
	s.repels(t, s.sendBound(attacker, raw, devissuer.Proof{ID: "victim", Header: changes{"jwk": key.PublicJWK()}}), badProof, token.ReasonDPoPSignature)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{ID: "victim"}))
}

const smallStore = 40

func newSmallStore(t *testing.T) *siege {
	t.Helper()
	return besiege(newFixture(t, func(text string) string {
		return text + fmt.Sprintf("dpop: {replay: {max_entries: %d}}\n", smallStore)
	}))
}

// flood sends n good proofs of one key and returns how many passed; the others
// must find no room.
func (s *siege) flood(t *testing.T, key *devissuer.ClientKey, n int) (passed int) {
	t.Helper()
	raw := s.bound(key, nil)
	for range n {
		r := s.sendBound(key, raw, devissuer.Proof{})
		if r.StatusCode == http.StatusOK {
			s.passes(t, r)
			passed++
			continue
		}
		s.undecided(t, r, token.ReasonReplayUnavailable)
	}
	return passed
}

func threatD30(t *testing.T) {
	s, victim, flooder := newSmallStore(t), newClientKey(t, "ES256"), newClientKey(t, "ES256")
	raw := s.bound(victim, nil)
	captured := s.good(victim, raw)
	s.passes(t, s.sendProof(raw, captured))
	if n := s.flood(t, flooder, 2*smallStore); n != smallStore/4 {
		t.Errorf("one key took %d places of %d", n, smallStore)
	}
	s.repels(t, s.sendProof(raw, captured), badProof, token.ReasonDPoPReplay)
	s.passes(t, s.sendBound(victim, raw, devissuer.Proof{}))
	for range 8 { // and with as many keys as he likes
		s.flood(t, newClientKey(t, "ES256"), smallStore/4)
	}
	s.repels(t, s.sendProof(raw, captured), badProof, token.ReasonDPoPReplay)
	if n := s.gateway.stores.replays.Len(); n != smallStore {
		t.Errorf("%d proofs are remembered", n)
	}
}

func threatD31(t *testing.T) {
	s := newSmallStore(t)
	var kept []string
	var tokens []string
	for range 4 {
		key := newClientKey(t, "ES256")
		raw := s.bound(key, nil)
		kept, tokens = append(kept, s.good(key, raw)), append(tokens, raw)
		s.passes(t, s.sendProof(raw, kept[len(kept)-1]))
		s.flood(t, key, smallStore/4-1)
	}
	late := newClientKey(t, "ES256")
	if n := s.flood(t, late, 3); n != 0 {
		t.Errorf("%d proofs passed a full store", n)
	}
	for i := range kept {
		s.repels(t, s.sendProof(tokens[i], kept[i]), badProof, token.ReasonDPoPReplay)
	}
	if got := seriesValue(t, s.fixture, `wicketgate_dpop_replay_store_errors_total{store="memory"}`); got != "3" {
		t.Errorf("%s errors of the store are counted", got)
	}
	s.passes(t, s.sendToken(s.AT(nil)))
}

// threatD34 is the gate after a restart: what was used before it began is
// nowhere, so what is dated before it began is refused.
func threatD34(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	// Within the window, and before anything here was started.
	s.repels(t, s.sendBound(key, raw, devissuer.Proof{IssuedAt: time.Now().Add(-45 * time.Second)}), badProof, token.ReasonDPoPTime)
	s.passes(t, s.sendBound(key, raw, devissuer.Proof{}))
}

func threatD43(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	padded := func(n int) string {
		return s.proof(key, raw, "GET", "/any/x", devissuer.Proof{Claims: changes{"x": strings.Repeat("x", n)}})
	}
	s.passes(t, s.sendProof(raw, padded(4000)))
	s.repels(t, s.sendProof(raw, padded(6000)), badProof, token.ReasonDPoPMalformed)
	s.repels(t, s.sendProof(raw, padded(30000)), badProof, token.ReasonDPoPMalformed)
	s.overflows(t, "Authorization: DPoP "+raw, "DPoP: "+padded(200<<10))
}

func threatD44(t *testing.T) {
	s, key, raw := newBoundSiege(t)
	handshake := func(proof string) *reply {
		return s.do("GET", "/any/x", "Authorization", "DPoP "+raw, "DPoP", proof, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	}
	for _, target := range []string{"wss://rs.example.com/any/x", "ws://rs.example.com/any/x", "http://rs.example.com/any/x"} {
		s.repels(t, handshake(s.proof(key, raw, "GET", "", htu(target))), badProof, token.ReasonDPoPTarget)
	}
	s.repels(t, handshake(s.proof(key, raw, "CONNECT", "/any/x", devissuer.Proof{})), badProof, token.ReasonDPoPMethod)
	proof := s.good(key, raw)
	s.passes(t, handshake(proof))
	s.repels(t, handshake(proof), badProof, token.ReasonDPoPReplay)
}

// testDigest is a well-formed x5t#S256 of nobody's certificate.
const testDigest = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"

func withoutTLSM01(t *testing.T) {
	s, key, _ := newBoundSiege(t)
	raw := s.AT(changes{"cnf": changes{"x5t#S256": testDigest}})
	s.repels(t, s.sendToken(raw), badToken, token.ReasonMTLSBinding)
	for _, name := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "Ssl-Client-Cert"} {
		s.repels(t, s.do("GET", "/any/x", "Authorization", "Bearer "+raw, name, ":"+testDigest+":"), badToken, token.ReasonMTLSBinding)
	}
	s.repels(t, s.sendBound(key, raw, devissuer.Proof{}), badBoundToken, token.ReasonMTLSBinding)
}

func withoutTLSM05(t *testing.T) {
	s := newSiege(t)
	for name, cnf := range map[string]changes{
		"hex": {"x5t#S256": strings.Repeat("0f", 32)}, "padded": {"x5t#S256": testDigest + "="}, "SHA-1": {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "number": {"x5t#S256": 1}, "short": {"x5t#S256": testDigest[:42]}, "empty": {"x5t#S256": ""},
		"list": {"x5t#S256": []string{testDigest}}, "colons": {"x5t#S256": strings.Repeat("0F:", 32)}, "other alphabet": {"x5t#S256": "+" + testDigest[1:]}, "bare thumbprint": {"x5t": testDigest},
	} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, s.sendToken(s.AT(changes{"cnf": cnf})), badToken, token.ReasonConfirmation)
		})
	}
}
