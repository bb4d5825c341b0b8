package extauthz

import (
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// TestMessageSizes: what is larger than any head that Envoy takes is answered with a
// refusal as long as it can be read, and not read beyond. The next call is unhurt.
func TestMessageSizes(t *testing.T) {
	_, conn := newServer(t, "127.0.0.1/32", Options{})
	client := authv3.NewAuthorizationClient(conn)
	base := proto.Size(&authv3.CheckRequest{Attributes: attributes(func(h *said) { h.Body = strings.Repeat("x", maxMessage/2) })}) - maxMessage/2
	for name, row := range map[string]struct {
		change func(*said)
		code   codes.Code // of the call
		status int        // of the answer in it; 200 for leave
	}{
		"head and body of a usual size": {func(h *said) { h.Body = strings.Repeat("x", 8<<10) }, codes.OK, 200},
		"the largest":                   {func(h *said) { h.Body = strings.Repeat("x", maxMessage-base) }, codes.OK, 200},
		"an octet more":                 {func(h *said) { h.Body = strings.Repeat("x", maxMessage-base+1) }, codes.ResourceExhausted, 0},
		"a long field":                  {func(h *said) { h.Headers["x-long"] = strings.Repeat("x", 900<<10) }, codes.OK, 431},
		"a field that is longer":        {func(h *said) { h.Headers["x-long"] = strings.Repeat("x", maxMessage) }, codes.ResourceExhausted, 0},
		"a long target": {func(h *said) {
			h.Path = "/" + strings.Repeat("x", 400<<10) // it is there twice
			h.Headers[":path"] = h.Path
		}, codes.OK, 414},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := client.Check(t.Context(), &authv3.CheckRequest{Attributes: attributes(row.change)})
			got := int(answer.GetDeniedResponse().GetStatus().GetCode())
			if answer.GetOkResponse() != nil {
				got = 200
			}
			if status.Code(err) != row.code || got != row.status {
				t.Errorf("%v, %d, want %v, %d", err, got, row.code, row.status)
			}
			if check(t, conn, nil).GetOkResponse() == nil {
				t.Error("the next call is refused")
			}
		})
	}
	long := metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", 17<<10))
	if answer, err := client.Check(long, &authv3.CheckRequest{Attributes: attributes(nil)}); err == nil {
		t.Errorf("metadata of 17 KiB: %v", answer)
	}
	if check(t, conn, nil).GetOkResponse() == nil {
		t.Error("the call after it is refused")
	}
}
