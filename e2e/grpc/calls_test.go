package grpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// testNeighbours asks the services that clients and balancers look for beside
// an API. A watch stays open, and each change comes through at once.
func testNeighbours(t *testing.T, conn *grpc.ClientConn, state *health.Server) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	state.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{
		healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING,
	} {
		state.SetServingStatus("", want) // one that changes nothing says nothing
		if got, err := watch.Recv(); err != nil || got.Status != want {
			t.Fatalf("health %v, %v; want %v", got, err, want)
		}
	}
	info, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := info.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := info.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.GetListServicesResponse().GetService() {
		if s.GetName() == "grpc.testing.TestService" {
			return
		}
	}
	t.Errorf("reflection tells of %v", answer)
}

// testLargeMessages: no bound of the gate's is on a message.
func testLargeMessages(t *testing.T, conn *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const size = 16 << 20
	body := bytes.Repeat([]byte("wicketga"), size/8)
	reply, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: size, Payload: &testgrpc.Payload{Body: body}})
	if err != nil || len(reply.GetPayload().GetBody()) != size {
		t.Fatalf("%d octets, %v", len(reply.GetPayload().GetBody()), err)
	}
	input, err := testgrpc.NewTestServiceClient(conn).StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := input.Send(&testgrpc.StreamingInputCallRequest{Payload: &testgrpc.Payload{Body: body}}); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := input.CloseAndRecv(); err != nil || sum.GetAggregatedPayloadSize() != 2*size {
		t.Errorf("%v, %v", sum, err)
	}
}

// testNeedsToken: none of the neighbours is open to strangers.
func testNeedsToken(t *testing.T, p passage) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn := p.dial(t, "")
	_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("health: %v", err)
	}
	info, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err == nil {
		_, err = info.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection: %v", err)
	}
}

// testCancel: who gives up, or has no time left, is not worked for any longer.
// The service says when it noticed; no clock is asked.
func testCancel(t *testing.T, g *gate, good string) {
	hold := func(ctx context.Context) grpc.ClientStream {
		t.Helper()
		s, err := g.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Hold")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SendMsg(say("a")), s.RecvMsg(new(message))); err != nil {
			t.Fatal(err)
		}
		return s
	}
	noticed := func(what string, want error) {
		t.Helper()
		select {
		case got := <-g.service.released:
			if !errors.Is(got, want) {
				t.Errorf("%s: the service saw %v, want %v", what, got, want)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the service works on", what)
		}
	}
	t.Run("client cancels", func(t *testing.T) {
		ctx, cancel := context.WithCancel(with(t, "authorization", good))
		s := hold(ctx)
		cancel()
		if err := s.RecvMsg(new(message)); status.Code(err) != codes.Canceled {
			t.Errorf("the client saw %v", err)
		}
		noticed("cancel", context.Canceled)
	})
	t.Run("client has gone", func(t *testing.T) {
		other := g.dial(t)
		s, err := other.NewStream(with(t, "authorization", good), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Hold")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SendMsg(say("a")), s.RecvMsg(new(message))); err != nil {
			t.Fatal(err)
		}
		_ = other.Close()
		noticed("a closed connection", context.Canceled)
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(with(t, "authorization", good), time.Second)
		defer cancel()
		s := hold(ctx)
		if err := s.RecvMsg(new(message)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the client saw %v", err)
		}
		// Its own clock or the client's RST: whichever is first.
		select {
		case <-g.service.released:
		case <-time.After(20 * time.Second):
			t.Error("the service works on")
		}
	})
	t.Run("others go on", func(t *testing.T) {
		ctx, cancel := context.WithCancel(with(t, "authorization", good))
		s, other := hold(ctx), g.chat(t, good)
		cancel()
		_ = s.RecvMsg(new(message))
		noticed("cancel", context.Canceled)
		got := new(message)
		if err := errors.Join(other.SendMsg(say("still")), other.RecvMsg(got), other.CloseSend()); err != nil || got.Value != "still" {
			t.Errorf("a stream of the same connection: %q, %v", got.Value, err)
		}
		if err := other.RecvMsg(new(message)); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
	})
}
