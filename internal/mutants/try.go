package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

type state int

const (
	survived state = iota
	killed
	timedOut // a test that never ends has noticed too
)

// result is how one mutant fared.
type result struct {
	mutant
	state  state
	killer string // the package whose tests noticed
	test   string // the last of them to say so
	asked  int    // how many units it would make a difference in
}

// trial runs the tests in which a mutant makes a difference.
type trial struct {
	*programs
	units   []unit // the fastest first
	timeout time.Duration
}

// tryAll tries mutants by their ids, so many at a time, and tells done of each.
func (t *trial) tryAll(ctx context.Context, all []mutant, ids []int, parallel int, done func(result)) error {
	work := make(chan int)
	var failed error
	var mu sync.Mutex // guards failed, and orders the calls of done
	var wait sync.WaitGroup
	for range parallel {
		wait.Go(func() {
			for id := range work {
				r, err := t.try(ctx, all[id], id)
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
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		work <- id
	}
	close(work)
	wait.Wait()
	return errors.Join(failed, ctx.Err())
}

// try asks first what answers fast, in batches that grow.
func (t *trial) try(ctx context.Context, m mutant, id int) (result, error) {
	r := result{mutant: m}
	var reaching []unit
	for _, u := range t.units {
		if _, found := slices.BinarySearch(u.Reached, id); found {
			reaching = append(reaching, u)
		}
	}
	r.asked = len(reaching)
	for most := time.Second / 2; len(reaching) > 0; most *= 2 {
		n, sum := 1, reaching[0].Took
		for n < len(reaching) && sum+reaching[n].Took <= most {
			sum += reaching[n].Took
			n++
		}
		batch := byPackage(reaching[:n])
		reaching = reaching[n:]
		for _, units := range batch {
			if err := t.ask(ctx, &r, id, units); err != nil || r.state != survived {
				return r, err
			}
		}
	}
	return r, nil
}

func byPackage(units []unit) [][]unit {
	var out [][]unit
	for _, u := range units {
		at := slices.IndexFunc(out, func(list []unit) bool { return list[0].Package == u.Package })
		if at < 0 {
			at = len(out)
			out = append(out, nil)
		}
		out[at] = append(out[at], u)
	}
	return out
}

var (
	failedTest  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	running     = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
	testTimeout = regexp.MustCompile(`panic: test timed out`)
)

// ask runs units of one package without the check. What fails must fail twice:
// a test that fails now and then has noticed nothing.
func (t *trial) ask(ctx context.Context, r *result, id int, units []unit) error {
	timeout := t.timeout
	for _, u := range units {
		timeout += 10 * u.Took
	}
	for range 2 {
		output, err := t.run(ctx, units[0].Package, units, timeout, fmt.Sprintf("%s=%d", outEnv, id))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			r.state, r.killer, r.test = survived, "", ""
			return nil
		case testTimeout.MatchString(output) || strings.Contains(err.Error(), "signal: killed"):
			r.state, r.test = timedOut, last(running, output)
		default:
			r.state, r.test = killed, last(failedTest, output)
			if r.test == "" { // it took the program with it
				r.test = last(running, output)
			}
		}
		r.killer = units[0].Package
		if r.state == timedOut {
			return nil // once is long enough
		}
	}
	return nil
}

func last(re *regexp.Regexp, text string) string {
	if all := re.FindAllStringSubmatch(text, -1); all != nil {
		return all[len(all)-1][1]
	}
	return ""
}
