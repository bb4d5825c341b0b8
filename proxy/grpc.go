package proxy

import (
	"net/http"
	"strconv"
	"strings"
)

// grpcAnswers maps the media types of gRPC and gRPC-Web calls to that of the
// answer. It is the call's own where that is known, since some clients accept
// no other, and else that of the family.
var grpcAnswers = map[string]string{
	"application/grpc": "application/grpc", "application/grpc+proto": "application/grpc+proto", "application/grpc+json": "application/grpc+json",
	"application/grpc-web": "application/grpc-web", "application/grpc-web+proto": "application/grpc-web+proto",
	"application/grpc-web+json": "application/grpc-web+json",
	"application/grpc-web-text": "application/grpc-web-text", "application/grpc-web-text+proto": "application/grpc-web-text+proto",
}

// grpcAnswer returns the media type a gRPC caller is answered with, or "" when
// the caller is none. gRPC itself needs HTTP/2: over HTTP/1 no client of it
// can be at the other end, and 200 for a refusal would mislead whoever is.
func grpcAnswer(r *http.Request) string {
	value := r.Header.Get("Content-Type")
	if len(value) < len("application/grpc") || !strings.EqualFold(value[:len("application/grpc")], "application/grpc") {
		return ""
	}
	mediaType, _, _ := strings.Cut(value, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	family, _, _ := strings.Cut(mediaType, "+")
	if grpcAnswers[family] == "" || family == "application/grpc" && r.ProtoMajor < 2 {
		return ""
	}
	if known := grpcAnswers[mediaType]; known != "" {
		return known
	}
	return grpcAnswers[family]
}

// The status codes of gRPC that the gate answers with.
const (
	grpcCanceled          = 1
	grpcUnknown           = 2
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcCode is what a status of ours means in gRPC. It differs from what a
// client would make of the bare HTTP status for 400, which is about the
// credential more often than not and is no fault of the service.
func grpcCode(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusMisdirectedRequest:
		return grpcUnimplemented
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return grpcResourceExhausted
	case http.StatusTooManyRequests, http.StatusTooEarly, http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	case http.StatusInternalServerError:
		return grpcInternal
	case statusClientClosed:
		return grpcCanceled
	}
	return grpcUnknown
}

// writeTrailersOnly answers in the header section alone, which is where gRPC
// looks when there is no body. Challenges, a nonce and Retry-After are
// metadata there. Counted and logged is what the answer means, not its 200.
func writeTrailersOnly(rec *recorder, mediaType string, status int, message string) {
	if message == "" {
		message = http.StatusText(status)
	}
	h := rec.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", "0")
	h.Set("Grpc-Status", strconv.Itoa(grpcCode(status)))
	h.Set("Grpc-Message", grpcMessage(message))
	rec.WriteHeader(http.StatusOK)
	rec.status = status
}

// grpcMessage encodes a message for its field: printable ASCII as it is, all
// else and the percent sign as %XX.
func grpcMessage(text string) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}
