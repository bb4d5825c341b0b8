package extauthz

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/wicketgate/wicketgate/token"
)

type said = authv3.AttributeContext_HttpRequest

func attributes(change func(*said)) *authv3.AttributeContext {
	h := &said{Method: "GET", Path: "/a?b=c", Host: "rs.example.com", Scheme: "https", Protocol: "HTTP/2", Headers: map[string]string{
		":authority": "rs.example.com", ":method": "GET", ":path": "/a?b=c", ":scheme": "https", "x-a_b": "1", "authorization": "Bearer a.b.c",
	}}
	if change != nil {
		change(h)
	}
	at := &corev3.SocketAddress{Address: "2001:db8::1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 443}}
	return &authv3.AttributeContext{
		Source:  &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: at}}},
		Request: &authv3.AttributeContext_Request{Http: h},
	}
}

func raw(lines ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i+1 < len(lines); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: lines[i], RawValue: []byte(lines[i+1])})
	}
	return m
}

func TestRequest(t *testing.T) {
	r, ok := request(t.Context(), attributes(nil))
	if !ok || r.Method != "GET" || r.RequestURI != "/a?b=c" || r.Host != "rs.example.com" || r.RemoteAddr != "[2001:db8::1]:443" || r.ProtoMajor != 2 || r.TLS != nil || r.Body != nil || r.ContentLength != 0 {
		t.Fatalf("%+v", r)
	}
	if want := (http.Header{"X-A_b": {"1"}, "Authorization": {"Bearer a.b.c"}}); len(r.Header) != 2 || !slices.Equal(r.Header["X-A_b"], want["X-A_b"]) || !slices.Equal(r.Header["Authorization"], want["Authorization"]) {
		t.Errorf("%v", r.Header)
	}
	for name, row := range map[string]struct {
		change func(*said)
		length int64
	}{
		"length":           {func(h *said) { h.Headers["content-length"] = "7" }, 7},
		"odd length":       {func(h *said) { h.Headers["content-length"] = "seven" }, -1},
		"negative length":  {func(h *said) { h.Headers["content-length"] = "-7" }, -1},
		"signed length":    {func(h *said) { h.Headers["content-length"] = "+7" }, -1},
		"chunked":          {func(h *said) { h.Headers["transfer-encoding"] = "chunked" }, -1},
		"part of the body": {func(h *said) { h.RawBody = []byte("x") }, -1},
		"read so far":      {func(h *said) { h.Size = 5 }, -1},
	} {
		if r, ok := request(t.Context(), attributes(row.change)); !ok || r.ContentLength != row.length {
			t.Errorf("%s: %+v", name, r)
		}
	}
	a := attributes(func(h *said) {
		h.Headers, h.HeaderMap = nil, raw("x-odd", "\xff", "Cookie", "a=b", "cookie", "c=d")
		h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: "x-value", Value: "v"})
	})
	a.Source.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/x"}}}
	r, ok = request(t.Context(), a)
	if !ok || r.RemoteAddr != "" || !slices.Equal(r.Header["Cookie"], []string{"a=b", "c=d"}) || r.Header.Get("X-Odd") != "\xff" || r.Header.Get("X-Value") != "v" {
		t.Errorf("%+v", r)
	}
}

func TestRequestRefuses(t *testing.T) {
	for name, change := range map[string]func(*said){
		"fragment":      func(h *said) { h.Fragment = "x" },
		"query":         func(h *said) { h.Query = "x" },
		"protocol":      func(h *said) { h.Protocol = "HTTP/4" },
		"both forms":    func(h *said) { h.HeaderMap = raw("a", "b") },
		"empty name":    func(h *said) { h.Headers[""] = "x" },
		"space":         func(h *said) { h.Headers["a b"] = "x" },
		"NUL":           func(h *said) { h.Headers["a"] = "x\x00" },
		"line break":    func(h *said) { h.Headers["a"] = "x\n" },
		"DEL":           func(h *said) { h.Headers["a"] = "\x7f" },
		"raw CR":        func(h *said) { h.Headers, h.HeaderMap = nil, raw("a", "x\ry") },
		"colon only":    func(h *said) { h.Headers[":"] = "x" },
		"other method":  func(h *said) { h.Headers[":method"] = "POST" },
		"other scheme":  func(h *said) { h.Headers[":scheme"] = "http" },
		"unknown colon": func(h *said) { h.Headers[":protocol"] = "websocket" },
	} {
		if r, ok := request(t.Context(), attributes(change)); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// FuzzRequest: what any message becomes is one that a server of net/http could have
// read, and says no more than the message did.
func FuzzRequest(f *testing.F) {
	for _, change := range []func(*said){nil, func(h *said) { h.Headers, h.HeaderMap = nil, raw("cookie", "a", "Cookie", "b") }, func(h *said) { h.Path = "" }} {
		text, err := proto.Marshal(&authv3.CheckRequest{Attributes: attributes(change)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		q := &authv3.CheckRequest{}
		if proto.Unmarshal(text, q) != nil {
			return
		}
		r, ok := request(t.Context(), q.GetAttributes())
		if !ok {
			return
		}
		said := q.GetAttributes().GetRequest().GetHttp()
		if r.Method != said.Method || r.RequestURI != said.Path || r.Host != said.Host {
			t.Fatalf("%v became %+v", said, r)
		}
		if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil && r.RemoteAddr != "" {
			t.Fatal(r.RemoteAddr)
		}
		lines := 0
		for name, values := range r.Header {
			lines += len(values)
			if !token.IsToken(name) || http.CanonicalHeaderKey(name) != name {
				t.Fatalf("%q", name)
			}
			for _, value := range values {
				if strings.ContainsAny(value, "\r\n\x00") {
					t.Fatalf("%q", value)
				}
			}
		}
		if lines > len(said.Headers)+len(said.GetHeaderMap().GetHeaders()) {
			t.Fatal("a line that nobody wrote")
		}
	})
}
