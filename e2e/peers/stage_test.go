package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

// configuration serves whoever has a token below /any/, nobody below /admin/
// and everybody below /open/.
const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s"}
resources:
  - identifier: ` + identifier + `
    name: rs
    behind_tls: true
    upstream: "%[4]s"
    forward: {headers: {X-Auth-Email: email, X-Auth-Roles: roles}}
    routes:
      - {name: any, path: /any/**}
      - {name: admin, path: /admin/**, scopes: [admin]}
      - {name: open, path: /open/**, public: true}
drain: {delay: 0s, timeout: 1s}
`

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// gate is a running gate and what a test asks of it.
type gate struct {
	*process.Gate
	address, admin string
	token          string // for /any/
	log            *process.Log
}

// startGate runs a gate in front of an upstream, with more settings.
func startGate(t *testing.T, upstream, settings string) *gate {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	g := &gate{address: process.Free(t), admin: process.Free(t), log: &process.Log{}}
	text := fmt.Sprintf(configuration, g.address, g.admin, issuer.Identifier(), upstream) + settings
	g.Gate = process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text, Admin: g.admin, Log: g.log})
	if g.token, err = issuer.Mint(devissuer.Token{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// counted sums the series of a metric whose labels match.
func (g *gate) counted(t *testing.T, metric, labels string) (sum int) {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^`+metric+`(?:\{[^}]*`+labels+`[^}]*\})? (\d+)`).FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Error(err)
		}
		sum += n
	}
	return sum
}

// idle waits until the gate has no request in hand.
func (g *gate) idle(t *testing.T) {
	t.Helper()
	until(t, "the gate is idle", func() bool { return g.counted(t, "wicketgate_requests_in_flight", "") == 0 })
}

// until waits for something that another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never came true that %s", what)
		case <-tick.C:
		}
	}
}

// output runs a program to its end, which has to come within the time.
func output(t *testing.T, within time.Duration, name string, args ...string) (text string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s has not ended: %s", name, out)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}
