package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// answerRows are the rows about the form of answers, and gRPC; CHAL-13 is
// among frontRows.
var answerRows = []conformanceRow{
	{"CHAL-14", rowCHAL14}, {"CHAL-15", rowCHAL15},
	{"GRPC-01", rowGRPC01}, {"GRPC-02", rowGRPC02}, {"GRPC-03", rowGRPC03}, {"GRPC-04", rowGRPC04},
	{"GRPC-05", rowGRPC05}, {"GRPC-06", rowGRPC06}, {"GRPC-07", rowGRPC07},
}

func rowCHAL13(t *testing.T) {
	t.Run("json", testCHAL13)
	f := newFixture(t, nil)
	const problemType = "application/problem+json"
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for line, status := range map[string]int{"Bearer abc": 401, "Bearer a b": 400, "Bearer " + f.AT(map[string]any{"scope": "x"}): 403} {
			r := do("GET", "/read", "Authorization", line, "Accept", "application/json;q=0.9, "+problemType)
			challenge := challengesOf(t, r)["Bearer"]
			var body struct {
				Type, Title, Detail, Error string
				Status                     int
			}
			if err := json.Unmarshal([]byte(r.body), &body); err != nil {
				t.Fatalf("%v in %s", err, r.body)
			}
			if r.StatusCode != status || body.Status != status || body.Type != "about:blank" || body.Title != http.StatusText(status) {
				t.Errorf("%d: body %s", r.StatusCode, r.body)
			}
			if body.Error == "" || body.Error != challenge["error"] || body.Detail != challenge["error_description"] {
				t.Errorf("body %s, challenge %v", r.body, challenge)
			}
			for name, want := range map[string]string{"Content-Type": problemType, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
		}
		for _, accept := range []string{"*/*", "application/*", problemType + ";q=0.5, */*", problemType + ";q=0"} {
			if got := do("GET", "/read", "Authorization", "Bearer abc", "Accept", accept).Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("%s: %s", accept, got)
			}
		}
		r := do("GET", "/read", "Accept", problemType)
		if want := `{"type":"about:blank","title":"Unauthorized","status":401}`; r.body != want {
			t.Errorf("without a credential: %s", r.body)
		}
		for _, accept := range []string{"*/*", problemType} {
			get := do("GET", "/read", "Authorization", "Bearer abc", "Accept", accept)
			head := do("HEAD", "/read", "Authorization", "Bearer abc", "Accept", accept)
			for _, r := range []*reply{get, head} {
				r.Header.Del("Date")
			}
			if head.body != "" || head.StatusCode != get.StatusCode || fmt.Sprint(head.Header) != fmt.Sprint(get.Header) || get.Header.Get("Content-Length") != strconv.Itoa(len(get.body)) {
				t.Errorf("HEAD: %d %v %q\nGET: %d %v", head.StatusCode, head.Header, head.body, get.StatusCode, get.Header)
			}
		}
	})
}

// What was seen before costs the same steps and reads the same: durations are
// for benchmarks.
func rowCHAL15(t *testing.T) {
	f := newFixture(t, func(text string) string { // whatever the machine does meanwhile, one fetch for unknown kids
		return strings.ReplaceAll(text, "refetch_interval: 1s", "refetch_interval: 1h")
	})
	seen, unseen := f.AT(nil), f.AT(map[string]any{"jti": "unseen"})
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+seen))
	stray := f.strayed("nobody-1")
	f.sendToken(spoiled(f.AT(map[string]any{"jti": "other"}))) // the one that asks for the keys: R-10
	refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+stray) })
	counts := func() [3]int {
		fetches := f.a.Hits("/jwks")
		number := func(result string) int {
			n, err := strconv.Atoi(seriesValue(t, f, `wicketgate_token_cache_requests_total{result="`+result+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		return [3]int{number("hit"), number("miss"), fetches}
	}
	answers := map[string]bool{}
	steps := map[string][3]int{}
	for name, raw := range map[string]string{
		"seen, spoiled": spoiled(seen), "unseen, spoiled": spoiled(unseen), "unknown key": f.strayed("nobody-2"), "unknown key again": stray,
	} {
		before := counts()
		r := refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+raw) })
		after := counts()
		r.Header.Del("Date")
		answers[fmt.Sprint(r.Status, r.Header, r.body)] = true
		steps[name] = [3]int{after[0] - before[0], after[1] - before[1], after[2] - before[2]}
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}
	if steps["seen, spoiled"] != steps["unseen, spoiled"] || steps["seen, spoiled"] != [3]int{0, 1, 0} {
		t.Errorf("hits, misses and fetches: %v", steps)
	}
	for _, name := range []string{"unknown key", "unknown key again"} {
		if steps[name][0] != 0 || steps[name][2] != 0 {
			t.Errorf("%s: hits, misses and fetches %v", name, steps[name])
		}
	}
	narrow := f.AT(map[string]any{"scope": "x"})
	var first, second *reply
	first = refused(t, f, 403, "insufficient_scope", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+narrow) })
	before := counts()
	second = refused(t, f, 403, "insufficient_scope", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+narrow) })
	if after := counts(); after[0] != before[0]+1 {
		t.Errorf("the second time is no hit: %v, then %v", before, after)
	}
	first.Header.Del("Date")
	second.Header.Del("Date")
	if fmt.Sprint(first.Header, first.body) != fmt.Sprint(second.Header, second.body) {
		t.Error("the answer tells whether the token was seen before")
	}
}

// grpcUpstream is an h2c server that answers as a gRPC service does, and the
// requests it saw.
type grpcUpstream struct {
	*httptest.Server
	seen chan *http.Request
}

func newGRPCUpstream(t *testing.T, answer http.HandlerFunc) *grpcUpstream {
	t.Helper()
	u := &grpcUpstream{seen: make(chan *http.Request, 16)}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.seen <- r
		answer(w, r)
	}))
	u.Config.Protocols = new(http.Protocols)
	u.Config.Protocols.SetUnencryptedHTTP2(true)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

// newGRPCFixture is a fixture with a gRPC service behind it.
func newGRPCFixture(t *testing.T, answer http.HandlerFunc) (*fixture, *grpcUpstream) {
	t.Helper()
	u := newGRPCUpstream(t, answer)
	f := newFixture(t, func(text string) string {
		text = instead(t, text, `upstream: "%[5]s"`, `upstream: "h2c://`+u.Listener.Addr().String()+`"`)
		return instead(t, text, "    routes:\n", "    routes:\n      - {name: call, path: /pkg.Service/*, methods: [POST]}\n      - {name: narrow, path: /pkg.Narrow/*, scopes: [write]}\n")
	})
	return f, u
}

// call makes a gRPC call without a message, as far as HTTP shows it.
func (f *fixture) call(t *testing.T, transport *http.Transport, path string, header ...string) *reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Content-Type" {
			req.Header.Del("Content-Type")
		}
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	return through(t, transport, req)
}

// wantStatus checks that an answer is Trailers-Only with the code.
func wantStatus(t *testing.T, r *reply, code int) {
	t.Helper()
	if r.StatusCode != http.StatusOK || r.Header.Get("Grpc-Status") != strconv.Itoa(code) || r.Header.Get("Grpc-Message") == "" {
		t.Errorf("answered %d %v, want grpc-status %d", r.StatusCode, r.Header, code)
	}
	if r.body != "" || len(r.Trailer) > 0 {
		t.Errorf("body %q, trailers %v", r.body, r.Trailer)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", r.Header.Get("Cache-Control"))
	}
}

func rowGRPC01(t *testing.T) {
	f, u := newGRPCFixture(t, func(http.ResponseWriter, *http.Request) {})
	transport := h2cTransport(t)
	for contentType, want := range map[string]string{
		"application/grpc": "application/grpc", "application/grpc+proto": "application/grpc+proto", "application/grpc+mine; x=y": "application/grpc",
	} {
		r := f.call(t, transport, "/pkg.Service/Method", "Content-Type", contentType)
		wantStatus(t, r, 16)
		wantChallenges(t, r, bare, bare)
		if got := r.Header.Get("Content-Type"); got != want {
			t.Errorf("%s is answered with %s, want %s", contentType, got, want)
		}
	}
	r := f.call(t, transport, "/pkg.Service/Method", "Authorization", "Bearer abc", "Accept", "application/problem+json")
	wantStatus(t, r, 16)
	wantChallenges(t, r, "invalid_token", bare)
	plain := f.do("POST", "/pkg.Service/Method", "Authorization", "Bearer abc")
	if !slices.Equal(plain.Header["Www-Authenticate"], r.Header["Www-Authenticate"]) {
		t.Errorf("challenges %q, over HTTP %q", r.Header["Www-Authenticate"], plain.Header["Www-Authenticate"])
	}
	if got := seriesValue(t, f, `wicketgate_requests_total{code="401",decision="denied",resource="rs",route="call"}`); got != "5" {
		t.Errorf("%s requests counted as 401, want 5", got)
	}
	if !strings.Contains(f.log.String(), `"http.response.status_code":401`) || strings.Contains(f.log.String(), `"http.response.status_code":200`) {
		t.Error("the log does not tell what the answer means")
	}
	if flags := headersFlags(t, f.address, "/pkg.Service/Method"); flags&0x1 == 0 {
		t.Errorf("HEADERS with flags %#x do not end the stream", flags)
	}
	for _, contentType := range []string{"application/grpcx", "application/json", "application/grpc"} {
		if r := f.do("POST", "/pkg.Service/Method", "Content-Type", contentType); r.StatusCode != http.StatusUnauthorized || r.Header.Get("Grpc-Status") != "" {
			t.Errorf("%s over HTTP/1.1: %d %v", contentType, r.StatusCode, r.Header)
		}
	}
	if len(u.seen) > 0 {
		t.Error("the upstream was asked")
	}
}

// headersFlags makes a gRPC call frame by frame and returns the flags of the
// HEADERS frame that answers it (RFC 9113 section 6.2).
func headersFlags(t *testing.T, address, path string) byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var block bytes.Buffer
	block.Write([]byte{0x83, 0x86}) // :method POST, :scheme http, RFC 7541 appendix A
	for _, f := range [][2]string{{":path", path}, {":authority", "rs.example.com"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		block.WriteByte(0) // literal without indexing, RFC 7541 section 6.2.2
		for _, text := range f {
			block.WriteByte(byte(len(text)))
			block.WriteString(text)
		}
	}
	frame := func(kind, flags byte, stream uint32, payload []byte) []byte {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		return append(binary.BigEndian.AppendUint32(append(head, flags), stream), payload...)
	}
	hello := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil)...)
	if _, err := conn.Write(append(hello, frame(1, 0x5, 1, block.Bytes())...)); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(conn); ; {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			t.Fatalf("no HEADERS frame: %v", err)
		}
		if head[3] == 1 {
			return head[4]
		}
		if _, err := io.CopyN(io.Discard, in, int64(binary.BigEndian.Uint32(head[:4])>>8)); err != nil {
			t.Fatal(err)
		}
	}
}

func rowGRPC02(t *testing.T) {
	hung := make(chan struct{})
	u := newGRPCUpstream(t, func(http.ResponseWriter, *http.Request) { <-hung })
	t.Cleanup(func() { close(hung) })
	f := newFixture(t, func(text string) string {
		text = instead(t, text, `upstream: "%[5]s"`, `upstream: "h2c://`+u.Listener.Addr().String()+`"
    hosts: [rs.example.com, "%[1]s"]`)
		text = instead(t, text, "drain:", "timeouts: {upstream_header: 100ms}\ndrain:")
		return strings.Replace(text, "%[4]s", "http://127.0.0.1:1", 1)
	})
	transport := h2cTransport(t)
	good := "Bearer " + f.AT(nil)
	for name, test := range map[string]struct {
		code   int
		status string // as it is counted
		path   string
		header []string
	}{
		"two credentials": {16, "4xx", "/any/x?access_token=a", []string{"Authorization", good}},
		"no token":        {16, "401", "/any/x", nil},
		"bad token":       {16, "401", "/any/x", []string{"Authorization", good + "x"}},
		"scope":           {7, "403", "/write", []string{"Authorization", good}},
		"no route":        {12, "4xx", "/nowhere", []string{"Authorization", good}},
		"path":            {16, "4xx", "/any/../x", []string{"Authorization", good}},
		"claims":          {8, "4xx", "/any/x", []string{"Authorization", "Bearer " + f.AT(map[string]any{"email": strings.Repeat("a", 5000)})}},
		"header section":  {8, "4xx", "/any/x", []string{"Authorization", good, "X-Long", strings.Repeat("a", 66<<10)}},
		"target":          {8, "4xx", "/any/x?" + strings.Repeat("a", 16<<10), []string{"Authorization", good}},
		"keys":            {14, "503", "/any/x", []string{"Authorization", "Bearer " + f.mint(f.b, devissuer.Token{Claims: changes{"iss": "http://127.0.0.1:1"}})}},
		"timeout":         {14, "504", "/any/x", []string{"Authorization", good}},
	} {
		t.Run(name, func(t *testing.T) {
			before := counted200(t, f)
			r := f.call(t, transport, test.path, test.header...)
			wantStatus(t, r, test.code)
			if name == "keys" && r.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if name == "scope" {
				wantChallenges(t, r, "insufficient_scope", bare)
			}
			if after := counted200(t, f); after != before {
				t.Errorf("counted as 200: %d, then %d", before, after)
			}
			if metrics := f.send(mustRequest(t, f.admin+"/metrics")).body; !strings.Contains(metrics, `wicketgate_requests_total{code="`+test.status+`"`) {
				t.Errorf("nothing is counted as %s", test.status)
			}
		})
	}
	t.Run("method", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodTrace, f.url+"/any/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		wantStatus(t, through(t, transport, req), 12)
	})
	t.Run("host", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/any/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "other.example.com"
		req.Header.Set("Content-Type", "application/grpc")
		wantStatus(t, through(t, transport, req), 12)
	})
	t.Run("gone", func(t *testing.T) {
		gone, upstream := newGRPCFixture(t, nil)
		upstream.Close()
		wantStatus(t, gone.call(t, transport, "/pkg.Service/Method", "Authorization", "Bearer "+gone.AT(nil)), 14)
	})
}

// counted200 adds up what was counted with a status of 200 and its like.
func counted200(t *testing.T, f *fixture) int {
	t.Helper()
	sum := 0
	for line := range strings.Lines(f.send(mustRequest(t, f.admin+"/metrics")).body) {
		if series, value, found := strings.Cut(strings.TrimSpace(line), "} "); found && strings.HasPrefix(series, `wicketgate_requests_total{code="2xx"`) {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// echo sends every message back as it comes, and ends as a service does.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("X-Initial", "1")
	_ = http.NewResponseController(w).EnableFullDuplex()
	_ = http.NewResponseController(w).Flush()
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buffer)
		_, _ = w.Write(buffer[:n])
		_ = http.NewResponseController(w).Flush()
		if err != nil {
			break
		}
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", "fine")
	w.Header().Set(http.TrailerPrefix+"X-Custom", "c1")
}

// stream is a call that sends and receives at once.
type stream struct {
	in   *io.PipeWriter
	resp *http.Response
}

func (f *fixture) stream(t *testing.T, raw string) *stream {
	t.Helper()
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/pkg.Service/Chat", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc+proto"}, "Te": {"trailers"}, "Authorization": {"Bearer " + raw}}
	resp, err := h2cTransport(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &stream{in, resp}
}

// exchange sends a message and wants it back before the next.
func (s *stream) exchange(t *testing.T, message []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { _, err := s.in.Write(message); sent <- err }()
	got := make([]byte, len(message))
	if _, err := io.ReadFull(s.resp.Body, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, message) {
		t.Fatalf("%v; %d octets came back otherwise", err, len(got))
	}
}

// end closes the call and wants the trailers of echo.
func (s *stream) end(t *testing.T) {
	t.Helper()
	_ = s.in.Close()
	if rest, err := io.ReadAll(s.resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%d octets after the last message, %v", len(rest), err)
	}
	for name, want := range map[string]string{"Grpc-Status": "0", "Grpc-Message": "fine", "X-Custom": "c1"} {
		if got := s.resp.Trailer.Get(name); got != want {
			t.Errorf("trailer %s: %q, want %q", name, got, want)
		}
	}
}

func rowGRPC03(t *testing.T) {
	f, u := newGRPCFixture(t, echo)
	s := f.stream(t, f.AT(nil))
	if s.resp.StatusCode != http.StatusOK || s.resp.Header.Get("X-Initial") != "1" || s.resp.Header.Get("Content-Type") != "application/grpc" {
		t.Fatalf("answered %d %v", s.resp.StatusCode, s.resp.Header)
	}
	for n := range 200 {
		s.exchange(t, []byte(fmt.Sprintf("message %d", n)))
	}
	s.exchange(t, bytes.Repeat([]byte("wide window "), 1<<19)) // more than any window holds
	s.end(t)
	seen := <-u.seen
	if seen.ProtoMajor != 2 || seen.Header.Get("Te") != "trailers" || seen.Header.Get("Content-Type") != "application/grpc+proto" || seen.Header["Authorization"] != nil {
		t.Errorf("upstream saw %s %v", seen.Proto, seen.Header)
	}
	t.Run("trailers only", func(t *testing.T) {
		f, _ := newGRPCFixture(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"], w.Header()["Grpc-Status"] = []string{"application/grpc"}, []string{"5"}
		})
		r := f.call(t, h2cTransport(t), "/pkg.Service/Method", "Authorization", "Bearer "+f.AT(nil))
		if r.Header.Get("Grpc-Status") != "5" || r.body != "" || r.Header.Get("Cache-Control") != "" {
			t.Errorf("answered %v %q", r.Header, r.body)
		}
	})
	t.Run("client leaves", func(t *testing.T) {
		left := make(chan struct{})
		f, u := newGRPCFixture(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(left)
		})
		s := f.stream(t, f.AT(nil))
		<-u.seen
		_ = s.resp.Body.Close()
		_ = s.in.Close()
		<-left
	})
}

// That a stream ends when its token does is for a later step: until then it
// runs on, since nobody looks at the token again.
func rowGRPC04(t *testing.T) {
	f, _ := newGRPCFixture(t, echo)
	judged := func() string {
		return seriesValue(t, f, `wicketgate_token_cache_requests_total{result="hit"}`) + " " + seriesValue(t, f, `wicketgate_token_cache_requests_total{result="miss"}`)
	}
	raw := f.AT(nil)
	wantOK(t, f.do("GET", "/open/x"))
	before := judged()
	s := f.stream(t, raw)
	s.exchange(t, []byte("first"))
	once := judged()
	if once == before {
		t.Fatalf("not judged at all: %s", once)
	}
	for range 50 {
		s.exchange(t, []byte("another"))
	}
	s.end(t)
	if after := judged(); after != once {
		t.Errorf("judged again for a message: %s, then %s", once, after)
	}
}

func rowGRPC05(t *testing.T) {
	f, u := newGRPCFixture(t, func(http.ResponseWriter, *http.Request) {})
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, contentType := range []string{"application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto"} {
			r := do("POST", "/pkg.Service/Method", "Content-Type", contentType)
			wantStatus(t, r, 16)
			wantChallenges(t, r, bare, bare)
			if got := r.Header.Get("Content-Type"); got != contentType {
				t.Errorf("%s is answered with %s", contentType, got)
			}
			wantStatus(t, do("POST", "/pkg.Narrow/Method", "Content-Type", contentType, "Authorization", "Bearer "+f.AT(nil)), 7)
			wantStatus(t, do("POST", "/nowhere", "Content-Type", contentType), 12)
		}
	})
	if len(u.seen) > 0 {
		t.Error("the upstream was asked")
	}
}

func rowGRPC06(t *testing.T) {
	f, u := newGRPCFixture(t, func(http.ResponseWriter, *http.Request) {})
	wantOK(t, f.call(t, h2cTransport(t), "/pkg.Service/Method", "Authorization", "Bearer "+f.AT(map[string]any{"email": "ü@example.com"}),
		"x-auth-subject", "evil", "x_auth_subject", "evil", "x-auth-subject-bin", "ZXZpbA", "x-auth-email-bin", "ZXZpbA"))
	seen := <-u.seen
	for name, values := range seen.Header {
		lower := strings.ToLower(name)
		if strings.HasSuffix(lower, "-bin") || slices.Contains(values, "evil") {
			t.Errorf("upstream saw %s: %q", name, values)
		}
	}
	for name, want := range map[string]string{"X-Auth-Subject": "user-1", "X-Auth-Email": "%C3%BC@example.com"} {
		if got := seen.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("upstream saw %s: %q, want %q", name, got, want)
		}
	}
}

func rowGRPC07(t *testing.T) {
	f, u := newGRPCFixture(t, func(http.ResponseWriter, *http.Request) {})
	transport, key := h2cTransport(t), newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	send := func(p devissuer.Proof, method, path string) *reply {
		t.Helper()
		return f.call(t, transport, "/pkg.Service/Method", "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, method, path, p))
	}
	r := send(devissuer.Proof{}, "POST", "/pkg.Service/Method")
	if wantOK(t, r); r.Header.Get("Grpc-Status") != "" || len(u.seen) != 1 {
		t.Errorf("a good proof: %v", r.Header)
	}
	for _, bad := range [][2]string{{"GET", "/pkg.Service/Method"}, {"POST", "/pkg.Service/Other"}} {
		r := send(devissuer.Proof{}, bad[0], bad[1])
		wantStatus(t, r, 16)
		wantChallenges(t, r, bare, "invalid_dpop_proof")
	}
	if len(u.seen) != 1 {
		t.Error("the upstream was asked")
	}
}
