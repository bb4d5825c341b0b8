package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

const (
	liveTimeout = 15 * time.Second // for all that is asked of one issuer, upstream or store
	liveAtOnce  = 8                // of them
)

// liveReport is what check --live found out about one of those it asked.
type liveReport struct {
	about            string
	text             strings.Builder
	ok, warned, told int // told counts failures
}

func (r *liveReport) say(word, next, finding string) {
	fmt.Fprintf(&r.text, "%-7s%s%s\n", word, r.about, finding)
	if next != "" {
		fmt.Fprintf(&r.text, "       next: %s\n", next)
	}
}

// good tells of what is as it should be. Format begins where the name of who
// was asked ends.
func (r *liveReport) good(format string, args ...any) {
	r.ok++
	r.say("ok", "", fmt.Sprintf(format, args...))
}

// warn tells of what works but should not stay so, and what to do about it.
func (r *liveReport) warn(next, format string, args ...any) {
	r.warned++
	r.say("WARN", next, fmt.Sprintf(format, args...))
}

// fail tells of what keeps requests from being let through.
func (r *liveReport) fail(next, format string, args ...any) {
	r.told++
	r.say("FAILED", next, fmt.Sprintf(format, args...))
}

// A liveQuestion asks one of those a configuration names.
type liveQuestion struct {
	about string
	ask   func(context.Context, *liveReport)
}

// liveTotal is how all answers together came out.
type liveTotal struct{ ok, warned, failed int }

// checkLive asks everybody the configuration names, some at once, and tells
// what they said in the order of the file.
func (a *app) checkLive(file *config.File, compiled *plan) liveTotal {
	questions := liveQuestions(file, compiled)
	answers := make([]chan *liveReport, len(questions))
	for i := range answers {
		answers[i] = make(chan *liveReport, 1)
	}
	turns := make(chan struct{}, liveAtOnce)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for i, q := range questions {
			turns <- struct{}{}
			running.Go(func() {
				defer func() { <-turns }()
				ctx, cancel := context.WithTimeout(a.ctx, liveTimeout)
				defer cancel()
				r := &liveReport{about: q.about}
				q.ask(ctx, r)
				answers[i] <- r
			})
		}
	})
	var all liveTotal
	for _, answer := range answers {
		r := <-answer
		all.ok, all.warned, all.failed = all.ok+r.ok, all.warned+r.warned, all.failed+r.told
		_, _ = io.WriteString(a.stdout, r.text.String())
	}
	fmt.Fprintf(a.stdout, "live: %d ok, %s, %d failed\n", all.ok, plural(all.warned, "warning"), all.failed)
	return all
}

func liveQuestions(file *config.File, compiled *plan) []liveQuestion {
	asked := map[string]*introspect.Server{}
	for i, server := range compiled.asked {
		asked[server.Name] = &compiled.asked[i]
	}
	var list []liveQuestion
	for _, source := range compiled.sources {
		list = append(list, liveQuestion{"issuer " + source.Name, func(ctx context.Context, r *liveReport) {
			liveIssuer(ctx, r, source, asked[source.Name])
		}})
	}
	for _, one := range liveRedises(file) {
		list = append(list, liveQuestion{"redis of " + one.at, func(ctx context.Context, r *liveReport) { one.ask(ctx, r, file) }})
	}
	for _, resource := range file.Resources {
		list = append(list, liveQuestion{"upstream of " + resource.Name, func(ctx context.Context, r *liveReport) {
			liveUpstream(ctx, r, resource.Upstream)
		}})
	}
	return list
}

// shown makes a server's text fit to print: short, on one line, and plainly a
// quotation unless it is a plain word.
func shown(text string) string {
	const longest = 200
	if len(text) > longest {
		return strconv.QuoteToASCII(text[:longest]) + "…"
	}
	if quoted := strconv.QuoteToASCII(text); len(quoted) != len(text)+2 || text == "" || strings.ContainsAny(text, " ,()") {
		return quoted
	}
	return text
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
