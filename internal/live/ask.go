// Package live asks issuers, Redis servers and upstreams the way a gate in
// service does, and tells people what it found and what to do about it.
//
// It decides nothing about tokens, keeps nothing, and knows no configuration
// file: whoever asks says whom, and where it writes to. What it writes holds no
// secret, and nothing of a server's that was not made fit to print.
package live

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	timeout = 15 * time.Second // for all that is asked of one issuer, upstream or store
	atOnce  = 8                // of them
)

// report is what was found out about one of those it asked.
type report struct {
	about            string
	text             strings.Builder
	ok, warned, told int // told counts failures
}

func (r *report) say(word, next, finding string) {
	fmt.Fprintf(&r.text, "%-7s%s%s\n", word, r.about, finding)
	if next != "" {
		fmt.Fprintf(&r.text, "       next: %s\n", next)
	}
}

// good tells of what is as it should be. Format begins where the name of who
// was asked ends.
func (r *report) good(format string, args ...any) {
	r.ok++
	r.say("ok", "", fmt.Sprintf(format, args...))
}

// warn tells of what works but should not stay so, and what to do about it.
func (r *report) warn(next, format string, args ...any) {
	r.warned++
	r.say("WARN", next, fmt.Sprintf(format, args...))
}

// fail tells of what keeps requests from being let through.
func (r *report) fail(next, format string, args ...any) {
	r.told++
	r.say("FAILED", next, fmt.Sprintf(format, args...))
}

// A Question asks one of those a configuration names.
type Question struct {
	about string
	ask   func(context.Context, *report)
}

// Total is how all answers together came out: findings, not questions.
type Total struct{ OK, Warned, Failed int }

// Ask asks all questions, some at once, and writes what was said to out in the
// order of the questions, and the total. Each question has 15 seconds, less
// where ctx ends before.
func Ask(ctx context.Context, out io.Writer, questions []Question) Total {
	answers := make([]chan *report, len(questions))
	for i := range answers {
		answers[i] = make(chan *report, 1)
	}
	turns := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for i, q := range questions {
			turns <- struct{}{}
			running.Go(func() {
				defer func() { <-turns }()
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				r := &report{about: q.about}
				q.ask(ctx, r)
				answers[i] <- r
			})
		}
	})
	var all Total
	for _, answer := range answers {
		r := <-answer
		all.OK, all.Warned, all.Failed = all.OK+r.ok, all.Warned+r.warned, all.Failed+r.told
		_, _ = io.WriteString(out, r.text.String()) // who reads it may have gone
	}
	fmt.Fprintf(out, "live: %d ok, %s, %d failed\n", all.OK, plural(all.Warned, "warning"), all.Failed)
	return all
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
