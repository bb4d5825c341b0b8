package extauthz

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // what every call is read with
	"google.golang.org/grpc/mem"
)

// A codec reads a question that is no message as one that says nothing, which is
// refused. As an error it could be what lets a request through that has odd octets
// in it (failure_mode_allow, CVE-2024-23324).
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if q, asked := v.(*authv3.CheckRequest); asked && err != nil {
		q.Reset()
		return nil
	}
	return err
}
