package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWhen takes expressions through the front door.
func TestWhen(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "    routes:\n", `    routes:
      - {name: tenant, path: "/t/{tenant}/**", when: claims.tenant == path.tenant && request.method == 'GET'}
      - {name: field, path: /field, when: "request.headers['x-tenant'] == claims.tenant", scopes: [read]}
      - {name: perhaps, path: /perhaps, optional: true, when: claims.tenant == 'acme'}
`)
	})
	f.untilReady()
	acme := "Bearer " + f.AT(changes{"tenant": "acme", "scope": "read"})
	none := "Bearer " + f.AT(nil)
	for _, row := range []struct {
		path   string
		header []string
	}{
		{"/t/acme/orders", []string{"Authorization", acme}},
		{"/field", []string{"Authorization", acme, "X-Tenant", "acme"}},
		{"/perhaps", []string{"Authorization", acme}},
		{"/perhaps", nil},
	} {
		if r := f.do("GET", row.path, row.header...); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", row.path, r.StatusCode, r.body)
		}
	}
	for _, row := range []struct {
		path   string
		header []string
	}{
		{"/t/initech/orders", []string{"Authorization", acme}},
		{"/t/acme/orders", []string{"Authorization", none}},
		{"/field", []string{"Authorization", acme}},
		{"/field", []string{"Authorization", acme, "X-Tenant", "acme", "X-Tenant", "acme"}},
		{"/perhaps", []string{"Authorization", none}},
	} {
		wantForbidden(t, f, func() *reply { return f.do("GET", row.path, row.header...) })
	}
	if text := f.log.String(); !strings.Contains(text, `"wicketgate.reason":"when"`) && !strings.Contains(text, `"when"`) || !strings.Contains(text, "something is absent at 1:7 of the expression") {
		t.Errorf("the log says\n%s", text)
	}
	r := f.do("GET", "/t/initech/orders", "Authorization", acme)
	if strings.Contains(r.body, "tenant") || !strings.Contains(r.body, "a condition of this route does not hold") {
		t.Errorf("the client is told %s", r.body)
	}
}

// TestWhenGuide: the file of the guide is good, and its mistake is told as shown.
func TestWhenGuide(t *testing.T) {
	text := contents(t, filepath.Join(repository, "docs", "guide", "when.md"))
	files := blocks(text, "yaml")
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	command(t, "check", "--strict", "--config", written(t, files[0])).want(t, exitOK, "no mistakes")
	bad := written(t, instead(t, files[0], "path.tenant}", "path.tenat}"))
	_, shown, _ := strings.Cut(text, "```\nconfig.yaml")
	shown, _, _ = strings.Cut(shown, "```")
	command(t, "check", "--config", bad).want(t, exitConfig, shown)
}
