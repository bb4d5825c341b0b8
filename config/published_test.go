package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const publishedHead = "version: 1\nissuers: [{issuer: https://a.example.com/}]\nresources:\n  - upstream: http://127.0.0.1:1\n    behind_tls: true\n    "

func TestPublishedWarnings(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		paths []string
	}{
		"nothing":            {"identifier: https://b.example.com\n    metadata: true\n", nil},
		"loopback":           {"identifier: http://127.0.0.1:8420\n    metadata: true\n", nil},
		"another origin":     {"identifier: https://b.example.com\n    metadata: true\n    public_origins: [https://c.example.com]\n", []string{"resources[0].public_origins"}},
		"offline_access":     {"identifier: https://b.example.com\n    metadata: true\n    routes: [{path: /a, scopes: {any: [x, offline_access]}}, {path: /b, scopes: [offline_access]}]\n", []string{"resources[0].routes[0].scopes", "resources[0].routes[1].scopes"}},
		"offline, not told":  {"identifier: https://b.example.com\n    routes: [{path: /b, scopes: [offline_access]}]\n", nil},
		"below":              {"identifier: https://b.example.com/v1/x\n    metadata: true\n    routes: [{path: /v1/x}, {path: /v1/x/**}, {path: /v1/*/y}, {path: /**}, {path: /open, public: true}]\n", nil},
		"outside":            {"identifier: https://b.example.com/v1\n    metadata: true\n    routes: [{path: /v2/a}, {path: /}, {path: /v1x/**}]\n", []string{"resources[0].routes[0].path", "resources[0].routes[1].path", "resources[0].routes[2].path"}},
		"origin of anybody":  {"identifier: https://b.example.com\n    cors: {origins: [\"null\", http://app.example.com, \"http://localhost:3000\"]}\n", []string{"resources[0].cors.origins[0]", "resources[0].cors.origins[1]"}},
		"origins of apps":    {"identifier: https://b.example.com\n    cors: {origins: [chrome-extension://abcdef, capacitor://localhost]}\n", nil},
		"strict for all":     {"identifier: https://b.example.com\n    cors: {strict: true}\n", nil},
		"forward unlimited":  {"identifier: https://b.example.com\n    cors: {preflight: forward}\n", nil},
		"preset, nothing to": {"identifier: https://b.example.com/mcp\n    preset: mcp\n    routes: [{path: /mcp}]\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, w := range parse(t, "c.yaml", publishedHead+test.text).Warnings() {
				paths = append(paths, w.Path)
			}
			if slices.Sort(paths); !slices.Equal(paths, test.paths) {
				t.Errorf("warnings at %v, want %v", paths, test.paths)
			}
		})
	}
}

// Origins are brought into the form in which browsers write them.
func TestScriptOrigins(t *testing.T) {
	f := parse(t, "c.yaml", publishedHead+"identifier: https://b.example.com\n    cors: {origins: [https://APP.example.com:443, \"http://localhost:80\", https://app.example.com:8443]}\n")
	want := []string{"https://app.example.com", "http://localhost", "https://app.example.com:8443"}
	if got := f.Resources[0].CORS.Origins; !slices.Equal(got, want) {
		t.Errorf("origins %v, want %v", got, want)
	}
}

func TestPresetMCP(t *testing.T) {
	f := parse(t, "c.yaml", publishedHead+"identifier: https://b.example.com\n    preset: mcp\n    cors: {preflight: answer, origins: [https://app.example.com]}\n")
	r := f.Resources[0]
	if !r.Metadata || !r.CORS.Strict || !slices.Contains(r.CORS.Headers, "Mcp-Session-Id") {
		t.Errorf("metadata %t, CORS %+v", r.Metadata, r.CORS)
	}
	want := []Filled{
		{"resources[0].metadata", "true", "mcp"}, {"resources[0].cors.strict", "true", "mcp"},
		{"resources[0].cors.headers", "[" + strings.Join(sessionHeaders, ", ") + "]", "mcp"},
	}
	if !reflect.DeepEqual(f.Filled(), want) {
		t.Errorf("filled %v", f.Filled())
	}
	own := parse(t, "c.yaml", publishedHead+"identifier: https://b.example.com\n    preset: mcp\n    metadata: true\n    cors: {strict: true, preflight: answer, origins: [https://app.example.com], headers: [X-One]}\n")
	if got := own.Resources[0].CORS.Headers; len(own.Filled()) != 0 || !slices.Equal(got, []string{"X-One"}) {
		t.Errorf("filled %v over %v", own.Filled(), got)
	}
	if plain := parse(t, "c.yaml", Smallest()); plain.Resources[0].Metadata || plain.Resources[0].CORS.Strict || len(plain.Filled()) != 0 {
		t.Error("filled without a preset")
	}
}

func TestHas(t *testing.T) {
	f := parse(t, "c.yaml", publishedHead+"identifier: https://b.example.com\n    name: b\n")
	if !f.Has("resources[0].name") || f.Has("resources[0].realm") {
		t.Error("Has does not tell what the file says")
	}
}
