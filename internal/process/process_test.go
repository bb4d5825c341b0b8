package process_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

func TestGate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program, err := process.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	text := fmt.Sprintf("version: 1\nlisten: %q\nadmin: {listen: %q}\nissuers: [{issuer: %q}]\nresources: [{identifier: %q, behind_tls: true, upstream: %q}]\ndrain: {delay: 0s}\n",
		process.Free(t), "%s", issuer.Identifier(), identifier, issuer.Identifier())

	var log process.Log
	admin := process.Free(t)
	g, err := process.Start(process.Options{Program: program, Dir: t.TempDir(), Config: fmt.Sprintf(text, admin), Admin: admin, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Stop(0) }()
	if err := g.Ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	g.Signal(syscall.SIGHUP)
	if err := g.Stop(20 * time.Second); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if !strings.Contains(log.String(), "serving") {
		t.Errorf("the log is %q", log.String())
	}
	t.Run("a bad file", func(t *testing.T) {
		var log process.Log
		g, err := process.Start(process.Options{Program: program, Dir: t.TempDir(), Config: "version: 2\n", Admin: admin, Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Ready(ctx); err == nil || g.Outcome() == nil {
			t.Errorf("ready: %v, outcome: %v", err, g.Outcome())
		}
	})
}
