package streams

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
resources:
  - {identifier: "` + identifier + `", behind_tls: true, upstream: "http://127.0.0.1:%[4]s"}
revocation: {file: "%[5]s"}
timeouts: {stream_check: 200ms}
drain: {delay: 0s, timeout: 100ms}
`

// program is the built gate, the same for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// gate is the built program in front of node.
type gate struct {
	url    string
	denied string // the file of deny rules
	issuer *devissuer.Running
	child  *process.Gate
}

func startGate(t *testing.T) *gate {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	dir := t.TempDir()
	address, admin := process.Free(t), process.Free(t)
	g := &gate{url: "http://" + address, denied: filepath.Join(dir, "denied.jsonl"), issuer: issuer}
	if err := os.WriteFile(g.denied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g.child = process.Serve(t, process.Options{
		Program: program, Dir: dir, Admin: admin,
		Config: fmt.Sprintf(configuration, address, admin, issuer.Identifier(), startNode(t), g.denied),
	})
	return g
}

// startNode runs the upstream until the test ends, and returns its port.
func startNode(t *testing.T) string {
	t.Helper()
	node := exec.Command("node", "upstream.mjs")
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(port)
}

func (g *gate) bearer(t *testing.T, claims map[string]any) string {
	t.Helper()
	raw, err := g.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + raw
}

// drain tells the gate to stop.
func (g *gate) drain() { g.child.Signal(syscall.SIGTERM) }

// over is a client of one version of HTTP.
func over(t *testing.T, version string) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(version == "1.1")
	transport.Protocols.SetUnencryptedHTTP2(version == "2")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
