package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/middleware"
	"github.com/wicketgate/wicketgate/token"
)

// nobody has a good token.
type nobody struct{}

func (nobody) Validate(context.Context, token.Credential) (*token.Principal, error) {
	return nil, token.Refuse(token.CredentialRequired, token.ReasonMissing)
}

// TestOrder: a request is served as it was judged, or not at all.
func TestOrder(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Name: "open", Path: "/open/**", Public: true}, {Name: "all", Path: "/**"}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	forward := proxy.NewForward(proxy.ForwardOptions{})
	gate := &proxy.Gate{Policy: set, Forward: []*proxy.Forward{forward, forward}, Validator: nobody{}}
	served := ""
	mux := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served = r.URL.RequestURI() })
	inside := func(change func(*url.URL)) http.Handler {
		next := middleware.Handler(middleware.For(gate), mux)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at := *r.URL
			change(&at)
			out := r.WithContext(r.Context())
			out.URL = &at
			next.ServeHTTP(w, out)
		})
	}
	for name, row := range map[string]struct {
		handler http.Handler
		target  string
		status  int
		served  string
	}{
		"around StripPrefix":       {middleware.Handler(middleware.For(gate), http.StripPrefix("/open", mux)), "/open/a?b=c", 200, "/a?b=c"},
		"inside StripPrefix":       {http.StripPrefix("/open", middleware.Handler(middleware.For(gate), mux)), "/open/admin", 400, ""},
		"unchanged":                {inside(func(*url.URL) {}), "/open/a%20b?c=d", 200, "/open/a%20b?c=d"},
		"whole target":             {inside(func(*url.URL) {}), "http://rs.example.com/open/x?y", 200, "/open/x?y"},
		"empty query":              {inside(func(*url.URL) {}), "/open/x?", 200, "/open/x?"},
		"another path":             {inside(func(u *url.URL) { u.Path = "/admin" }), "/open/x", 400, ""},
		"from a path":              {inside(func(u *url.URL) { u.Path = "/open/x" }), "/admin", 400, ""},
		"decoded once more":        {inside(func(u *url.URL) { u.Path, u.RawPath = "/open/a b", "" }), "/open/a%2520b", 400, ""},
		"another spelling":         {inside(func(u *url.URL) { u.RawPath = "/open/%78" }), "/open/x", 400, ""},
		"another query":            {inside(func(u *url.URL) { u.RawQuery = "role=admin" }), "/open/x", 400, ""},
		"a query less":             {inside(func(u *url.URL) { u.RawQuery = "" }), "/open/x?a", 400, ""},
		"cleaned":                  {inside(func(u *url.URL) { u.Path = "/open/x" }), "/open//x", 400, ""},
		"not allowed, and sent so": {inside(func(*url.URL) {}), "/admin", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			served = ""
			r := httptest.NewRequest(http.MethodGet, row.target, nil)
			w := httptest.NewRecorder()
			row.handler.ServeHTTP(w, r)
			if w.Code != row.status || served != row.served || strings.Contains(w.Body.String(), "admin") {
				t.Errorf("%d %s, served %q, want %d and %q", w.Code, w.Body, served, row.status, row.served)
			}
		})
	}
	t.Run("CONNECT", func(t *testing.T) {
		served = ""
		r := httptest.NewRequest(http.MethodConnect, "rs.example.com:443", nil)
		w := httptest.NewRecorder()
		if inside(func(*url.URL) {}).ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || served != "" {
			t.Errorf("%d, served %q", w.Code, served)
		}
	})
	t.Run("no URL", func(t *testing.T) {
		r := &http.Request{Method: http.MethodGet, RequestURI: "/open/x", Host: "rs.example.com", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
		w := httptest.NewRecorder()
		if middleware.Handler(middleware.For(gate), mux).ServeHTTP(w, r); w.Code != http.StatusBadRequest {
			t.Errorf("%d, served %q", w.Code, served)
		}
	})
}

// What a client says of other hops and of certificates does not reach the next handler.
func TestHearsay(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Name: "open", Path: "/**", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	gate := &proxy.Gate{Policy: set, Forward: []*proxy.Forward{proxy.NewForward(proxy.ForwardOptions{})}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, name := range []string{"Forwarded", "X-Real-Ip", "X-Forwarded-Host", "X-Envoy-Original-Path", "Client-Cert", "X-Forwarded-Client-Cert", "X-Ssl-Client-Verify", "Ssl-Client-Cert", "X_Real_Ip", "Client_Cert"} {
		r.Header[name] = []string{"lie"}
	}
	called := false
	middleware.Handler(middleware.For(gate), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if called = true; len(r.Header) > 0 {
			t.Errorf("%v went on", r.Header)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if !called {
		t.Error("refused")
	}
}
