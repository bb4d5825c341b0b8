package imports_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/imports"
)

const twoWorkloads = `
kind: AuthorizationPolicy
metadata: {name: everywhere, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: ["/debug/*"]}}]}]}
---
kind: AuthorizationPolicy
metadata: {name: shop, namespace: shop}
spec: {selector: {matchLabels: {app: shop}}, rules: [{to: [{operation: {paths: ["/*"]}}]}]}
---
kind: AuthorizationPolicy
metadata: {name: blog, namespace: blog}
spec: {selector: {matchLabels: {app: blog}}, rules: [{to: [{operation: {paths: ["/posts"]}}]}]}
`

// TestWorkload: a policy of the whole mesh is for each, and that of another
// workload for none.
func TestWorkload(t *testing.T) {
	for workload, want := range map[string]struct{ has, not string }{
		"shop/app=shop":      {`path: "/debug/**"`, "/posts"},
		"blog/app=blog":      {"path: /posts", "/debug"},
		"app=shop,version=2": {`path: "/**"`, "/posts"},
	} {
		got, err := imports.Import("istio", []imports.Source{{Name: "f", Text: []byte(twoWorkloads)}}, imports.Options{Workload: workload})
		if err != nil {
			t.Fatal(workload, err)
		}
		if text := string(got.Text); !strings.Contains(text, want.has) || strings.Contains(text, want.not) {
			t.Errorf("%s:\n%s", workload, text)
		}
	}
	if _, err := imports.Import("istio", []imports.Source{{Name: "f", Text: []byte(strings.SplitN(twoWorkloads, "---", 2)[1])}}, imports.Options{Workload: "app=none"}); err == nil {
		t.Error("a workload that no policy is for is imported")
	}
}

// TestSeveralFiles: they add to each other, and contradict each other never.
func TestSeveralFiles(t *testing.T) {
	one := imports.Source{Name: "a.cfg", Text: []byte("oidc_issuer_url = 'https://one.example.com'\nskip_jwt_bearer_tokens = true\nallowed_groups = ['a']\n")}
	got, err := imports.Import("oauth2-proxy", []imports.Source{one, {Name: "b.yaml", Text: []byte("providers: [{clientID: shop}]\n")}}, imports.Options{})
	if err != nil || !strings.Contains(string(got.Text), "audiences: [shop]") || !strings.Contains(string(got.Text), "groups: [a]") {
		t.Fatal(err, got)
	}
	for name, text := range map[string]string{"b.yaml": "providers: [{allowedGroups: [b]}]\n", "b.txt": "--allowed-group=b\n", "b.cfg": "allowed_groups = ['b']\n"} {
		_, err := imports.Import("oauth2-proxy", []imports.Source{one, {Name: name, Text: []byte(text)}}, imports.Options{})
		if err == nil || !strings.Contains(err.Error(), name+":1: has allowed_groups for the second time; first in a.cfg:3") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := imports.Import("openapi", make([]imports.Source, 2), imports.Options{}); err == nil {
		t.Error("two descriptions make one API")
	}
}

// TestNoSecret: secrets of the files go nowhere.
func TestNoSecret(t *testing.T) {
	const secret = "hunter2hunter2"
	for format, text := range map[string]string{
		"oauth2-proxy":  "client_secret = '" + secret + "'\ncookie_secret = '" + secret + "'\nredis_password='" + secret + "'\nupstreams = ['http://u:" + secret + "@a.example/', 'http://u:" + secret + "@b.example/b/']\noidc_jwks_url = 'https://u:" + secret + "@a.example/'\n",
		"oathkeeper":    `[{"match":{"url":"https://a.example/a","methods":["GET"]},"authenticators":[{"handler":"oauth2_introspection","config":{"pre_authorization":{"client_secret":"` + secret + `"}}}],"authorizer":{"handler":"allow"}}]`,
		"envoy-gateway": `{"kind":"SecurityPolicy","spec":{"jwt":{"providers":[{"name":"a","localJWKS":{"inline":"` + secret + `"}}]},"basicAuth":{"users":"` + secret + `"}}}`,
	} {
		got, err := imports.Import(format, []imports.Source{{Name: "f", Text: []byte(text)}}, imports.Options{})
		if err != nil {
			t.Fatal(format, err)
		}
		said := string(got.Text)
		for _, l := range got.Left {
			said += l.String()
		}
		if strings.Contains(said, secret) || slices.Contains(got.Blanks, secret) {
			t.Errorf("%s: a secret is told:\n%s", format, said)
		}
	}
}
