package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
	"github.com/wicketgate/wicketgate/proxy/fieldvalue"
	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/token"
)

var errBroken = errors.New("broken off")

// during is a body that the gate ends its stream of while it is read.
type during struct {
	io.ReadCloser
	end func()
	n   int
	err error
}

func (d during) Read([]byte) (int, error) {
	d.end()
	return d.n, d.err
}

// TestEndsOfStreams: where the gate ends a stream its body ends in good order or is
// cut off; all else is as the upstream sent it.
func TestEndsOfStreams(t *testing.T) {
	const call = "application/grpc"
	for name, row := range map[string]struct {
		kind     streams.Kind
		major    int
		media    string // of the call
		trailers bool   // the answer is one of gRPC
		before   bool   // the stream has ended before the read, or never
		during   bool
		n        int
		err      error // of what is read
		want     string
	}{
		"events":                        {kind: streams.SSE, before: true, n: 1, want: "0 EOF"},
		"events meanwhile":              {kind: streams.SSE, during: true, err: errBroken, want: "0 EOF"},
		"events broken off":             {kind: streams.SSE, n: 1, err: errBroken, want: "1 broken off"},
		"a last event":                  {kind: streams.GRPC, during: true, n: 1, want: "1 <nil>"},
		"a last event at its end":       {kind: streams.GRPC, during: true, n: 1, err: io.EOF, want: "1 EOF"},
		"call":                          {kind: streams.GRPC, major: 2, media: call, trailers: true, before: true, n: 1, want: "0 EOF 16"},
		"call meanwhile":                {kind: streams.GRPC, major: 2, media: call, trailers: true, during: true, err: errBroken, want: "0 EOF 16"},
		"call with another answer":      {kind: streams.GRPC, major: 2, media: call, before: true, want: "0 " + errCallEnded.Error()},
		"call over HTTP/1":              {kind: streams.GRPC, major: 1, media: call, trailers: true, before: true, want: "0 " + errCallEnded.Error()},
		"call with trailers in a body":  {kind: streams.GRPC, major: 2, media: "application/grpc-web+proto", trailers: true, before: true, want: "0 " + errCallEnded.Error()},
		"call that nobody ends":         {kind: streams.GRPC, major: 2, media: call, trailers: true, n: 1, want: "1 <nil>"},
		"call that its service has cut": {kind: streams.GRPC, major: 2, media: call, trailers: true, err: errBroken, want: "0 broken off"},
	} {
		t.Run(name, func(t *testing.T) {
			ex, _ := exchangeWith(nil)
			ex.stream = ex.streams.Begin(streams.Options{Kind: row.kind, Stop: func(streams.Ending) {}})
			defer ex.endStream()
			ex.writer.request.ProtoMajor = row.major
			ex.writer.request.Header.Set("Content-Type", row.media)
			end := func() { ex.stream.End(streams.Revoked) }
			if row.before {
				end()
			}
			if !row.during {
				end = func() {}
			}
			b := &streamBody{ReadCloser: during{http.NoBody, end, row.n, row.err}, exchange: ex, trailers: row.trailers}
			n, err := b.Read(make([]byte, 9))
			got := strings.TrimSpace(fmt.Sprint(n, " ", err, " ", ex.writer.Header().Get(http.TrailerPrefix+"Grpc-Status")))
			want(t, "read", got, row.want)
		})
	}
}

// What has no end is in the count while it lasts, and the end of the program ends
// it; what has one is not.
func TestStreamsAreCounted(t *testing.T) {
	for name, row := range map[string]struct {
		call, answer string
		want         int
	}{
		"events": {"", "text/event-stream; charset=utf-8", 1}, "page": {"", "text/html", 0},
		"call": {"application/grpc", "application/grpc", 1}, "call with another answer": {"application/grpc", "text/html", 1},
	} {
		t.Run(name, func(t *testing.T) {
			ex, r := exchangeWith(func(ex *exchange) { ex.decision.Route = &policy.Route{} })
			r.Header.Set("Content-Type", row.call)
			r = ex.beginCall(r)
			body, from := io.Pipe()
			resp := &http.Response{Header: http.Header{"Content-Type": {row.answer}}, Body: body}
			ex.beginStream(resp)
			if n := ex.streams.End(); n != row.want {
				t.Errorf("%d streams, want %d", n, row.want)
			}
			if row.want > 0 {
				if _, err := from.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the body is read on: %v", err)
				}
			}
			if ended := r.Context().Err() != nil; ended != (row.call != "") {
				t.Errorf("context ended: %t", ended)
			}
			if ex.endStream(); ex.streams.End() != 0 {
				t.Error("it is counted still")
			}
		})
	}
}

// again judges as it says.
type again struct{ err error }

func (a again) Recheck(context.Context, token.Credential) error { return a.err }

func TestJudgedAgain(t *testing.T) {
	for name, row := range map[string]struct {
		err     error
		ending  streams.Ending
		refused bool
	}{
		"good":       {nil, streams.Revoked, false},
		"nobody can": {errBroken, streams.Revoked, false},
		"expired":    {token.Refuse(token.InvalidToken, token.ReasonExpired), streams.Expired, true},
		"revoked":    {token.Refuse(token.InvalidToken, token.ReasonRevoked), streams.Revoked, true},
	} {
		if ending, refused := judgeAgain(again{row.err}, token.Credential{}); ending != row.ending || refused != row.refused {
			t.Errorf("%s: %v, %t", name, ending, refused)
		}
	}
}

// A call that the gate ended before its service said anything is answered for it,
// and none that is under way.
func TestEndedCallIsAnswered(t *testing.T) {
	for name, row := range map[string]struct {
		end    func(*streams.Stream)
		status int
	}{
		"under way": {func(*streams.Stream) {}, 0},
		"expired":   {func(s *streams.Stream) { s.End(streams.Expired) }, http.StatusUnauthorized},
		"drained":   {func(s *streams.Stream) { s.End(streams.Drain) }, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			gate, _ := leanGate(t, []policy.Options{{Name: "all", Path: "/**"}})
			ex, _ := exchangeWith(func(ex *exchange) {
				ex.gate = gate
				ex.decision.Route = gate.Policy.Route(http.MethodGet, "rs.example.com", "/")
				ex.decision.credential.Scheme = token.Bearer
			})
			ex.stream = ex.streams.Begin(streams.Options{Kind: streams.GRPC, Stop: func(streams.Ending) {}})
			defer ex.endStream()
			row.end(ex.stream)
			if answered := ex.answerEnded(ex.writer); answered != (row.status != 0) || ex.writer.status != row.status {
				t.Errorf("answered %t with %d, want %d", answered, ex.writer.status, row.status)
			}
		})
	}
}

// The certificate of a connection is the client's only where no header says so: it
// is the proxy's there.
func TestCertificateOfAConnection(t *testing.T) {
	header, err := clientcert.New("xfcc", "", "only")
	if err != nil {
		t.Fatal(err)
	}
	der := []byte("certificate")
	with := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: der}}}
	for name, row := range map[string]struct {
		from    *clientcert.Reader
		trusted bool
		tls     *tls.ConnectionState
		want    string
	}{
		"plain":          {nil, false, nil, ""},
		"without":        {nil, false, &tls.ConnectionState{}, ""},
		"with":           {nil, false, with, clientcert.Thumbprint(der)},
		"of a proxy":     {header, true, with, ""},
		"of who is none": {header, false, with, ""},
	} {
		got, err := (&Table{Certificates: row.from}).certificate(&http.Request{TLS: row.tls}, row.trusted)
		if got != row.want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Over HTTP/1 a connection whose context has ended serves nobody else.
func TestAnsweredTooLate(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		ctx   context.Context
		major int
		early bool
	}{{t.Context(), 1, false}, {ended, 1, true}, {ended, 2, false}} {
		r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(row.ctx)
		r.ProtoMajor = row.major
		if ex, _ := exchangeWith(nil); ex.answersEarly(r) != row.early {
			t.Errorf("HTTP/%d: %t", row.major, !row.early)
		}
	}
}

// One claim that cannot be told as it is keeps all from being told.
func TestWhatCannotBeToldIsNotLeftOut(t *testing.T) {
	p := &token.Principal{Claims: claimsOf(t, `{"good":"a","bad":"é"}`)}
	form := fieldvalue.Form{Encoding: fieldvalue.RawASCII}
	good, bad := ClaimHeader{"X-Good", "good", form}, ClaimHeader{"X-Bad", "bad", form}
	for name, row := range map[string]struct {
		headers []ClaimHeader
		fits    bool
	}{
		"good": {[]ClaimHeader{good}, true}, "bad": {[]ClaimHeader{bad}, false},
		"bad first": {[]ClaimHeader{bad, good}, false}, "bad last": {[]ClaimHeader{good, bad}, false},
	} {
		if _, fits := NewForward(ForwardOptions{Headers: row.headers}).fields(p); fits != row.fits {
			t.Errorf("%s: fits %t", name, fits)
		}
	}
}
