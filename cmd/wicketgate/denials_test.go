package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// denying is a fixture with deny rules in a file.
type denying struct {
	*siege
	rules string // the file
}

// newDenying starts one. What settings holds goes into revocation; FILE in it
// is the name of the rules' file.
func newDenying(t *testing.T, settings string, edit func(string) string) *denying {
	t.Helper()
	d := &denying{rules: filepath.Join(t.TempDir(), "denied.jsonl")}
	d.write(t, "# nobody yet\n")
	f := newFixture(t, func(text string) string {
		text += "revocation: {" + strings.ReplaceAll(settings, "FILE", d.rules) + "}\n"
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	d.siege = besiege(f)
	return d
}

const inFile = `file: "FILE"`

// write replaces the rules by lines, in one step as a careful writer does.
func (d *denying) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(d.rules+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.rules+".new", d.rules); err != nil {
		t.Fatal(err)
	}
}

// rule is a rule about issuer A.
func (d *denying) rule(members string) string {
	return `{"iss":"` + d.a.Identifier() + `",` + members + "}\n"
}

// family is the name that a series is of.
func family(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return name
}

// series is a value of the metrics.
func (f *fixture) series(name string) string {
	f.t.Helper()
	for line := range strings.Lines(f.metrics(family("wicketgate_" + name))) {
		if value, found := strings.CutPrefix(line, "wicketgate_"+name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// enforce writes rules and waits until they are in force.
func (d *denying) enforce(t *testing.T, text string) {
	t.Helper()
	before := d.series(`revocation_updates_total{result="ok",source="file"}`)
	d.write(t, text)
	began := time.Now()
	eventually(t, "the rules to be read", func() bool { return d.series(`revocation_updates_total{result="ok",source="file"}`) != before })
	t.Logf("in force after %s", time.Since(began).Round(time.Millisecond))
}

// denied sends a token that a rule names.
func (d *denying) denied(t *testing.T, raw string) {
	t.Helper()
	d.repels(t, d.sendToken(raw), badToken, token.ReasonRevoked)
}

func TestRuleFileFaults(t *testing.T) {
	t.Parallel()
	d := newDenying(t, inFile, nil)
	raw := d.AT(changes{"sub": "mallory"})
	d.enforce(t, d.rule(`"sub":"mallory"`))
	d.denied(t, raw)
	const errors = `revocation_updates_total{result="error",source="file"}`
	for name, breakIt := range map[string]func(){
		"bad line": func() { d.write(t, d.rule(`"sub":"someone"`)+d.rule(`"subject":"else"`)) },
		"gone": func() {
			if err := os.Remove(d.rules); err != nil {
				t.Fatal(err)
			}
		},
		"a folder": func() {
			_ = os.Remove(d.rules)
			if err := os.Mkdir(d.rules, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before := d.series(errors)
		breakIt()
		eventually(t, name+" to be told", func() bool { return d.series(errors) != before })
		d.denied(t, raw)
		if d.series(`revocation_rules{source="file"}`) != "1" || !strings.Contains(d.log.String(), "those read before stay in force") {
			t.Errorf("%s: nobody is told", name)
		}
		_ = os.Remove(d.rules)
		d.enforce(t, d.rule(`"sub":"mallory"`)+"# "+name+"\n")
	}
	d.enforce(t, "")
	d.passes(t, d.sendToken(raw))
	if strings.Contains(d.log.String(), "mallory") || strings.Contains(d.log.String(), "else") {
		t.Error("the log quotes a rule")
	}
	d.enforce(t, `{"iss":"https://as.example.com","sub":"mallory"}`)
	d.passes(t, d.sendToken(raw))
}

func TestRuleFileAtStart(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "bad": `{"iss":"https://a.example.com/","subject":"x"}`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if text != "" {
				if err := os.WriteFile(dir+"/denied.jsonl", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			config := "version: 1\nissuers: [{issuer: https://a.example.com/}]\nresources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n" +
				"revocation: {file: denied.jsonl}\n"
			if err := os.WriteFile(dir+"/config.yaml", []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"check", "serve"} {
				var said lockedBuffer
				code := run(&app{ctx: t.Context(), stdout: &said, stderr: &said, env: func(string) (string, bool) { return "", false }}, []string{command, "--config", dir + "/config.yaml"})
				if code != exitConfig || !strings.Contains(said.String(), "4:20 revocation.file: ") {
					t.Errorf("%s: %d %s", command, code, said.String())
				}
			}
		})
	}
}

func TestRevocationNeedsRestart(t *testing.T) {
	d := newDenying(t, inFile, nil)
	d.rewrite("denied.jsonl", "other.jsonl")
	d.gateway.tryReload("test")
	d.wantReload("0")
	if !strings.Contains(d.log.String(), "restart needed: revocation changed") {
		t.Error("the log does not say why")
	}
}

// command runs wicketgate revoke on the fixture's configuration.
func (d *denying) command(args ...string) (code int, said string) {
	var out lockedBuffer
	code = run(&app{ctx: d.t.Context(), stdout: &out, stderr: &out, env: func(string) (string, bool) { return "", false }},
		append([]string{"revoke", "--config", d.config}, args...))
	return code, out.String()
}

func TestRevokeInFile(t *testing.T) {
	d := newDenying(t, inFile, nil)
	raw, other := d.AT(changes{"sub": "alice"}), d.AT(changes{"sub": "bob"})
	d.passes(t, d.sendToken(raw))
	code, said := d.command("--iss", d.a.Identifier(), "--sub", "alice", "--issued-before", "now", "--until", "1h")
	id, rule, _ := strings.Cut(strings.TrimSpace(said), " ")
	if code != 0 || !strings.Contains(rule, `"sub":"alice","issued_before":"`) {
		t.Fatalf("%d %s", code, said)
	}
	eventually(t, "the rule", func() bool { return d.series(`revocation_rules{source="file"}`) == "1" })
	d.denied(t, raw)
	d.passes(t, d.sendToken(other))
	if code, said = d.command("--list"); code != 0 || said != id+" "+rule+"\n" {
		t.Errorf("%d %s", code, said)
	}
	for _, wrong := range [][]string{
		{"--remove", "nobody"}, {"--sub", "alice"}, {"--iss", d.a.Identifier()}, {"--iss", d.a.Identifier() + "/", "--sub", "alice"},
		{"--iss", d.a.Identifier(), "--sub", "alice", "--until", "soon"}, {"--iss", d.a.Identifier(), "--issued-before", "yesterday"},
		{"--iss", d.a.Identifier(), "--sub", "alice", "--issued-before", "1h"}, {"--iss", d.a.Identifier(), "--sub", "alice", "--until=-1h"},
		{"--iss", d.a.Identifier(), "--sub", "alice", "--until", "2020-01-31T12:00:00Z"}, {"--iss", d.a.Identifier(), "--sub", "", "--issued-before", "now"},
		{"--iss", d.a.Identifier(), "--sub", "alice", "--until", ""}, {"--iss", "", "--sub", "alice"}, {"--remove", ""},
		{"--list", "--sub", "alice"}, {"--remove", id, "--sub", "alice"}, {"--list", "--remove", id},
	} {
		if code, said = d.command(wrong...); code != exitFailed || !strings.HasPrefix(said, "wicketgate: ") {
			t.Errorf("%v: %d %s", wrong, code, said)
		}
	}
	if code, said = d.command("--remove", id); code != 0 {
		t.Fatalf("%d %s", code, said)
	}
	eventually(t, "the rule to go", func() bool { return d.series(`revocation_rules{source="file"}`) == "0" })
	d.passes(t, d.sendToken(raw))
	if text, err := os.ReadFile(d.rules); err != nil || string(text) != "# nobody yet\n" {
		t.Errorf("%q %v", text, err)
	}
}

func TestSignalsAreKept(t *testing.T) {
	kept := t.TempDir() + "/signals.jsonl"
	raw := ""
	for _, torn := range []string{"", `{"iss":"https://a`} {
		r := newReceiving(t, `, file: "`+kept+`"`)
		if raw != "" {
			if r.gateway.stores.denials.Rules().Len() != 1 {
				t.Error("forgotten over a restart")
			}
			continue
		}
		raw = r.AT(changes{"sub": "alice"})
		event := r.event(accountDisabled, changes{}, changes{"sub_id": r.about("alice")})
		r.accepted(t, r.push(event))
		r.denied(t, raw)
		file, err := os.OpenFile(kept, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteString(torn + `{"iss":"cut`)
		_ = file.Close()
	}
	t.Run("cannot be kept", func(t *testing.T) {
		r := newReceiving(t, `, file: "`+t.TempDir()+`/no/such/folder"`)
		got := r.push(r.event(accountDisabled, changes{}, changes{"sub_id": r.about("alice")}))
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.body != "" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
	t.Run("keys out of reach", func(t *testing.T) {
		r := newReceiving(t, "")
		renewed := r.eventOf(accountDisabled, changes{}, changes{"sub_id": r.about("alice")})
		renewed.Header["kid"] = "of a set we cannot get"
		event := r.mint(r.a, renewed)
		if err := r.a.Close(); err != nil {
			t.Fatal(err)
		}
		if got := r.push(event); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
}

// TestRulesAboutStrangers wants a misspelt issuer told of, also when the rules
// come later.
func TestRulesAboutStrangers(t *testing.T) {
	const counted = `revocation_updates_total{result="unknown_issuer",source="file"}`
	d := newDenying(t, inFile, nil)
	stranger := `{"iss":"https://login.exampel.com/","sub":"alice"}` + "\n"
	if d.series(counted) != "0" {
		t.Error("told of nothing")
	}
	d.enforce(t, d.rule(`"sub":"alice"`)+stranger)
	eventually(t, "it to be told", func() bool { return d.series(counted) == "1" })
	if !strings.Contains(d.log.String(), "issuers that are not in the configuration") || strings.Contains(d.log.String(), "exampel") {
		t.Error("the log does not say so, or quotes it")
	}
	for strict, want := range map[string]int{"--strict=false": 0, "--strict": exitFailed} {
		var said lockedBuffer
		code := run(&app{ctx: t.Context(), stdout: &said, stderr: &said, env: func(string) (string, bool) { return "", false }}, []string{"check", "--config", d.config, strict})
		if code != want || !strings.Contains(said.String(), "revocation.file: warning: has rules about 1 issuers") {
			t.Errorf("%s: %d %s", strict, code, said.String())
		}
	}
	d.enforce(t, d.rule(`"sub":"bob"`)+stranger)
	if d.series(counted) != "1" {
		t.Error("told twice of the same")
	}
}
