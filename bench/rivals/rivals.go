package rivals

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/wicketgate/wicketgate/internal/process"
)

// A Kind is how a request is let through.
type Kind string

// The kinds of doors. A peer has those that it can.
const (
	Unchecked Kind = "unchecked" // forwarded without a look: what the proxying alone costs
	JWT       Kind = "jwt"       // Authorization: Bearer with a signed token
	DPoP      Kind = "dpop"      // Authorization: DPoP with a bound one and a proof (RFC 9449)
	Opaque    Kind = "opaque"    // Authorization: Bearer with one that is asked about (RFC 7662)
)

// Kinds are all kinds, in the order of tables.
func Kinds() []Kind { return []Kind{Unchecked, JWT, DPoP, Opaque} }

// A Place is where a peer runs: between whom, and whose tokens it takes.
type Place struct {
	Dir        string // an empty folder of its own
	Upstream   string // host:port, plain HTTP/1.1
	Issuer     string // the iss of tokens; without spaces and quotes, as is Audience
	Audience   string // the aud of tokens, and what proofs' htu begin with: scheme://host
	Open       string // a path that needs no token at any door
	KeySet     []byte // the issuer's keys (RFC 7517), ES256 and RS256 at least
	JWKS       string // URL where they are served
	Processors int    // workers, or threads where they do not wait for clients
	Clients    int    // connections to expect at once

	// Where to ask about tokens, and as whom (client_secret_basic).
	Introspection, ClientID, ClientSecret string
}

// A Peer is a program that may stand where the gate does.
type Peer struct {
	Name     string
	Kinds    []Kind
	Packages []string // Debian's, the program's first

	program string
	modules []string // Apache's
	secure  bool     // it asks the issuer over HTTPS only
	config  string   // the template's name
	args    func(config, dir string) []string
}

// modulesOfApache is where Debian keeps them.
const modulesOfApache = "/usr/lib/apache2/modules"

// Peers are all of them.
func Peers() []Peer {
	apache := func(config, _ string) []string { return []string{"-DFOREGROUND", "-f", config} }
	return []Peer{
		{
			Name: "haproxy", Kinds: []Kind{Unchecked, JWT}, Packages: []string{"haproxy"}, program: "haproxy", config: "haproxy.cfg",
			args: func(config, _ string) []string { return []string{"-db", "-f", config} },
		},
		{
			Name: "apache-oauth2", Kinds: Kinds(), Packages: []string{"apache2-bin", "libapache2-mod-oauth2", "liboauth2-0"}, program: "apache2", config: "oauth2.conf",
			modules: []string{"mpm_event", "authz_core", "authn_core", "authz_user", "headers", "proxy", "proxy_http", "oauth2"}, args: apache,
		},
		{
			Name: "apache-openidc", Kinds: []Kind{Unchecked, JWT, Opaque}, Packages: []string{"apache2-bin", "libapache2-mod-auth-openidc"}, program: "apache2", config: "openidc.conf",
			modules: []string{"mpm_event", "authz_core", "authn_core", "authz_user", "headers", "proxy", "proxy_http", "auth_openidc"}, args: apache, secure: true,
		},
		{
			Name: "nginx", Kinds: []Kind{Unchecked}, Packages: []string{"nginx"}, program: "nginx", config: "nginx.conf",
			args: func(config, dir string) []string { return []string{"-p", dir, "-e", "stderr", "-c", config} },
		},
	}
}

// Missing says which program or module is not there, and what to install.
func (p Peer) Missing() error {
	var missing []error
	if _, err := exec.LookPath(p.program); err != nil {
		missing = append(missing, fmt.Errorf("%s is not installed: apt-get install %s", p.program, p.Packages[0]))
	}
	for _, module := range p.modules {
		if _, err := os.Stat(moduleFile(module)); err != nil {
			missing = append(missing, fmt.Errorf("Apache's %s is not installed: apt-get install %s", module, strings.Join(p.Packages, " ")))
		}
	}
	return errors.Join(missing...)
}

func moduleFile(name string) string { return filepath.Join(modulesOfApache, "mod_"+name+".so") }

// Versions are the packages' as dpkg knows them: "haproxy 2.6.12-1".
func (p Peer) Versions(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", append([]string{"-W", "-f", "${Package} ${Version}\n"}, p.Packages...)...).Output()
	if err != nil {
		return "", fmt.Errorf("asking for the versions of %s: %w", p.Name, err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), ", "), nil
}

//go:embed configs
var configs embed.FS

// settings is what a template is filled with.
type settings struct {
	Place
	Modules   []string
	ModuleDir string
	Root      bool              // Apache refuses to serve as root
	Threads   int               // of each of Apache's processes
	At        map[string]string // what it listens at, by kind
	KeyFiles  []keyFile
}

// Host is the audience's.
func (s settings) Host() string {
	_, host, _ := strings.Cut(s.Audience, "://")
	return host
}

// AllThreads is how many Apache has in all.
func (s settings) AllThreads() int { return s.Threads * s.Processors }

// configure writes the configuration and returns its path, and where the peer
// will listen.
func (p Peer) configure(in Place) (path string, doors map[Kind]string, err error) {
	doors, at := map[Kind]string{}, map[string]string{}
	for _, kind := range p.Kinds {
		if doors[kind], err = process.FreeAddress(); err != nil {
			return "", nil, err
		}
		at[string(kind)] = doors[kind]
	}
	all, err := template.New("").Option("missingkey=error").ParseFS(configs, "configs/*")
	if err != nil {
		return "", nil, err
	}
	keys, err := writeKeys(in.Dir, in.KeySet)
	if err != nil {
		return "", nil, err
	}
	var text bytes.Buffer
	// A process has room for all connections: the kernel does not deal them out evenly.
	s := settings{Place: in, Modules: p.modules, ModuleDir: modulesOfApache, Root: os.Getuid() == 0, Threads: in.Clients + 2, At: at, KeyFiles: keys}
	if err := all.ExecuteTemplate(&text, p.config, s); err != nil {
		return "", nil, err
	}
	path = filepath.Join(in.Dir, p.config)
	return path, doors, os.WriteFile(path, text.Bytes(), 0o600)
}
