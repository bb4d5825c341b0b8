package extauthz

import (
	"context"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// lookEvery is how often those who watch learn whether the gate is ready.
const lookEvery = time.Second

// health is grpc.health.v1, for the server as a whole and for the service that Envoy
// asks. Who asks is told how things are now.
type health struct {
	*grpchealth.Server
	ready func() bool
}

func newHealth(ready func() bool) *health {
	h := &health{grpchealth.NewServer(), ready}
	h.look()
	return h
}

func (h *health) register(s *grpc.Server) { healthv1.RegisterHealthServer(s, h) }

func (h *health) look() {
	now := healthv1.HealthCheckResponse_NOT_SERVING
	if h.ready == nil || h.ready() {
		now = healthv1.HealthCheckResponse_SERVING
	}
	h.SetServingStatus("", now)
	h.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, now)
}

// follow tells those who watch, until the function that it returns is called.
func (h *health) follow() (stop func()) {
	ended := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.look()
			case <-ended:
				return
			}
		}
	})
	return func() { close(ended); looking.Wait() }
}

// Check implements healthv1.HealthServer.
func (h *health) Check(ctx context.Context, q *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	h.look()
	return h.Server.Check(ctx, q)
}

// List implements healthv1.HealthServer.
func (h *health) List(ctx context.Context, q *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
	h.look()
	return h.Server.List(ctx, q)
}
