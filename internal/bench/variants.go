package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const benchAudience = "https://rs.example.com"

func (b *bench) startBare(upstream string) (pid int, address string, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, "", err
	}
	child := exec.Command(self, "-role", "bare", "-target", upstream)
	out, err := child.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := child.Start(); err != nil {
		return 0, "", err
	}
	b.children = append(b.children, child)
	address, err = bufio.NewReader(out).ReadString('\n')
	return child.Process.Pid, strings.TrimSpace(address), err
}

// startGate builds and starts the program as a user would.
func (b *bench) startGate(dir, upstream string) (pid int, address string, err error) {
	binary := filepath.Join(dir, "wicketgate")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "github.com/wicketgate/wicketgate/cmd/wicketgate")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 0, "", fmt.Errorf("building the gate: %w", err)
	}
	address, err = freeAddress()
	if err != nil {
		return 0, "", err
	}
	admin, err := freeAddress()
	if err != nil {
		return 0, "", err
	}
	keys := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(keys, b.issuer.JWKS(), 0o600); err != nil {
		return 0, "", err
	}
	file := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(`version: 1
listen: "%s"
admin: {listen: "%s"}
issuers: [{name: as, issuer: "https://as.example.com", jwks_file: "%s"}]
resources:
  - {identifier: "%s", behind_tls: true, upstream: "%s", routes: [{path: /open, public: true}, {path: /read, scopes: [read]}]}
dpop: {replay: {max_entries: 5000000}}
log: {level: error, access: "off"}
`, address, admin, keys, benchAudience, upstream)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return 0, "", err
	}
	child := exec.Command(binary, "serve", "--config", file)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		return 0, "", err
	}
	b.children = append(b.children, child)
	return child.Process.Pid, address, untilReady("http://" + admin + "/readyz")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func untilReady(url string) error {
	var last error
	for range 200 {
		resp, err := http.Get(url) //nolint:gosec // a loopback address of our own
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the gate is not ready: %w", last)
}

// addVariants says what is measured. The first is what the others are compared
// with.
func (b *bench) addVariants(bare int, bareURL string, gate int, gateURL string) error {
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		return err
	}
	one, err := b.issuer.Mint(devissuer.Token{Alg: "ES256"})
	if err != nil {
		return err
	}
	bound, err := b.issuer.Mint(devissuer.Token{Alg: "ES256", Claims: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}})
	if err != nil {
		return err
	}
	always := func(header http.Header) func(int) (http.Header, error) {
		return func(int) (http.Header, error) { return header.Clone(), nil }
	}
	bearer := func(raw string) http.Header { return http.Header{"Authorization": {"Bearer " + raw}} }
	fresh := func(alg string) func(int) (http.Header, error) {
		return func(i int) (http.Header, error) {
			raw, err := b.issuer.Mint(devissuer.Token{Alg: alg, Claims: map[string]any{"n": strconv.Itoa(i)}})
			return bearer(raw), err
		}
	}
	proof := func(int) (http.Header, error) {
		p, err := key.Proof(devissuer.Proof{Method: "GET", URL: benchAudience + "/read", AccessToken: bound})
		return http.Header{"Authorization": {"DPoP " + bound}, "Dpop": {p}}, err
	}
	expired, err := b.issuer.Mint(devissuer.Token{Alg: "ES256", Claims: map[string]any{"exp": 1}})
	if err != nil {
		return err
	}
	read := gateURL + "/read"
	b.variants = []*variant{
		{name: "bare ReverseProxy, unchecked", url: bareURL, pid: bare, status: 200, header: always(bearer(one))},
		{name: "gate, public route", url: gateURL + "/open", pid: gate, status: 200, header: always(bearer(one))},
		{name: "gate, JWT cached", url: read, pid: gate, status: 200, header: always(bearer(one))},
		{name: "gate, JWT ES256, every token once", url: read, pid: gate, status: 200, header: fresh("ES256")},
		{name: "gate, JWT RS256, every token once", url: read, pid: gate, status: 200, header: fresh("RS256")},
		{name: "gate, DPoP ES256, every proof once", url: read, pid: gate, status: 200, header: proof},
		{name: "gate refuses: no token", url: read, pid: gate, status: 401, header: always(http.Header{})},
		{name: "gate refuses: expired", url: read, pid: gate, status: 401, header: always(bearer(expired))},
		{name: "gate refuses: garbage", url: read, pid: gate, status: 401, header: always(bearer(strings.Repeat("x", 600)))},
	}
	return nil
}
