// Package extauthz answers Envoy, and all who speak its protocol, whether a request
// that they hold is allowed: envoy.service.auth.v3.Authorization over gRPC. It turns
// messages into requests and decisions into messages; proxy.Checker decides. Beside
// it are the services that tell whether the gate is ready (grpc.health.v1) and what
// services there are (grpc.reflection).
package extauthz

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// Options are what a Server is made of.
type Options struct {
	Checker *proxy.Checker // decides
	TLS     *tls.Config    // nil for none
	Ready   func() bool    // is the gate ready for requests; asked about once a second and by each probe

	Streams     int    // at once on a connection; 0 for any number
	Connections int    // at once; 0 for any number
	Refused     func() // is told of each connection that is closed because there are too many; may be nil
}

// Bounds of what those can hold who may ask. Beyond maxMessage a call fails, and a
// proxy that is told to let requests through after errors would do so: it is far more
// than any head that Envoy takes.
const (
	maxMessage = 1 << 20 // octets
	handshake  = 10 * time.Second
)

// A Server answers calls on listeners. New makes one.
type Server struct {
	options Options
	grpc    *grpc.Server
	health  *health
}

// New makes a Server. It serves nothing yet.
func New(o Options) *Server {
	s := &Server{options: o, health: newHealth(o.Ready)}
	list := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(uint32(max(o.Streams, 0))),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(handshake),
		grpc.WaitForHandlers(true),
		grpc.ForceServerCodecV2(newCodec()),
		// A connection that has gone is noticed, and one that has been long is moved,
		// so that replicas which were added get their part.
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: time.Minute, Timeout: 20 * time.Second, MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer contain(&err)
			return next(ctx, r)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer contain(&err)
			return next(service, stream)
		}),
	}
	if o.TLS != nil {
		list = append(list, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s.grpc = grpc.NewServer(list...)
	authv3.RegisterAuthorizationServer(s.grpc, &authorization{checker: o.Checker})
	s.health.register(s.grpc)
	reflection.Register(s.grpc)
	return s
}

// contain turns a panic into an error of the call.
func contain(err *error) {
	if recover() != nil {
		*err = status.Error(codes.Internal, "")
	}
}

// Serve answers on l until Shutdown or Close, and closes l. It returns nil then.
func (s *Server) Serve(l net.Listener) error {
	defer s.health.follow()()
	return s.grpc.Serve(&listener{Listener: l, mayAsk: s.options.Checker.MayAsk, most: s.options.Connections, refused: s.options.Refused})
}

// Shutdown takes no more calls, tells clients so (GOAWAY) and waits until ctx for the
// calls under way.
func (s *Server) Shutdown(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
	}
}

// Close ends all connections at once, and waits for the calls under way to notice.
func (s *Server) Close() { s.grpc.Stop() }

// authorization is the service that Envoy asks.
type authorization struct {
	authv3.UnimplementedAuthorizationServer
	checker *proxy.Checker
}

// Check decides about the request in q. A refusal is a response, never an error.
func (a *authorization) Check(ctx context.Context, q *authv3.CheckRequest) (answer *authv3.CheckResponse, _ error) {
	defer func() {
		if recover() != nil {
			answer = denied(http.StatusInternalServerError, http.StatusInternalServerError, nil, nil)
		}
	}()
	asker := askerOf(ctx)
	if !a.checker.MayAsk(asker) {
		return a.decline(ctx, asker, token.Refuse(token.Forbidden, token.ReasonAsker)), nil
	}
	r, ok := request(ctx, q.GetAttributes())
	if !ok {
		return a.decline(ctx, asker, token.Refuse(token.InvalidRequest, token.ReasonQuestion)), nil
	}
	if answer, ok = response(a.checker.Check(asker, r)); !ok {
		return a.decline(ctx, asker, token.Refuse(token.InvalidRequest, token.ReasonReserved)), nil
	}
	return answer, nil
}

// decline refuses to look at a request.
func (a *authorization) decline(ctx context.Context, asker netip.Addr, e *token.Error) *authv3.CheckResponse {
	r := &http.Request{Method: http.MethodGet, Header: make(http.Header), RemoteAddr: netip.AddrPortFrom(asker, 0).String()}
	answer, _ := response(a.checker.Decline(r.WithContext(ctx), e)) // what refuses can be said
	return answer
}

// askerOf is the address of the proxy at the other end of the connection; the zero
// Addr where it has none.
func askerOf(ctx context.Context) netip.Addr {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return netip.Addr{}
	}
	return addressOf(p.Addr)
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
