package config

import (
	"slices"
	"testing"
)

func TestNonceWarnings(t *testing.T) {
	const head = "version: 1\nissuers: [{issuer: https://a.example.com/}]\nresources:\n" +
		"  - {identifier: https://b.example.com, upstream: http://a, behind_tls: true, "
	const secret = "nonce_secret_file: s"
	for name, test := range map[string]struct {
		routes, dpop string
		paths        []string
	}{
		"off":                     {"realm: a", "nonce: off", nil},
		"everywhere":              {"realm: a", "nonce: required, " + secret, nil},
		"on every route":          {"routes: [{path: /a, nonce: required}, {path: /b, public: true}]", secret, nil},
		"on one route of two":     {"routes: [{path: /a, nonce: required}, {path: /b}, {path: /c, public: true}]", "nonce: off", []string{"resources[0].routes[1]"}},
		"off on one route of two": {"routes: [{path: /a, nonce: off}, {path: /b}]", "nonce: required", []string{"resources[0].routes[0]"}},
		"secret without routes":   {"realm: a", secret, []string{"dpop.nonce_secret_file"}},
		"secret without use":      {"routes: [{path: /a, nonce: off}, {path: /b, public: true}]", "nonce: required, " + secret, []string{"dpop.nonce_secret_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := parse(t, "c.yaml", head+test.routes+"}\ndpop: {"+test.dpop+"}\n")
			var paths []string
			for _, w := range f.Warnings() {
				paths = append(paths, w.Path)
			}
			if !slices.Equal(paths, test.paths) {
				t.Errorf("warnings at %v, want %v", paths, test.paths)
			}
		})
	}
}
