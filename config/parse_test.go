package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected messages of testdata/*.bad.yaml anew")

// environment is what the test files may expand.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"WG_TEST_SECRET": "hunter2", "WG_TEST_EMPTY": "", "WG_TEST_LINES": "a\nb",
		"WG_TEST_HOST": "login.example.com", "WG_TEST_INNER": "${WG_TEST_HOST}", "WG_TEST_WAIT": "45s",
	}[name]
	return value, ok
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d bad files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := Parse(filepath.Base(name), text, environment)
			all, ok := errors.AsType[Errors](err)
			if !ok || f != nil || len(all) == 0 {
				t.Fatalf("Parse = %v, %v; want no file and Errors", f, err)
			}
			var got strings.Builder
			for _, e := range all {
				got.WriteString(e.Detail() + "\n")
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
			if strings.Contains(got.String(), "hunter2") {
				t.Error("a secret is shown")
			}
		})
	}
}

func parse(t *testing.T, name, text string) *File {
	t.Helper()
	f, err := Parse(name, []byte(text), environment)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSmallest(t *testing.T) {
	f := parse(t, "config.yaml", Smallest())
	i, r := f.Issuers[0], f.Resources[0]
	for what, ok := range map[string]bool{
		"version":    f.Version == 1,
		"listen":     f.Listen == ":8420" && r.Listen == ":8420" && f.Admin.Listen == ":8421" && !f.TLS.On(),
		"issuer":     i.Name == "login.example.com" && i.Profile == "rfc9068" && i.Leeway == 30*time.Second && i.MaxLifetime == 0 && i.RefetchInterval == 10*time.Second,
		"claims":     i.ScopeClaim == "scope" && i.AudienceClaim == "aud" && i.ClientIDClaim == "client_id",
		"algorithms": len(i.Algorithms) == 11 && slices.Equal(f.DPoP.Algorithms, []string{"ES256", "EdDSA", "RS256", "PS256"}),
		"resource":   r.Name == "api.example.com" && r.Realm == "" && r.Routes == nil && r.Hosts == nil,
		"audience":   slices.Equal(r.Audiences, []string{"https://api.example.com"}),
		"origin":     slices.Equal(r.PublicOrigins, []string{"https://api.example.com"}),
		"dpop":       f.DPoP.MaxAge == time.Minute && f.DPoP.Future == 30*time.Second && f.DPoP.Replay.Equal(Replay{Store: "memory", MaxEntries: 500000, OnUnavailable: "deny", Redis: Redis{Prefix: "wicketgate:", Timeout: 50 * time.Millisecond}}),
		"cache":      f.Cache.Tokens == 100000,
		"limits":     f.Limits == Limits{16 << 10, 6 << 10, 100, 64 << 10, 16 << 10, 10000, 20_000, 10_000, 100, 0, 1000},
		"timeouts":   f.Timeouts == Timeouts{10 * time.Second, 75 * time.Second, 3 * time.Second, time.Minute, time.Second, 5 * time.Minute, 5 * time.Second, 30 * time.Second, time.Minute},
		"log":        f.Log == Log{"info", "denied"},
		"drain":      f.Drain == Drain{5 * time.Second, 25 * time.Second},
		"files":      f.Files() == nil && f.Insecure() == nil,
	} {
		if !ok {
			t.Errorf("%s is not the documented default: %+v", what, f)
		}
	}
}

func TestGoodFile(t *testing.T) {
	text, err := os.ReadFile("testdata/full.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := parse(t, "/etc/wicketgate/full.good.yaml", string(text))
	one, two := f.Resources[0], f.Resources[1]
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %#v", what, got, want)
		}
	}
	check("issuer names", []string{f.Issuers[0].Name, f.Issuers[1].Name}, []string{"login.example.com:8443", "lab"})
	check("leeway", f.Issuers[1].Leeway, time.Duration(0))
	check("expanded duration", f.Issuers[1].MaxLifetime, 45*time.Second)
	check("files", f.Files(), []string{"/etc/ssl/ca.pem", "/etc/wicketgate/keys.json"})
	check("name", []string{one.Name, two.Name}, []string{"api.example.com:443/v1", "urn:example:two"})
	check("audiences", one.Audiences, []string{"https://API.example.com:443/v1/"})
	check("origin of the identifier", one.PublicOrigins, []string{"https://api.example.com"})
	check("origins", two.PublicOrigins, []string{"https://two.example.com", "http://localhost", "https://two.example.com:8443"})
	check("hosts", one.Hosts, []string{"api.example.com", "[::1]:8420", "127.0.0.1"})
	check("by issuer", one.AudiencesByIssuer, map[string][]string{"login.example.com:8443": {"a", "b"}})
	check("listeners", []string{one.Listen, two.Listen}, []string{"127.0.0.1:8420", "127.0.0.1:8430"})
	check("realm", two.Realm, "$a${WG_TEST_HOST}b${WG_TEST_HOST}")
	check("cache", f.Cache.Tokens, 0)
	check("limits", f.Limits, Limits{64 << 10, 6 << 10, 10, 64 << 10, 16 << 10, 10000, 20_000, 10_000, 100, 0, 1000})
	check("access", f.Log.Access, "off")
	var names []string
	for _, r := range one.Routes {
		names = append(names, r.Name)
	}
	check("route names", names, []string{"/", "/ext", "c", "/d/"})
	check("inherited forward", one.Routes[0].Forward, one.Forward)
	headless, tokenless := one.Forward, one.Forward
	headless.Headers, tokenless.Token = map[string]ClaimHeader{}, false
	check("headers replaced", one.Routes[1].Forward, headless)
	check("token replaced", one.Routes[2].Forward, tokenless)
	check("scopes", []Scopes{one.Routes[1].Scopes, one.Routes[2].Scopes}, []Scopes{{Any: []string{"a", "b"}}, {All: []string{"a"}}})
	check("binding", one.Routes[0].Binding, "any")
}

func TestTrustedProxies(t *testing.T) {
	f := parse(t, "c.yaml", Smallest()+"trusted_proxies: [10.0.0.0/8, 192.0.2.1, \"::ffff:192.0.2.2\", \"fd00::/8\", 0.0.0.0/0]\n")
	want := "[10.0.0.0/8 192.0.2.1/32 192.0.2.2/32 fd00::/8 0.0.0.0/0]"
	if got := fmt.Sprint(f.TrustedProxies); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	const head = "version: 1\nissuers: [{issuer: https://a.example.com/}]\nresources:\n  - {identifier: https://b.example.com, upstream: http://127.0.0.1:1"
	for name, test := range map[string]struct {
		text     string
		paths    []string
		insecure []string
	}{
		"plain listener":   {Smallest(), []string{"resources[0].listen"}, nil},
		"loopback":         {head + ", listen: \"127.0.0.1:1\"}\n", nil, nil},
		"behind tls":       {head + ", behind_tls: true}\n", nil, nil},
		"tls":              {head + "}\ntls: {cert_file: c, key_file: k}\n", nil, nil},
		"trusts everybody": {head + ", behind_tls: true}\ntrusted_proxies: [\"::/0\"]\n", []string{"trusted_proxies[0]"}, nil},
		"certificates of everybody": {head + ", behind_tls: true}\ntrusted_proxies: [10.0.0.0/8, \"0.0.0.0/0\"]\nmtls: {from: header}\n",
			[]string{"mtls.from", "trusted_proxies[1]"}, nil},
		"slash twins": {"version: 1\nissuers: [{name: a, issuer: https://a.example.com/}, {name: b, issuer: https://a.example.com}]\n" +
			"resources: [{identifier: https://b.example.com, upstream: http://a, behind_tls: true}]\n", []string{"issuers[1].issuer"}, nil},
		"insecure": {"version: 1\nissuers: [{issuer: http://a.example.com, insecure_http: true, insecure_allow_any_audience: true}, {issuer: http://localhost:1, insecure_http: true}]\n" +
			"resources: [{identifier: https://b.example.com, upstream: http://a, behind_tls: true}]\n",
			[]string{"issuers[0].insecure_allow_any_audience", "issuers[0].insecure_http", "issuers[0].issuer", "issuers[1].insecure_http", "issuers[1].issuer"},
			[]string{"insecure_allow_any_audience", "insecure_http"}},
		"token sources": {"version: 1\nissuers: [{issuer: https://a.example.com}]\nresources: [{identifier: https://b.example.com, upstream: http://a, behind_tls: true,\n" +
			"  token_sources: {cookie: __Host-t, header: X-Auth-Token, query: true, body: true, websocket: true}}]\n",
			[]string{"resources[0].token_sources.body", "resources[0].token_sources.query"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := parse(t, "c.yaml", test.text)
			var paths []string
			for _, w := range f.Warnings() {
				paths = append(paths, w.Path)
				if w.Message == "" {
					t.Errorf("%s: no message", w.Path)
				}
			}
			slices.Sort(paths)
			if !slices.Equal(paths, test.paths) {
				t.Errorf("warnings at %v, want %v", paths, test.paths)
			}
			if !slices.Equal(f.Insecure(), test.insecure) {
				t.Errorf("insecure: %v, want %v", f.Insecure(), test.insecure)
			}
		})
	}
}

func TestPlainListenerNamesBothSettings(t *testing.T) {
	message := parse(t, "c.yaml", Smallest()).Warnings()[0].Hint
	if !strings.Contains(message, "cert_file") || !strings.Contains(message, "behind_tls") {
		t.Error(message)
	}
}

func TestErrorAt(t *testing.T) {
	f := parse(t, "c.yaml", Smallest())
	for path, want := range map[string]string{
		"resources[0].upstream":       "c.yaml:6:15 resources[0].upstream: no good",
		"resources[0].routes[3].path": "c.yaml:5:5 resources[0].routes[3].path: no good",
		"dpop":                        "c.yaml:1:1 dpop: no good",
		"":                            "c.yaml:1:1: no good",
	} {
		if got := f.ErrorAt(path, "no good").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTooLong(t *testing.T) {
	_, err := Parse("c.yaml", []byte(Smallest()+strings.Repeat("#\n", maxFile/2)), environment)
	if err == nil || err.Error() != "c.yaml: the file is longer than 1 MiB" {
		t.Error(err)
	}
}

func TestByteOrderMarkAndCarriageReturns(t *testing.T) {
	text := "\uFEFF" + strings.ReplaceAll(Smallest(), "\n", "\r\n")
	parse(t, "c.yaml", text)
	_, err := Parse("c.yaml", []byte(text+"lisen: \":1\"\r\n"), environment)
	if e, ok := errors.AsType[*Error](err); !ok || e.Line != 7 || e.Column != 1 || e.Excerpt != `lisen: ":1"` {
		t.Errorf("%#v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"audiences", "algorithms", "issuer", "name", "jwks_uri", "jwks_file", "ES256"}
	for word, want := range map[string]string{
		"audience": "audiences", "audinces": "audiences", "AUDIENCES": "audiences", "algoritms": "algorithms",
		"isseur": "issuer", "nmae": "name", "ES265": "ES256", "nam": "name", "n": "", "no": "", "xyz": "", "provider": "",
		strings.Repeat("a", 1000): "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "1B": 1, "16KiB": 16 << 10, "1536B": 1536, "2MiB": 2 << 20, "3GiB": 3 << 30} {
		var s Size
		if err := s.parse(text); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for s, want := range map[Size]string{0: "0B", 1: "1B", 1024: "1KiB", 1536: "1536B", 1 << 21: "2MiB", 1 << 30: "1GiB", 1025 << 20: "1025MiB"} {
		if s.String() != want {
			t.Errorf("%d: %s, want %s", s, s, want)
		}
	}
	for _, text := range []string{"", "1", "KiB", "-1B", "1.5KiB", "1kb", "99999999999MiB", "99999999999GiB", "1GB", "1TiB", "1 KiB"} {
		if s := Size(7); s.parse(text) == nil || s != 7 {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../config.example.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("c.yaml", text, environment)
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v, error %v", file, err)
		}
		if err != nil {
			checkErrors(t, text, err)
			return
		}
		if len(file.Issuers) == 0 || len(file.Resources) == 0 {
			t.Error("accepted without issuers or resources")
		}
		for _, r := range file.Resources {
			if len(r.Audiences) == 0 || len(r.PublicOrigins) == 0 || r.Upstream == "" || r.Listen == "" || r.Name == "" {
				t.Errorf("accepted a resource without what it needs: %+v", r)
			}
		}
		for _, i := range file.Issuers {
			if i.Name == "" || i.Leeway > time.Minute || len(i.Algorithms) == 0 {
				t.Errorf("accepted an issuer without what it needs: %+v", i)
			}
		}
	})
}

// checkErrors wants every error to point into the text and to print safely.
func checkErrors(t *testing.T, text []byte, err error) {
	all, ok := errors.AsType[Errors](err)
	if !ok || len(all) == 0 {
		t.Fatalf("%T %v", err, err)
	}
	for _, e := range all {
		if e.Message == "" || e.Line < 0 || e.Line > bytes.Count(text, []byte("\n"))+2 {
			t.Errorf("%+v", e)
		}
		for _, line := range strings.Split(e.Detail(), "\n") {
			if strings.ContainsFunc(line, isControl) {
				t.Errorf("not safe to print: %q", line)
			}
		}
	}
}

// TestLoadAdmin: where the listener is comes from the file or not at all.
func TestLoadAdmin(t *testing.T) {
	env := func(name string) (string, bool) { return "127.0.0.1:9", name == "HERE" }
	for text, want := range map[string]string{
		"issuers: 5\n": ":8421", "admin: {listen: \"${HERE}\"}\nversion: ${WHERE}\n": "127.0.0.1:9", "admin: {lsten: x}\n": ":8421",
		"": "", "[": "", "- a\n": "", "admin: a\n": "", "admin: {listen: \"${WHERE}\"}\n": "", "admin: {listen: {a: b}}\n": "", "admin: {listen: a, listen: b}\n": "",
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadAdmin(path, env); got.Listen != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got.Listen, err)
		}
	}
}
