package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Presets know who keeps keys elsewhere; what the file says wins.
func TestHosts(t *testing.T) {
	for issuer, want := range map[string]string{
		"{issuer: https://accounts.google.com, provider: google}":                                                                  "www.googleapis.com",
		"{issuer: https://accounts.google.com, provider: google, hosts: [keys.example.com]}":                                       "keys.example.com",
		"{issuer: https://accounts.google.com, provider: google, jwks_uri: https://keys.example.com/k}":                            "",
		"{issuer: https://accounts.google.com}":                                                                                    "",
		"{issuer: \"https://sts.windows.net/{tenant}/\", provider: entra, tenants: [a]}":                                           "login.microsoftonline.com",
		"{issuer: https://login.microsoftonline.com/a/v2.0, provider: entra}":                                                      "",
		"{issuer: https://a.eu.auth0.com/, provider: auth0}":                                                                       "",
		"{issuer: https://a.example.com, hosts: [Keys.Example.com, \"k.example.com:443\", \"k.example.com:8443\", \"[::1]:444\"]}": "keys.example.com k.example.com k.example.com:8443 [::1]:444",
	} {
		f := parse(t, "c.yaml", "version: 1\nissuers: ["+issuer+"]"+afterIssuer)
		if got := strings.Join(f.Issuers[0].Hosts, " "); got != want {
			t.Errorf("%s: %q, want %q", issuer, got, want)
		}
		told := slices.ContainsFunc(f.Filled(), func(one Filled) bool { return one.Path == "issuers[0].hosts" })
		if told != (want != "" && !strings.Contains(issuer, "hosts")) {
			t.Errorf("%s: filled %v", issuer, f.Filled())
		}
	}
}

// The folder of copies is looked for from the file's own, like every file.
func TestCacheDir(t *testing.T) {
	for text, want := range map[string]string{"keys": filepath.Join("etc", "keys"), "/var/keys": "/var/keys"} {
		f := parse(t, "etc/c.yaml", "version: 1\ncache_dir: "+text+"\nissuers: [{issuer: https://a.example.com}]"+afterIssuer)
		if f.CacheDir != want || slices.Contains(f.Files(), want) {
			t.Errorf("%s: %q, files %v", text, f.CacheDir, f.Files())
		}
	}
}
