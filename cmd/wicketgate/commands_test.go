package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/telemetry"
)

// counted is a test run as testscript wants it.
type counted func() int

func (c counted) Run() int { return c() }

// curl is as much of curl as the manual uses: -i, -H and a URL.
func curl() {
	req, err := http.NewRequest(http.MethodGet, "", nil)
	show := false
	for i := 1; i < len(os.Args) && err == nil; i++ {
		switch arg := os.Args[i]; {
		case arg == "-i":
			show = true
		case arg == "-H" && i+1 < len(os.Args):
			i++
			name, value, _ := strings.Cut(os.Args[i], ":")
			req.Header.Add(name, strings.TrimSpace(value))
		case strings.HasPrefix(arg, "http://") && req.URL.Host == "":
			req.URL, err = req.URL.Parse(arg)
		default:
			err = fmt.Errorf("curl of the tests does not know %q", arg)
		}
	}
	var resp *http.Response
	if err == nil {
		resp, err = http.DefaultClient.Do(req) //nolint:bodyclose // the process ends with it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(2)
	}
	if show {
		fmt.Printf("%s %s\n", resp.Proto, resp.Status)
		_ = resp.Header.Write(os.Stdout)
		fmt.Println()
	}
	_, _ = io.Copy(os.Stdout, resp.Body)
	fmt.Println()
}

// outcome is what a command came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// command runs a command line in this process.
func command(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(&app{
		ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
		env: func(string) (string, bool) { return "", false }, program: "wicketgate",
	}, args)
	http.DefaultClient.CloseIdleConnections()
	return outcome{code, stdout.String(), stderr.String()}
}

// want checks the exit code and parts of what was printed, on either stream.
func (o outcome) want(t *testing.T, code int, parts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	for _, part := range parts {
		if !strings.Contains(o.stdout+o.stderr, part) {
			t.Errorf("nothing says %q", part)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", o.stdout, o.stderr)
	}
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

func TestVersion(t *testing.T) {
	command(t, "version").want(t, exitOK, "wicketgate ", "revision ", "go1.", "FIPS 140-3: "+telemetry.FIPS())
}

func TestSchema(t *testing.T) {
	o := command(t, "schema")
	o.want(t, exitOK)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(o.stdout))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	if _, err := compiler.Compile("schema.json"); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for line, said := range map[string]string{
		"--nonsense":              "see wicketgate serve --help for its flags: there is no --nonsense",
		"serve --nonsense=secret": "see wicketgate serve --help for its flags: there is no --nonsense",
		"--confg=secret":          "see wicketgate serve --help for its flags: there is no --confg, did you mean --config?",
		"check --strict --hepl":   "see wicketgate check --help for its flags: there is no --hepl, did you mean --help?",
		"secret":                  "run wicketgate --help for the commands: the first argument is none of them",
		"chekc":                   "run wicketgate --help for the commands: the first argument is none of them, did you mean check?",
		"help secret":             "run wicketgate --help for the commands: the first argument is none of them",
		"explain secret":          "see wicketgate explain --help for its flags: an argument is neither a flag nor the value of one",
		"check -qsecret":          "see wicketgate check --help for its flags: an argument is neither a flag nor the value of one",
		"check -- --strict":       "see wicketgate check --help for its flags: there is no --",
		"proof":                   "add --token TOKEN and --url URL; see wicketgate proof --help",
		"proof --token secret":    "add --url URL; see wicketgate proof --help",
		"check --config":          "write --config FILE: the value is missing; see wicketgate check --help",
		"check -c --live":         "write --config FILE: the value is missing; see wicketgate check --help",
		"check --config -c":       "write --config FILE: the value is missing; see wicketgate check --help",
		"check --live=secret":     "write --live, --live=true or --live=false; see wicketgate check --help",
		"token --expires-in=soon": "give --expires-in a duration such as 90s or 10m; see wicketgate token --help",
	} {
		t.Run(line, func(t *testing.T) {
			o := command(t, strings.Fields(line)...)
			o.want(t, exitUsage)
			if want := "wicketgate: " + said + "\n"; o.stderr != want {
				t.Errorf("it says\n%swant\n%s", o.stderr, want)
			}
			if o.stdout != "" {
				t.Errorf("a complaint on stdout: %s", o.stdout)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	names := []string{""}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	for _, name := range names {
		t.Run("help of "+name, func(t *testing.T) {
			args := []string{"--help"}
			if name != "" {
				args = []string{name, "--help"}
			}
			o := command(t, args...)
			o.want(t, exitOK, "Usage: wicketgate")
			if n := strings.Count(o.stdout, "\n"); n > 40 {
				t.Errorf("%d lines", n)
			}
			if name != "" && !regexp.MustCompile(`Example:\s+\S*\s*.*wicketgate `+name).MatchString(strings.ReplaceAll(o.stdout, "\n", " ")) {
				t.Errorf("no example:\n%s", o.stdout)
			}
			if o.stderr != "" {
				t.Errorf("stderr: %s", o.stderr)
			}
		})
	}
}

func TestServeWithoutConfiguration(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"check"}, {"healthcheck"}} {
		command(t, args...).want(t, exitUsage, config.Smallest(), "wicketgate demo")
	}
}

// brokenWriter is an output whose failure is no error but a bug.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("broken") }

func TestRunHidesNoPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a panic of a command ended in silence, and with exit code 0")
		}
	}()
	code := run(&app{ctx: t.Context(), stdout: brokenWriter{}, stderr: io.Discard}, []string{"schema"})
	t.Logf("exit code %d", code)
}

func TestCheck(t *testing.T) {
	smallest := config.Smallest()
	anyAudience := strings.Replace(smallest, "login.example.com/", "login.example.com/\n    insecure_allow_any_audience: true", 1)
	typos := strings.Replace(smallest, "version: 1", "version: 2\nlisten_on: 80", 1) + "    routes: [{path: /a, scpes: [x]}]\n"
	conflict := smallest + "    routes: [{path: '/a/{x}'}, {path: '/a/{y}'}]\n"
	for _, c := range []struct {
		name, text string
		flags      []string
		code       int
		parts      []string
	}{
		{"good", smallest, nil, exitOK, []string{"1 issuers, 1 resources, no mistakes"}},
		{"good, strict", smallest + "    behind_tls: true\n", []string{"--strict"}, exitOK, nil},
		{"a warning", anyAudience, nil, exitOK, []string{"warning: ", "insecure_allow_any_audience"}},
		{"a warning, strict", anyAudience, []string{"--strict"}, exitFailed, []string{"warning: "}},
		{"all mistakes at once", typos, nil, exitConfig, []string{"config.yaml:1:", "listen_on", "did you mean `scopes`?"}},
		{"conflicting routes", conflict, nil, exitConfig, []string{"resources[0].routes[1].path", "config.yaml:7:"}},
		{"no YAML", "version: [", nil, exitConfig, nil},
		{"empty", "", nil, exitConfig, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			command(t, append([]string{"check", "--config", written(t, c.text)}, c.flags...)...).want(t, c.code, c.parts...)
		})
	}
	command(t, "check", "--config", filepath.Join(t.TempDir(), "none.yaml")).want(t, exitConfig, "none.yaml")
}

func TestCheckLive(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	live, err := devissuer.Start(devissuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	slashed, err := devissuer.Start(devissuer.Options{Identifier: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slashed.Close() }()
	first, err := devissuer.Start(devissuer.Options{Identifier: "/tenant/"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	second, err := devissuer.Start(devissuer.Options{Identifier: "/tenant/v2.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	dead, err := devissuer.Start(devissuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	const text = "version: 1\nissuers:\n  - {name: one, issuer: %q}\nresources:\n  - {identifier: https://rs.example.com, name: api, upstream: %q}\n"
	for _, c := range []struct {
		name, issuer, upstream string
		code                   int
		parts                  []string
	}{
		{"all there", live.Identifier(), api.URL, exitOK, []string{"metadata at", "4 usable keys", "upstream of api accepts"}},
		{"dead issuer", dead.Identifier(), api.URL, exitFailed, []string{"FAILED issuer one", "upstream of api accepts"}},
		{"dead upstream", live.Identifier(), dead.URL, exitFailed, []string{"4 usable keys", "FAILED upstream of api"}},
		{"slash forgotten", slashed.URL, api.URL, exitFailed, []string{"but " + slashed.URL + "/ calls itself so"}},
		{"version 2 of one that has 1", first.URL + "/tenant/v2.0", api.URL, exitFailed, []string{"but " + first.Identifier() + " calls itself so"}},
		{"version 1 of one that has 2", second.URL + "/tenant", api.URL, exitFailed, []string{"but " + second.Identifier() + " calls itself so"}},
		{"slash too many", live.Identifier() + "/", api.URL, exitFailed, []string{"but " + live.Identifier() + " calls itself so"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := written(t, fmt.Sprintf(text, c.issuer, c.upstream))
			command(t, "check", "--config", path).want(t, exitOK)
			command(t, "check", "--live", "--config", path).want(t, c.code, c.parts...)
		})
	}
}

// part decodes one part of a compact JWS.
func part(t *testing.T, jws string, index int) map[string]any {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(jws), ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no compact JWS", jws)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[index])
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func TestTokenAndProof(t *testing.T) {
	issuer := startIssuer(t)
	path := filepath.Join(t.TempDir(), "new", "key.json")
	plain := command(t, "token", "--issuer", issuer.URL, "--scope", "x y", "--sub", "me", "--aud", "urn:a", "--claims", `{"n":1}`, "--alg", "RS256", "--key", path)
	plain.want(t, exitOK)
	claims := part(t, plain.stdout, 1)
	for name, want := range map[string]any{"scope": "x y", "sub": "me", "aud": "urn:a", "n": 1.0, "cnf": nil, "iss": issuer.Identifier()} {
		if claims[name] != want {
			t.Errorf("%s: %v, want %v", name, claims[name], want)
		}
	}
	if alg := part(t, plain.stdout, 0)["alg"]; alg != "RS256" {
		t.Errorf("alg %v", alg)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a bearer token made a key")
	}
	bound := command(t, "token", "--issuer", issuer.URL, "--dpop", "--key", path)
	bound.want(t, exitOK)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key's file: %v, %v", info, err)
	}
	key, err := devissuer.LoadClientKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second token is bound to the same key
		if cnf, _ := part(t, bound.stdout, 1)["cnf"].(map[string]any); cnf["jkt"] != key.Thumbprint() {
			t.Errorf("bound to %v, want %s", cnf, key.Thumbprint())
		}
		bound = command(t, "token", "--issuer", issuer.URL, "--dpop", "--key", path)
	}
	proof := command(t, "proof", "--token", strings.TrimSpace(bound.stdout), "--method", "PUT", "--url", "https://rs.example.com/a?b=c#d", "--key", path)
	proof.want(t, exitOK)
	made := part(t, proof.stdout, 1)
	if made["htm"] != "PUT" || made["htu"] != "https://rs.example.com/a" || made["ath"] == nil {
		t.Errorf("proof %v", made)
	}
	public, _ := json.Marshal(part(t, proof.stdout, 0)["jwk"])
	if !jsonEqual(t, public, key.PublicJWK()) {
		t.Errorf("the proof's key is %s", public)
	}
	if n := strings.Count(proof.stdout, "\n"); n != 1 || proof.stderr != "" {
		t.Errorf("more than a proof: %q %q", proof.stdout, proof.stderr)
	}
}

func jsonEqual(t *testing.T, a, b []byte) bool {
	t.Helper()
	var one, two map[string]any
	if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &two) != nil {
		return false
	}
	first, _ := json.Marshal(one)
	second, _ := json.Marshal(two)
	return bytes.Equal(first, second)
}

func TestTokenFailures(t *testing.T) {
	issuer := startIssuer(t)
	dead := startIssuer(t)
	_ = dead.Close()
	spoiled := written(t, "no key")
	command(t, "token", "--issuer", dead.URL).want(t, exitFailed, "is wicketgate demo running?")
	command(t, "token", "--issuer", issuer.URL, "--claims", "{").want(t, exitFailed, "status 400")
	command(t, "token", "--issuer", issuer.URL, "--dpop", "--key", spoiled).want(t, exitFailed, spoiled)
	if text, _ := os.ReadFile(spoiled); string(text) != "no key" {
		t.Error("a file that is no key was overwritten")
	}
}

func TestHealthcheck(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	command(t, "healthcheck", "--config", f.gateway.path).want(t, exitOK)
	command(t, "healthcheck", "--url", f.admin+"/livez").want(t, exitOK)
	// A file that went bad since is what the gate goes on without.
	listen := strings.TrimPrefix(f.admin, "http://")
	command(t, "healthcheck", "--config", written(t, "version: 2\nadmin: {listen: \""+listen+"\"}\nissuers: 5\nnonsense: {a: 1}\n")).want(t, exitOK)
	command(t, "healthcheck", "--config", filepath.Join(t.TempDir(), "none.yaml")).want(t, exitFailed, "none.yaml")
	for text, want := range map[string]string{
		"": "the file is empty", "# nothing\n": "the file is empty", "admin: {listen: [\n": "not YAML", "- admin\n": "", "admin: 5\n": " admin: ",
		"admin: {listen: \"${WHERE}\"}\n": "1:17 admin.listen: ", "admin: {listen: [a]}\n": " admin.listen: ", "admin: &a {listen: \"" + listen + "\"}\n": " admin: ",
	} {
		command(t, "healthcheck", "--config", written(t, text)).want(t, exitFailed, "or use --url: ", want)
	}
	command(t, "healthcheck", "--config", written(t, "admin: {listen: \""+listen+"\", probe_timeout: x}\nlisten: \"${WHERE}\"\n")).want(t, exitOK)
	command(t, "healthcheck", "--url", f.admin+"/nope").want(t, exitFailed, "404")
	f.gateway.unready()
	command(t, "healthcheck", "--config", f.gateway.path).want(t, exitFailed, "not ready (503)", "draining")
	l := listenLoopback(t)
	_ = l.Close()
	command(t, "healthcheck", "--url", "http://"+l.Addr().String()).want(t, exitFailed, "cannot ask")
}

func TestDialable(t *testing.T) {
	for listen, want := range map[string]string{
		":8421": "127.0.0.1:8421", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "[::1]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1",
	} {
		if got := dialable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/1\.1 (\d{3}) `)

// statuses lists the status codes in what curl -i printed.
func statuses(text string) []string {
	var list []string
	for _, match := range statusLine.FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	return list
}

// sixAnswers are the statuses of the demo's requests.
var sixAnswers = []string{"401", "200", "403", "401", "200", "401"}

func TestDemoOnce(t *testing.T) {
	o := command(t, "demo", "--once")
	o.want(t, exitOK, "All 6 answers are as they should be. So is the page at /playground.", "X-Auth-Subject", `error="insufficient_scope"`)
	if got := statuses(o.stdout); !slices.Equal(got, sixAnswers) {
		t.Errorf("statuses %v, want %v", got, sixAnswers)
	}
}

func TestDemoPortTaken(t *testing.T) {
	l := listenLoopback(t)
	defer func() { _ = l.Close() }()
	command(t, "demo", "--once", "--listen", l.Addr().String()).want(t, exitFailed, "cannot listen on "+l.Addr().String(), "demo --help")
}
