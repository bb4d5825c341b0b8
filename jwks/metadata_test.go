package jwks

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/fetch"
)

func start(t *testing.T, o devissuer.Options) *devissuer.Running {
	t.Helper()
	if len(o.Keys)+len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256"}
	}
	as, err := devissuer.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = as.Close() })
	return as
}

const (
	oauthPlace = "/.well-known/oauth-authorization-server"
	oidcPlace  = "/.well-known/openid-configuration"
)

// KEY-02: the places in their order, up to the first 200.
func TestDiscover(t *testing.T) {
	for _, test := range []struct {
		name, identifier string
		published        devissuer.Metadata
		want             []string
	}{
		{"no path, OAuth", "", devissuer.OAuth, []string{oauthPlace}},
		{"no path, OpenID", "", devissuer.OIDC, []string{oauthPlace, oidcPlace}},
		{"slash, OAuth", "/", devissuer.OAuth, []string{oauthPlace}},
		{"slash, OpenID", "/", devissuer.OIDC, []string{oauthPlace, oidcPlace}},
		{"path, OAuth", "/t1", devissuer.OAuth, []string{oauthPlace + "/t1"}},
		{"path, OpenID inserted", "/t1", devissuer.OIDCInserted, []string{oauthPlace + "/t1", oidcPlace + "/t1"}},
		{"path, OpenID appended", "/t1", devissuer.OIDC, []string{oauthPlace + "/t1", oidcPlace + "/t1", "/t1" + oidcPlace}},
		{"path and slash", "/t1/v2/", devissuer.OIDC, []string{oauthPlace + "/t1/v2", oidcPlace + "/t1/v2", "/t1/v2" + oidcPlace}},
	} {
		t.Run(test.name, func(t *testing.T) {
			as := start(t, devissuer.Options{Identifier: test.identifier, Metadata: test.published})
			m, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.Identifier(), "")
			if err != nil {
				t.Fatal(err)
			}
			for i := range test.want {
				test.want[i] = "GET " + test.want[i]
			}
			if got := as.Requests(); !slices.Equal(got, test.want) {
				t.Errorf("asked %q, want %q", got, test.want)
			}
			if m.Issuer != as.Identifier() || m.JWKSURI != strings.TrimSuffix(as.Identifier(), "/")+"/jwks" || m.Date.IsZero() {
				t.Errorf("got %+v", m)
			}
			if want := as.URL + strings.TrimPrefix(test.want[len(test.want)-1], "GET "); m.URL != want {
				t.Errorf("found at %s, want %s", m.URL, want)
			}
		})
	}
}

// KEY-03: the document must be the issuer's own.
func TestDiscoverRefuses(t *testing.T) {
	document := func(issuer, more string) string { return fmt.Sprintf(`{"issuer":%q%s}`, issuer, more) }
	for name, test := range map[string]struct {
		body func(issuer string) string
		want string
	}{
		"slash more":     {func(is string) string { return document(is+"/", `,"jwks_uri":"`+is+`/jwks"`) }, "another issuer"},
		"other case":     {func(is string) string { return document(strings.ToUpper(is), `,"jwks_uri":"`+is+`/jwks"`) }, "another issuer"},
		"no issuer":      {func(is string) string { return `{"jwks_uri":"` + is + `/jwks"}` }, "another issuer"},
		"issuer twice":   {func(is string) string { return document("x", `,"issuer":"`+is+`","jwks_uri":"`+is+`/jwks"`) }, "twice"},
		"issuer, array":  {func(is string) string { return `{"issuer":["` + is + `"],"jwks_uri":"` + is + `/jwks"}` }, "another issuer"},
		"no jwks_uri":    {func(is string) string { return document(is, "") }, "no jwks_uri"},
		"empty jwks_uri": {func(is string) string { return document(is, `,"jwks_uri":""`) }, "no jwks_uri"},
		"array":          {func(string) string { return "[]" }, "JSON"},
		"trailing":       {func(is string) string { return document(is, `,"jwks_uri":"`+is+`/jwks"`) + "x" }, "after"},
	} {
		t.Run(name, func(t *testing.T) {
			as := start(t, devissuer.Options{})
			as.Fail(devissuer.Fault{Path: oauthPlace, Body: []byte(test.body(as.URL))})
			_, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, "")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if n := len(as.Requests()); n != 1 {
				t.Errorf("asked %d places after a 200", n)
			}
		})
	}
	// White space around the document is no fault, and neither is any member
	// that is not needed.
	as := start(t, devissuer.Options{Members: map[string]json.RawMessage{"x": json.RawMessage(`{"y":[1,{"z":null}]}`)}})
	as.Fail(devissuer.Fault{Path: oauthPlace, Body: []byte("\n " + document(as.URL, `,"jwks_uri":"`+as.URL+`/jwks"`) + "\r\n")})
	if _, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, ""); err != nil {
		t.Error(err)
	}
}

// A page in place of an answer is passed over; silence ends the search.
func TestDiscoverGoesOn(t *testing.T) {
	as := start(t, devissuer.Options{})
	as.Fail(devissuer.Fault{Path: oauthPlace, ContentType: "text/html", Body: []byte("<html>welcome</html>")})
	if m, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, ""); err != nil || m.URL != as.URL+oidcPlace {
		t.Errorf("after a page: %+v, %v", m, err)
	}
	for name, fault := range map[string]devissuer.Fault{"500": {Status: 500}, "redirect": {Redirect: "https://elsewhere.example/"}} {
		as.Fail(fault)
		before := len(as.Requests())
		if _, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, ""); err == nil || len(as.Requests())-before != 2 {
			t.Errorf("%s everywhere: %v, asked %v", name, err, as.Requests()[before:])
		}
	}
	as.Fail(devissuer.Fault{Reset: true})
	before := len(as.Requests())
	if _, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, ""); err == nil || len(as.Requests())-before != 1 {
		t.Errorf("reset: %v, asked %v", err, as.Requests()[before:])
	}
	for _, issuer := range []string{"", "as.example.com", "https://as.example.com?x", "https://as.example.com#x", "::"} {
		if _, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), issuer, ""); err == nil {
			t.Errorf("issuer %q was accepted", issuer)
		}
	}
}

// KEY-15, K8S-05: the document may be elsewhere, the issuer in it may not.
func TestDiscoverOverride(t *testing.T) {
	const issuer = "https://kubernetes.default.svc.cluster.local"
	var as *httptest.Server
	as = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, issuer, as.URL)
	}))
	defer as.Close()
	c := fetch.NewClient(fetch.ClientOptions{})
	if m, err := Discover(t.Context(), c, issuer, as.URL+"/elsewhere"); err != nil || m.JWKSURI != as.URL+"/jwks" {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := Discover(t.Context(), c, issuer+"/", as.URL+"/elsewhere"); err == nil {
		t.Error("another issuer was accepted")
	}
}

// TestDiscoverHidesQueries: an address of an operator's may have a key in its
// query, and what goes wrong with it is told to all who ask for readyz.
func TestDiscoverHidesQueries(t *testing.T) {
	const issuer, query = "https://login.example.com", "?key=s3cr3t"
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != query[1:] {
			t.Errorf("asked with %q", r.URL.RawQuery)
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "text/html")
		case "/array":
			fmt.Fprint(w, "[]")
		case "/other":
			fmt.Fprint(w, `{"issuer":"https://other.example.com"}`)
		case "/none":
			fmt.Fprintf(w, `{"issuer":%q}`, issuer)
		case "/good":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://login.example.com/jwks"}`, issuer)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer as.Close()
	c := fetch.NewClient(fetch.ClientOptions{})
	for _, place := range []string{gone.URL, as.URL + "/page", as.URL + "/array", as.URL + "/other", as.URL + "/none", as.URL + "/absent"} {
		if _, err := Discover(t.Context(), c, issuer, place+query); err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), place+"?redacted") {
			t.Errorf("%s: %v", place, err)
		}
	}
	if m, err := Discover(t.Context(), c, issuer, as.URL+"/good"+query); err != nil || m.URL != as.URL+"/good?redacted" {
		t.Errorf("%+v, %v", m, err)
	}
}

// KEY-04: an own authority; and keys are not fetched over less than the
// document that names them.
func TestDiscoverTLS(t *testing.T) {
	as := start(t, devissuer.Options{TLS: true})
	if _, err := Discover(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL, ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	c := fetch.NewClient(fetch.ClientOptions{RootCAs: roots(t, as), AllowHTTP: true})
	if _, err := Discover(t.Context(), c, as.URL, ""); err != nil {
		t.Errorf("own authority: %v", err)
	}
	as.Change(func(o *devissuer.Options) {
		o.Members = map[string]json.RawMessage{"jwks_uri": json.RawMessage(`"http://127.0.0.1:9/jwks"`)}
	})
	if _, err := Discover(t.Context(), c, as.URL, ""); err == nil || !strings.Contains(err.Error(), "not https") {
		t.Errorf("jwks_uri over http: %v", err)
	}
}

func roots(t *testing.T, as *devissuer.Running) *x509.CertPool {
	t.Helper()
	file, err := as.CAFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the file")
	}
	return pool
}

// How long a set is fresh is what its own answer says, not the metadata's.
func TestFreshness(t *testing.T) {
	for _, test := range []struct {
		says string
		want time.Duration
	}{{"", 0}, {"max-age=300", 5 * time.Minute}, {"max-age=0", 1}, {"no-store", 1}} {
		as := start(t, devissuer.Options{})
		as.Fail(devissuer.Fault{Path: "/jwks", Header: http.Header{"Cache-Control": {test.says}}})
		as.Fail(devissuer.Fault{Path: oauthPlace, Header: http.Header{"Cache-Control": {"max-age=9"}}})
		c := NewCache(Options{})
		c.Configure([]Source{{Name: "a", Issuer: as.URL}})
		if _, fresh, err := c.entries.Load().byName["a"].load(t.Context()); err != nil || fresh != test.want {
			t.Errorf("%q: %v, %v", test.says, fresh, err)
		}
	}
}
