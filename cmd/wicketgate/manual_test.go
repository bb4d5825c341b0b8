package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// pages are the manual and what else is written for people.
func pages(t *testing.T) []string {
	t.Helper()
	list := manual(t)
	for _, name := range []string{"CONTRIBUTING.md", "SECURITY.md", "CONTEXT.md", "CHANGELOG.md", "e2e/README.md", "charts/wicketgate/README.md"} {
		list = append(list, filepath.Join(repository, name))
	}
	return list
}

// fenced is what stands between fences, which has neither headings nor links.
var fenced = regexp.MustCompile("(?ms)^[ ]*```.*?^[ ]*```$")

// anchors are the places of a page that links can lead to, as GitHub names them.
func anchors(text string) map[string]bool {
	list, times := map[string]bool{}, map[string]int{}
	for _, found := range regexp.MustCompile(`(?m)^#+ +(.+?) *$`).FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(found[1], "$1")
		name := strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		times[name]++
		if n := times[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n-1)
		}
		list[name] = true
	}
	return list
}

// TestManualAnchors: every link to a page of ours leads to one that is there, and
// to a heading that it has.
func TestManualAnchors(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s#]*)(?:#([^)\s]+))?\)`)
	seen := 0
	for _, path := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(contents(t, path), ""), -1) {
			target, anchor := path, found[2]
			if strings.Contains(found[1], "://") {
				continue
			}
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(path), found[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, found[1], err)
				continue
			}
			if anchor == "" || !strings.HasSuffix(target, ".md") {
				continue
			}
			if seen++; !anchors(contents(t, target))[anchor] {
				t.Errorf("%s links to %s#%s: there is no such heading", path, found[1], anchor)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d links to headings: does the pattern still find them?", seen)
	}
}

// TestManualFlags: every flag that a page gives to a command is one that the
// command takes.
func TestManualFlags(t *testing.T) {
	help := map[string]string{}
	for _, command := range []string{"serve", "demo", "check", "explain", "test", "token", "proof", "revoke", "replay", "import", "schema", "version", "healthcheck"} {
		var stdout lockedBuffer
		a := &app{ctx: t.Context(), stdout: &stdout, stderr: &lockedBuffer{}, env: func(string) (string, bool) { return "", false }, program: "wicketgate"}
		if code := run(a, []string{command, "--help"}); code != exitOK {
			t.Fatalf("%s --help ends with %d", command, code)
		}
		help[command] = stdout.String()
	}
	line := regexp.MustCompile("(?m)(?:^|[^\\w./-])/?wicketgate ([a-z]+)((?:\\\\\\||[^`|#;&\n])*)")
	flag := regexp.MustCompile(`[\s\[](--[a-z][a-z-]*)`)
	seen := 0
	for _, path := range pages(t) {
		for _, found := range line.FindAllStringSubmatch(contents(t, path), -1) {
			for _, given := range flag.FindAllStringSubmatch(found[2], -1) {
				text, known := help[found[1]]
				if seen++; !known || !regexp.MustCompile(regexp.QuoteMeta(given[1])+`(?:[^a-z-]|$)`).MatchString(text) {
					t.Errorf("%s: wicketgate %s has no %s", path, found[1], given[1])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d flags: does the pattern still find them?", seen)
	}
}

// TestManualReasons: every reason that a query, an alert or a line of the log is
// asked for is one that there is; a pattern matches as Prometheus does, whole.
func TestManualReasons(t *testing.T) {
	asked := regexp.MustCompile(`(?:\breason=~?"|"reason":"|gate\.reason: |[{]reason: |, reason: )([a-z_.*|]+)`)
	var reasons []string
	for _, r := range token.Reasons {
		reasons = append(reasons, string(r.Reason))
	}
	seen := 0
	for _, path := range append(pages(t), filepath.Join(repository, "charts/wicketgate/files/rules.yaml")) {
		for _, found := range asked.FindAllStringSubmatch(contents(t, path), -1) {
			for _, pattern := range strings.Split(found[1], "|") {
				whole := regexp.MustCompile("^(?:" + pattern + ")$")
				if seen++; !slices.ContainsFunc(reasons, whole.MatchString) && pattern != "none" {
					t.Errorf("%s asks for the reason %s, which nothing has", path, pattern)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d reasons: does the pattern still find them?", seen)
	}
}

// node is one of the JSON Schema of the configuration.
type node map[string]any

func (n node) at(name string) node {
	below, _ := n[name].(map[string]any)
	return below
}

// has reports whether a configuration can have a key at a path below n, through
// lists and maps of names.
func (n node) has(root node, path []string) bool {
	if ref, ok := n["$ref"].(string); ok {
		for n = root; ref != ""; {
			var name string
			name, ref, _ = strings.Cut(strings.TrimPrefix(ref, "#/"), "/")
			n = n.at(name)
		}
	}
	if len(path) == 0 {
		return true
	}
	if items := n.at("items"); items != nil && items.has(root, path) {
		return true
	}
	if key := n.at("properties").at(path[0]); key != nil && key.has(root, path[1:]) {
		return true
	}
	if others := n.at("additionalProperties"); others != nil && others.has(root, path[1:]) {
		return true
	}
	for _, kind := range []string{"oneOf", "anyOf", "allOf"} {
		choices, _ := n[kind].([]any)
		for _, choice := range choices {
			if one, ok := choice.(map[string]any); ok && node(one).has(root, path) {
				return true
			}
		}
	}
	return false
}

// TestManualKeys: every key of the configuration that a page names with its path,
// as drain.delay, is one of the file.
func TestManualKeys(t *testing.T) {
	var stdout lockedBuffer
	a := &app{ctx: t.Context(), stdout: &stdout, stderr: &lockedBuffer{}, program: "wicketgate"}
	if code := run(a, []string{"schema"}); code != exitOK {
		t.Fatalf("schema ends with %d", code)
	}
	var root node
	if err := json.Unmarshal([]byte(stdout.String()), &root); err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile("`([a-z_]+(?:\\[\\])?(?:\\.[a-z_]+(?:\\[\\])?)+)(?:: [^`]*)?`")
	seen := 0
	for _, path := range pages(t) {
		if slices.Contains([]string{"CHANGELOG.md"}, filepath.Base(path)) || strings.HasSuffix(path, "charts/wicketgate/README.md") {
			continue // what was once, and values of the chart
		}
		for _, found := range key.FindAllStringSubmatch(fenced.ReplaceAllString(contents(t, path), ""), -1) {
			parts := strings.Split(strings.ReplaceAll(found[1], "[]", ""), ".")
			if !root.has(root, parts[:1]) {
				continue // a claim, a file, a value of the chart
			}
			if seen++; !root.has(root, parts) {
				t.Errorf("%s: the configuration has no %s", path, found[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d keys: does the pattern still find them?", seen)
	}
}
