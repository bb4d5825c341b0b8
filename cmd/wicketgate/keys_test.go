package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// rowKEY16: check --live warns where serve would not look.
func rowKEY16(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(api.Close)
	is := startIssuer(t)
	path := written(t, fmt.Sprintf("version: 1\nissuers: [{name: a, issuer: %q}]\nresources: [{identifier: %q, name: rs, upstream: %q}]\n", is.Identifier(), testIdentifier, api.URL))
	if out := command(t, "check", "--live", "--config", path); strings.Contains(out.stdout, "WARN   issuer a: the metadata") {
		t.Errorf("warned of documents that agree: %s", out.stdout)
	}
	is.Fail(devissuer.Fault{Path: "/.well-known/openid-configuration", Body: fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":"%s/other"}`, is.Identifier(), is.URL)})
	command(t, "check", "--live", "--config", path).want(t, exitOK, "WARN   issuer a: the metadata at", "name different places as jwks_uri")
	is.Fail(devissuer.Fault{Path: "/.well-known/openid-configuration", Body: fmt.Appendf(nil, `{"issuer":"%s/","jwks_uri":"%s/jwks"}`, is.Identifier(), is.URL)})
	command(t, "check", "--live", "--config", path).want(t, exitOK, "names another issuer")
}

// The host that the metadata may not name is told, with what to do about it,
// and listing it is enough.
func TestListedKeyHost(t *testing.T) {
	keys := startIssuer(t)
	host := strings.TrimPrefix(keys.URL, "http://")
	for _, listed := range []string{"", fmt.Sprintf("hosts: [%q], ", host)} {
		f := newFixtureOf(t, devissuer.Options{Members: map[string]json.RawMessage{"jwks_uri": json.RawMessage(`"` + keys.URL + `/jwks"`)}}, nil, func(text string) string {
			return instead(t, text, "{name: a, ", "{name: a, "+listed)
		})
		raw := f.mint(keys, devissuer.Token{Claims: changes{"iss": f.a.Identifier()}})
		if listed == "" {
			f.wantUndecided(t, f.sendToken(raw), 0)
			command(t, "check", "--live", "--config", f.config).want(t, exitFailed, "names the host "+host+" as jwks_uri", "add it to issuers[].hosts")
			if asked := keys.Requests(); len(asked) != 0 {
				t.Errorf("asked %v", asked)
			}
			continue
		}
		wantPassed(t, f.sendToken(raw))
	}
}

// An issuer of opaque tokens needs no key set to be ready.
func TestOpaqueIssuerWithoutKeys(t *testing.T) {
	for name, o := range map[string]devissuer.Options{
		"metadata without jwks_uri": {Members: map[string]json.RawMessage{"jwks_uri": nil}},
		"no metadata":               {Metadata: devissuer.Metadata(1 << 7)},
	} {
		t.Run(name, func(t *testing.T) {
			o.Clients = []devissuer.Client{{ID: "gate", Secret: gateSecret}}
			var endpoint string
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(gateSecret), 0o600); err != nil {
				t.Fatal(err)
			}
			f := newFixtureOf(t, o, func(is *devissuer.Running) {
				if name == "no metadata" {
					endpoint = fmt.Sprintf("endpoint: %q, ", is.URL+"/introspect")
				}
			}, func(text string) string {
				return instead(t, text, "{name: a, ", fmt.Sprintf("{name: a, introspection: {%sclient_id: gate, client_secret_file: %q}, ", endpoint, filepath.Join(dir, "secret")))
			})
			f.untilReady()
			raw, err := f.a.Opaque("", devissuer.Token{})
			if err != nil {
				t.Fatal(err)
			}
			wantPassed(t, f.sendToken(raw))
			f.wantUndecided(t, f.sendToken(f.AT(nil)), 1)
			f.wantError(t, f.sendToken("unknown"), 1, http.StatusUnauthorized, "Bearer", "invalid_token")
			command(t, "check", "--live", "--config", f.config).want(t, exitOK, "WARN   issuer a: no keys: ", "nothing, if it gives opaque tokens only")
		})
	}
	// Without introspection keys are needed, as ever.
	f := newFixtureOf(t, devissuer.Options{Members: map[string]json.RawMessage{"jwks_uri": nil}}, nil, nil)
	f.wantUndecided(t, f.sendToken(f.AT(nil)), 0)
	if got := f.readiness(); got != http.StatusServiceUnavailable {
		t.Errorf("readyz %d", got)
	}
}

// check says what is wrong with cache_dir, with its place, and makes nothing.
func TestCheckCacheDir(t *testing.T) {
	dir := t.TempDir()
	open, ours := filepath.Join(dir, "open"), filepath.Join(dir, "ours")
	for path, mode := range map[string]os.FileMode{open: 0o777, ours: 0o700} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for place, c := range map[string]struct {
		code int
		part string
	}{
		ours: {exitOK, "no mistakes"}, filepath.Join(dir, "new"): {exitOK, "no mistakes"}, open: {exitConfig, "may be written to by others"},
		filepath.Join(dir, "no", "parent"): {exitConfig, "no such file"}, "/dev/null": {exitConfig, "not a directory"},
	} {
		path := written(t, fmt.Sprintf("version: 1\ncache_dir: %q\nissuers: [{issuer: https://as.example.com}]\nresources: [{identifier: %q, upstream: \"http://127.0.0.1:1\", behind_tls: true}]\n", place, testIdentifier))
		out := command(t, "check", "--config", path)
		out.want(t, c.code, c.part)
		if c.code == exitConfig {
			out.want(t, c.code, "config.yaml:2:12 cache_dir")
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("check made the folder")
	}
}

// A reload does not move the copies, and one that touches other settings starts
// no issuer anew.
func TestReloadWithCacheDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := newFixture(t, func(text string) string { return text + fmt.Sprintf("cache_dir: %q\n", dir) })
	wantPassed(t, f.sendToken(f.AT(nil)))
	eventually(t, "a copy of each issuer's keys", func() bool { found, _ := filepath.Glob(filepath.Join(dir, "*.json")); return len(found) == 2 })
	f.rewrite(dir, dir+"2")
	f.gateway.tryReload("test")
	if !strings.Contains(f.log.String(), "restart needed: cache_dir changed") {
		t.Error("the copies were moved")
	}
	f.rewrite(dir+"2", dir)
	f.rewrite("refetch_interval: 1s}\n  - {name: b", "refetch_interval: 2s}\n  - {name: b") // A begins anew, with the keys it has
	away(f.a)
	f.gateway.tryReload("test")
	wantPassed(t, f.sendToken(f.AT(nil)))
	if got := seriesValue(t, f, `wicketgate_jwks_copies_total{issuer="a",result="restored"}`); got != "0" {
		t.Errorf("%s copies restored, though the keys were at hand", got)
	}
}

// A folder that is gone costs the copies: the rules of a new file are in force
// all the same.
func TestReloadWithoutCacheDir(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "volume")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(text string) string { return text + fmt.Sprintf("cache_dir: %q\n", filepath.Join(parent, "keys")) })
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.untilReady()
	eventually(t, "the folder gone, and nobody writing into it", func() bool { return os.RemoveAll(parent) == nil })
	f.rewrite("{name: any, path: /any/**}", "{name: any, path: /any/**, scopes: [more]}")
	f.gateway.tryReload("test")
	if r := f.sendToken(f.AT(nil)); r.StatusCode != http.StatusForbidden {
		t.Errorf("status %d: the rules of before are in force\n%s", r.StatusCode, f.log)
	}
}

// An issuer whose clock is off is told of before its tokens fail. The seconds
// that pass meanwhile count as well.
func TestIssuerClock(t *testing.T) {
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		is.Fail(devissuer.Fault{Header: http.Header{"Date": {time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)}}})
	}, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.untilReady()
	if said := f.adminDo("/readyz?verbose").body; !strings.Contains(said, "issuer a: ok (4 keys; clock differs from ours by ") || !strings.Contains(said, "s, more than the leeway)") || !strings.Contains(said, "issuer b: ok (4 keys)\n") {
		t.Errorf("readyz says %s", said)
	}
	if n := strings.Count(f.log.String(), "clock differs from ours by more than the leeway"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	command(t, "check", "--live", "--config", f.config).want(t, exitFailed, "FAILED issuer a: its clock is ", "s ahead of ours")
}
