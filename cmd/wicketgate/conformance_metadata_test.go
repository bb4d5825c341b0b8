package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// metadataRows are the rows about protected resource metadata, CORS and the
// Model Context Protocol.
var metadataRows = []conformanceRow{
	{"PRM-01", testPRM01}, {"PRM-02", testPRM02}, {"PRM-03", testPRM03}, {"PRM-04", testPRM04}, {"PRM-05", testPRM05},
	{"PRM-06", testPRM06}, {"PRM-07", testPRM07}, {"PRM-08", testPRM08}, {"PRM-09", testPRM09}, {"PRM-10", testPRM10},
	{"CHAL-11", testCHAL11},
	{"CORS-01", testCORS01}, {"CORS-03", testCORS03}, {"CORS-04", testCORS04}, {"CORS-05", testCORS05},
	{"CORS-06", testCORS06}, {"CORS-07", testCORS07}, {"CORS-08", testCORS08},
	{"MCP-01", testMCP01}, {"MCP-02", testMCP02}, {"MCP-03", testMCP03}, {"MCP-04", testMCP04}, {"MCP-05", testMCP05},
	{"MCP-06", testMCP06}, {"MCP-07", testMCP07}, {"MCP-08", testMCP08},
}

const rootDocument = "/.well-known/oauth-protected-resource"

// resourceKeys adds lines to the resource of the fixture.
func resourceKeys(lines ...string) func(string) string {
	return func(text string) string {
		return strings.Replace(text, "    forward: {headers", "    "+strings.Join(lines, "\n    ")+"\n    forward: {headers", 1)
	}
}

// edits makes one edit of several.
func edits(all ...func(string) string) func(string) string {
	return func(text string) string {
		for _, edit := range all {
			text = edit(text)
		}
		return text
	}
}

// replacing changes the fixture's text where old stands.
func replacing(old, with string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, with, 1) }
}

// tokenKept takes out the one route that passes tokens on.
func tokenKept(text string) string {
	return strings.Replace(text, ", forward: {token: true}", "", 1)
}

// onlyRoutes replaces the routes of the fixture.
func onlyRoutes(lines ...string) func(string) string {
	return func(text string) string {
		before, after, _ := strings.Cut(text, "    routes:\n")
		_, after, _ = strings.Cut(after, "log:")
		return before + "    routes:\n      - " + strings.Join(lines, "\n      - ") + "\nlog:" + after
	}
}

// metadataOf reads the document at path, without a token.
func metadataOf(t *testing.T, f *fixture, path string) map[string]any {
	t.Helper()
	var r *reply
	untouched(t, f, func() { r = f.do("GET", path) })
	wantOK(t, r)
	var members map[string]any
	if err := json.Unmarshal([]byte(r.body), &members); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return members
}

// texts reads a member that is an array of strings.
func texts(t *testing.T, members map[string]any, name string) []string {
	t.Helper()
	list, _ := members[name].([]any)
	all := make([]string, len(list))
	for i, v := range list {
		all[i], _ = v.(string)
	}
	return all
}

func testPRM01(t *testing.T) {
	f := newFixture(t, resourceKeys("metadata: true"))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for name, header := range map[string][]string{
			"no token": nil, "bad token": {"Authorization", "Bearer bad"}, "two tokens": {"Authorization", "Bearer a", "Authorization", "Bearer b"},
			"expired": {"Authorization", "Bearer " + f.AT(map[string]any{"exp": 1})}, "of a page": {"Origin", "https://anybody.example"},
		} {
			untouched(t, f, func() {
				r := do("GET", rootDocument, header...)
				if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.body, `{"resource":"https://rs.example.com",`) {
					t.Errorf("%s: %d %v %s", name, r.StatusCode, r.Header, r.body)
				}
				h := do("HEAD", rootDocument, header...)
				if h.StatusCode != 200 || h.body != "" || h.Header.Get("Content-Length") != r.Header.Get("Content-Length") {
					t.Errorf("%s: HEAD %d %v", name, h.StatusCode, h.Header)
				}
			})
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"} {
			r := refused(t, f, 405, absent, absent, func() *reply { return do(method, rootDocument, "Authorization", "Bearer "+f.AT(nil)) })
			if got := r.Header.Get("Allow"); got != "GET, HEAD" {
				t.Errorf("%s: Allow %q", method, got)
			}
		}
		// An MCP client sends a field of its own along, so a browser asks first.
		untouched(t, f, func() {
			r := do("OPTIONS", rootDocument, "Origin", "https://anybody.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "mcp-protocol-version")
			if r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Headers") != "*" {
				t.Errorf("preflight: %d %v", r.StatusCode, r.Header)
			}
		})
		for _, path := range []string{rootDocument + "x", rootDocument + "/other", "/.well-known", "/x" + rootDocument} {
			refused(t, f, 404, absent, absent, func() *reply { return do("GET", path) })
		}
		refused(t, f, 400, absent, absent, func() *reply { return do("GET", "/.well-known/%2e/oauth-protected-resource") })
	})
	if log := f.log.String(); strings.Contains(log, `"gate.decision":"error"`) {
		t.Errorf("the document is logged as an error: %s", log)
	}
	off := newFixture(t, onlyRoutes("{name: wide, path: /**}"))
	refused(t, off, 401, bare, bare, func() *reply { return off.do("GET", rootDocument) })
	wantOK(t, off.do("GET", rootDocument, "Authorization", "Bearer "+off.AT(nil)))
	if seen := off.upstream.last(); seen.URL.Path != rootDocument {
		t.Errorf("the upstream saw %s", seen.URL.Path)
	}
}

func testPRM02(t *testing.T) {
	for name, row := range map[string]struct {
		identifier, extra string
		found, missing    []string
		url               string
	}{
		"no path":    {"https://rs.example.com", "metadata: true", []string{rootDocument, rootDocument + "/", rootDocument + "?x=1"}, []string{rootDocument + "/api"}, "https://rs.example.com" + rootDocument},
		"lone slash": {"https://rs.example.com/", "metadata: true", []string{rootDocument, rootDocument + "/"}, []string{rootDocument + "/api"}, "https://rs.example.com" + rootDocument},
		"path":       {"https://rs.example.com/api/v1", "metadata: true", []string{rootDocument + "/api/v1", rootDocument + "/api/v1/"}, []string{rootDocument, rootDocument + "/", rootDocument + "/api", rootDocument + "/api/v1/x"}, "https://rs.example.com" + rootDocument + "/api/v1"},
		"path/":      {"https://rs.example.com/api/", "metadata: true", []string{rootDocument + "/api/", rootDocument + "/api"}, []string{rootDocument}, "https://rs.example.com" + rootDocument + "/api/"},
		"query":      {"https://rs.example.com/a?k=v&l=w", "metadata: true", []string{rootDocument + "/a?k=v&l=w"}, []string{rootDocument + "/a", rootDocument + "/a?k=v", rootDocument + "?k=v&l=w"}, "https://rs.example.com" + rootDocument + "/a?k=v&l=w"},
		"port":       {"https://RS.example.com:8443/a", "metadata: true", []string{rootDocument + "/a"}, []string{rootDocument}, "https://RS.example.com:8443" + rootDocument + "/a"},
		"preset":     {"https://rs.example.com/api/v1", "preset: mcp", []string{rootDocument + "/api/v1", rootDocument}, []string{rootDocument + "/api"}, "https://rs.example.com" + rootDocument + "/api/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, edits(replacing("identifier: https://rs.example.com", `identifier: "`+row.identifier+`"`), tokenKept, resourceKeys(row.extra)))
			for _, path := range row.found {
				if got := metadataOf(t, f, path)["resource"]; got != row.identifier {
					t.Errorf("%s: resource %v", path, got)
				}
			}
			for _, path := range row.missing {
				refused(t, f, 404, absent, absent, func() *reply { return f.do("GET", path) })
			}
			for scheme, attributes := range challengesOf(t, f.do("GET", "/read")) {
				if attributes["resource_metadata"] != row.url {
					t.Errorf("%s: resource_metadata %q, want %q", scheme, attributes["resource_metadata"], row.url)
				}
			}
		})
	}
	// A document that is another's passes like any path.
	f := newFixture(t, edits(replacing("https://rs.example.com", "https://rs.example.com/api/v1"), resourceKeys("metadata: true"), onlyRoutes("{path: /.well-known/**, public: true}")))
	if r := f.do("GET", rootDocument); r.StatusCode != 200 || r.body != "upstream" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func testPRM03(t *testing.T) {
	for _, identifier := range []string{"https://rs.example.com", "https://rs.example.com/", "https://RS.example.com:443/a/", "https://rs.example.com/a?x=1&y=2"} {
		f := newFixture(t, edits(replacing("identifier: https://rs.example.com", `identifier: "`+identifier+`"`), resourceKeys("metadata: true")))
		location, err := url.Parse(challengesOf(t, f.do("GET", "/read"))["Bearer"]["resource_metadata"])
		if err != nil || location.Scheme != "https" {
			t.Fatalf("%v %v", location, err)
		}
		if got := metadataOf(t, f, location.RequestURI())["resource"]; got != identifier {
			t.Errorf("resource %v, want %s", got, identifier)
		}
	}
	for identifier, want := range map[string]string{
		"http://rs.example.com":         "needs an identifier that is an https URL",
		"urn:example:rs":                "needs an identifier that is an https URL",
		"https://rs.example.com/#top":   "must not have a fragment",
		"https://rs.example.com/a/../b": "has a path that requests are refused for",
		"https://rs.example.com//a":     "has a path that requests are refused for",
	} {
		text := strings.Replace(config.Smallest(), "https://api.example.com ", `"`+identifier+`" `, 1) + "    metadata: true\n    public_origins: [https://rs.example.com]\n"
		for _, name := range []string{"check", "serve"} {
			command(t, name, "--config", written(t, text)).want(t, exitConfig, want)
		}
	}
}

func testPRM04(t *testing.T) {
	for name, row := range map[string]struct {
		edit  func(string) string
		empty int
	}{
		"all":         {resourceKeys("metadata: true"), 0},
		"no routes":   {edits(resourceKeys("metadata: true"), onlyRoutes("{path: /x}")), 0},
		"public only": {edits(resourceKeys("metadata: true"), onlyRoutes("{path: /x, public: true}")), 1},
		"dpop only":   {edits(resourceKeys("metadata: true"), onlyRoutes("{path: /x, binding: dpop}")), 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, row.edit)
			body := f.do("GET", rootDocument).body
			if strings.Count(body, "[]") != row.empty || strings.Contains(body, "null") || strings.Contains(body, `""`) || strings.Contains(body, "false") {
				t.Error(body)
			}
			if row.empty == 1 && !strings.Contains(body, `"bearer_methods_supported":[]`) {
				t.Error(body)
			}
		})
	}
}

// testPRM05 changes the configuration and sees the document follow, then does
// what it says.
func testPRM05(t *testing.T) {
	on := resourceKeys("metadata: true")
	for name, row := range map[string]struct {
		edit   func(string) string
		member string
		want   string // JSON; empty: not there
	}{
		"name":                  {on, "resource_name", `"rs"`},
		"no name":               {edits(on, replacing("    name: rs\n", "")), "resource_name", ""},
		"scopes":                {on, "scopes_supported", `["read","write"]`},
		"scopes of any":         {edits(on, onlyRoutes("{path: /a, scopes: {all: [x], any: [y, z, x]}}", "{path: /b, scopes: [z, w]}", "{path: /c, public: true}")), "scopes_supported", `["x","y","z","w"]`},
		"no scopes":             {edits(on, onlyRoutes("{path: /a}")), "scopes_supported", ""},
		"offline_access":        {edits(on, onlyRoutes("{path: /a, scopes: [offline_access, x]}")), "scopes_supported", `["x"]`},
		"only offline_access":   {edits(on, onlyRoutes("{path: /a, scopes: [offline_access]}")), "scopes_supported", ""},
		"header":                {on, "bearer_methods_supported", `["header"]`},
		"header, body, query":   {resourceKeys("metadata: true", "token_sources: {body: true, query: true}"), "bearer_methods_supported", `["header","body","query"]`},
		"no bearer":             {edits(resourceKeys("metadata: true", "token_sources: {query: true}"), onlyRoutes("{path: /a, binding: dpop}")), "bearer_methods_supported", `[]`},
		"algorithms":            {edits(on, func(s string) string { return s + "dpop: {algorithms: [PS256, ES384]}\n" }), "dpop_signing_alg_values_supported", `["PS256","ES384"]`},
		"dpop on some":          {on, "dpop_bound_access_tokens_required", ""},
		"dpop on all":           {edits(on, onlyRoutes("{path: /a, binding: dpop}", "{path: /b, binding: dpop}", "{path: /c, public: true}")), "dpop_bound_access_tokens_required", "true"},
		"dpop on the last":      {edits(on, onlyRoutes("{path: /a}", "{path: /b, binding: dpop}")), "dpop_bound_access_tokens_required", ""},
		"bound somehow":         {edits(on, onlyRoutes("{path: /a, binding: required}")), "dpop_bound_access_tokens_required", ""},
		"all public":            {edits(on, onlyRoutes("{path: /a, public: true}")), "dpop_bound_access_tokens_required", ""},
		"public, no algorithms": {edits(on, onlyRoutes("{path: /a, public: true}")), "dpop_signing_alg_values_supported", ""},
		"no certificates":       {on, "tls_client_certificate_bound_access_tokens", ""},
		"certificates by header": {edits(on, func(s string) string { return s + "mtls: {from: header}\ntrusted_proxies: [127.0.0.1]\n" }),
			"tls_client_certificate_bound_access_tokens", "true"},
		"certificates, but dpop only": {edits(on, onlyRoutes("{path: /a, binding: dpop}"), func(s string) string { return s + "mtls: {from: header}\ntrusted_proxies: [127.0.0.1]\n" }),
			"tls_client_certificate_bound_access_tokens", ""},
		"no details": {on, "authorization_details_types_supported", ""},
		"details": {edits(on, onlyRoutes("{path: /a, authorization_details: [{type: payment}, {type: account, actions: [read]}]}", "{path: /b, authorization_details: [{type: payment, actions: [x]}]}")),
			"authorization_details_types_supported", `["payment","account"]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, row.edit)
			value, found := metadataOf(t, f, rootDocument)[row.member]
			got, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if found != (row.want != "") || found && string(got) != row.want {
				t.Errorf("%s is %s, want %s", row.member, got, row.want)
			}
		})
	}
	t.Run("exercised", testMetadataExercised)
}

// testMetadataExercised holds every value of a document against what the gate
// does.
func testMetadataExercised(t *testing.T) {
	f := newFixture(t, resourceKeys("metadata: true"))
	m := metadataOf(t, f, rootDocument)
	known := "resource authorization_servers scopes_supported bearer_methods_supported resource_name dpop_signing_alg_values_supported"
	for name := range m {
		if !slices.Contains(strings.Fields(known), name) {
			t.Errorf("%s is told and not tried", name)
		}
	}
	aud, _ := m["resource"].(string)
	for i, issuer := range []*devissuer.Running{f.a, f.b} {
		if got := texts(t, m, "authorization_servers"); got[i] != issuer.Identifier() {
			t.Errorf("authorization_servers %v", got)
		}
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.mint(issuer, devissuer.Token{Claims: map[string]any{"aud": aud}})))
	}
	all := strings.Join(texts(t, m, "scopes_supported"), " ")
	wantOK(t, f.do("GET", "/both", "Authorization", "Bearer "+f.AT(map[string]any{"scope": all})))
	if got := texts(t, m, "bearer_methods_supported"); !slices.Equal(got, []string{"header"}) {
		t.Errorf("bearer_methods_supported %v", got)
	}
	refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/read?access_token="+f.AT(nil)) })
	wantSameAlgorithms(t, f)
	for _, alg := range texts(t, m, "dpop_signing_alg_values_supported") {
		key := newClientKey(t, alg)
		raw := f.bound(key, nil)
		wantOK(t, f.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})))
	}
	only := newFixture(t, edits(resourceKeys("metadata: true"), onlyRoutes("{path: /a, binding: dpop}", "{path: /b/**, binding: dpop, scopes: [read]}", "{path: /open, public: true}")))
	if m := metadataOf(t, only, rootDocument); m["dpop_bound_access_tokens_required"] != true {
		t.Errorf("%v", m)
	}
	for _, path := range []string{"/a", "/b/x"} {
		refused(t, only, 401, absent, bare, func() *reply { return only.do("GET", path, "Authorization", "Bearer "+only.AT(nil)) })
	}
}

// wantSameAlgorithms: CHAL-09, what challenges and the document say.
func wantSameAlgorithms(t *testing.T, f *fixture) {
	t.Helper()
	challenged := strings.Fields(challengesOf(t, f.do("GET", "/read"))["DPoP"]["algs"])
	published := texts(t, metadataOf(t, f, rootDocument), "dpop_signing_alg_values_supported")
	if len(published) == 0 || !slices.Equal(slices.Sorted(slices.Values(challenged)), slices.Sorted(slices.Values(published))) {
		t.Errorf("challenges say %v, the metadata %v", challenged, published)
	}
	if slices.Contains(published, "none") {
		t.Error("none is listed")
	}
}

func testPRM06(t *testing.T) {
	f := newFixture(t, resourceKeys("metadata: true"))
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for name, row := range map[string]struct {
			status int
			path   string
			header []string
		}{
			"nothing":       {401, "/read", nil},
			"bad token":     {401, "/read", []string{"Authorization", "Bearer bad"}},
			"bad proof":     {401, "/read", []string{"Authorization", "DPoP " + raw, "DPoP", "bad"}},
			"another's":     {401, "/read", []string{"Authorization", "Bearer " + f.AT(map[string]any{"aud": "https://other.example.com"})}},
			"malformed":     {400, "/read", []string{"Authorization", "Bearer a b"}},
			"two methods":   {400, "/read?access_token=x", []string{"Authorization", "Bearer " + f.AT(nil)}},
			"scope":         {403, "/both", []string{"Authorization", "Bearer " + f.AT(nil)}},
			"one scheme":    {401, "/dpop/x", nil},
			"scheme unused": {401, "/dpop/x", []string{"Authorization", "Bearer " + f.AT(nil)}},
		} {
			var r *reply
			untouched(t, f, func() { r = do("GET", row.path, row.header...) })
			if r.StatusCode != row.status {
				t.Errorf("%s: status %d, want %d", name, r.StatusCode, row.status)
			}
			challenges := challengesOf(t, r)
			if len(challenges) == 0 {
				t.Errorf("%s: no challenge", name)
			}
			for scheme, attributes := range challenges {
				if attributes["resource_metadata"] != testIdentifier+rootDocument {
					t.Errorf("%s: %s says %v", name, scheme, attributes)
				}
			}
		}
	})
	off := newFixture(t, nil)
	for scheme, attributes := range challengesOf(t, off.do("GET", "/read")) {
		if attributes["resource_metadata"] != "" || attributes["scope"] != "" {
			t.Errorf("off, and %s says %v", scheme, attributes)
		}
	}
}

// at sends a GET to the gate under the host and path of a URL, as the
// terminator in front does.
func (f *fixture) at(location string) *reply {
	f.t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		f.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+u.RequestURI(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Host = u.Host
	return f.send(req)
}

func testPRM07(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = resourceKeys("metadata: true", "hosts: [rs.example.com]")(text)
		return strings.Replace(text, "log:", `  - identifier: https://two.example.com/v2
    name: two
    hosts: [two.example.com]
    upstream: "%[5]s"
    metadata: true
    routes: [{path: /v2/**, scopes: [two]}]
log:`, 1)
	})
	for asked, want := range map[string]string{
		"https://rs.example.com/read": "https://rs.example.com", "https://rs.example.com/any/x": "https://rs.example.com",
		"https://two.example.com/v2/a/b": "https://two.example.com/v2",
	} {
		location := challengesOf(t, f.at(asked))["Bearer"]["resource_metadata"]
		r := f.at(location)
		wantOK(t, r)
		var m struct{ Resource string }
		if err := json.Unmarshal([]byte(r.body), &m); err != nil || m.Resource != want || !strings.HasPrefix(asked, m.Resource) {
			t.Errorf("%s: %s is of %q, %v", asked, location, m.Resource, err)
		}
	}
	if r := f.at("https://two.example.com" + rootDocument); r.StatusCode != 404 {
		t.Errorf("the root of a resource with a path: %d", r.StatusCode)
	}
	if r := f.at("https://three.example.com" + rootDocument); r.StatusCode != 421 {
		t.Errorf("a host of nobody: %d", r.StatusCode)
	}
}

func testPRM08(t *testing.T) {
	f := newFixture(t, resourceKeys("metadata: true", "cors: {preflight: answer, origins: [https://app.example.com]}"))
	for _, origin := range []string{"https://app.example.com", "https://anybody.example", "null"} {
		r := f.do("GET", rootDocument, "Origin", origin)
		if got := r.Header["Access-Control-Allow-Origin"]; !slices.Equal(got, []string{"*"}) {
			t.Errorf("%s: %q", origin, got)
		}
		if r.Header.Get("Cache-Control") != "public, max-age=600" || r.Header.Get("Access-Control-Allow-Credentials") != "" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v", r.Header)
		}
	}
}

func testPRM09(t *testing.T) {
	f := newFixture(t, edits(resourceKeys("metadata: true"), func(s string) string { return s + "trusted_proxies: [127.0.0.0/8]\n" }))
	want, challenge := f.do("GET", rootDocument).body, f.do("GET", "/read").Header["Www-Authenticate"]
	evil := []string{
		"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: gopher", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /evil",
		`Forwarded: for=192.0.2.1;host=evil.example;proto=http`, "X-Original-URL: /evil", "X-Original-Host: evil.example",
	}
	for _, target := range []string{rootDocument, "http://evil.example" + rootDocument} {
		request := strings.Replace(head("GET", target, evil...), "Host: rs.example.com", "Host: evil.example", 1)
		if r := parsed(t, f.raw(request)); r.StatusCode != 200 || r.body != want {
			t.Errorf("%d %s, want %s", r.StatusCode, r.body, want)
		}
	}
	r := parsed(t, f.raw(strings.Replace(head("GET", "/read", evil...), "Host: rs.example.com", "Host: evil.example", 1)))
	if got := r.Header["Www-Authenticate"]; r.StatusCode != 401 || !slices.Equal(got, challenge) {
		t.Errorf("%d %q, want %q", r.StatusCode, got, challenge)
	}
}

func testPRM10(t *testing.T) {
	text := config.Smallest() + "    behind_tls: true\n    metadata: true\n    routes: [{path: /a, scopes: [offline_access, read]}]\n"
	command(t, "check", "--config", written(t, text)).want(t, exitOK, "resources[0].routes[0].scopes: warning: offline_access")
	command(t, "check", "--strict", "--config", written(t, text)).want(t, exitFailed, "offline_access")
	f := newFixture(t, edits(resourceKeys("metadata: true"), onlyRoutes("{path: /a, scopes: [offline_access, read]}")))
	if got := texts(t, metadataOf(t, f, rootDocument), "scopes_supported"); !slices.Equal(got, []string{"read"}) {
		t.Errorf("scopes_supported %v", got)
	}
}

func testCHAL11(t *testing.T) {
	f := newFixture(t, edits(resourceKeys("metadata: true"), replacing("      - {name: open,", "      - {name: choice, path: /choice, scopes: {all: [read], any: [a, b]}}\n      - {name: open,")))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for path, want := range map[string]string{"/read": "read", "/both": "read write", "/choice": "read a", "/any/x": "", "/dpop/x": ""} {
			for _, line := range []string{"", "Basic YTpi"} {
				r := do("GET", path, "Authorization", line)
				if r.StatusCode != 401 || r.body != "" {
					t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
				}
				for scheme, attributes := range challengesOf(t, r) {
					if attributes["scope"] != want || attributes["error"]+attributes["error_description"] != "" {
						t.Errorf("%s: %s says %v, want scope %q", path, scheme, attributes, want)
					}
				}
			}
		}
	})
}
