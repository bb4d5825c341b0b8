package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/soak/echo"
)

const echoConfiguration = `version: 1
listen: "%s"
admin: {listen: "%s"}
issuers:
  - {name: a, issuer: "%s"}
resources:
  - {identifier: ` + audience + `/plain, name: plain, audiences: [` + audience + `], hosts: [` + echo.PlainHost + `], behind_tls: true, upstream: "%s", routes: [{name: echo, path: /echo/*}, {name: socket, path: /socket/*, websocket: true}]}
  - {identifier: ` + audience + `/stream, name: stream, audiences: [` + audience + `], hosts: [` + echo.StreamHost + `], behind_tls: true, upstream: "%s", routes: [{name: echo, path: /echo/*}]}
drain: {delay: 0s}
log: {access: "off"}
`

const (
	echoTokens = 256
	echoLives  = 12 * time.Hour // of a token: longer than any run
	echoTells  = 30 * time.Second
)

// runEcho is the whole life of an echo run.
func runEcho(ctx context.Context, o options) (good bool, err error) {
	dir, err := os.MkdirTemp("", "wicketgate-echo")
	if err != nil {
		return false, err
	}
	defer func() {
		if o.keep || !good {
			fmt.Printf("\nthe gate's log and configuration: %s\n", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	issuer, err := devissuer.Start(devissuer.Options{Audience: audience})
	if err != nil {
		return false, err
	}
	defer func() { _ = issuer.Close() }()
	if o.seed == 0 {
		o.seed = rand.Uint64() //nolint:gosec // to be printed
	}
	tokens, err := mintEchoes(issuer)
	if err != nil {
		return false, err
	}
	e, err := echo.New(echo.Options{Requests: o.echo, Share: o.odd, Seed: o.seed, Tokens: tokens})
	if err != nil {
		return false, err
	}
	defer func() { _ = e.Close() }()
	g, err := startGate(ctx, o.gate, dir, func(_, address, admin string) (string, error) {
		return fmt.Sprintf(echoConfiguration, address, admin, issuer.Identifier(), e.Plain(), e.Stream()), nil
	})
	if g != nil {
		defer func() { _ = g.stop() }()
	}
	if err != nil {
		return false, err
	}
	return driveEcho(ctx, e, g, filepath.Join(dir, "gate.log"))
}

func mintEchoes(issuer *devissuer.Running) ([]echo.Token, error) {
	tokens := make([]echo.Token, echoTokens)
	for i := range tokens {
		subject := fmt.Sprintf("user-%d", i)
		raw, err := issuer.Mint(devissuer.Token{Claims: map[string]any{"sub": subject, "exp": time.Now().Add(echoLives).Unix()}})
		if err != nil {
			return nil, err
		}
		tokens[i] = echo.Token{Raw: raw, Subject: subject}
	}
	return tokens, nil
}

func driveEcho(ctx context.Context, e *echo.Echo, g *gate, log string) (good bool, err error) {
	w := newWatch(g)
	if err := w.begin(); err != nil {
		return false, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	background := start(watching, w.run, func(ctx context.Context) { tellEcho(ctx, e) })
	began := time.Now()
	e.Run(ctx, g.address)
	took := time.Since(began)
	stop()
	background.Wait()
	wrong := e.Report(os.Stdout)
	fmt.Printf("%.0f s, %.0f requests a second\n", took.Seconds(), float64(e.Begun())/took.Seconds())
	wrong = errors.Join(wrong, countEcho(ctx, e, g), e.Close())
	w.end(g)
	(&report{watch: w}).process(os.Stdout)
	for _, grown := range w.grown() {
		wrong = errors.Join(wrong, errors.New(grown))
	}
	wrong = errors.Join(wrong, g.stop(), readEcho(log))
	if wrong != nil {
		fmt.Printf("\nFAILED: %v\n", wrong)
		return false, nil
	}
	fmt.Printf("\npassed: no answer was another's, nothing was executed twice or unasked, nothing cut was taken for whole\n")
	return ctx.Err() == nil, ctx.Err()
}

// tellEcho says how far a long run is.
func tellEcho(ctx context.Context, e *echo.Echo) {
	tick := time.NewTicker(echoTells)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fmt.Printf("%8.0f s %10d requests\n", time.Since(began).Seconds(), e.Begun())
		}
	}
}

// countEcho holds the gate's counters against what was sent. A request is counted
// after its answer, so the last ones get a moment.
func countEcho(ctx context.Context, e *echo.Echo, g *gate) (wrong error) {
	least, most := e.Reached()
	for range 50 {
		all, err := g.scrape(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		wrong = nil
		// Of a client that leaves while a token is looked into nobody waits for the end.
		n, allowed, left := sum(all, "requests_total"), sum(all, "requests_total", `decision="allowed"`), sum(all, "refusals_total", `reason="verification_busy"`)
		if n < least || n > most || n != allowed+left || left > e.Left() {
			wrong = fmt.Errorf("requests_total is %d, %d of them allowed and %d left alone; from %d to %d reached the gate, and %d clients left", n, allowed, left, least, most, e.Left())
		}
		if n := sum(all, "panics_total"); n > 0 {
			wrong = errors.Join(wrong, fmt.Errorf("%d panics", n))
		}
		if n := sum(all, "requests_in_flight"); n > 0 {
			wrong = errors.Join(wrong, fmt.Errorf("%d requests are under way still", n))
		}
		if wrong == nil {
			fmt.Printf("the gate counts %d requests, from %d to %d reached it; %d times an upstream sent what nobody asked for\n", sum(all, "requests_total"), least, most, sum(all, "upstream_unsolicited_total"))
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return wrong
}

// readEcho looks into the gate's log for what must not be there: an upstream's
// octets, a token, a panic.
func readEcho(path string) error {
	text, err := os.ReadFile(path)
	for _, word := range [...]string{"forged", "eyJ", "panic", "goroutine "} {
		if bytes.Contains(text, []byte(word)) {
			err = errors.Join(err, fmt.Errorf("the gate's log has %q in it", word))
		}
	}
	return err
}
