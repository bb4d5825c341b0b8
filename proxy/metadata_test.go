package proxy

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
)

// RFC 9728 section 3.1: where the well-known path goes.
func TestMetadataURL(t *testing.T) {
	const inserted = "/.well-known/oauth-protected-resource"
	for identifier, want := range map[string]string{
		"https://resource.example.com":                "https://resource.example.com" + inserted,
		"https://resource.example.com/":               "https://resource.example.com" + inserted,
		"https://resource.example.com/resource1":      "https://resource.example.com" + inserted + "/resource1",
		"https://resource.example.com/a/b/":           "https://resource.example.com" + inserted + "/a/b/",
		"https://resource.example.com?k=v":            "https://resource.example.com" + inserted + "?k=v",
		"https://resource.example.com/?k=v":           "https://resource.example.com" + inserted + "?k=v",
		"https://resource.example.com/a?k=v&l=/w":     "https://resource.example.com" + inserted + "/a?k=v&l=/w",
		"https://RESOURCE.example.com:443/a%20b":      "https://RESOURCE.example.com:443" + inserted + "/a%20b",
		"http://127.0.0.1:8420/mcp":                   "http://127.0.0.1:8420" + inserted + "/mcp",
		"https://[2001:db8::1]:8443/v1":               "https://[2001:db8::1]:8443" + inserted + "/v1",
		"https://resource.example.com/resource1?a=/b": "https://resource.example.com" + inserted + "/resource1?a=/b",
	} {
		if got := metadataURL(identifier); got != want {
			t.Errorf("%s: %s, want %s", identifier, got, want)
		}
	}
}

func TestNewMetadataRefuses(t *testing.T) {
	for _, identifier := range []string{
		"", "urn:example:api", "https://", "https://a.example.com#f", "https://a.example.com/a/../b", "https://a.example.com//", "https://a.example.com/%2e/x", "https://a.example.com/%zz",
	} {
		if m, err := NewMetadata(MetadataOptions{Identifier: identifier}, nil); err == nil {
			t.Errorf("%q is published at %s", identifier, m.URL)
		}
	}
}

// A request is for the document however the path is escaped, and for no other
// resource's.
func TestMetadataAsked(t *testing.T) {
	m, err := NewMetadata(MetadataOptions{Identifier: "https://a.example.com/a%20b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		wellKnown + "/a%20b": true, wellKnown + "/%61%20b": true, wellKnown + "/a%20b/": true,
		wellKnown: false, wellKnown + "/a": false, wellKnown + "/a%20b/c": false, wellKnown + "/A%20b": false, "/a%20b": false,
	} {
		path, ok := policy.Canonical(raw)
		if !ok {
			t.Fatalf("%s is not canonical", raw)
		}
		if got := m.asked(&Request{Request: policy.Request{Path: path}, RawPath: raw}); got != want {
			t.Errorf("%s: asked %t, want %t", raw, got, want)
		}
	}
}

// The document is text that any JSON reader takes, with every member once.
func TestMetadataText(t *testing.T) {
	set, err := policy.Compile([]policy.Options{
		{Path: "/a", All: []string{"a", "b"}, Any: []string{"b", "c", "offline_access"}, Details: []policy.Detail{{Type: "x"}, {Type: "x", Identifier: "1"}}},
		{Path: "/b", Public: true, All: []string{"never"}, Details: []policy.Detail{{Type: "never"}}},
	}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMetadata(MetadataOptions{
		Identifier: "https://a.example.com/?x=1&y=<2>", Name: `a "<name>"`, Issuers: []string{"https://i.example.com"},
		Algorithms: []string{"ES256"}, Methods: []string{"header"}, Certificates: true,
	}, set.Routes())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"resource":"https://a.example.com/?x=1&y=<2>","authorization_servers":["https://i.example.com"],"scopes_supported":["a","b","c"],` +
		`"bearer_methods_supported":["header"],"resource_name":"a \"<name>\"","tls_client_certificate_bound_access_tokens":true,` +
		`"authorization_details_types_supported":["x"],"dpop_signing_alg_values_supported":["ES256"]}` + "\n"
	if got := string(m.reply.Body); got != want || !json.Valid(m.reply.Body) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again, err := NewMetadata(MetadataOptions{Identifier: "https://a.example.com"}, set.Routes()); err != nil || !slices.Equal(set.Routes()[0].All, []string{"a", "b"}) {
		t.Errorf("rendering %s changed the routes: %v %v", again.URL, set.Routes()[0].All, err)
	}
}
