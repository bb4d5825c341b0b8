package grpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
  - {name: gone, issuer: "%[4]s"}
resources:
  - identifier: ` + identifier + `
    name: rs
    behind_tls: true
    upstream: h2c://%[5]s
    routes:
      - {name: echo, path: /` + service + `/*, methods: [POST]}
      - {name: narrow, path: /` + service + `/Narrow, methods: [POST], scopes: [write]}
      - {name: dpop, path: /` + service + `/Chat, methods: [POST], binding: dpop}
drain: {delay: 0s, timeout: 1s}
log: {access: all}
`

// gate is the built program in front of the service, and a client of it.
type gate struct {
	*grpc.ClientConn
	address, admin string
	issuer, gone   *devissuer.Running
	service        *echoService
	stopService    func()
	stop           func()
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{issuer: startIssuer(t), gone: startIssuer(t), service: newEchoService()}
	service := ""
	service, g.stopService = startService(t, g.service)
	g.address, g.admin = process.Free(t), process.Free(t)
	if err := g.gone.Close(); err != nil {
		t.Fatal(err)
	}
	g.stop = run(t, g.address, fmt.Sprintf(configuration, g.address, g.admin, g.issuer.Identifier(), g.gone.Identifier(), service))
	g.ClientConn = g.dial(t)
	return g
}

// dial makes another connection to the gate.
func (g *gate) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+g.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// chat opens a stream of which both ends speak in turn.
func (g *gate) chat(t *testing.T, authorization string) grpc.ClientStream {
	t.Helper()
	s, err := g.NewStream(with(t, "authorization", authorization), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/Talk")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startIssuer(t *testing.T) *devissuer.Running {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	return issuer
}

// program is the built gate, the same for all tests.
var program string

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(logger{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
	os.Exit(process.WithProgram(&program, m.Run))
}

// run serves until the test ends or stop is called, and shows the log of a test
// that failed.
func run(t *testing.T, address, config string, env ...string) (stop func()) {
	t.Helper()
	g := process.Serve(t, process.Options{Program: program, Dir: t.TempDir(), Config: config, Env: env})
	untilServing(t, address)
	return func() { g.Signal(syscall.SIGTERM) }
}

// untilServing waits until somebody listens. The gate is not ready while an
// issuer is away, and serves all the same.
func untilServing(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the gate does not serve")
		case <-tick.C:
		}
	}
}

// metrics reads what the gate has counted.
func (g *gate) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (g *gate) wantCounted(t *testing.T, labels string) {
	t.Helper()
	series := "wicketgate_requests_total{" + labels + "} "
	at := strings.Index(g.metrics(t), series)
	if at < 0 || strings.HasPrefix(g.metrics(t)[at+len(series):], "0\n") {
		t.Errorf("nothing is counted as %s", series)
	}
}

func mint(t *testing.T, issuer *devissuer.Running, claims map[string]any) string {
	t.Helper()
	raw, err := issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
