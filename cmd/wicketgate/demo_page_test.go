package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// runningDemo is a demo on free ports.
func runningDemo(t *testing.T) *demo {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var stderr lockedBuffer
	a := &app{ctx: ctx, stdout: io.Discard, stderr: &stderr, env: func(string) (string, bool) { return "", false }, program: "wicketgate"}
	d, err := (&demoCommand{Once: true}).start(a)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.gateway.serve(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v: %s", err, stderr.String())
		}
		d.stop()
		http.DefaultClient.CloseIdleConnections()
	})
	return d
}

// fetched is an answer, read whole.
type fetched struct {
	status int
	header http.Header
	body   string
}

// fetch makes a request with these header fields. "Host" is one of them, and "form"
// is what it posts.
func fetch(t *testing.T, method, address string, fields ...string) fetched {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		switch name, value := fields[i], fields[i+1]; name {
		case "Host":
			req.Host = value
		case "form":
			req.Body = io.NopCloser(strings.NewReader(value))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		default:
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fetched{resp.StatusCode, resp.Header, string(body)}
}

// element is what stands in an element of the page, which has one with this opening.
func element(t *testing.T, page, opening, name string) string {
	t.Helper()
	parts := strings.Split(page, "<"+opening+">")
	text, _, closed := strings.Cut(parts[len(parts)-1], "</"+name+">")
	if len(parts) != 2 || !closed {
		t.Fatalf("the page has %d elements <%s>", len(parts)-1, opening)
	}
	return text
}

func TestPlaygroundPage(t *testing.T) {
	d := runningDemo(t)
	page := fetch(t, http.MethodGet, d.gate+"/playground")
	if page.status != http.StatusOK {
		t.Fatalf("status %d: %s", page.status, page.body)
	}
	source := func(name string) string {
		sum := sha256.Sum256([]byte(element(t, page.body, name, name)))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8",
		"Content-Security-Policy": "default-src 'none'; script-src " + source("script") + "; style-src " + source("style") +
			"; img-src data:; connect-src 'self' " + d.issuer +
			"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
		"Set-Cookie":                   "",
	} {
		if got := strings.Join(page.header.Values(name), " and "); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	// What the policy forbids would silently not work, and what comes from elsewhere
	// would not come at all without a network.
	markup := strings.NewReplacer(element(t, page.body, "script", "script"), "", element(t, page.body, "style", "style"), "").Replace(page.body)
	for _, forbidden := range []string{`\son\w+=`, `\sstyle=`, `\ssrc=`, `javascript:`, `\shref="[^"]*"`, `<(?:script|style|iframe|object|base|meta http-equiv)\b[^>]*>`} {
		for _, found := range regexp.MustCompile(forbidden).FindAllString(markup, -1) {
			if !slices.Contains([]string{"<script>", "<style>", ` href="data:,"`, `<script type="application/json" id="settings">`}, found) {
				t.Errorf("the page has %q", found)
			}
		}
	}
	if strings.Contains(playgroundFile, "://") {
		t.Error("the page's file names an address by itself")
	}
	if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(`).FindString(page.body); found != "" {
		t.Errorf("the script uses %s: what it shows is text", found)
	}
}

func TestPlaygroundSettings(t *testing.T) {
	d := runningDemo(t)
	page := fetch(t, http.MethodGet, d.gate+"/playground").body
	var settings playgroundSettings
	if err := json.Unmarshal([]byte(element(t, page, `script type="application/json" id="settings"`, "script")), &settings); err != nil {
		t.Fatal(err)
	}
	if settings.Issuer != d.issuer || settings.Ask != d.issuer || settings.Grant != devissuer.DemoGrant || settings.Program != "wicketgate" {
		t.Errorf("issuer %s, asked at %s with %s by %s; it is at %s", settings.Issuer, settings.Ask, settings.Grant, settings.Program, d.issuer)
	}
	if missing := token.Refuse(token.CredentialRequired, token.ReasonMissing).Description(); settings.Missing != missing {
		t.Errorf("a bare 401 is %q, want %q", settings.Missing, missing)
	}
	for _, r := range token.Reasons {
		about, known := rules[r.Reason]
		if known && !slices.Contains(settings.Checks[r.Description], playgroundCheck{about.check, about.spec, about.setting}) {
			t.Errorf("%s is not among the checks of %q", r.Reason, r.Description)
		}
	}
	// A policy cannot name an IPv6 address.
	six, err := newPlayground([]string{"[::1]:1"}, "http://[::1]:2", "wicketgate")
	if err != nil {
		t.Fatal(err)
	}
	text := element(t, six.text, `script type="application/json" id="settings"`, "script")
	if err := json.Unmarshal([]byte(text), &settings); err != nil || settings.Issuer != "http://localhost:2" || settings.Ask != "http://[::1]:2" || !strings.Contains(six.policy, "connect-src 'self' http://localhost:2;") {
		t.Errorf("the page asks at %q, by %s, others at %q: %v", settings.Issuer, six.policy, settings.Ask, err)
	}
	// A value of the command line that would end the element stays within it.
	other, err := newPlayground([]string{"localhost"}, demoIssuer, "./</script><b>wicketgate")
	if err != nil {
		t.Fatal(err)
	}
	text = element(t, other.text, `script type="application/json" id="settings"`, "script")
	if err := json.Unmarshal([]byte(text), &settings); err != nil || settings.Ask != "" || settings.Program != "./</script><b>wicketgate" {
		t.Errorf("asked at %q by %q: %v", settings.Ask, settings.Program, err)
	}
}

// TestPlaygroundRequests: each request that the page offers is answered as its
// script says, with a token of the scope it asks for and with one of another.
func TestPlaygroundRequests(t *testing.T) {
	d := runningDemo(t)
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	var paths, methods []string
	for _, found := range regexp.MustCompile(`<option(?: value="([^"]+)")?>([A-Z]*)`).FindAllStringSubmatch(playgroundFile, -1) {
		if found[1] != "" {
			paths = append(paths, found[1])
		} else {
			methods = append(methods, found[2])
		}
	}
	wanted := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^  '(/[^']*)': \{ (.+) \},$`).FindAllStringSubmatch(playgroundFile, -1) {
		for _, found := range regexp.MustCompile(`([A-Z]+): '([^']+)'`).FindAllStringSubmatch(row[2], -1) {
			wanted[found[1]+" "+row[1]] = found[2]
		}
	}
	if len(paths) != 4 || len(methods) != 3 || len(wanted) != 6 {
		t.Fatalf("paths %v, methods %v, scopes %v", paths, methods, wanted)
	}
	for _, path := range paths {
		for _, method := range methods {
			scope, scoped := wanted[method+" "+path]
			statuses := map[string]int{scope: http.StatusOK, "profile": http.StatusForbidden}
			if !scoped {
				statuses = map[string]int{"profile": map[string]int{"/healthz": http.StatusOK, "/nowhere": http.StatusNotFound}[path]}
			}
			for scope, want := range statuses {
				step := demoStep{grant: demoGrant(scope, "600")}
				step.grant.Set("jkt", key.Thumbprint())
				raw, err := askToken(t.Context(), d.issuer, step.grant)
				if err != nil {
					t.Fatal(err)
				}
				proof, err := key.Proof(devissuer.Proof{Method: method, URL: d.gate + path, AccessToken: raw})
				if err != nil {
					t.Fatal(err)
				}
				answer := fetch(t, method, d.gate+path, "Authorization", "DPoP "+raw, "DPoP", proof, "X-Auth-Subject", "admin")
				var echo struct {
					Headers map[string]string `json:"headers"`
				}
				if err := json.Unmarshal([]byte(answer.body), &echo); err != nil || answer.status != want {
					t.Errorf("%s %s with %s: %d %s, want %d", method, path, scope, answer.status, answer.body, want)
				}
				if told := echo.Headers["X-Auth-Subject"]; told == "admin" || (told != "") != (scoped && want == http.StatusOK) {
					t.Errorf("%s %s with %s: the API was told of %q", method, path, scope, told)
				}
			}
		}
	}
}

// TestPlaygroundFlags: the lines for a shell have no flag that their command has not.
func TestPlaygroundFlags(t *testing.T) {
	script := element(t, playgroundFile, "script", "script")
	help := command(t, "token", "--help").stdout + command(t, "proof", "--help").stdout
	found := regexp.MustCompile(`[ '](--[a-z][a-z-]+)`).FindAllStringSubmatch(script, -1)
	for _, flag := range found {
		if !regexp.MustCompile(flag[1] + `\b`).MatchString(help) {
			t.Errorf("neither token nor proof has %s", flag[1])
		}
	}
	if len(found) < 8 {
		t.Errorf("only %d flags: does the pattern still find them?", len(found))
	}
}

func TestPlaygroundAsksIssuer(t *testing.T) {
	d := runningDemo(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(d.gate, "http://"), ":")
	grant := demoGrant("orders.read", "600").Encode()
	for _, test := range []struct {
		origin  string
		allowed bool
	}{
		{d.gate, true},
		{"http://localhost:" + port, true},
		{"http://[::1]:" + port, true},
		{"https://localhost:" + port, false},
		{"http://localhost", false},
		{"http://evil.example:" + port, false},
		{"null", false},
		{d.issuer, false},
	} {
		want := map[bool]string{true: test.origin}[test.allowed]
		asked := fetch(t, http.MethodOptions, d.issuer+"/token", "Origin", test.origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "dpop")
		if got := asked.header.Get("Access-Control-Allow-Origin"); got != want || (asked.status == http.StatusNoContent) != test.allowed {
			t.Errorf("preflight from %s: %d for %q, want %q", test.origin, asked.status, got, want)
		}
		if got := asked.header.Get("Access-Control-Allow-Headers"); (got == "DPoP") != test.allowed {
			t.Errorf("preflight from %s: headers %q", test.origin, got)
		}
		answer := fetch(t, http.MethodPost, d.issuer+"/token", "Origin", test.origin, "form", grant)
		if got := answer.header.Get("Access-Control-Allow-Origin"); got != want || answer.header.Get("Vary") != "Origin" || answer.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("token for %s: allowed %q, want %q; %v", test.origin, got, want, answer.header)
		}
	}
	if answer := fetch(t, http.MethodPost, d.issuer+"/token", "form", grant); answer.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(answer.body, "access_token") {
		t.Errorf("without an origin: %v %s", answer.header, answer.body)
	}
}

// TestDemoNames: who was led to loopback by another name than its own gets nothing.
func TestDemoNames(t *testing.T) {
	d := runningDemo(t)
	api := d.gateway.file.Resources[0].Upstream
	for _, base := range []string{d.gate, api, d.issuer} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/playground", "/healthz", "/jwks"} {
			for host, good := range map[string]bool{
				u.Host: true, "localhost:" + u.Port(): true, "[::1]:" + u.Port(): true,
				"evil.example:" + u.Port(): false, "127.0.0.1.evil.example": false, "localhost.evil.example:" + u.Port(): false, "192.0.2.1": false,
			} {
				answer := fetch(t, http.MethodGet, base+path, "Host", host)
				want := answer.status != http.StatusMisdirectedRequest
				if base == api && path == "/playground" { // only through the gate
					good = false
				}
				if want != good {
					t.Errorf("%s%s as %s: %d", base, path, host, answer.status)
				}
			}
		}
	}
}

func TestDemoStaysOnLoopback(t *testing.T) {
	for _, flag := range []string{"--listen", "--admin", "--issuer", "--api"} {
		for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
			command(t, "demo", "--once", flag, address).want(t, exitFailed, "give the demo an address of loopback", address)
		}
	}
}

// TestPlaygroundIsTheDemos: no gate that serves a file has the page.
func TestPlaygroundIsTheDemos(t *testing.T) {
	f := newFixture(t, nil)
	for _, base := range []string{f.url, f.admin} {
		if answer := fetch(t, http.MethodGet, base+"/playground"); answer.status != http.StatusNotFound {
			t.Errorf("%s: %d", base, answer.status)
		}
	}
	if answer := fetch(t, http.MethodPost, f.a.URL+"/token", "Origin", f.url, "Host", "as.example.com", "form", demoGrant("read", "60").Encode()); answer.status != http.StatusOK || answer.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("an issuer of tests: %d %v", answer.status, answer.header)
	}
}

func TestDemoOnceLooksAtThePage(t *testing.T) {
	d := runningDemo(t)
	served := *d.page
	for _, test := range []struct {
		want  string
		alter func(*demo)
	}{
		{"", func(*demo) {}},
		{"Content-Security-Policy", func(d *demo) { d.page.policy += " 'unsafe-inline'" }},
		{"another page", func(d *demo) { d.page.text += " " }},
		{"status 401", func(d *demo) { d.gate += "/orders" }},
		{"Content-Type", func(d *demo) { d.gate += "/healthz?" }},
	} {
		page := served
		expected := &demo{gate: d.gate, page: &page}
		test.alter(expected)
		err := expected.tryPage(t.Context())
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}
