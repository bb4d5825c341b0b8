package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/middleware"
)

// What goes on is what an upstream would get, body and all.
func TestOnward(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Name: "ext", Path: "/ext/**", StripPrefix: "/ext", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	gate := &proxy.Gate{Policy: set, Forward: []*proxy.Forward{proxy.NewForward(proxy.ForwardOptions{})}}
	called := false
	handler := middleware.Handler(middleware.For(gate), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "body" {
			t.Errorf("body %q, %v", body, err)
		}
		if r.URL.Path != "/a b" || r.URL.EscapedPath() != "/a%20b" || r.URL.RawQuery != "c=d" || r.RequestURI != "/a%20b?c=d" {
			t.Errorf("%v, %s", r.URL, r.RequestURI)
		}
		if r.Header["X_auth_subject"] != nil || r.Header["X-Forwarded-For"] != nil || middleware.Principal(r.Context()) != nil {
			t.Errorf("%v", r.Header)
		}
	}))
	r := httptest.NewRequest(http.MethodPost, "/ext/a%20b?c=d", strings.NewReader("body"))
	r.Header["X_auth_subject"], r.Header["X-Forwarded-For"] = []string{"root"}, []string{"192.0.2.1"}
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if !called || r.Header["X_auth_subject"] == nil || r.URL.Path != "/ext/a b" {
		t.Errorf("called: %t; the request before it is now %v %v", called, r.URL, r.Header)
	}
	called = false
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/other", strings.NewReader("body")))
	if called || w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "not_found") {
		t.Errorf("called: %t; %d %s", called, w.Code, w.Body)
	}
}
