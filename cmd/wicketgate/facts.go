package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/internal/telemetry"
)

// facts is what version prints and /version answers.
type facts struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	FIPS     string `json:"fips"` // off, on or only
}

// linkedVersion and linkedRevision are set by the linker in releases.
var linkedVersion, linkedRevision string

func buildFacts() facts {
	f := facts{Version: linkedVersion, Revision: linkedRevision, FIPS: telemetry.FIPS()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return f
	}
	f.Go = info.GoVersion
	if f.Version == "" {
		f.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && f.Revision == "":
			f.Revision = s.Value
		case s.Key == "vcs.modified":
			f.Modified = s.Value == "true"
		}
	}
	return f
}

func version() string  { return buildFacts().Version }
func revision() string { return buildFacts().Revision }

type versionCommand struct{}

// Help is shown by version --help.
func (versionCommand) Help() string { return "Example: wicketgate version" }

// Run prints the facts of the build.
func (versionCommand) Run(a *app) error {
	f := buildFacts()
	_, err := fmt.Fprintf(a.stdout, "wicketgate %s\nrevision %s\n%s\nFIPS 140-3: %s\n", f.Version, f.Revision, f.Go, f.FIPS)
	return err
}

type schemaCommand struct {
	DecisionLog bool `help:"That of a line of the decision log instead."`
}

// Help is shown by schema --help.
func (schemaCommand) Help() string {
	return "Example: wicketgate schema > config.schema.json, and in the file's first line\n# yaml-language-server: $schema=./config.schema.json"
}

// Run prints the JSON Schema of the configuration, or of a line of the decision log.
func (s *schemaCommand) Run(a *app) error {
	text := config.Schema()
	if s.DecisionLog {
		text = []byte(decisions.Schema())
	}
	_, err := a.stdout.Write(text)
	return err
}

type healthcheckCommand struct {
	Config string        `short:"c" help:"The configuration file of the gate to ask." placeholder:"FILE"`
	URL    string        `help:"Ask this URL instead of readyz at the admin address of the configuration."`
	Wait   time.Duration `default:"3s" help:"How long to wait for the answer." placeholder:"DURATION"`
}

// Help is shown by healthcheck --help.
func (healthcheckCommand) Help() string {
	return "For a container's HEALTHCHECK. Example: wicketgate healthcheck --config config.yaml"
}

// Run asks readyz and fails unless the answer is 200.
func (h *healthcheckCommand) Run(a *app) error {
	url, transport := h.URL, &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if url == "" {
		path, err := a.configPath(h.Config)
		if err != nil {
			return err
		}
		where, err := config.LoadAdmin(path, a.env)
		if err != nil {
			return fmt.Errorf("nothing says where to ask; correct this, or use --url: %w", err)
		}
		url = "http://" + dialable(where.Listen) + "/readyz"
		if path := where.Socket(); path != "" {
			url = "http://localhost/readyz"
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
		}
	}
	ctx, cancel := context.WithTimeout(a.ctx, h.Wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("cannot ask whether the gate is ready: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what was read of it is worth showing
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready (%d): %s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return nil
}

// dialable makes an address to dial of one to listen at.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
