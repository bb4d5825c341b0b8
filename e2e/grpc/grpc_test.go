package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// with adds metadata to a call, which ends with the test or after 20 s.
func with(t *testing.T, pairs ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

func TestGRPC(t *testing.T) {
	g := startGate(t)
	good := "Bearer " + mint(t, g.issuer, nil)
	t.Run("GRPC-01, GRPC-02", func(t *testing.T) { testRefusals(t, g, good) })
	t.Run("GRPC-03", func(t *testing.T) { testStreams(t, g, good) })
	t.Run("GRPC-04", func(t *testing.T) { testExpiry(t, g) })
	t.Run("GRPC-06", func(t *testing.T) { testMetadata(t, g, good) })
	t.Run("GRPC-07", func(t *testing.T) { testDPoP(t, g) })
	t.Run("H-107", func(t *testing.T) { testCancel(t, g, good) })
	t.Run("answers of the service", func(t *testing.T) {
		err := g.Invoke(with(t, "authorization", good), "/"+service+"/Fail", say("x"), new(message))
		if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "100% nüt da\n" {
			t.Errorf("got %v %q", s.Code(), s.Message())
		}
	})
	g.stopService()
	t.Run("service gone", func(t *testing.T) {
		err := g.Invoke(with(t, "authorization", good), "/"+service+"/Say", say("x"), new(message))
		if s := status.Convert(err); s.Code() != codes.Unavailable || s.Message() != "the upstream could not be reached" {
			t.Errorf("got %v %q", s.Code(), s.Message())
		}
		g.wantCounted(t, `code="502",decision="allowed",resource="rs",route="echo"`)
	})
}

func testRefusals(t *testing.T, g *gate, good string) {
	for name, test := range map[string]struct {
		method, authorization string
		code                  codes.Code
		message               string
		challenges            []string // how each begins
		counted               string
	}{
		"no token":  {"/Say", "", codes.Unauthenticated, "an access token is required", []string{"Bearer", "DPoP algs="}, `code="401",decision="denied",resource="rs",route="echo"`},
		"garbage":   {"/Say", "Bearer abc", codes.Unauthenticated, "the credential is malformed", []string{`Bearer error="invalid_token"`, "DPoP algs="}, `code="401",decision="denied",resource="rs",route="echo"`},
		"malformed": {"/Say", "Bearer a b", codes.Unauthenticated, "the credential is malformed", []string{`Bearer error="invalid_request"`, "DPoP algs="}, `code="4xx",decision="denied",resource="rs",route="echo"`},
		"expired":   {"/Say", "Bearer " + mint(t, g.issuer, map[string]any{"exp": time.Now().Unix() - 60}), codes.Unauthenticated, "the access token has expired", []string{`Bearer error="invalid_token"`, "DPoP algs="}, `code="401",decision="denied",resource="rs",route="echo"`},
		"scope":     {"/Narrow", good, codes.PermissionDenied, "the access token's scope does not suffice", []string{`Bearer error="insufficient_scope"`, "DPoP algs="}, `code="403",decision="denied",resource="rs",route="narrow"`},
		"no route":  {".Other/Say", good, codes.Unimplemented, "no route matches the request", nil, `code="4xx",decision="denied",resource="rs",route="none"`},
		"no keys":   {"/Say", "Bearer " + mint(t, g.gone, nil), codes.Unavailable, "the issuer's keys are not available", nil, `code="503",decision="error",resource="rs",route="echo"`},
		"too much":  {"/Say", "Bearer " + mint(t, g.issuer, map[string]any{"sub": strings.Repeat("a", 5000)}), codes.ResourceExhausted, "the access token's claims do not fit into header fields", nil, `code="4xx",decision="denied",resource="rs",route="echo"`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := with(t)
			if test.authorization != "" {
				ctx = with(t, "authorization", test.authorization)
			}
			var header, trailer metadata.MD
			err := g.Invoke(ctx, "/"+service+test.method, say("x"), new(message), grpc.Header(&header), grpc.Trailer(&trailer))
			wantRefused(t, err, metadata.Join(header, trailer), test.code, test.message, test.challenges)
			if retry := len(trailer["retry-after"]) > 0; retry != (test.code == codes.Unavailable) {
				t.Errorf("retry-after %t", retry)
			}
			g.wantCounted(t, test.counted)
		})
	}
	t.Run("stream", func(t *testing.T) {
		s, err := g.NewStream(with(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Count")
		if err != nil {
			t.Fatal(err)
		}
		err = s.RecvMsg(new(message))
		wantRefused(t, err, s.Trailer(), codes.Unauthenticated, "an access token is required", []string{"Bearer", "DPoP algs="})
	})
}

func wantRefused(t *testing.T, err error, told metadata.MD, code codes.Code, text string, challenges []string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || s.Message() != text {
		t.Errorf("got %v %q, want %v %q", s.Code(), s.Message(), code, text)
	}
	got := told["www-authenticate"]
	if len(got) != len(challenges) {
		t.Fatalf("challenges %q, want %q", got, challenges)
	}
	for i, want := range challenges {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("challenge %q, want %q", got[i], want)
		}
	}
}

func testStreams(t *testing.T, g *gate, good string) {
	open := func(method string) grpc.ClientStream {
		t.Helper()
		s, err := g.NewStream(with(t, "authorization", good), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/"+method)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ends := func(s grpc.ClientStream) {
		t.Helper()
		if err := s.RecvMsg(new(message)); !errors.Is(err, io.EOF) {
			t.Errorf("after the last message: %v", err)
		}
	}
	receive := func(s grpc.ClientStream) string {
		t.Helper()
		m := new(message)
		if err := s.RecvMsg(m); err != nil {
			t.Fatal(err)
		}
		return m.Value
	}
	send := func(s grpc.ClientStream, text string) {
		t.Helper()
		if err := s.SendMsg(say(text)); err != nil {
			t.Fatal(err)
		}
	}

	server := open("Count")
	send(server, "500")
	if err := server.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 500 {
		last = receive(server)
	}
	if last != "499" {
		t.Errorf("last message %s", last)
	}
	ends(server)
	if got := server.Trailer()["x-trailer"]; !slices.Equal(got, []string{"t1"}) {
		t.Errorf("trailer %q", got)
	}

	client := open("Gather")
	for range 64 {
		send(client, strings.Repeat("a", 256<<10)) // more in all than any window holds
	}
	if err := client.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := receive(client); got != "16777216" {
		t.Errorf("the service got %s octets", got)
	}
	ends(client)
}

// testExpiry: a stream ends with its token, whether the service has said
// something or not.
func testExpiry(t *testing.T, g *gate) {
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	good := "Bearer " + mint(t, g.issuer, map[string]any{"exp": end.Unix(), "iat": end.Unix() - 60})
	for range 2 {
		s, err := g.NewStream(with(t, "authorization", good), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Gather")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(say("a")); err != nil {
			t.Fatal(err)
		}
		defer func() {
			err := s.RecvMsg(new(message))
			if got := status.Convert(err); got.Code() != codes.Unauthenticated || got.Message() != "the access token has expired" {
				t.Errorf("got %v", err)
			}
			if time.Now().Before(end) {
				t.Error("ended before its token")
			}
		}()
	}
}

func testMetadata(t *testing.T, g *gate, good string) {
	var header, trailer metadata.MD
	out := new(message)
	err := g.Invoke(with(t, "authorization", good, "x-auth-subject", "evil", "x_auth_subject", "evil", "x-auth-evil", "evil",
		"x-auth-evil-bin", "evil", "x-custom", "c1", "x-custom-bin", "\x00\x01"), "/"+service+"/Say", say("hello"), out, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || out.Value != "hello" {
		t.Fatalf("%v %q", err, out.Value)
	}
	for name, want := range map[string][]string{
		"saw-x-auth-subject": {`"user-1"`}, "saw-x-auth-scope": {`"read"`}, "saw-authorization": nil, "saw-x-auth-evil": nil,
		"saw-x-custom": {`"c1"`, `"\x00\x01"`},
	} {
		if got := header[name]; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := trailer["x-trailer-bin"]; !slices.Equal(got, []string{"\x00\xff"}) || !slices.Equal(trailer["x-trailer"], []string{"t1"}) {
		t.Errorf("trailer %q", trailer)
	}
}

func testDPoP(t *testing.T, g *gate) {
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	raw := mint(t, g.issuer, map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
	chat := func(method, path string) grpc.ClientStream {
		t.Helper()
		proof, err := key.Proof(devissuer.Proof{Method: method, URL: identifier + path, AccessToken: raw})
		if err != nil {
			t.Fatal(err)
		}
		s, err := g.NewStream(with(t, "authorization", "DPoP "+raw, "dpop", proof), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Chat")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := chat("POST", "/"+service+"/Chat")
	for i := range 100 {
		sent, got := say(strings.Repeat("m", 1+i*1000)), new(message)
		if err := errors.Join(s.SendMsg(sent), s.RecvMsg(got)); err != nil || got.Value != sent.Value {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(message)); !errors.Is(err, io.EOF) || !slices.Equal(s.Trailer()["x-trailer"], []string{"t1"}) {
		t.Errorf("ended with %v and %q", err, s.Trailer())
	}
	for _, wrong := range [][2]string{{"GET", "/" + service + "/Chat"}, {"POST", "/" + service + "/Say"}} {
		s := chat(wrong[0], wrong[1])
		err := s.RecvMsg(new(message))
		if status.Code(err) != codes.Unauthenticated || !strings.HasPrefix(strings.Join(s.Trailer()["www-authenticate"], "\n"), `DPoP error="invalid_dpop_proof"`) {
			t.Errorf("%v: %v %q", wrong, err, s.Trailer())
		}
	}
}
