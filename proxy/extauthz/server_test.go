package extauthz

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A validator knows everybody as alice, but what it panics at.
type validator struct{ next string }

func (v validator) Validate(_ context.Context, cred token.Credential) (*token.Principal, error) {
	if cred.Raw == "panic" {
		panic("here")
	}
	return &token.Principal{Claims: &token.Claims{Subject: "alice", Issuer: "https://issuer.example.com"}, Nonce: v.next}, nil
}

// newServer serves on loopback, for peers at an address, and dials it.
func newServer(t testing.TB, peers string, o Options) (*Server, *grpc.ClientConn) {
	t.Helper()
	set, err := policy.Compile([]policy.Options{{Name: "any", Path: "/**"}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	s := &proxy.Switch{}
	s.Set(&proxy.Table{Limits: proxy.DefaultLimits, Sites: map[string]*proxy.Site{"door": {
		Only:  &proxy.Gate{Name: "rs", Policy: set, Forward: []*proxy.Forward{proxy.NewForward(proxy.ForwardOptions{})}, Validator: validator{"next"}},
		Peers: []netip.Prefix{netip.MustParsePrefix(peers)},
	}}})
	o.Checker = proxy.NewChecker(proxy.CheckerOptions{Door: "door", Switch: s})
	server := New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server, conn
}

func check(t testing.TB, conn *grpc.ClientConn, change func(*said)) *authv3.CheckResponse {
	t.Helper()
	answer, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: attributes(change)})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func lines(list []*corev3.HeaderValueOption) (out []string) {
	for _, one := range list {
		out = append(out, one.Header.Key+": "+one.Header.Value)
	}
	return out
}

func TestAllowed(t *testing.T) {
	_, conn := newServer(t, "127.0.0.1/32", Options{})
	answer := check(t, conn, func(h *said) { h.Headers["x_auth_subject"], h.Headers["x-auth-scope"] = "root", "all" })
	ok := answer.GetOkResponse()
	if got, want := lines(ok.GetHeaders()), "x-auth-subject: alice"; answer.GetStatus().GetCode() != 0 || !slices.Contains(got, want) {
		t.Errorf("%q", got)
	}
	if want := []string{"authorization", "x-auth-scope", "x_auth_subject"}; !slices.Equal(ok.GetHeadersToRemove(), want) {
		t.Errorf("%q", ok.GetHeadersToRemove())
	}
	if got := lines(ok.GetResponseHeadersToAdd()); !slices.Contains(got, "dpop-nonce: next") || !slices.Contains(got, "cache-control: no-store") {
		t.Errorf("%q", got)
	}
}

// TestPanic: a check that panics lets nobody in, and ends nothing but itself.
func TestPanic(t *testing.T) {
	_, conn := newServer(t, "127.0.0.1/32", Options{})
	for range 2 {
		answer := check(t, conn, func(h *said) { h.Headers["authorization"] = "Bearer panic" })
		if answer.GetStatus().GetCode() != int32(codes.Unavailable) || answer.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Errorf("%v", answer)
		}
	}
	a := &authorization{} // without a checker all is lost
	if answer, err := a.Check(t.Context(), nil); err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != 500 {
		t.Errorf("%v, %v", answer, err)
	}
	var err error
	func() { defer contain(&err); panic("here") }()
	if err == nil || strings.Contains(err.Error(), "here") {
		t.Error(err)
	}
}

// TestUnsayable: a field that is no text cannot be set, so the request is refused.
func TestUnsayable(t *testing.T) {
	if answer, ok := response(&proxy.Checked{Allowed: true, Set: http.Header{"Cookie": {"\xff"}}}); ok {
		t.Errorf("%v", answer)
	}
	answer, ok := response(&proxy.Checked{Allowed: true, Set: http.Header{"Cookie": {"a=b", "c=d"}, "X-A": {"1", "2"}}, Path: "/b", Header: http.Header{"Vary": {"Origin"}, "Set-Cookie": {"a", "b"}}})
	if want := []string{"cookie: a=b; c=d", "x-a: 1, 2", ":path: /b"}; !ok || !slices.Equal(lines(answer.GetOkResponse().GetHeaders()), want) {
		t.Errorf("%v", answer)
	}
	var actions []corev3.HeaderValueOption_HeaderAppendAction
	for _, one := range answer.GetOkResponse().GetResponseHeadersToAdd() {
		actions = append(actions, one.AppendAction)
	}
	if want := []corev3.HeaderValueOption_HeaderAppendAction{2, 0, 0}; !slices.Equal(actions, want) {
		t.Errorf("%v, want %v", actions, want)
	}
}

// TestCodes: no refusal is an OK.
func TestCodes(t *testing.T) {
	for status := 100; status < 600; status++ {
		if code(status) == codes.OK {
			t.Error(status)
		}
	}
}

// TestReflection: a client finds the service, and what its messages are made of.
func TestReflection(t *testing.T) {
	_, conn := newServer(t, "192.0.2.1/32", Options{})
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var names []string
	for _, one := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		names = append(names, one.Name)
	}
	for _, want := range []string{"envoy.service.auth.v3.Authorization", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q lacks %s", names, want)
		}
	}
	files := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: names[0]}}).GetFileDescriptorResponse().GetFileDescriptorProto()
	var first descriptorpb.FileDescriptorProto
	if len(files) == 0 || proto.Unmarshal(files[0], &first) != nil || first.GetPackage() != "envoy.service.auth.v3" {
		t.Errorf("%d files, %v", len(files), first.GetPackage())
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	ready := false
	_, conn := newServer(t, "192.0.2.1/32", Options{Ready: func() bool { return ready }})
	client := healthv1.NewHealthClient(conn)
	if list, err := client.List(t.Context(), &healthv1.HealthListRequest{}); err != nil || len(list.Statuses) != 2 || list.Statuses[""].Status != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "other"}); err == nil {
		t.Error("a service that nobody knows")
	}
}

// TestConnections: beyond the bound nobody comes in, and who leaves makes room.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 1)
	bounded := &listener{Listener: l, mayAsk: func(netip.Addr) bool { return true }, most: 1, refused: func() { refused <- struct{}{} }}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := bounded.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := dial()
	one := <-accepted
	second := dial()
	<-refused
	_ = one.Close()
	_ = one.Close() // counts once
	third := dial()
	two := <-accepted
	for _, c := range []io.Closer{first, second, third, two, l} {
		_ = c.Close()
	}
}
