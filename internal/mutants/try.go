package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

type state int

const (
	survived state = iota
	killed
	timedOut // a test that never ends has noticed too
	uncompiled
)

// result is how one mutant fared.
type result struct {
	mutant
	state  state
	killer string // the package whose tests noticed
	test   string // the first of them, as far as its name was printed
	output string // what the compiler said
}

// trial runs tests over a tree in which one file reads differently. The tree
// itself is never written to.
type trial struct {
	root    string
	scratch string        // for the changed files
	front   []string      // packages whose tests are asked when a package's own see nothing, in order
	timeout time.Duration // for the tests of one package
}

// tryAll tries mutants, so many at a time, and tells done of each.
func (t *trial) tryAll(ctx context.Context, mutants []mutant, parallel int, done func(result)) error {
	work := make(chan int)
	var failed error
	var mu sync.Mutex // guards failed, and orders the calls of done
	var wait sync.WaitGroup
	for range parallel {
		wait.Go(func() {
			for n := range work {
				r, err := t.try(ctx, mutants[n], n)
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					done(r)
				}
				mu.Unlock()
			}
		})
	}
	for n := range mutants {
		if ctx.Err() != nil {
			break
		}
		work <- n
	}
	close(work)
	wait.Wait()
	return errors.Join(failed, ctx.Err())
}

// try asks the tests of the mutant's own package first, then the front door's.
func (t *trial) try(ctx context.Context, m mutant, n int) (result, error) {
	r := result{mutant: m}
	overlay, err := t.overlay(m, n)
	if err != nil {
		return r, err
	}
	own := path.Dir(m.file)
	order := append([]string{own}, slices.DeleteFunc(slices.Clone(t.front), func(p string) bool { return p == own })...)
	for _, p := range order {
		r.killer = p
		if r.state, r.test, r.output, err = t.run(ctx, p, overlay); err != nil || r.state != survived {
			return r, err
		}
	}
	r.killer = ""
	return r, nil
}

// overlay writes the changed file and the list that puts it in the other's
// place.
func (t *trial) overlay(m mutant, n int) (string, error) {
	original := filepath.Join(t.root, filepath.FromSlash(m.file))
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(t.scratch, fmt.Sprintf("%d.go", n))
	if err := os.WriteFile(changed, m.apply(source), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(t.scratch, fmt.Sprintf("%d.json", n))
	return name, os.WriteFile(name, list, 0o600)
}

var (
	failedTest  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	failedBuild = regexp.MustCompile(`\[(build|setup) failed\]`)
	testTimeout = regexp.MustCompile(`panic: test timed out`)
)

// run tests one package. It lets go test answer from its cache: a package that
// does not depend on the changed file is the same program as before, and what
// has changed is not in the cache. The error means that go itself did not run.
func (t *trial) run(ctx context.Context, pkg, overlay string) (state, string, string, error) {
	// The compiler may need its time on a busy machine; tests end by themselves.
	ctx, cancel := context.WithTimeout(ctx, t.timeout+5*time.Minute)
	defer cancel()
	args := []string{"test", "-short", "-failfast", "-vet=off", "-p=1", "-timeout", t.timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	command.Dir = t.root
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	text := output.String()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, "", "", nil
	case ctx.Err() != nil || !errors.As(err, &exit):
		return survived, "", "", fmt.Errorf("go test ./%s: %w\n%s", pkg, errors.Join(ctx.Err(), err), text)
	case failedBuild.MatchString(text):
		return uncompiled, "", text, nil
	case testTimeout.MatchString(text):
		return timedOut, "", text, nil
	}
	test := ""
	if match := failedTest.FindAllStringSubmatch(text, -1); match != nil {
		test = match[len(match)-1][1]
	}
	return killed, test, text, nil
}
