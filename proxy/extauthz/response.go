package extauthz

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/wicketgate/wicketgate/proxy"
)

// response tells the proxy what becomes of the request. It is not ok where that
// cannot be said in the protocol, whose strings are UTF-8.
func response(c *proxy.Checked) (_ *authv3.CheckResponse, ok bool) {
	if !c.Allowed {
		return denied(c.Status, c.Means, c.Header, c.Body), true
	}
	set := options(c.Set, false)
	if c.Path != "" {
		set = append(set, option(":path", c.Path, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, one := range set {
		if !utf8.ValidString(one.Header.Value) {
			return nil, false
		}
	}
	remove := make([]string, len(c.Remove))
	for i, name := range c.Remove {
		remove[i] = strings.ToLower(name)
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: set, HeadersToRemove: remove, ResponseHeadersToAdd: options(c.Header, true),
		}},
	}, true
}

// denied has the proxy answer its client by itself. It is never an error_response,
// nor an error of the call: with failure_mode_allow, a proxy would let the request
// through after those.
func denied(status, means int, header http.Header, body []byte) *authv3.CheckResponse {
	// Envoy makes an answer of gRPC from the status by itself, but not one of gRPC-Web.
	if status != means && !strings.HasPrefix(header.Get("Content-Type"), "application/grpc-web") {
		status = means
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(code(means))},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(status)}, Headers: options(header, true), Body: string(body),
		}},
	}
}

// code is what a status means to who reads the response but not the answer in it. It
// is never OK.
func code(status int) codes.Code {
	switch {
	case status == http.StatusBadRequest:
		return codes.InvalidArgument
	case status == http.StatusUnauthorized:
		return codes.Unauthenticated
	case status == http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case status == http.StatusServiceUnavailable:
		return codes.Unavailable
	case status >= 500:
		return codes.Internal
	}
	return codes.PermissionDenied
}

// options has h set, in order of names. In an answer, lines of one name stay lines;
// in a request they become one, since Envoy sets one.
//
// The first line of a name takes the place of what is there, but for Vary, which adds
// to what is said of other fields. Envoy before 1.37 looks at another field to tell
// the two apart in a refusal, and keeps all lines where that is not set.
func options(h http.Header, answer bool) (list []*corev3.HeaderValueOption) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lines, action := h[name], corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		if !answer {
			lines = []string{join(name, lines)}
		} else if name == "Vary" {
			action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
		for _, line := range lines {
			list = append(list, option(strings.ToLower(name), line, action))
			action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
	}
	return list
}

func option(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
}

// join makes one line of several (RFC 9110 section 5.3); those of Cookie are joined
// as RFC 9113 section 8.2.3 has it.
func join(name string, lines []string) string {
	if name == "Cookie" {
		return strings.Join(lines, "; ")
	}
	return strings.Join(lines, ", ")
}
