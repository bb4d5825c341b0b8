package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// tree is one module as the rules see it.
type tree struct {
	root     string
	module   string
	packages []*pkg
	fset     *token.FileSet
}

// pkg is one folder of Go files; path is relative to the module, "" for its root.
type pkg struct {
	path  string
	name  string
	files []*file
}

// file is one parsed Go file; name is relative to the module's root.
type file struct {
	name    string
	test    bool
	source  []byte
	syntax  *ast.File
	imports []imported
}

// imported is one import declaration; own is the part after the module's path.
type imported struct {
	path string
	own  string
	mine bool
	line int
}

func (p *pkg) product() []*file {
	var files []*file
	for _, f := range p.files {
		if !f.test {
			files = append(files, f)
		}
	}
	return files
}

func (p *pkg) String() string {
	if p.path == "" {
		return "the root package"
	}
	return p.path
}

// find returns nil for a package that is not there.
func (t *tree) find(path string) *pkg {
	for _, p := range t.packages {
		if p.path == path {
			return p
		}
	}
	return nil
}

func (t *tree) at(f *file, pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, t.fset.Position(pos).Line)
}

// load reads the module whose go.mod lies in root. A package that does not
// compile is read as far as its files parse, so that a rule names the cause
// rather than the compiler.
func load(root string) (*tree, error) {
	module, err := run(root, "go", "list", "-m")
	if err != nil {
		return nil, err
	}
	listed, err := run(root, "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,CgoFiles,IgnoredGoFiles,InvalidGoFiles,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, module: strings.TrimSpace(string(module)), fset: token.NewFileSet()}
	for d := json.NewDecoder(bytes.NewReader(listed)); ; {
		var l listing
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return t, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if strings.Contains(l.ImportPath, "/node_modules/") {
			continue
		}
		p, err := t.parse(l)
		if err != nil {
			return nil, err
		}
		t.packages = append(t.packages, p)
	}
}

// listing is what go list says of a package.
type listing struct {
	ImportPath, Dir                                                              string
	GoFiles, CgoFiles, IgnoredGoFiles, InvalidGoFiles, TestGoFiles, XTestGoFiles []string
}

func (l listing) files() []string {
	seen := map[string]bool{}
	var names []string
	for _, list := range [][]string{l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.InvalidGoFiles, l.TestGoFiles, l.XTestGoFiles} {
		for _, name := range list {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func (t *tree) parse(l listing) (*pkg, error) {
	p := &pkg{path: strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, t.module), "/")}
	for _, name := range l.files() {
		f, err := t.parseFile(filepath.Join(l.Dir, name))
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
		if !f.test {
			p.name = f.syntax.Name.Name
		}
	}
	return p, nil
}

func (t *tree) parseFile(path string) (*file, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(t.root, path)
	if err != nil {
		return nil, err
	}
	f := &file{name: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go"), source: source}
	if f.syntax, err = parser.ParseFile(t.fset, f.name, source, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	for _, spec := range f.syntax.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		own, mine := strings.CutPrefix(path, t.module+"/")
		mine = mine || path == t.module
		f.imports = append(f.imports, imported{path: path, own: own, mine: mine, line: t.fset.Position(spec.Pos()).Line})
	}
	return f, nil
}

// run returns what a command prints; its complaint is the error.
func run(dir, name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	command.Dir = dir
	// The list of what is linked must not depend on whose machine asks.
	command.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, complaint.Bytes())
	}
	return out, nil
}
