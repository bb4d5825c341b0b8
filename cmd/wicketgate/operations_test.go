package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
)

// TestSizing holds the figures of docs/operations.md to the run in
// docs/benchmarks.md that they are from, and to the formula beside them.
func TestSizing(t *testing.T) {
	page := contents(t, filepath.Join(repository, "docs", "operations.md"))
	run := contents(t, filepath.Join(repository, "docs", "benchmarks.md"))
	t.Run("processor", func(t *testing.T) { sizingOfProcessor(t, page, run) })
	t.Run("memory", func(t *testing.T) { sizingOfMemory(t, page) })
}

func sizingOfProcessor(t *testing.T, page, run string) {
	_, table, _ := strings.Cut(page, "<!-- sizing:")
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([0-9.]+) \| ([0-9,]+) \|$`).FindAllStringSubmatch(table, -1)
	if len(rows) < 8 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		measured := measurement(t, run, row[1])[0]
		micros, err := strconv.ParseFloat(measured, 64)
		if err != nil {
			t.Fatal(err)
		}
		cores := fmt.Sprintf("%.2f", micros/1000)
		if rate := thousands(int(1e6/micros) / 100 * 100); row[2] != cores || row[3] != rate {
			t.Errorf("%s: %s cores, %s rps; by %s µs it is %s and %s", row[1], row[2], row[3], measured, cores, rate)
		}
	}
}

// measurement is what docs/benchmarks.md has of the gate for a case: microseconds
// and the ratio to the bare proxy.
func measurement(t *testing.T, run, name string) [2]string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` \| gate \| ([0-9.]+) \| ([0-9.]+) \|`).FindStringSubmatch(run)
	if found == nil {
		t.Fatalf("docs/benchmarks.md has no %q", name)
	}
	return [2]string{found[1], found[2]}
}

// TestReadmeCosts holds the ratios of README.md to the runs in docs/benchmarks.md.
func TestReadmeCosts(t *testing.T) {
	page := contents(t, filepath.Join(repository, "README.md"))
	run := contents(t, filepath.Join(repository, "docs", "benchmarks.md"))
	held := func(row string, figures ...string) {
		if line := "| " + row + " | " + strings.Join(figures, " / ") + " |\n"; !strings.Contains(page, line) {
			t.Errorf("README.md should have %q", line)
		}
	}
	for row, cases := range map[string][]string{
		"public route, nothing checked":         {"pass-through, no check (public route)"},
		"token seen before, JWT / opaque":       {"ES256, the same token", "opaque token, answer cached"},
		"every token once, ES256 / RS256":       {"ES256, every token once", "RS256, every token once"},
		"DPoP, every proof once, ES256":         {"DPoP ES256, every proof once"},
		"refused: no token / garbage / expired": {"refused: no token", "refused: garbage", "refused: expired"},
		"refused: forged, one source":           {"refused: bad signature ES256, one source"},
	} {
		var figures []string
		for _, name := range cases {
			figures = append(figures, measurement(t, run, name)[1])
		}
		held(row, figures...)
	}

	_, peers, _ := strings.Cut(run, "### Processor time a request, of the gate's")
	of := func(name string) []string {
		found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` \| ([-0-9.]+) \| ([-0-9.]+) \| ([-0-9.]+) \|`).FindStringSubmatch(peers)
		if found == nil {
			t.Fatalf("docs/benchmarks.md has no %q beside the peers", name)
		}
		return found[1:]
	}
	for row, cases := range map[string][]string{
		"ES256, the same token / every token once": {"ES256, the same token", "ES256, every token once"},
		"RS256, the same token / every token once": {"RS256, the same token", "RS256, every token once"},
		"DPoP, every proof once":                   {"DPoP ES256, every proof once"},
		"opaque token, answer cached":              {"opaque token, answer cached"},
	} {
		var columns []string
		for peer := range 3 {
			var cell []string
			for _, name := range cases {
				cell = append(cell, of(name)[peer])
			}
			columns = append(columns, strings.Join(cell, " / "))
		}
		held(row, strings.Join(columns, " | "))
	}
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func sizingOfMemory(t *testing.T, page string) {
	rows := regexp.MustCompile(`(?m)^\| [a-z][^|]+ \| ([0-9,]+) \| ([0-9,]+) \| ([0-9,]+)(, TLS)? \| ([0-9,]+) \| ([0-9]+) MB: give it ([0-9]+) MiB \|$`).FindAllStringSubmatch(page, -1)
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		number := func(i int) float64 {
			n, err := strconv.ParseFloat(strings.ReplaceAll(row[i], ",", ""), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		connection := 20e3
		if row[4] != "" {
			connection = 56e3
		}
		live := 28e6 + 1e3*number(1) + 128*95*number(2) + connection*number(3) + 48e3*number(5)
		limit := (live + math.Max(32e6, live/2)) / 0.9
		if math.Round(limit/1e6) != number(6) || number(7)*(1<<20) < limit {
			t.Errorf("%s: the formula gives %.0f MB", row[0], limit/1e6)
		}
	}
}

// TestCredentials: what systemd is told to load is what the guide's configuration
// reads, by the same names.
func TestCredentials(t *testing.T) {
	page := contents(t, filepath.Join(repository, "docs", "guide", "systemd.md"))
	dropped := contents(t, filepath.Join(repository, "docs", "deploy", "wicketgate.service.d", "secrets.conf"))
	names := func(text, pattern string) string {
		var list []string
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, found[1])
		}
		return strings.Join(list, " ")
	}
	loaded, read := names(dropped, `(?m)^LoadCredential=([^:]+):`), names(page, `\$\{CREDENTIALS_DIRECTORY:-[^}]+\}/(\S+)`)
	if loaded != read || read == "" {
		t.Errorf("loaded: %s; read: %s", loaded, read)
	}
}

// TestPlacements runs `check` over every configuration of the pages on where and
// how to run the gate: none has a mistake, and none a doubt.
func TestPlacements(t *testing.T) {
	secrets := t.TempDir()
	writePair(t, filepath.Join(secrets, "tls.crt"), filepath.Join(secrets, "tls.key"), 1)
	if err := os.WriteFile(filepath.Join(secrets, "client-secret"), []byte("a secret of an example"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return secrets, name == "CREDENTIALS_DIRECTORY" }
	for _, page := range []string{"operations.md", "placements.md", "guide/systemd.md"} {
		text := contents(t, filepath.Join(repository, "docs", page))
		for i, block := range blocks(text, "yaml") {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(block, "/run/secrets/", secrets+"/")), 0o600); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr lockedBuffer
			a := &app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, env: env, program: "wicketgate"}
			if code := run(a, []string{"check", "--strict", "--config", path}); code != exitOK {
				t.Errorf("%s, block %d: exit %d\n%s%s\n%s", page, i+1, code, stdout.String(), stderr.String(), block)
			}
		}
		for _, block := range blocks(text, "json") {
			if !json.Valid([]byte(block)) {
				t.Errorf("%s: no JSON:\n%s", page, block)
			}
		}
	}
}

// TestReadmeValues: what the README passes to the chart as the gate's file is one.
func TestReadmeValues(t *testing.T) {
	_, after, found := strings.Cut(contents(t, filepath.Join(repository, "README.md")), "<!-- values:")
	if !found {
		t.Fatal("README.md has no values")
	}
	inner := regexp.MustCompile(`(?m)^config:\n((?:  .*\n)+)`).FindStringSubmatch(blocks(after, "yml")[0])
	if inner == nil {
		t.Fatal("the values have no config")
	}
	file := regexp.MustCompile(`(?m)^  `).ReplaceAllString(inner[1], "")
	if _, err := config.Parse("values.yaml", []byte(file), func(string) (string, bool) { return "", false }); err != nil {
		t.Errorf("%s\n%v", file, err)
	}
}
