package grpc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/process"
)

const wireConfiguration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
  - {name: gone, issuer: "%[4]s"}
resources:
  - identifier: ` + identifier + `
    behind_tls: true
    upstream: h2c://%[5]s
    routes:
      - {name: call, path: /s/*, methods: [POST]}
      - {name: narrow, path: /s/Narrow, methods: [POST], scopes: [write]}
      - {name: small, path: /s/Small, methods: [POST], max_body: 8B}
drain: {delay: 0s, timeout: 100ms}
`

// frames is a connection of HTTP/2 without TLS, seen frame by frame.
type frames struct {
	*http2.Framer
	conn    net.Conn
	encoded bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32
}

func openFrames(t *testing.T, address string) *frames {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	f := &frames{Framer: http2.NewFramer(conn, conn), conn: conn}
	f.encoder = hpack.NewEncoder(&f.encoded)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// call begins a call and leaves it open.
func (f *frames) call(t *testing.T, path, contentType string, fields ...string) {
	t.Helper()
	f.encoded.Reset()
	fields = append([]string{":method", "POST", ":scheme", "http", ":authority", "rs.example.com", ":path", path, "content-type", contentType, "te", "trailers"}, fields...)
	for i := 0; i < len(fields); i += 2 {
		if err := f.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if f.stream++; f.stream > 1 {
		f.stream++
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.encoded.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// next is the next frame of the call that says something to its caller.
func (f *frames) next(t *testing.T) http2.Frame {
	t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame, *http2.DataFrame, *http2.RSTStreamFrame:
			return frame
		}
	}
}

// fieldsOf are the fields of a block, those of one name joined with " | ".
func fieldsOf(frame http2.Frame) map[string]string {
	all := make(map[string]string)
	if block, ok := frame.(*http2.MetaHeadersFrame); ok {
		for _, field := range block.Fields {
			if before, twice := all[field.Name]; twice {
				field.Value = before + " | " + field.Value
			}
			all[field.Name] = field.Value
		}
	}
	return all
}

func wantFields(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %q, want %q; all: %v", name, got[name], value, got)
		}
	}
}

// wire is a gate in front of a handler that speaks HTTP/2 and knows nothing of
// gRPC.
type wire struct {
	*gate
	seen chan *http.Request
}

func startWire(t *testing.T, handler http.HandlerFunc) *wire {
	t.Helper()
	w := &wire{gate: &gate{issuer: startIssuer(t), gone: startIssuer(t), address: process.Free(t), admin: process.Free(t)}, seen: make(chan *http.Request, 16)}
	if err := w.gone.Close(); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.seen <- r
		handler(rw, r)
	}))
	upstream.Config.Protocols = new(http.Protocols)
	upstream.Config.Protocols.SetUnencryptedHTTP2(true)
	upstream.Start()
	t.Cleanup(upstream.Close)
	w.stop = run(t, w.address, fmt.Sprintf(wireConfiguration, w.address, w.admin, w.issuer.Identifier(), w.gone.Identifier(), upstream.Listener.Addr()))
	return w
}

// oneMessage is a message of gRPC with one octet.
const oneMessage = "\x00\x00\x00\x00\x01a"

// says answers with one message and waits for its caller to go.
func says(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/Silent") {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	_, _ = io.WriteString(w, oneMessage)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// TestAnswersOnTheWire: what the gate itself answers a call is Trailers-Only:
// one block of fields that ends the stream, with no octet of a body.
func TestAnswersOnTheWire(t *testing.T) {
	w := startWire(t, says)
	good := "Bearer " + mint(t, w.issuer, nil)
	const algs = `DPoP algs="ES256 EdDSA RS256 PS256 Ed25519"`
	for name, test := range map[string]struct {
		path, authorization string
		fields              map[string]string
	}{
		"401": {"/s/Say", "", map[string]string{"grpc-status": "16", "grpc-message": "an access token is required", "www-authenticate": "Bearer | " + algs}},
		"401 for a bad token": {"/s/Say", "Bearer abc", map[string]string{"grpc-status": "16", "grpc-message": "the credential is malformed",
			"www-authenticate": `Bearer error="invalid_token", error_description="the credential is malformed" | ` + algs}},
		"403": {"/s/Narrow", good, map[string]string{"grpc-status": "7", "grpc-message": "the access token's scope does not suffice",
			"www-authenticate": `Bearer error="insufficient_scope", error_description="the access token's scope does not suffice", scope="write" | ` + algs}},
		"404": {"/other/Say", good, map[string]string{"grpc-status": "12", "grpc-message": "no route matches the request", "www-authenticate": ""}},
		"503": {"/s/Say", "Bearer " + mint(t, w.gone, nil), map[string]string{"grpc-status": "14", "grpc-message": "the issuer's keys are not available", "www-authenticate": ""}},
	} {
		for _, kind := range []string{"application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := openFrames(t, w.address)
				fields := []string{}
				if test.authorization != "" {
					fields = []string{"authorization", test.authorization}
				}
				f.call(t, test.path, kind, fields...)
				block, ok := f.next(t).(*http2.MetaHeadersFrame)
				if !ok || !block.StreamEnded() {
					t.Fatalf("the first frame is %v, want fields that end the stream", block)
				}
				got := fieldsOf(block)
				wantFields(t, got, test.fields)
				if later := got["retry-after"] != ""; later != (got["grpc-status"] == "14") {
					t.Errorf("retry-after %q with status %s", got["retry-after"], got["grpc-status"])
				}
				wantFields(t, got, map[string]string{":status": "200", "content-type": kind, "cache-control": "no-store", "trailer": "", "x-content-type-options": ""})
			})
		}
	}
	select {
	case r := <-w.seen:
		t.Errorf("the upstream saw %s", r.URL)
	default:
	}
}

// TestCallOnTheWire: what gRPC says in fields passes as it is.
func TestCallOnTheWire(t *testing.T) {
	w := startWire(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		switch {
		case strings.HasSuffix(r.URL.Path, "/Only"):
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "100%25 n%C3%BCt da")
			w.Header().Set("Grpc-Status-Details-Bin", "AAE")
		case strings.HasSuffix(r.URL.Path, "/Torn"):
			_, _ = io.WriteString(w, oneMessage)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"X-Last-Bin", "AP8")
		}
	})
	good := "Bearer " + mint(t, w.issuer, nil)
	f := openFrames(t, w.address)
	call := func(path string) {
		t.Helper()
		f.call(t, path, "application/grpc+proto", "authorization", good, "grpc-timeout", "99999999u", "grpc-encoding", "gzip", "grpc-accept-encoding", "identity,deflate,gzip", "user-agent", "mine/1", "x-a-bin", "AAE,AAI")
		if err := f.WriteData(f.stream, true, []byte(oneMessage)); err != nil {
			t.Fatal(err)
		}
	}
	call("/s/Echo")
	seen := <-w.seen
	for name, want := range map[string]string{
		"Grpc-Timeout": "99999999u", "Te": "trailers", "Content-Type": "application/grpc+proto", "Grpc-Encoding": "gzip",
		"Grpc-Accept-Encoding": "identity,deflate,gzip", "User-Agent": "mine/1", "X-A-Bin": "AAE,AAI", "Authorization": "", "Accept-Encoding": "",
	} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("the upstream saw %s %q, want %q", name, got, want)
		}
	}
	wantFields(t, fieldsOf(f.next(t)), map[string]string{":status": "200", "content-type": "application/grpc"})
	if data, ok := f.next(t).(*http2.DataFrame); !ok || string(data.Data()) != oneMessage || data.StreamEnded() {
		t.Errorf("got %v, want the message", data)
	}
	last := f.next(t)
	for data, ok := last.(*http2.DataFrame); ok && len(data.Data()) == 0 && !data.StreamEnded(); data, ok = last.(*http2.DataFrame) {
		last = f.next(t)
	}
	if block, ok := last.(*http2.MetaHeadersFrame); !ok || !block.StreamEnded() {
		t.Fatalf("got %v, want the trailers", last)
	}
	wantFields(t, fieldsOf(last), map[string]string{"grpc-status": "0", "x-last-bin": "AP8", ":status": ""})

	call("/s/Only")
	block, ok := f.next(t).(*http2.MetaHeadersFrame)
	if !ok || !block.StreamEnded() {
		t.Fatalf("an answer of fields alone became %v", block)
	}
	wantFields(t, fieldsOf(block), map[string]string{":status": "200", "grpc-status": "5", "grpc-message": "100%25 n%C3%BCt da", "grpc-status-details-bin": "AAE"})

	// A call that breaks off behind the gate breaks off before it, and alone.
	call("/s/Torn")
	if _, torn := f.lastOf(t); !torn {
		t.Error("a torn call ended well")
	}
	call("/s/Echo")
	if end, torn := f.lastOf(t); torn || end["grpc-status"] != "0" {
		t.Errorf("the call after it ended with %v", end)
	}
}

// lastOf reads a call to its end: the last fields, or a reset.
func (f *frames) lastOf(t *testing.T) (fields map[string]string, torn bool) {
	t.Helper()
	for {
		switch frame := f.next(t).(type) {
		case *http2.RSTStreamFrame:
			return nil, true
		case *http2.MetaHeadersFrame:
			if frame.StreamEnded() {
				return fieldsOf(frame), false
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				return nil, false
			}
		}
	}
}

// TestDrainOnTheWire: when the gate stops, a call that has been answered in part
// ends with status 14 in trailers, and one that has not with the same alone.
func TestDrainOnTheWire(t *testing.T) {
	w := startWire(t, says)
	good := "Bearer " + mint(t, w.issuer, nil)
	speaking, silent, web := openFrames(t, w.address), openFrames(t, w.address), openFrames(t, w.address)
	speaking.call(t, "/s/Say", "application/grpc", "authorization", good)
	wantFields(t, fieldsOf(speaking.next(t)), map[string]string{":status": "200", "grpc-status": ""})
	if data, ok := speaking.next(t).(*http2.DataFrame); !ok || string(data.Data()) != oneMessage {
		t.Fatalf("got %v", data)
	}
	web.call(t, "/s/Say", "application/grpc-web+proto", "authorization", good)
	wantFields(t, fieldsOf(web.next(t)), map[string]string{":status": "200"})
	silent.call(t, "/s/Silent", "application/grpc", "authorization", good)
	for range 3 {
		<-w.seen
	}
	w.stop()
	end, torn := speaking.lastOf(t)
	if torn || end[":status"] != "" {
		t.Errorf("torn %t, %v; want trailers", torn, end)
	}
	wantFields(t, end, map[string]string{"grpc-status": "14", "grpc-message": "Service Unavailable", "www-authenticate": ""})
	alone, torn := silent.lastOf(t)
	if torn {
		t.Error("the silent one is torn")
	}
	wantFields(t, alone, map[string]string{":status": "200", "content-type": "application/grpc", "grpc-status": "14", "retry-after": "1", "www-authenticate": ""})
	if end, torn := web.lastOf(t); !torn {
		t.Errorf("gRPC-Web ended well, with %v", end)
	}
}

// TestWebOnTheWire: gRPC-Web is HTTP like any other, its trailers a message of
// the body. Cut at the end of its token, it must not look complete.
func TestWebOnTheWire(t *testing.T) {
	const trailers = "\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
	w := startWire(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Say") {
			says(w, r)
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, trailers)
	})
	post := func(path, kind, raw string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.address+path, strings.NewReader(oneMessage))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "rs.example.com"
		r.Header = http.Header{"Content-Type": {kind}, "Authorization": {"Bearer " + raw}, "X-Grpc-Web": {"1"}}
		return http.DefaultClient.Do(r)
	}
	for _, kind := range []string{"application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"} {
		resp, err := post("/s/Echo", kind, mint(t, w.issuer, nil))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != oneMessage+trailers || resp.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %q, %v, %v", kind, body, err, resp.Header)
		}
		if seen := <-w.seen; seen.Header.Get("X-Grpc-Web") != "1" || seen.Header.Get("Content-Type") != kind {
			t.Errorf("%s: the upstream saw %v", kind, seen.Header)
		}
	}
	end := time.Now().Add(4 * time.Second).Truncate(time.Second)
	raw := mint(t, w.issuer, map[string]any{"exp": end.Unix(), "iat": end.Unix() - 60})
	frames := openFrames(t, w.address)
	frames.call(t, "/s/Say", "application/grpc-web-text", "authorization", "Bearer "+raw)
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	_, _ = io.WriteString(conn, "POST /s/Say HTTP/1.1\r\nHost: rs.example.com\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\nAuthorization: Bearer "+raw+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != oneMessage || !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		t.Errorf("over HTTP/1.1: %q, %v; want it torn", body, err)
	}
	if last, torn := frames.lastOf(t); !torn {
		t.Errorf("over HTTP/2: ended well, with %v; want a reset", last)
	}
	if time.Now().Before(end) {
		t.Error("ended before its token")
	}
}
