package grpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "wicketgate.e2e.Echo"

type message = wrapperspb.StringValue

func say(text string) *message { return wrapperspb.String(text) }

// echoService is what the calls of one service know of each other.
type echoService struct {
	released chan error // why a call that was held ended
}

func newEchoService() *echoService { return &echoService{released: make(chan error, 16)} }

// echo is a service with a call of each kind. Without generated code its
// description is written by hand.
var echo = grpc.ServiceDesc{
	ServiceName: service,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Say", Handler: handleSay}, {MethodName: "Fail", Handler: handleFail}, {MethodName: "Narrow", Handler: handleSay}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Count", Handler: handleCount, ServerStreams: true},
		{StreamName: "Gather", Handler: handleGather, ClientStreams: true},
		{StreamName: "Chat", Handler: handleChat, ServerStreams: true, ClientStreams: true},
		{StreamName: "Talk", Handler: handleChat, ServerStreams: true, ClientStreams: true},
		{StreamName: "Hold", Handler: handleHold, ServerStreams: true, ClientStreams: true},
	},
}

// handleSay echoes, and tells in its header and trailer what it saw.
func handleSay(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(message)
	if err := decode(in); err != nil {
		return nil, err
	}
	seen, _ := metadata.FromIncomingContext(ctx)
	header := metadata.MD{}
	for _, name := range []string{"x-auth-subject", "x-auth-scope", "x-auth-binding", "authorization", "dpop", "x-auth-evil", "x-auth-evil-bin", "x-custom", "x-custom-bin"} {
		for _, value := range seen[name] {
			header.Append("saw-"+strings.TrimSuffix(name, "-bin"), strconv.QuoteToASCII(value))
		}
	}
	if err := errors.Join(grpc.SetHeader(ctx, header), grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t1", "x-trailer-bin", "\x00\xff"))); err != nil {
		return nil, err
	}
	return in, nil
}

func handleFail(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(message)); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.NotFound, "100% nüt da\n")
}

// handleCount sends back as many messages as it is asked for.
func handleCount(_ any, s grpc.ServerStream) error {
	in := new(message)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	n, err := strconv.Atoi(in.Value)
	if err != nil {
		return status.Error(codes.InvalidArgument, "no number")
	}
	for i := range n {
		if err := s.SendMsg(say(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.Pairs("x-trailer", "t1"))
	return nil
}

// handleGather says how much it was sent.
func handleGather(_ any, s grpc.ServerStream) error {
	for octets := 0; ; {
		in := new(message)
		err := s.RecvMsg(in)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(say(strconv.Itoa(octets)))
		}
		if err != nil {
			return err
		}
		octets += len(in.Value)
	}
}

// handleChat answers each message before it takes the next.
func handleChat(_ any, s grpc.ServerStream) error {
	for {
		in := new(message)
		err := s.RecvMsg(in)
		if errors.Is(err, io.EOF) {
			s.SetTrailer(metadata.Pairs("x-trailer", "t1"))
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}

// handleHold answers once and then does nothing until nobody wants it any more.
func handleHold(s any, stream grpc.ServerStream) error {
	in := new(message)
	if err := errors.Join(stream.RecvMsg(in), stream.SendMsg(in)); err != nil {
		return err
	}
	<-stream.Context().Done()
	s.(*echoService).released <- stream.Context().Err()
	return status.FromContextError(stream.Context().Err()).Err()
}

// startService serves echo without TLS and returns its address, and what ends
// it.
func startService(t *testing.T, e *echoService) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&echo, e)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop = func() { server.Stop() }
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("service: %v", err)
		}
	})
	return listener.Addr().String(), stop
}
