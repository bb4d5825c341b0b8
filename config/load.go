package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const maxFile = 1 << 20

// Load reads the file at path, resolves the file names in it against its
// folder and makes sure that each can be read. env looks up environment
// variables, like os.LookupEnv. The error is an Errors, or says why the file
// itself cannot be read.
func Load(path string, env func(string) (string, bool)) (*File, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	f, err := Parse(path, text, env)
	if err != nil {
		return nil, err
	}
	for _, n := range f.named() {
		if err := readable(*n.file); err != nil {
			f.source.report(f.source.place(n.path), n.path, "cannot be read: "+err.Error(), "")
		}
	}
	if len(f.source.errs) > 0 {
		return nil, f.source.sorted()
	}
	f.hash, f.unhashed = digest(text, f.Files())
	return f, nil
}

// LoadAdmin reads where the admin listener is, and takes the rest of the file as it
// comes: a gate goes on with the file before one that is wrong, and may be asked all
// the same. The error is of a file that cannot be read, or does not say where.
func LoadAdmin(path string, env func(string) (string, bool)) (Admin, error) {
	text, err := read(path)
	if err != nil {
		return Admin{}, fmt.Errorf("configuration file: %w", err)
	}
	s, f := newSource(path, strings.TrimPrefix(string(text), "\uFEFF")), &File{}
	v := reflect.ValueOf(f).Elem()
	setDefaults(v)
	root := s.document(string(text))
	if root != nil {
		(&decoder{source: s, env: env}).value("", root, v, "")
	}
	if root != nil && root.Kind == yaml.MappingNode {
		s.errs = slices.DeleteFunc(s.errs, func(e *Error) bool { return e.Path != "admin" && e.Path != "admin.listen" })
	}
	if len(s.errs) > 0 { // the default would be a guess
		return Admin{}, s.sorted()
	}
	return f.Admin, nil
}

// Parse reads the text of a file called name. It opens no file; names of files
// come out relative to the folder of name. The error is an Errors with all
// that is wrong.
func Parse(name string, text []byte, env func(string) (string, bool)) (*File, error) {
	s := newSource(name, strings.TrimPrefix(string(text), "\uFEFF"))
	s.whenEmpty = "wicketgate serve without a file prints the smallest one"
	f := &File{source: s, env: env}
	if s.checkText(text) {
		if root := s.document(string(text)); root != nil {
			v := reflect.ValueOf(f).Elem()
			setDefaults(v)
			(&decoder{source: s, env: env}).value("", root, v, "")
			(&checker{source: s, File: f}).check()
		}
	}
	if len(s.errs) > 0 {
		return nil, s.sorted()
	}
	if f.CacheDir != "" && !filepath.IsAbs(f.CacheDir) {
		f.CacheDir = filepath.Join(filepath.Dir(name), f.CacheDir)
	}
	f.DecisionLog.resolve(filepath.Dir(name))
	for _, rules := range f.Revocation.ruleFiles() {
		if *rules != "" && !filepath.IsAbs(*rules) {
			*rules = filepath.Join(filepath.Dir(name), *rules)
		}
	}
	for _, n := range f.named() {
		if !filepath.IsAbs(*n.file) {
			*n.file = filepath.Join(filepath.Dir(name), *n.file)
		}
	}
	return f, nil
}

// checkText makes sure that every editor shows the file as it is read.
func (s *source) checkText(text []byte) bool {
	if len(text) > maxFile {
		s.report(mark{}, "", "the file is longer than 1 MiB", "")
		return false
	}
	for i, line := range s.lines {
		column := 0
		for at, r := range strings.TrimSuffix(line, "\r") {
			column++
			_, width := utf8.DecodeRuneInString(line[at:])
			if r == utf8.RuneError && width == 1 {
				s.report(mark{i + 1, column}, "", "not UTF-8", "save the file as UTF-8")
				return false
			}
			if r != '\t' && isControl(r) || r == '\uFEFF' {
				s.report(mark{i + 1, column}, "", fmt.Sprintf("the control character %U", r), "remove it")
				return false
			}
		}
	}
	return true
}

// ErrorAt makes an error about path with its place in the file, for what only
// those who build from the file find out.
func (f *File) ErrorAt(path, message string) *Error {
	return f.source.errorAt(f.source.place(path), path, message, "")
}

// Warnings lists what is allowed but dangerous, or probably not meant.
func (f *File) Warnings() []Warning { return f.warnings }

// Warn adds what shows only where the files that f names are read.
func (f *File) Warn(rule, path, message, hint string) {
	f.warnings = append(f.warnings, Warning{rule, path, message, hint})
}

// Hash is that of the text that was read and of the files it names, as Load found
// them; they may have changed since.
func (f *File) Hash() ([32]byte, error) { return f.hash, f.unhashed }

// Apart is the same file with warnings of its own, for who builds from one that is
// in force.
func (f *File) Apart() *File {
	own := *f
	own.warnings = slices.Clone(f.warnings)
	return &own
}

// KeyErrorAt is ErrorAt for the key at path, where that is what is meant and
// not its value.
func (f *File) KeyErrorAt(path, message string) *Error {
	at, ok := f.source.keys[path]
	if !ok {
		at = f.source.place(path)
	}
	return f.source.errorAt(at, path, message, "")
}

// LineError is an error about a place in the text, line and column from 1.
func (f *File) LineError(line, column int, message, hint string) *Error {
	return f.source.errorAt(mark{line, column}, "", message, hint)
}

// Lines is the text of the file.
func (f *File) Lines() []string { return f.source.lines }

// Below is the path of a key below that of what holds it.
func Below(path, key string) string { return join(path, key) }

// Insecure lists the insecure_ settings that are on, and report_only, each name
// once.
func (f *File) Insecure() []string {
	var on []string
	for _, i := range f.Issuers {
		if i.InsecureHTTP {
			on = append(on, "insecure_http")
		}
		if i.InsecureAllowAnyAudience {
			on = append(on, "insecure_allow_any_audience")
		}
	}
	if f.reportsOnly() {
		on = append(on, "report_only")
	}
	slices.Sort(on)
	return slices.Compact(on)
}

// Files lists every file the configuration names, each once.
func (f *File) Files() []string {
	var files []string
	for _, n := range f.named() {
		files = append(files, *n.file)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

type namedFile struct {
	path string
	file *string
}

// named lists the settings that name a file and are set.
func (f *File) named() []namedFile {
	all := []namedFile{
		{"tls.cert_file", &f.TLS.CertFile}, {"tls.key_file", &f.TLS.KeyFile},
		{"tls.client_ca_file", &f.TLS.ClientCAFile}, {"tls.client_crl_file", &f.TLS.ClientCRLFile},
		{"dpop.nonce_secret_file", &f.DPoP.NonceSecretFile},
	}
	all = append(all, f.DPoP.Replay.Redis.files("dpop.replay.redis")...)
	for n := range f.Issuers {
		i, at := &f.Issuers[n], fmt.Sprintf("issuers[%d].", n)
		all = append(all, namedFile{at + "jwks_file", &i.JWKSFile}, namedFile{at + "ca_file", &i.CAFile}, namedFile{at + "bearer_token_file", &i.BearerTokenFile})
		all = append(all, i.Introspection.files(at+"introspection")...)
		all = append(all, i.Introspection.Shared.files(at+"introspection.shared")...)
	}
	for n := range f.Resources {
		all = append(all, f.Resources[n].keyFiles(fmt.Sprintf("resources[%d]", n), f.Has)...)
	}
	all = append(all, f.Revocation.files()...)
	all = append(all, f.Tracing.files()...)
	return slices.DeleteFunc(all, func(n namedFile) bool { return *n.file == "" })
}

// read reads a configuration file, or a little more than the longest.
func read(path string) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// open opens a regular file; a pipe could keep the reader waiting for good.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	return os.Open(path)
}

func readable(path string) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	return file.Close()
}
