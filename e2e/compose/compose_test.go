package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/wicketgate/wicketgate/config"
)

const issuer = "https://login.example.com/"

// project reads the file as docker compose does: variables are put in, the whole
// is held to the schema of the specification, and references must lead somewhere.
func project(t *testing.T, text string) (*types.Project, error) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "compose.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: path}},
		Environment: types.Mapping{"ISSUER": issuer, "WICKETGATE_VERSION": "0.1.0"},
	})
}

func file(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestComposeFile(t *testing.T) {
	p, err := project(t, file(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.User == "" || s.Privileged {
			t.Errorf("%s is not locked down", name)
		}
	}
	gate, api := p.Services["gate"], p.Services["api"]
	if len(api.Ports) > 0 || len(api.Networks) != 1 || !p.Networks["api"].Internal {
		t.Errorf("the API can be reached around the gate: ports %v, networks %v", api.Ports, api.Networks)
	}
	for _, port := range gate.Ports {
		if port.Target == 8421 && port.HostIP != "127.0.0.1" {
			t.Errorf("the admin listener is published at %q", port.HostIP)
		}
	}
	if gate.HealthCheck == nil || len(gate.HealthCheck.Test) > 0 || gate.HealthCheck.Disable {
		t.Errorf("the health check is not the image's: %+v", gate.HealthCheck)
	}
}

// TestComposeConfiguration has the gate read the configuration that the file
// carries.
func TestComposeConfiguration(t *testing.T) {
	p, err := project(t, file(t))
	if err != nil {
		t.Fatal(err)
	}
	gate := p.Services["gate"]
	if len(gate.Configs) != 1 || gate.Configs[0].Target != "/etc/wicketgate/config.yaml" {
		t.Fatalf("the image reads another file: %+v", gate.Configs)
	}
	f, err := config.Parse("compose.yaml", []byte(p.Configs[gate.Configs[0].Source].Content), func(name string) (string, bool) {
		value, set := gate.Environment[name]
		if !set || value == nil {
			return "", false
		}
		return *value, true
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Issuers[0].Issuer != issuer {
		t.Errorf("issuer %q", f.Issuers[0].Issuer)
	}
	if up := f.Resources[0].Upstream; up != "http://api:3000" || !slices.Contains(p.Services["api"].Command, "3000") {
		t.Errorf("upstream %s, which is not the API", up)
	}
	if need := f.Drain.Delay + f.Drain.Timeout + 2*time.Second; gate.StopGracePeriod == nil || time.Duration(*gate.StopGracePeriod) < need {
		t.Errorf("it is killed after %v, and may take %v to end", gate.StopGracePeriod, need)
	}
	if secret := f.DPoP.NonceSecretFile; secret != "/run/secrets/"+gate.Secrets[0].Source {
		t.Errorf("no secret at %s: %+v", secret, gate.Secrets)
	}
}

// TestComposeMistakes: what reads the file does find mistakes.
func TestComposeMistakes(t *testing.T) {
	for old, mistaken := range map[string]string{
		"cap_drop: [ALL]":    "cap_dropp: [ALL]",
		"- source: gate":     "- source: gates",
		"stop_grace_period:": "stop_grace_periode:",
		"networks: [api]":    "networks: [apis]",
	} {
		if _, err := project(t, strings.Replace(file(t), old, mistaken, 1)); err == nil {
			t.Errorf("%q was not noticed", mistaken)
		}
	}
}
