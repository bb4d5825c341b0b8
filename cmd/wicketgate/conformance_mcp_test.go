package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// newToolServer is the fixture as an MCP server under its own loopback address,
// so that a client needs to be told nothing but its URL.
func newToolServer(t *testing.T) (f *fixture, server string) {
	t.Helper()
	f = newFixture(t, edits(
		replacing("identifier: https://rs.example.com", `identifier: "http://%[1]s/mcp"`),
		resourceKeys("preset: mcp"),
		onlyRoutes("{name: mcp, path: /mcp, scopes: [tools, files]}", "{name: admin, path: /mcp/admin, scopes: [admin]}"),
	))
	return f, f.url + "/mcp"
}

// mcpClient is an MCP client: it knows the URL of the server and the standards.
type mcpClient struct {
	t *testing.T
	http.Client
}

func (v *mcpClient) get(location string, into any) int {
	v.t.Helper()
	resp, err := v.Get(location)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if into != nil && resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			v.t.Fatal(err)
		}
	}
	return resp.StatusCode
}

func (v *mcpClient) call(server, bearer string) *reply {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, server, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &reply{resp, string(body)}
}

var attributeForm = regexp.MustCompile(`(\w+)="([^"]*)"`)

// hint reads an attribute of the first challenge.
func hint(resp *reply, name string) string {
	for _, a := range attributeForm.FindAllStringSubmatch(resp.Header.Get("WWW-Authenticate"), -1) {
		if a[1] == name {
			return a[2]
		}
	}
	return ""
}

// described is what a client reads of the metadata.
type described struct {
	Resource string
	Servers  []string `json:"authorization_servers"`
}

// wellKnownOf is the metadata of an issuer (RFC 8414 section 3.1).
func wellKnownOf(t *testing.T, issuer string) string {
	t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
}

// enter goes the way from a document to a token for scope.
func (v *mcpClient) enter(document, server, scope string) string {
	v.t.Helper()
	var m described
	if status := v.get(document, &m); status != http.StatusOK {
		v.t.Fatalf("%s: %d", document, status)
	}
	if m.Resource != server || len(m.Servers) == 0 {
		v.t.Fatalf("%s says %+v", document, m)
	}
	var as struct{ Issuer, Token_endpoint string } //nolint:revive // as encoding/json matches it
	if v.get(wellKnownOf(v.t, m.Servers[0]), &as); as.Issuer != m.Servers[0] {
		v.t.Fatalf("issuer %q, want %q", as.Issuer, m.Servers[0])
	}
	resp, err := v.PostForm(as.Token_endpoint, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"mcpClient"}, "scope": {scope}, "resource": {m.Resource},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&granted); err != nil || granted.Token == "" {
		v.t.Fatalf("%d %v", resp.StatusCode, err)
	}
	return granted.Token
}

// newVisitor keeps no connection, so that none outlives the test.
func newVisitor(t *testing.T) *mcpClient {
	transport := &http.Transport{DisableKeepAlives: true}
	return &mcpClient{t, http.Client{Transport: transport}}
}

func testMCP01(t *testing.T) {
	f, _ := newToolServer(t)
	m := metadataOf(t, f, rootDocument+"/mcp")
	if got := texts(t, m, "authorization_servers"); len(got) == 0 || got[0] != f.a.Identifier() {
		t.Errorf("authorization_servers %v", got)
	}
	if got := texts(t, m, "scopes_supported"); !slices.Equal(got, []string{"tools", "files", "admin"}) {
		t.Errorf("scopes_supported %v", got)
	}
}

// testMCP02 goes the whole way in, three times: as the 401 says, by the path
// and by the root.
func testMCP02(t *testing.T) {
	f, server := newToolServer(t)
	v := newVisitor(t)
	first := v.call(server, "")
	if first.StatusCode != http.StatusUnauthorized || hint(first, "error") != "" {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	for name, document := range map[string]string{
		"challenge": hint(first, "resource_metadata"), "path": f.url + rootDocument + "/mcp", "root": f.url + rootDocument,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t)
			if resp := v.call(server, v.enter(document, server, hint(first, "scope"))); resp.StatusCode != http.StatusOK {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if got := f.upstream.last(); got.Header.Get("X-Auth-Client-Id") != "mcpClient" || got.Header.Get("Authorization") != "" {
				t.Errorf("the upstream saw %v", got.Header)
			}
		})
	}
}

func testMCP03(t *testing.T) {
	f, server := newToolServer(t)
	v := newVisitor(t)
	for _, aud := range []any{testIdentifier, "https://other.example.com", f.url, server + "/", server + "/admin", []string{f.url, testIdentifier}, nil} {
		untouched(t, f, func() {
			resp := v.call(server, f.AT(map[string]any{"aud": aud, "scope": "tools files"}))
			if resp.StatusCode != 401 || hint(resp, "error") != "invalid_token" {
				t.Errorf("aud %v: %d %v", aud, resp.StatusCode, resp.Header)
			}
		})
	}
	if resp := v.call(server, f.AT(map[string]any{"aud": server, "scope": "tools files"})); resp.StatusCode != 200 || f.upstream.last().Header.Get("Authorization") != "" {
		t.Errorf("%d, the upstream saw %v", resp.StatusCode, f.upstream.last().Header)
	}
	for key, where := range map[string]string{"forward: {token: true}": "forward.token", "routes: [{path: /a, forward: {token: true}}]": "routes[0].forward.token"} {
		command(t, "check", "--config", written(t, config.Smallest()+"    preset: mcp\n    "+key+"\n")).want(t, exitConfig, "resources[0]."+where, "preset: mcp")
	}
	lax := strings.Replace(config.Smallest(), "login.example.com/\n", "login.example.com/\n    insecure_allow_any_audience: true\n", 1)
	command(t, "check", "--config", written(t, lax+"    preset: mcp\n")).want(t, exitConfig, "insecure_allow_any_audience")
}

func testMCP04(t *testing.T) {
	f, server := newToolServer(t)
	for name, row := range map[string]struct {
		status int
		code   string
		line   string
	}{
		"expired":   {401, "invalid_token", "Bearer " + f.AT(map[string]any{"aud": server, "exp": 1, "scope": "tools files"})},
		"garbage":   {401, "invalid_token", "Bearer abc"},
		"scope":     {403, "insufficient_scope", "Bearer " + f.AT(map[string]any{"aud": server, "scope": "tools"})},
		"malformed": {400, "invalid_request", "Bearer a b"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, f, row.status, row.code, bare, func() *reply { return f.do("POST", "/mcp", "Authorization", row.line) })
		})
	}
}

func testMCP05(t *testing.T) {
	f, server := newToolServer(t)
	for name, row := range map[string]struct {
		status int
		path   string
		token  string
		scope  string
	}{
		"nothing":     {401, "/mcp", "", "tools files"},
		"expired":     {401, "/mcp", f.AT(map[string]any{"aud": server, "exp": 1}), "tools files"},
		"one of two":  {403, "/mcp", f.AT(map[string]any{"aud": server, "scope": "files"}), "tools files"},
		"step up":     {403, "/mcp/admin", f.AT(map[string]any{"aud": server, "scope": "tools files"}), "admin"},
		"not for us":  {401, "/mcp/admin", f.AT(nil), "admin"},
		"unreadable":  {401, "/mcp/admin", "abc", "admin"},
		"other claim": {403, "/mcp/admin", f.AT(map[string]any{"aud": server, "scope": nil}), "admin"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if row.token != "" {
				header = []string{"Authorization", "Bearer " + row.token}
			}
			r := f.do("POST", row.path, header...)
			got := challengesOf(t, r)["Bearer"]
			if r.StatusCode != row.status || got["scope"] != row.scope || got["resource_metadata"] != f.url+rootDocument+"/mcp" {
				t.Errorf("%d %v", r.StatusCode, got)
			}
		})
	}
}

func testMCP06(t *testing.T) {
	f, server := newToolServer(t)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		session := []string{"Mcp-Session-Id", "1868a90c", "MCP-Protocol-Version", "2025-06-18"}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			refused(t, f, 401, bare, bare, func() *reply { return do(method, "/mcp", session...) })
			raw := f.AT(map[string]any{"aud": server, "scope": "tools files"})
			wantOK(t, do(method, "/mcp", slices.Concat(session, []string{"Authorization", "Bearer " + raw})...))
			if got := f.upstream.last().Header.Get("Mcp-Session-Id"); got != "1868a90c" {
				t.Errorf("%s: the upstream saw the session %q", method, got)
			}
			// What was let in once is asked again on the same session.
			refused(t, f, 401, bare, bare, func() *reply { return do(method, "/mcp", session...) })
		}
	})
}

func testMCP07(t *testing.T) {
	f, server := newToolServer(t)
	raw := f.AT(map[string]any{"aud": server, "scope": "tools files"})
	refused(t, f, 401, bare, bare, func() *reply { return f.do("POST", "/mcp?access_token="+raw) })
	refused(t, f, 400, "invalid_request", bare, func() *reply { return f.do("POST", "/mcp?access_token="+raw, "Authorization", "Bearer "+raw) })
	for _, source := range []string{"query: true", "body: true", "cookie: a", "header: X-Token", "websocket: true"} {
		key, _, _ := strings.Cut(source, ":")
		text := config.Smallest() + "    preset: mcp\n    token_sources: {" + source + "}\n"
		command(t, "check", "--config", written(t, text)).want(t, exitConfig, "resources[0].token_sources."+key, "preset: mcp")
	}
}

func testMCP08(t *testing.T) {
	f, server := newToolServer(t)
	raw := "Bearer " + f.AT(map[string]any{"aud": server, "scope": "tools files"})
	// Nobody is listed, so no page but the server's own may call.
	for _, origin := range []string{page, "null", "http://localhost"} {
		refused(t, f, 403, absent, absent, func() *reply { return f.do("POST", "/mcp", "Origin", origin, "Authorization", raw) })
	}
	wantOK(t, f.do("POST", "/mcp", "Origin", f.url, "Authorization", raw))
	wantOK(t, f.do("POST", "/mcp", "Authorization", raw))
	listed := newFixture(t, edits(tokenKept, resourceKeys("preset: mcp", "cors: {preflight: answer, origins: [https://app.example.com]}")))
	r := listed.do("OPTIONS", "/any/x", asking(page, "POST")...)
	if r.StatusCode != 204 || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Mcp-Session-Id") {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if r := listed.do("GET", "/read", "Origin", page); r.StatusCode != 401 || !slices.Contains(exposed(r), "Mcp-Session-Id") {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	// An audience in other letters is another one, unless it is configured.
	shouting := devissuer.Token{Claims: map[string]any{"aud": "https://RS.example.com"}}
	refused(t, listed, 401, "invalid_token", bare, func() *reply {
		return listed.do("GET", "/read", "Authorization", "Bearer "+listed.mint(listed.a, shouting))
	})
	aliased := newFixture(t, edits(tokenKept, resourceKeys("preset: mcp", "audiences: [https://rs.example.com, https://RS.example.com]")))
	wantOK(t, aliased.do("GET", "/read", "Authorization", "Bearer "+aliased.mint(aliased.a, shouting)))
	command(t, "check", "--config", written(t, config.Smallest()+"    preset: mcp\n")).want(t, exitOK,
		"filled: resources[0].metadata: true (preset: mcp)\n", "filled: resources[0].cors.strict: true (preset: mcp)\n")
}
