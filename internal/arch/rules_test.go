package arch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// rules holds every rule by the name of its proof in testdata. A rule returns
// one line for each place that breaks it.
var rules = []struct {
	name  string
	check func(*tree, *law) []string
}{
	{"floors", floors},
	{"demo", demoStaysOut},
	{"doors", doors},
	{"bans", bans},
	{"comments", packageComments},
	{"lines", lineBudgets},
	{"functions", functionLengths},
	{"init", noInit},
	{"replace", noReplace},
	{"principal", principalMakers},
	{"skips", noSkips},
	{"promises", noPromises},
}

// eachImport calls visit for the imports of the files that make up the product.
func eachImport(t *tree, visit func(*pkg, *file, imported)) {
	for _, p := range t.packages {
		for _, f := range p.product() {
			for _, i := range f.imports {
				visit(p, f, i)
			}
		}
	}
}

// stands tells whether a package has a floor to stand on.
func (l *law) stands(path string) bool {
	return !slices.ContainsFunc(l.outside, func(folder string) bool {
		return path == folder || folder != "" && strings.HasPrefix(path, folder+"/")
	})
}

// floors lets a package import only lower floors, and what mayImport leaves of
// them. Tests are free: an honest one may need the floor above.
func floors(t *tree, l *law) []string {
	var out []string
	for _, p := range t.packages {
		if _, known := l.floors[p.path]; !known && l.stands(p.path) {
			out = append(out, fmt.Sprintf("%s: has no floor; give it one in internal/arch/law_test.go", p))
		}
	}
	eachImport(t, func(p *pkg, f *file, i imported) {
		mine, known := l.floors[p.path]
		if !known || !i.mine {
			return
		}
		if other, known := l.floors[i.own]; !known || other >= mine {
			floor := "none"
			if known {
				floor = fmt.Sprint(other)
			}
			out = append(out, fmt.Sprintf("%s:%d: %s (floor %d) imports %s (floor %s)", f.name, i.line, p, mine, i.own, floor))
			return
		}
		if allowed, tight := l.mayImport[p.path]; tight && !slices.Contains(allowed, i.own) {
			out = append(out, fmt.Sprintf("%s:%d: %s imports %s, of its own module it may import only %s", f.name, i.line, p, i.own, strings.Join(allowed, ", ")))
		}
	})
	return out
}

// demoStaysOut keeps the demo issuer, which signs whatever it is asked to, out
// of everything but the command that shows it, and tests.
func demoStaysOut(t *tree, l *law) []string {
	var out []string
	eachImport(t, func(p *pkg, f *file, i imported) {
		if i.mine && i.own == l.demo && l.stands(p.path) && !slices.Contains(l.demoUsers, p.path) {
			out = append(out, fmt.Sprintf("%s:%d: %s imports %s, which is for the demo and for tests", f.name, i.line, p, l.demo))
		}
	})
	return out
}

// doors lets a third-party module in only where the law has a door for it.
func doors(t *tree, l *law) []string {
	var out []string
	for _, p := range t.packages {
		if !l.stands(p.path) {
			continue
		}
		for _, f := range p.files {
			for _, i := range f.imports {
				if i.mine || standard(i.path) {
					continue
				}
				if why := l.refuses(p, f.test, i.path); why != "" {
					out = append(out, fmt.Sprintf("%s:%d: %s imports %s: %s", f.name, i.line, p, i.path, why))
				}
			}
		}
	}
	return out
}

// standard goes by the dot that every module's host name has.
func standard(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return !strings.Contains(host, ".")
}

// refuses says why a module may not enter here, "" when it may. A test may use
// any module that the product or another test uses.
func (l *law) refuses(p *pkg, test bool, path string) string {
	for module, packages := range l.doors {
		if !within(path, module) {
			continue
		}
		if test || slices.Contains(packages, p.path) {
			return ""
		}
		return "its door is " + strings.Join(packages, ", ")
	}
	if slices.ContainsFunc(l.testDoors, func(module string) bool { return within(path, module) }) {
		if test {
			return ""
		}
		return "it is for tests only"
	}
	return "it has no door in internal/arch/law_test.go"
}

func within(path, module string) bool {
	return path == module || strings.HasPrefix(path, module+"/")
}

// bans looks for imports that no product file has a good reason for.
func bans(t *tree, l *law) []string {
	var out []string
	eachImport(t, func(p *pkg, f *file, i imported) {
		for _, b := range l.bans {
			if b.covers(i.path) && (b.in == nil || slices.Contains(b.in, p.path)) && !slices.Contains(b.except, p.path) && l.stands(p.path) {
				out = append(out, fmt.Sprintf("%s:%d: %s imports %s: %s", f.name, i.line, p, i.path, b.why))
			}
		}
	})
	return out
}

func (b ban) covers(path string) bool {
	if below, all := strings.CutSuffix(b.path, "/..."); all {
		return within(path, below)
	}
	return path == b.path
}

// packageComments wants exactly one package comment, in the form go doc expects.
func packageComments(t *tree, _ *law) []string {
	var out []string
	for _, p := range t.packages {
		var where []string
		for _, f := range p.product() {
			if f.syntax.Doc == nil {
				continue
			}
			where = append(where, f.name)
			if text := f.syntax.Doc.Text(); p.name != "main" && !strings.HasPrefix(text, "Package "+p.name+" ") {
				out = append(out, fmt.Sprintf("%s: the package comment does not start with %q", f.name, "Package "+p.name))
			}
		}
		if n := len(where); n > 1 {
			out = append(out, fmt.Sprintf("%s: %d package comments (%s); one says it", p, n, strings.Join(where, ", ")))
		} else if n == 0 && len(p.product()) > 0 {
			out = append(out, fmt.Sprintf("%s: no package comment; say what it is and what it is not", p))
		}
	}
	return out
}

// lineBudgets counts the lines of a package, its tests aside.
func lineBudgets(t *tree, l *law) []string {
	var out []string
	for _, p := range t.packages {
		limit := l.packageLines
		if raised, ok := l.raisedLines[p.path]; ok {
			limit = raised.lines
			if raised.why == "" {
				out = append(out, fmt.Sprintf("%s: its budget is raised without a reason", p))
			}
		}
		lines := 0
		for _, f := range p.product() {
			lines += bytes.Count(f.source, []byte("\n"))
		}
		if lines > limit {
			out = append(out, fmt.Sprintf("%s: %d lines, %d are allowed; split it, or raise the budget with a reason", p, lines, limit))
		}
	}
	return out
}

// functionLengths wants a reason in the law for a long function, and no reason
// for one that is long no more.
func functionLengths(t *tree, l *law) []string {
	var out []string
	long := map[string]bool{}
	eachFunction(t, func(p *pkg, f *file, d *ast.FuncDecl) {
		lines := t.fset.Position(d.End()).Line - t.fset.Position(d.Pos()).Line + 1
		if f.test || lines <= l.functionLines {
			return
		}
		name := p.path + "." + functionName(d)
		long[name] = true
		if l.longFunctions[name] == "" {
			out = append(out, fmt.Sprintf("%s: %s has %d lines; split it, or give longFunctions a reason", t.at(f, d.Pos()), name, lines))
		}
	})
	for name := range l.longFunctions {
		path := name[:strings.LastIndexByte(name, '.')]
		if i := strings.IndexByte(name, '('); i > 0 {
			path = name[:i-1]
		}
		if !long[name] && t.find(path) != nil {
			out = append(out, fmt.Sprintf("%s: is not long; take its reason out of longFunctions", name))
		}
	}
	return out
}

func eachFunction(t *tree, visit func(*pkg, *file, *ast.FuncDecl)) {
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, d := range f.syntax.Decls {
				if d, ok := d.(*ast.FuncDecl); ok {
					visit(p, f, d)
				}
			}
		}
	}
}

// functionName is F for a function and (T).F for a method, pointer or not.
func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return "(" + r.Name + ")." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

// noInit keeps work out of program start, where nobody can order or refuse it.
func noInit(t *tree, _ *law) []string {
	var out []string
	eachFunction(t, func(_ *pkg, f *file, d *ast.FuncDecl) {
		if d.Recv == nil && d.Name.Name == "init" {
			out = append(out, t.at(f, d.Pos())+": init runs before main can decide; call it by name")
		}
	})
	return out
}

// noReplace keeps `go install` and `go get` of this module working.
func noReplace(t *tree, _ *law) []string {
	printed, err := run(t.root, "go", "mod", "edit", "-json")
	if err != nil {
		return []string{err.Error()}
	}
	var mod struct {
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(printed, &mod); err != nil {
		return []string{"go.mod: " + err.Error()}
	}
	var out []string
	for _, r := range mod.Replace {
		out = append(out, fmt.Sprintf("go.mod: replaces %s; those who depend on this module would not get it", r.Old.Path))
	}
	return out
}

// principalMakers lets only the package that runs every check say that a caller
// passed them. Tests may say it to have somebody to authorize.
func principalMakers(t *tree, l *law) []string {
	home, name, _ := strings.Cut(l.principal, ".")
	var out []string
	for _, p := range t.packages {
		if slices.Contains(l.principalMaker, p.path) {
			continue
		}
		for _, f := range p.product() {
			is := names(t, p, f, home, name)
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if n != nil && makes(n, is) {
					out = append(out, fmt.Sprintf("%s: %s makes a %s; only %s may", t.at(f, n.Pos()), p, l.principal, strings.Join(l.principalMaker, ", ")))
				}
				return true
			})
		}
	}
	return out
}

// names tells whether an expression spells the type home.name in this file,
// whatever the import is called.
func names(t *tree, p *pkg, f *file, home, name string) func(ast.Expr) bool {
	alias := ""
	for _, spec := range f.syntax.Imports {
		if strings.Trim(spec.Path.Value, `"`+"`") == t.module+"/"+home {
			alias = home
			if spec.Name != nil {
				alias = spec.Name.Name
			}
		}
	}
	return func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name == name && (p.path == home || alias == ".")
		case *ast.SelectorExpr:
			x, ok := e.X.(*ast.Ident)
			return ok && x.Name == alias && e.Sel.Name == name
		}
		return false
	}
}

// makes tells whether a node brings a value of the type into being: a literal
// (also as an element), new(T), T(x) or a variable of type T.
func makes(n ast.Node, is func(ast.Expr) bool) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		return is(element(n.Type))
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "new" && len(n.Args) == 1 {
			return is(n.Args[0])
		}
		return is(n.Fun)
	case *ast.ValueSpec:
		return n.Type != nil && is(n.Type)
	}
	return false
}

// element strips arrays, slices, maps and pointers off a type: a literal of any
// of them may hold literals that name no type.
func element(e ast.Expr) ast.Expr {
	for {
		switch t := e.(type) {
		case *ast.ArrayType:
			e = t.Elt
		case *ast.MapType:
			e = t.Value
		case *ast.StarExpr:
			e = t.X
		default:
			return e
		}
	}
}

// noSkips lets no test excuse itself: a skipped case is a case not done.
func noSkips(t *tree, _ *law) []string {
	var out []string
	for _, p := range t.packages {
		for _, f := range p.files {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && f.test && skips(call) {
					out = append(out, t.at(f, n.Pos())+": skips; a test runs, or is not there")
				}
				return true
			})
		}
	}
	return out
}

func skips(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	on, ok := method.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "Skip", "Skipf", "SkipNow":
		return slices.Contains([]string{"t", "b", "f", "tb"}, on.Name)
	case "Short":
		return on.Name == "testing"
	}
	return false
}

// promised is spelt in two halves so that this file keeps its own rule.
var promised = regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|XX" + `X)\b`)

// noPromises keeps notes to self out of the code: an issue can be closed.
func noPromises(t *tree, _ *law) []string {
	var out []string
	for _, p := range t.packages {
		for _, f := range p.files {
			for n, line := range strings.Split(string(f.source), "\n") {
				if word := promised.FindString(line); word != "" {
					out = append(out, fmt.Sprintf("%s:%d: %s; do it, or file an issue", f.name, n+1, word))
				}
			}
		}
	}
	return out
}

// linked is the sorted list of the modules that a command is linked with.
func linked(t *tree, command string) ([]string, error) {
	printed, err := run(t.root, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./"+command)
	if err != nil {
		return nil, err
	}
	modules := strings.Fields(string(printed))
	slices.Sort(modules)
	return slices.Compact(modules), nil
}

// undeclared compares what is linked with what deps.txt says.
func undeclared(declared, linked []string) []string {
	var out []string
	for _, m := range linked {
		if !slices.Contains(declared, m) {
			out = append(out, "deps.txt: "+m+" is linked but not listed; if it is meant, run `make deps` and say why in docs/decisions")
		}
	}
	for _, m := range declared {
		if !slices.Contains(linked, m) {
			out = append(out, "deps.txt: "+m+" is listed but not linked any more; run `make deps`")
		}
	}
	if len(out) == 0 && !slices.Equal(declared, linked) {
		out = append(out, "deps.txt: is not sorted, or repeats itself; run `make deps`")
	}
	return out
}

// readDeps reads the declared modules; a file that is not there declares none.
func readDeps(t *tree) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.root, "deps.txt"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}
