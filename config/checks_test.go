package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	issuerHead   = "version: 1\nissuers: [{issuer: https://a.example.com, "
	resourceHead = "version: 1\nissuers: [{issuer: https://a.example.com}]\nresources: [{identifier: https://b.example.com, behind_tls: true, "
)

// about is a file with more in its only issuer, its only resource, or at its
// end.
func about(issuer, resource, top string) string {
	if issuer != "" {
		return issuerHead + issuer + "}]" + afterIssuer + top
	}
	if resource == "" {
		resource = "upstream: http://127.0.0.1:1"
	}
	if !strings.Contains(resource, "upstream:") {
		resource += ", upstream: http://127.0.0.1:1"
	}
	return resourceHead + resource + "}]\n" + top
}

// faults lists where a file is wrong and what is said of it.
func faults(text string) []string {
	var out []string
	_, err := Parse("c.yaml", []byte(text), environment)
	all, _ := errors.AsType[Errors](err)
	for _, e := range all {
		out = append(out, e.Path+": "+e.Message)
	}
	if err != nil && len(all) == 0 {
		out = append(out, err.Error())
	}
	return out
}

// TestEachFault breaks one thing at a time: what is told first of a value can
// hide what comes after it.
func TestEachFault(t *testing.T) {
	const two = "version: 1\nissuers: [{issuer: https://a.example.com}]\nresources:\n  - {identifier: https://b.example.com, upstream: http://a, behind_tls: true, "
	second := func(one, other string) string {
		return two + one + "}\n  - {identifier: https://c.example.com, upstream: http://a, behind_tls: true, " + other + "}\n"
	}
	third := "  - {identifier: https://d.example.com, upstream: http://a, behind_tls: true, hosts: [y.example.com]}\n"
	for text, want := range map[string]string{
		second(`listen: "127.0.0.1:0"`, `listen: ":0"`):                                     "",
		second(`listen: "127.0.0.1:8500"`, `listen: "127.0.0.2:8500"`):                      "",
		second(`listen: "127.0.0.1:8500"`, `listen: ":8500"`):                               "resources[1].listen: overlaps",
		second(`hosts: [x.example.com]`, `hosts: [x.example.com]`):                          "resources[1].hosts[0]: is a host of resources[0]",
		second(`hosts: [x.example.com]`, `name: c`):                                         "resources[1].hosts: is missing",
		second(`hosts: [x.example.com]`, `hosts: [y.example.com]`) + third:                  "resources[2].hosts[0]: is a host of resources[1]",
		about("", "hosts: [a b]", ""):                                                       "resources[0].hosts[0]: is no host",
		about("", "hosts: [a.example.com, A.example.com]", ""):                              "resources[0].hosts[1]: is the same",
		about("", "name: a b", ""):                                                          "resources[0].name: is no name",
		about("", "realm: "+strings.Repeat("r", 256), ""):                                   "",
		about("", "realm: "+strings.Repeat("r", 257), ""):                                   "resources[0].realm: wants",
		about("", `public_origins: ["https://b.example.com?x=1"]`, ""):                      "resources[0].public_origins[0]: is more than an origin",
		about("", `public_origins: ["https://b.example.com?"]`, ""):                         "resources[0].public_origins[0]: is more than an origin",
		about("", `cors: {origins: ["https://b.example.com?x=1"]}`, ""):                     "resources[0].cors.origins[0]: is more than an origin",
		about("", `cors: {origins: ["https://b.example.com?"]}`, ""):                        "resources[0].cors.origins[0]: is more than an origin",
		about("", `upstream: "http://127.0.0.1:1?"`, ""):                                    "resources[0].upstream: must not have a query",
		about("", `upstream: "unix:///%zz"`, ""):                                            "resources[0].upstream: names no socket",
		about("", `upstream: "unix:///"`, ""):                                               "resources[0].upstream: names no socket",
		about("", `upstream: "unix:///run/app.sock?x"`, ""):                                 "resources[0].upstream: names no socket",
		about("", `routes: [{path: /ext/, strip_prefix: /ext/}]`, ""):                       "resources[0].routes[0].strip_prefix: must be whole",
		about("", `routes: [{path: ext/*, strip_prefix: ext}]`, ""):                         "resources[0].routes[0].path: must begin|resources[0].routes[0].strip_prefix: must be whole",
		about("", `routes: [{path: /a, scopes: {any: [a b]}}]`, ""):                         "resources[0].routes[0].scopes.any[0]: holds more than one",
		about("", `routes: [{path: /a, claims: {act.act: [x]}}]`, ""):                       "resources[0].routes[0].claims[\"act.act\"]: is history",
		about("", `routes: [{path: /a, claims: {act.act.sub: [x]}}]`, ""):                   "resources[0].routes[0].claims[\"act.act.sub\"]: is history",
		about("", `token_sources: {header: X-T}, forward: {headers: {X-U: a}}`, ""):         "",
		about("", `token_sources: {header: X-T}, forward: {headers: {X-U: a, X_T: a}}`, ""): "resources[0].token_sources.header: is set by forward already",

		strings.Replace(about("name: a", "", ""), "a.example.com", "a.example.com?", 1):                                                                                   "issuers[0].issuer: an issuer has no query",
		about("jwks_uri: https://k.example.com, hosts: [k.example.com]", "", ""):                                                                                          "issuers[0].hosts: means nothing with jwks_uri",
		about("jwks_uri: https://k.example.com, hosts: [k.example.com], introspection: {client_id: g, client_secret_file: s}", "", ""):                                    "",
		about("jwks_uri: https://k.example.com, hosts: [k.example.com], introspection: {client_id: g, client_secret_file: s, endpoint: https://a.example.com/i}", "", ""): "issuers[0].hosts: means nothing with jwks_uri",
		about(`status_list: {allow: ["https://a.example.com/s?x/"]}`, "", ""):                                                                                             "issuers[0].status_list.allow[0]: has a query",
		twoPrefixes("wg_", "wg_b_"):   "issuers[1].introspection.prefix: cannot be told",
		twoPrefixes("wg_b_", "wg_"):   "issuers[1].introspection.prefix: cannot be told",
		twoPrefixes("wg_a_", "wg_"):   "issuers[1].introspection.prefix: cannot be told",
		twoPrefixes("wg_a_", "wg_b_"): "",
		tenanted("common"):            "issuers[0].tenants[0]: is no tenant", tenanted("organizations"): "issuers[0].tenants[0]: is no tenant",
		tenanted("consumers"): "issuers[0].tenants[0]: is no tenant", tenanted("contoso"): "",

		about("", "", "trusted_proxies: [\"::ffff:10.0.0.0/104\"]\n"):                "trusted_proxies[0]: \"::ffff:10.0.0.0/104\" is no address",
		about("", "", "listen: localhost\n"):                                         "listen: is no address with a port",
		about("", "", "log: {level: \"a\uFEFFb\"}\n"):                                ": the control character U+FEFF",
		about("", "", "dpop: {replay: {on_unavailable: local}}\n"):                   "dpop.replay.on_unavailable: means nothing with store: memory",
		replayed("addresses: [/run/redis.sock]"):                                     "",
		replayed("addresses: [/run/redis.sock], tls: {enabled: true}"):               "dpop.replay.redis.addresses[0]: is a socket",
		replayed("addresses: [/run/redis.sock], cluster: true"):                      "dpop.replay.redis.addresses[0]: is a socket",
		replayed("addresses: [/run/redis.sock], sentinel_master: m"):                 "dpop.replay.redis.addresses[0]: is a socket",
		replayed("addresses: [/run/redis.sock], prefix: " + strings.Repeat("p", 64)): "",
		replayed("addresses: [/run/redis.sock], prefix: " + strings.Repeat("p", 65)): "dpop.replay.redis.prefix: wants",

		about("", `upstream: "http://127.0.0.1:1/%zz"`, ""):                                                               "resources[0].upstream: is no URL",
		about("", `routes: [{path: /a/.}]`, ""):                                                                           "resources[0].routes[0].path: the segment . matches no request",
		about("", `routes: [{path: /a/..}]`, ""):                                                                          "resources[0].routes[0].path: the segment .. matches no request",
		about("", `routes: [{path: "/a/ b"}]`, ""):                                                                        "resources[0].routes[0].path: matches no request: some servers drop",
		about("", `forward: {assertion: {audience: x, claims: [a, a.b]}}`, ""):                                            "resources[0].forward.assertion.claims[1]: is a part of a",
		openRoute("forward: {claims: [b], assertion: {enabled: false}}"):                                                  "resources[0].routes[0].forward.claims: means nothing on a public route",
		openRoute("forward: {assertion: {enabled: false}}"):                                                               "",
		askedAbout("", "{identifier: https://b.example.com}"):                                                             "",
		askedAbout("proxy_protocol: [\":8420\"]\ntrusted_proxies: [10.0.0.0/8]\n", "{identifier: https://b.example.com}"): "proxy_protocol[0]: is not where a resource listens",
		askedAbout("", "{identifier: https://b.example.com, hosts: [x.example.com]}, {identifier: https://c.example.com, hosts: [x.example.com]}"): "resources[1].hosts[0]: is a host of resources[0]",

		about("", "", "decision_log: {file: a, claims: [jti]}\n"):   "decision_log.claims[0]: is recorded as a hash only",
		traced("sample: 10%, sampler: always_on"):                   "tracing.sample: means nothing with sampler: always_on",
		traced("sample: 10%, sampler: traceidratio"):                "",
		traced("sample: '10'"):                                      "tracing.sample: is no share",
		traced("sample: 1e1%"):                                      "tracing.sample: is no share",
		traced("sample: 1.2.3%"):                                    "tracing.sample: is no share",
		traced("sample: '%'"):                                       "tracing.sample: is no share",
		traced("sample: 0.1234567890%"):                             "",
		traced("sample: 0.12345678901%"):                            "tracing.sample: is no share",
		traced("sample: 100%"):                                      "",
		traced("sample: 100.1%"):                                    "tracing.sample: is no share",
		traced("cert_file: a, key_file: b"):                         "",
		traced("key_file: b"):                                       "tracing: needs both",
		traced("attributes: {" + strings.Repeat("a", 128) + ": b}"): "",
		traced("attributes: {" + strings.Repeat("a", 129) + ": b}"): "tracing.attributes.aaa",
		traced("endpoint: 'https://c:4318/x'"):                      "",
		traced("endpoint: 'http://c/%zz'"):                          "tracing.endpoint: is no URL",
		traced("endpoint: 'http:///x'"):                             "tracing.endpoint: is no URL",
		traced("endpoint: 'grpc://c'"):                              "tracing.endpoint: is no URL",
		traced("endpoint: 'http://u@c'"):                            "tracing.endpoint: is no URL",
		traced("endpoint: 'http://c?x'"):                            "tracing.endpoint: is no URL",
		traced("endpoint: 'http://c/a%2Fb'"):                        "tracing.endpoint: is no URL",
		traced("endpoint: 'http://c#x'"):                            "tracing.endpoint: is no URL",
	} {
		got := faults(text)
		wanted := strings.Split(want, "|")
		if want == "" {
			wanted = nil
		}
		if !slices.EqualFunc(got, wanted, strings.HasPrefix) {
			t.Errorf("%s\ngot %q, want %q", text, got, wanted)
		}
	}
}

func twoPrefixes(one, other string) string {
	issuer := func(name, prefix string) string {
		return "{issuer: https://" + name + ".example.com, introspection: {client_id: g, client_secret_file: s, prefix: " + prefix + "}}"
	}
	return "version: 1\nissuers: [" + issuer("a", one) + ", " + issuer("b", other) + "]" + afterIssuer
}

func tenanted(tenant string) string {
	return "version: 1\nissuers: [{issuer: \"https://login.example.com/{tenant}\", tenants: [" + tenant + "]}]" + afterIssuer
}

// askedAbout is a file whose resources have no upstream.
func askedAbout(top, resources string) string {
	return "version: 1\nissuers: [{issuer: https://a.example.com}]\nforward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1]}\n" + top + "resources: [" + resources + "]\n"
}

func openRoute(more string) string {
	return about("", "forward: {claims_header: X-C, claims: [a]}, routes: [{path: /a, public: true, "+more+"}]", "")
}

func traced(settings string) string { return about("", "", "tracing: {"+settings+"}\n") }

func replayed(redis string) string {
	return about("", "", "dpop: {replay: {store: redis, redis: {"+redis+"}}}\n")
}

// TestEachWarning wants a warning where there is a danger, and none beside it.
func TestEachWarning(t *testing.T) {
	entra := func(issuer string) string {
		return "version: 1\nissuers: [{issuer: " + issuer + ", provider: entra}]" + afterIssuer
	}
	introspecting := func(more string) string {
		return about("introspection: {client_id: g, client_secret_file: s, "+more+"}", "", "")
	}
	signals := func(more string) string {
		return about("", "", "revocation: {signals: {listen: "+more+", token_file: t, transmitters: [{issuer: https://a.example.com, audience: x}]}}\n")
	}
	const plain = "dpop.replay.redis.addresses[0]"
	for text, want := range map[string]string{
		entra("https://login.microsoftonline.com/t/v2.0"):  "",
		entra("https://login.microsoftonline.com/t"):       "issuers[0].issuer",
		entra("https://login.microsoftonline.com/t/v2.0/"): "issuers[0].issuer",
		entra("https://sts.windows.net/t/"):                "",
		entra("https://sts.windows.net/t"):                 "issuers[0].issuer",
		entra("https://sts.windows.net/t/u/"):              "issuers[0].issuer",

		introspecting("audience: trust_introspection"): "issuers[0].introspection.audience",
		introspecting("audience: required"):            "",

		about(`status_list: {allow: ["https://A.example.com/s/"]}`, "", ""): "issuers[0].status_list.allow[0]",
		about(`status_list: {allow: ["https://a.example.com/S/"]}`, "", ""): "",

		signals(`":8422", tls: {cert_file: c, key_file: k}`): "",
		signals(`":8422"`):          "revocation.signals.listen",
		signals(`"127.0.0.1:8422"`): "",

		replayed("addresses: [\"redis.example.com:6379\"]"):                       plain,
		replayed("addresses: [\"[::]:6379\"]"):                                    plain,
		replayed("addresses: [\"192.0.2.1:6379\"]"):                               plain,
		replayed("addresses: [\"127.0.0.1:6379\"]"):                               "",
		replayed("addresses: [\"localhost:6379\"]"):                               "",
		replayed("addresses: [\"redis.example.com:6379\"], tls: {enabled: true}"): "",
	} {
		f, err := Parse("c.yaml", []byte(text), environment)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		var got []string
		for _, w := range f.Warnings() {
			got = append(got, w.Path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\nwarnings at %q, want %q", text, got, want)
		}
	}
}

// Of names that servers fold onto each other each is told the one before it in
// the file.
func TestSameHeadersInTheOrderOfTheFile(t *testing.T) {
	names := []string{"X-Mail", "X_Mail", "X.Mail", "X+Mail", "X!Mail", "X~Mail", "X&Mail", "X'Mail", "X*Mail", "X^Mail", "X|Mail"}
	got := faults(about("", `forward: {headers: {"`+strings.Join(names, `": a, "`)+`": a}}`, ""))
	if len(got) != len(names)-1 {
		t.Fatalf("%q", got)
	}
	for i, one := range got {
		if !strings.Contains(one, names[i+1]) || !strings.Contains(one, "is read as "+names[i]+" ") {
			t.Errorf("%s, want %s after %s", one, names[i+1], names[i])
		}
	}
}

// What a preset fills in is told.
func TestFilledIn(t *testing.T) {
	for text, want := range map[string][]string{
		"version: 1\nissuers: [{issuer: https://a.example.com/realms/x, provider: keycloak}]" + afterIssuer:                                                           {"issuers[0].required_claims", "issuers[0].machine_claims"},
		"version: 1\npreset: fapi\nissuers: [{issuer: https://a.example.com, max_lifetime: 10m}]" + afterIssuer:                                                       {"resources[0].routes"},
		"version: 1\npreset: fapi\nissuers: [{issuer: https://a.example.com, max_lifetime: 10m}]" + strings.Replace(afterIssuer, "}]", ", routes: [{path: /a}]}]", 1): {"resources[0].routes[0].binding"},
	} {
		f := parse(t, "c.yaml", text)
		for _, path := range want {
			if !slices.ContainsFunc(f.Filled(), func(one Filled) bool { return one.Path == path && one.Value != "" }) {
				t.Errorf("%s is not told: %v", path, f.Filled())
			}
		}
	}
	f := parse(t, "c.yaml", "version: 1\nissuers: [{issuer: https://a.example.com/realms/x, provider: keycloak}]"+afterIssuer)
	if i := f.Issuers[0]; len(i.RequiredClaims["typ"]) != 2 || len(i.MachineClaims["clientHost"]) != 1 {
		t.Errorf("required %v, machine %v", i.RequiredClaims, i.MachineClaims)
	}
}

func TestIsHost(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "a.example.com.": true, "a:1": true, "[::1]": true, "[::1]:80": true, "127.0.0.1:80": true,
		"": false, "a:0": false, "a:65536": false, "a:": false, "[zz]": false, "[127.0.0.1]": false, "[fe80::1%eth0]": false, "[::1:80": false, "[::1]x": false,
		"a..b": false, "a b": false, strings.Repeat("a.", 127): true, strings.Repeat("a.", 128): false,
	} {
		if got := isHost(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestIsVariable(t *testing.T) {
	for text, want := range map[string]bool{
		"A": true, "a_1": true, "_": true, "z9": true, "Z0": true,
		"": false, "1A": false, "A-B": false, "A/": false, "A:": false, "A{": false, "A[": false, "A@": false, "A`": false, "{": false, "é": false,
	} {
		if got := isVariable(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestWhatIntrospectionIsFor(t *testing.T) {
	for mode, want := range map[string][2]bool{"opaque": {true, false}, "jwt": {false, true}, "both": {true, true}} {
		on, off := Introspection{ClientID: "g", Mode: mode}, Introspection{Mode: mode}
		if got := [2]bool{on.Opaque(), on.JWT()}; got != want {
			t.Errorf("%s: %v", mode, got)
		}
		if off.Opaque() || off.JWT() {
			t.Errorf("%s: asked without a client", mode)
		}
	}
}

// TestDigest: what is in one file cannot look like another, or like its name.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "same")
	write(t, b, "same")
	sum := func(text string, files ...string) [32]byte {
		t.Helper()
		out, err := digest([]byte(text), files)
		must(t, err)
		return out
	}
	hashed := sum("", a)
	if sum("x", a) == sum("y", a) {
		t.Error("the text does not count")
	}
	if sum("", b) == hashed {
		t.Error("the name of a file does not count")
	}
	// sha256("same")
	const of = "\x09\x67\x11\x5f\x28\x13\xa3\x54\x1e\xae\xf7\x7d\xe9\xd9\xd5\x77\x3f\x1c\x0c\x04\x31\x4b\x0b\xbf\xe4\xff\x3b\x3b\x1c\x55\xb5\xd5"
	if sum(a+"\x00"+of) == hashed {
		t.Error("a text looks like a file")
	}
	if _, err := digest(nil, []string{filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Hash(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing configuration: %v", err)
	}
}

// TestLoadTells: a file that is wrong, and one it names that is not there.
func TestLoadTells(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "version: 2\n")
	if _, err := Load(path, nothing); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("got %v", err)
	}
	write(t, path, about("jwks_file: none.json", "", ""))
	if _, err := Load(path, nothing); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
	none := filepath.Join(filepath.Dir(path), "none.yaml")
	for what, err := range map[string]error{
		"configuration": second(Load(none, nothing)), "configuration of no gate": second(LoadOffline(none, nothing)), "cases": second(LoadCases(none)),
	} {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
