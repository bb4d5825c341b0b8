package arch

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// eachText visits the files of the repository, but for what others made.
func eachText(t *testing.T, visit func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "node_modules"}, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		visit(filepath.ToSlash(name), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecurityDocument is S-19: all that SECURITY.md names as a proof is there,
// and it has a line for each row of the list of threats about hardening.
func TestSecurityDocument(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{}   // the folders of each test
	folders := map[string]string{} // all tests of a folder
	eachText(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") {
			folders[filepath.Dir(name)] += text
			for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(text, -1) {
				tests[match[1]] += filepath.Dir(name) + "\n"
			}
		}
	})
	for _, broken := range judgePromises(string(page), string(makefile), tests, func(folder, id string) bool {
		return strings.Contains(folders[folder], `"`+id+`"`)
	}) {
		t.Error("SECURITY.md: " + broken)
	}
	for n := range 20 {
		if id := fmt.Sprintf("\n| S-%02d | ", n+1); !strings.Contains(string(page), id) {
			t.Errorf("SECURITY.md has no line for S-%02d", n+1)
		}
	}
}

// judgePromises says what a page promises and cannot show. speaks tells whether
// a test of a folder has a part of that name.
func judgePromises(page, makefile string, tests map[string]string, speaks func(folder, id string) bool) (out []string) {
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| version") || strings.HasPrefix(line, "| trusted") {
			continue
		}
		for _, match := range regexp.MustCompile("`((?:Test|Benchmark|Fuzz)\\w+)(?:/([^`]+))?`").FindAllStringSubmatch(line, -1) {
			places, there := tests[match[1]]
			if !there {
				out = append(out, "there is no "+match[1])
				continue
			}
			if match[2] != "" && !slices.ContainsFunc(strings.Fields(places), func(place string) bool { return speaks(place, match[2]) }) {
				out = append(out, match[1]+" has no part "+match[2])
			}
		}
		for _, match := range regexp.MustCompile("`make ([a-z0-9-]+)`").FindAllStringSubmatch(line, -1) {
			if !strings.Contains(makefile, "\n"+match[1]+": ") {
				out = append(out, "there is no make "+match[1])
			}
		}
		if regexp.MustCompile(`^\| S-\d\d `).MatchString(line) && !strings.Contains(line, "`Test") && !strings.Contains(line, "`make ") && !strings.Contains(line, "not yet: ") {
			out = append(out, "nothing shows "+line[2:6])
		}
	}
	return out
}

func TestJudgePromises(t *testing.T) {
	tests := map[string]string{"TestA": "."}
	for page, want := range map[string]string{
		"| S-01 | x | `TestA`, `make b` |":       "",
		"| S-01 | x | `TestA/S-01` |":            "",
		"| S-01 | x | `TestA/S-02` |":            "TestA has no part S-02",
		"| S-01 | x | `TestB` |":                 "there is no TestB",
		"| S-01 | x | `make c` |":                "there is no make c",
		"| S-01 | x | trust us |":                "nothing shows S-01",
		"| S-01 | x | not yet: it is not there|": "",
		"| harm | `BenchmarkB` |":                "there is no BenchmarkB",
	} {
		got := strings.Join(judgePromises(page, "a:\n\nb: ## x\n", tests, func(_, id string) bool { return id == "S-01" }), "; ")
		if got != want {
			t.Errorf("%s: %q, want %q", page, got, want)
		}
	}
}

// outbound is what no product package may call, S-13 and S-15: the clients that
// net/http shares with everybody obey the environment and wait for ever.
var outbound = map[string]string{
	"http.DefaultClient": "has no deadline", "http.DefaultTransport": "obeys the environment", "http.Get": "has no deadline", "http.Post": "has no deadline",
	"http.PostForm": "has no deadline", "http.Head": "has no deadline", "http.ProxyFromEnvironment": "obeys the environment",
	"hmac.New": "", // where it is called, it is compared with in constant time
}

// excused are files that may.
var excused = map[string]string{
	"cmd/wicketgate/demo_steps.go":   "the clients of the demonstration, on loopback",
	"cmd/wicketgate/tokens.go":       "asks the issuer of the demonstration, on loopback",
	"validator/introspect/shared.go": "the MAC is a name in Redis, which nobody presents",
}

func TestOutboundLaw(t *testing.T) {
	module := loadModule(t)
	for _, p := range module.packages {
		if _, product := wicketgate.floors[p.path]; !product || p.path == wicketgate.demo {
			continue
		}
		for _, f := range p.product() {
			if excused[f.name] != "" {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if name := selected(n); outbound[name] != "" {
					t.Errorf("%s: %s %s", module.at(f, n.Pos()), name, outbound[name])
				} else if name == "hmac.New" && !strings.Contains(string(f.source), "subtle.") && !strings.Contains(string(f.source), "hmac.Equal") {
					t.Errorf("%s: a MAC is made, and no comparison here takes the same time for all", module.at(f, n.Pos()))
				}
				if pair, is := n.(*ast.KeyValueExpr); is {
					if key, named := pair.Key.(*ast.Ident); named && key.Name == "InsecureSkipVerify" {
						t.Errorf("%s: a certificate is not checked", module.at(f, n.Pos()))
					}
				}
				return true
			})
		}
	}
}

// selected is package.Name for what a selector of a package names.
func selected(n ast.Node) string {
	selector, is := n.(*ast.SelectorExpr)
	if !is {
		return ""
	}
	if on, is := selector.X.(*ast.Ident); is {
		return on.Name + "." + selector.Sel.Name
	}
	return ""
}

// leaked are the forms of keys and credentials; spelt in parts, so that this
// file keeps its own rule.
var leaked = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE ` + `KEY-----\s+[A-Za-z0-9+/]{40}|"d" ?: ?"[A-Za-z0-9_-]{20,}"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bglpat-[A-Za-z0-9_-]{20}|\bxox[abprs]-[0-9A-Za-z-]{10,}`)

// published are files whose keys everybody knows: examples of RFCs, and vectors.
var published = map[string]string{
	"internal/devissuer/jose_test.go":     "keys of RFC 8037 and RFC 7515",
	"validator/testdata/conformance.json": "vectors, each with the key it was made by",
}

func TestNoSecretIsCommitted(t *testing.T) {
	for _, text := range []string{"-----BEGIN EC PRIVATE " + "KEY-----\n" + strings.Repeat("A", 64), `"d": "` + strings.Repeat("A", 43) + `"`, "AKIA" + strings.Repeat("A", 16)} {
		if !leaked.MatchString(text) {
			t.Errorf("%q is not found", text)
		}
	}
	found := map[string]bool{}
	eachText(t, func(name, text string) {
		at := leaked.FindStringIndex(text)
		if at == nil {
			return
		}
		if found[name] = true; published[name] == "" {
			t.Errorf("%s:%d: a key or a credential", name, 1+strings.Count(text[:at[0]], "\n"))
		}
	})
	for name := range published {
		if !found[name] {
			t.Errorf("%s holds no key; take it off the list", name)
		}
	}
}

// TestSystemCalls holds the list of system calls (S-05) to what a proxy needs.
func TestSystemCalls(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "deploy", "seccomp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var profile struct {
		DefaultAction string
		Syscalls      []struct {
			Names  []string
			Action string
			Args   []struct{ Index, Value uint64 }
		}
	}
	if err := json.Unmarshal(text, &profile); err != nil {
		t.Fatal(err)
	}
	if profile.DefaultAction != "SCMP_ACT_ERRNO" {
		t.Errorf("what is not listed is %s", profile.DefaultAction)
	}
	var all []string
	for _, group := range profile.Syscalls {
		for _, name := range group.Names {
			if group.Action != "SCMP_ACT_ALLOW" || len(group.Args) == 0 && slices.Contains([]string{"socket", "clone"}, name) {
				t.Errorf("%s is %s whatever it is called with", name, group.Action)
			}
			all = append(all, name)
		}
	}
	for _, never := range strings.Fields("acct add_key bpf chroot clone3 delete_module finit_module fsopen init_module io_uring_setup ioperm iopl kexec_load keyctl memfd_create mknod mknodat mount " +
		"move_mount open_by_handle_at perf_event_open personality pivot_root process_vm_readv process_vm_writev ptrace reboot setgid sethostname setns settimeofday setuid swapon symlinkat umount2 unshare userfaultfd") {
		if slices.Contains(all, never) {
			t.Errorf("%s is allowed", never)
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 86 {
		t.Errorf("%d system calls; say the same in SECURITY.md", n)
	}
}
