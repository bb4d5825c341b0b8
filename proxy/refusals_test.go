package proxy

import (
	"bufio"
	"context"
	"crypto/fips140"
	"crypto/sha1" //nolint:gosec // the WebSocket protocol's
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/places"
	"github.com/wicketgate/wicketgate/proxy/quiet"
	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/token"
)

// Each refusal here stands behind another that usually comes first, so that no
// request shows it.

func TestWeight(t *testing.T) {
	for text, want := range map[string]int{"1": 1000, "0": 0, "0.5": 500, "0.125": 125, "1.000": 1000} {
		if got, ok := weight(text); got != want || !ok {
			t.Errorf("%s: %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "2", "0./", "0.:", "0.00!", "0.1234", "1.001", "-1", "01"} {
		if got, ok := weight(text); ok {
			t.Errorf("%s is a weight of %d", text, got)
		}
	}
}

func TestIsUUID(t *testing.T) {
	const good = "0192f3a4-7b6c-7d8e-9f01-23456789abCD"
	if !isUUID(good) {
		t.Error("a UUID is none")
	}
	for _, text := range []string{"", good[1:], good + "0", strings.ReplaceAll(good, "-", "0"), "0" + strings.Replace(good, "-", "", 1), good[:35] + "-", good[:35] + "g"} {
		if isUUID(text) {
			t.Errorf("%q is a UUID", text)
		}
	}
}

func TestOneLength(t *testing.T) {
	for _, fields := range [][]string{nil, {"0"}, {"17"}} {
		if !oneLength(fields) {
			t.Errorf("%q is refused", fields)
		}
	}
	for _, fields := range [][]string{{"x"}, {""}, {"-1"}, {"17", "17"}} {
		if oneLength(fields) {
			t.Errorf("%q is one length", fields)
		}
	}
}

func TestNormalHostRefuses(t *testing.T) {
	for _, host := range []string{"a..", "a:080", "a:0443", "[::1", "[::1]]", "[1.2.3.4]", "[fe80::1%25eth0]", "[x]", "[::1]:080"} {
		if name, ok := NormalHost(host); ok {
			t.Errorf("%s is the host %s", host, name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, location := range []string{
		"http://a b", "http:///x", "https://user@app", "http://app?x=1", "h2c://app#x", "unix://host/x.sock", "unix:", "ftp://app", "app:3000", "",
	} {
		if up, err := NewUpstreams().Open(location, DefaultTimeouts); err == nil {
			t.Errorf("%q is the upstream %s", location, up.Name)
		}
	}
}

func TestIsGRPC(t *testing.T) {
	for media, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/GRPC; x=y": true, "application/grpc-web-text+proto": true,
		"application/octet-stream": false, "application/grpcx": false, "application/json": false, "": false,
	} {
		if got := isGRPC(http.Header{"Content-Type": {media}}); got != want {
			t.Errorf("%q: %t", media, got)
		}
	}
}

func TestNoConfiguration(t *testing.T) {
	w := httptest.NewRecorder()
	NewReverse(ReverseOptions{Switch: &Switch{}}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}

// net/http answers it by itself unless told not to.
func TestServerWide(t *testing.T) {
	sites := &Switch{}
	sites.Set(&Table{Sites: map[string]*Site{"": {}}})
	r, w := httptest.NewRequest(http.MethodOptions, "/", nil), httptest.NewRecorder()
	r.RequestURI = "*"
	NewReverse(ReverseOptions{Switch: sites}).ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || w.Header().Get("Allow") != allowed || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}

// exchangeWith is an exchange as it is before a decision, and its request.
func exchangeWith(change func(*exchange)) (*exchange, *http.Request) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	ex := &exchange{streams: streams.NewSet(streams.Hooks{})}
	ex.writer = &recorder{ResponseWriter: httptest.NewRecorder(), request: r, exchange: ex}
	if change != nil {
		change(ex)
	}
	return ex, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, ex))
}

func TestUndecidedIsNotSent(t *testing.T) {
	_, refused := exchangeWith(nil)
	for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, "/", nil), refused} {
		resp, err := roundTripper{}.RoundTrip(r)
		if !errors.Is(err, errUndecided) {
			_ = resp.Body.Close()
			t.Errorf("sent: %v", err)
		}
	}
}

func TestSwitchedUnasked(t *testing.T) {
	_, plain := exchangeWith(nil)
	for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, "/", nil), plain} {
		resp := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{}, Body: http.NoBody, Request: r}
		if err := modifyResponse(resp); err == nil || !strings.Contains(err.Error(), "unasked") {
			t.Errorf("let through: %v", err)
		}
	}
}

func TestGoneClient(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	upstreamFailed(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), context.Canceled)
	if w.Code != statusClientClosed {
		t.Errorf("noted as %d", w.Code)
	}
}

func TestRecorderNotesAWrite(t *testing.T) {
	ex, _ := exchangeWith(nil)
	if _, err := ex.writer.Write([]byte("x")); err != nil || ex.writer.status != http.StatusOK || ex.writer.written != 1 {
		t.Errorf("%v: status %d, %d octets", err, ex.writer.status, ex.writer.written)
	}
}

// A write is watched where a client can hold it up without holding up its
// connection, and where there is a bound.
func TestWhoIsWatched(t *testing.T) {
	for _, c := range []struct {
		major   int
		bound   time.Duration
		watched bool
	}{{2, time.Hour, true}, {1, time.Hour, false}, {2, 0, false}} {
		ex, _ := exchangeWith(func(ex *exchange) {
			ex.table = &Table{Limits: Limits{WriteStall: c.bound}}
			ex.writer.request.ProtoMajor = c.major
		})
		_ = ex.writer.guarded(func() error { return nil })
		if watched := ex.writer.stall != nil; watched != c.watched {
			t.Errorf("HTTP/%d, bound %s: watched %t", c.major, c.bound, watched)
		}
	}
}

func TestCallIsReleased(t *testing.T) {
	ex, r := exchangeWith(func(ex *exchange) { ex.decision.Route = &policy.Route{} })
	r.Header.Set("Content-Type", "application/grpc")
	call := ex.beginCall(r)
	if call.Context().Err() != nil {
		t.Fatal("ended before it began")
	}
	ex.endStream()
	if call.Context().Err() == nil {
		t.Error("what a call holds is never let go")
	}
}

func TestJudgedAtTheDoor(t *testing.T) {
	r := httptest.NewRequest(http.MethodTrace, "/", nil)
	d, door := (&Table{Sites: map[string]*Site{"": {}}}).Judge(t.Context(), "", r, nil)
	if door == nil || door.Code != token.MethodNotAllowed || d.Route != nil {
		t.Errorf("%+v, %v", d, door)
	}
}

func TestMayHoldToken(t *testing.T) {
	form := []string{"application/x-www-form-urlencoded"}
	for _, c := range []struct {
		header http.Header
		length int64
		want   bool
	}{
		{http.Header{"Content-Type": form}, 1, true},
		{http.Header{"Content-Type": form}, -1, true},
		{http.Header{"Content-Type": form}, 0, false},
		{http.Header{"Content-Type": form}, maxForm + 1, false},
		{http.Header{"Content-Type": append(form, form...)}, 1, false},
		{http.Header{"Content-Type": form, "Content-Encoding": {"gzip"}}, 1, false},
		{http.Header{"Content-Type": {"application/json"}}, 1, false},
		{http.Header{}, 1, false},
	} {
		if got := mayHoldToken(&http.Request{Method: http.MethodPost, Header: c.header, ContentLength: c.length}); got != c.want {
			t.Errorf("%v of %d octets: %t", c.header, c.length, got)
		}
	}
}

// net/http's server panics for such a status, which its client takes over HTTP/2.
func TestStatusesThatAreNone(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for status, good := range map[int]bool{99: false, 102: false, 200: true, 999: true, 1000: false, 20000: false} {
		if err := modifyResponse(&http.Response{StatusCode: status, Header: http.Header{}, Request: r}); (err == nil) != good {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestLastConnectionChallengeGoes(t *testing.T) {
	resp := &http.Response{Header: http.Header{"Www-Authenticate": {"NTLM"}}}
	if hideConnectionChallenges(resp, nil); len(resp.Header) > 0 {
		t.Errorf("left: %v", resp.Header)
	}
}

func TestNobodyIsBlamed(t *testing.T) {
	refusal := token.Refuse(token.InvalidToken, token.ReasonMTLSBinding)
	if err := (&Request{}).blame(refusal); !errors.Is(err, refusal) {
		t.Errorf("another refusal: %v", err)
	}
}

func TestTrailersOnlyHasNoBody(t *testing.T) {
	ex, _ := exchangeWith(nil)
	writeTrailersOnly(ex.writer, "application/grpc", http.StatusUnauthorized, "")
	if h := ex.writer.Header(); h.Get("Content-Length") != "0" || h.Get("Grpc-Status") != "16" {
		t.Errorf("%v", h)
	}
}

func TestChallengesAreKept(t *testing.T) {
	gate, _ := leanGate(t, []policy.Options{{Name: "all", Path: "/**"}})
	route := gate.Policy.Route(http.MethodGet, "rs.example.com", "/")
	reasons := []token.Reason{token.ReasonSignature, token.ReasonExpired, token.ReasonAudience}
	for _, reason := range reasons {
		gate.challenges(&Decision{Route: route, Refusal: token.Refuse(token.InvalidToken, reason)})
	}
	if kept := len(*gate.book.lines.Load()); kept != len(reasons) {
		t.Errorf("%d of %d are kept", kept, len(reasons))
	}
}

func TestScopesAreNamedToWhoNeedsAToken(t *testing.T) {
	gate, _ := leanGate(t, []policy.Options{{Name: "all", Path: "/**", All: token.Scopes{"read"}}})
	gate.Metadata = &Metadata{}
	route := gate.Policy.Route(http.MethodGet, "rs.example.com", "/")
	for code, want := range map[token.Code]int{token.InvalidToken: 1, token.CredentialRequired: 1, token.InvalidRequest: 0} {
		if named := gate.naming(&Decision{Route: route, Refusal: token.Refuse(code, token.ReasonSignature)}); len(named.Scope) != want {
			t.Errorf("%s: %q", code, named.Scope)
		}
	}
}

// A resource that asks for no token has none that a certificate could bind.
func TestMetadataOfAPublicResource(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Name: "all", Path: "/**", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := render(MetadataOptions{Identifier: "https://rs.example.com", Certificates: true}, set.Routes())
	if err != nil || strings.Contains(string(text), "certificate") {
		t.Errorf("%s, %v", text, err)
	}
}

// acceptOf is what answers a key, RFC 6455 section 4.2.2.
func acceptOf(key string) string {
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) }) //nolint:gosec // the protocol's
	return base64.StdEncoding.EncodeToString(sum[:])
}

// agreed is a header that agrees to the handshake of that key.
func agreed(key string) http.Header {
	return http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade, X-Hop"}, "Sec-Websocket-Accept": {acceptOf(key)}}
}

const handshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="

type duplex struct{ io.ReadCloser }

// takenOver notes whether its connection was wanted, and does not give it.
type takenOver struct {
	http.ResponseWriter
	asked bool
}

func (w *takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.asked = true
	return nil, nil, errors.New("not to be had")
}

func (duplex) Write(p []byte) (int, error) { return len(p), nil }

func TestNoTunnel(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{"upstream cannot be written to": http.NoBody, "client cannot be taken over": duplex{http.NoBody}} {
		ex, r := exchangeWith(func(ex *exchange) { ex.key = handshakeKey })
		client := &takenOver{ResponseWriter: httptest.NewRecorder()}
		ex.writer.ResponseWriter = client
		err := ex.tunnel(&http.Response{StatusCode: http.StatusSwitchingProtocols, Header: agreed(handshakeKey), Body: body, Request: r})
		if _, can := body.(duplex); err == nil || errors.Is(err, errTunnelled) || client.asked != can {
			t.Errorf("%s: %v; the client was to be taken over: %t", name, err, client.asked)
		}
	}
}

// What the upstream says of its hop does not go to the client's.
func TestHeaderOfATunnel(t *testing.T) {
	ex, _ := exchangeWith(func(ex *exchange) {
		ex.gate = &Gate{CORS: NewCORS(CORSOptions{Origins: []string{"https://app.example.com"}}, nil)}
		ex.request.Header = http.Header{"Origin": {"https://app.example.com"}}
	})
	from := agreed(handshakeKey)
	for _, name := range []string{"X-Hop", "Keep-Alive", "Transfer-Encoding", "Content-Length", "X-Kept"} {
		from[name] = []string{"1"}
	}
	h := ex.switched(from)
	for _, name := range []string{"X-Hop", "Keep-Alive", "Transfer-Encoding", "Content-Length"} {
		if h[name] != nil {
			t.Errorf("%s is passed on", name)
		}
	}
	if h.Get("X-Kept") != "1" || h.Get("Connection") != "Upgrade" || h.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%v", h)
	}
}

// std is net/http's transport for one upstream.
func std(t *testing.T, scheme, address string) *http.Transport {
	t.Helper()
	return &stdOf(t, scheme, address).Transport
}

func stdOf(t *testing.T, scheme, address string) *stdTransport {
	t.Helper()
	made, ok := newStd(upstreamKey{scheme: scheme, address: address, connect: time.Second, longest: time.Minute}, places.New(places.Bounds{}, places.Hooks{}), func() {}).(*stdTransport)
	if !ok {
		t.Fatal("net/http's transport is none of net/http's")
	}
	t.Cleanup(made.CloseIdleConnections)
	return made
}

func TestStdSpeaks(t *testing.T) {
	for _, c := range []struct {
		scheme string
		offer  func(*http.Protocols)
		major  int
	}{
		{"http", func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{"h2c", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
		{"https", func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{"https", func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }, 2},
	} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
		server.Config.Protocols = new(http.Protocols)
		c.offer(server.Config.Protocols)
		start, scheme := server.Start, "http"
		if c.scheme == "https" {
			server.EnableHTTP2 = server.Config.Protocols.HTTP2()
			start, scheme = server.StartTLS, "https"
		}
		var offered atomic.Value
		server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { //nolint:gosec // httptest's
			offered.Store(hello.SupportedProtos)
			return nil, nil
		}}
		start()
		transport := std(t, c.scheme, server.Listener.Addr().String())
		if c.scheme == "https" {
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
		conn, err := transport.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(c.scheme, err)
		}
		// Over HTTP/2 octets may come at any time.
		if _, is := conn.(*quiet.Conn); is != (c.scheme != "h2c") {
			t.Errorf("%s: listened to between exchanges: %t", c.scheme, is)
		}
		_ = conn.Close()
		for range 3 { // more than once on a connection
			r := httptest.NewRequest(http.MethodGet, scheme+"://"+server.Listener.Addr().String()+"/", nil)
			r.RequestURI = ""
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(c.scheme, err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.ProtoMajor != c.major || string(text) != "x" {
				t.Errorf("%s: HTTP/%d, %q, want HTTP/%d", c.scheme, resp.ProtoMajor, text, c.major)
			}
		}
		if got := offered.Load(); c.scheme == "https" && !slices.Contains(got.([]string), "http/1.1") {
			t.Errorf("https: offered %v", got)
		}
		server.Close()
	}
}

func TestStdIsRefused(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	conn, err := std(t, "http", gone.Addr().String()).DialContext(t.Context(), "tcp", gone.Addr().String())
	if conn != nil || err == nil {
		t.Errorf("%v, %v", conn, err)
	}
}
