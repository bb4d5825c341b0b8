package imports_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/imports"
)

var update = flag.Bool("update", false, "write testdata/*/*.out.yaml anew")

// flags are what each fixture needs beside its own text.
func flags() map[string]imports.Options {
	upstream := "http://127.0.0.1:3000"
	return map[string]imports.Options{
		"openapi/shop.yaml":             {Upstream: upstream},
		"openapi/petstore.json":         {Upstream: upstream, Issuer: "https://login.example.com/", Identifier: "https://pets.example.com", PublicOperations: true},
		"oauth2-proxy/oauth2-proxy.cfg": {Identifier: "https://shop.example.com"},
		"oauth2-proxy/arguments.txt":    {Identifier: "https://wiki.example.com"},
		"oauth2-proxy/alpha.yaml":       {Identifier: "https://api.example.com"},
		"istio/shop.yaml":               {Identifier: "https://shop.example.com", Upstream: upstream},
		"istio/require-jwt.yaml":        {Upstream: upstream},
		"istio/except.yaml":             {Identifier: "https://api.example.com", Upstream: upstream},
		"oathkeeper/rules.json":         {},
		"oathkeeper/rules.yaml":         {Issuer: "https://login.example.com/"},
		"envoy-gateway/shop.yaml":       {},
		"envoy-gateway/gateway.yaml":    {Identifier: "https://api.example.com", Upstream: upstream},
	}
}

func imported(t *testing.T, name string, o imports.Options) (*imports.Result, error) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	format, file := filepath.Split(name)
	return imports.Import(strings.TrimSuffix(format, "/"), []imports.Source{{Name: file, Text: text}}, o)
}

// TestGolden: cmd/wicketgate holds the same files against check.
func TestGolden(t *testing.T) {
	for name, o := range flags() {
		t.Run(name, func(t *testing.T) {
			got, err := imported(t, name, o)
			if err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + strings.ReplaceAll(name, ".", "-") + ".out.yaml"
			if *update {
				if err := os.WriteFile(golden, got.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Text, want) {
				t.Errorf("is\n%s\nwant %s\n%s", got.Text, golden, want)
			}
		})
	}
}
