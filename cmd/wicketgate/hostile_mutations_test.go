package main

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/internal/smuggle"
)

// mutationsAll in the environment has TestHostileHTTP/H-13 try every mutation
// instead of every mutationStep-th. See `make smuggle`.
const (
	mutationsAll = "WICKETGATE_ALL_MUTATIONS"
	mutationStep = 13
)

var allowedSeries = regexp.MustCompile(`(?m)^wicketgate_requests_total\{[^}]*decision="allowed"[^}]*\} (\d+)$`)

// decidedAllowed is how many requests the gate has allowed.
func (w *wire) decidedAllowed(t *testing.T) (n int) {
	t.Helper()
	for _, line := range allowedSeries.FindAllStringSubmatch(w.adminDo("/metrics").body, -1) {
		one, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// threatH13: whatever the two ends make of a message's length, the upstream
// runs no request that was not decided about, and hears from the gate alone
// who asks.
func threatH13(t *testing.T) {
	w := newWire(t, settings("timeouts: {read_header: 200ms, idle: 200ms, body_stall: 200ms}"))
	all := smuggle.Mutations(w.at)
	if len(all) < 10_000 {
		t.Errorf("only %d mutations", len(all))
	}
	step := mutationStep
	if os.Getenv(mutationsAll) != "" {
		step = 1
	}
	next := make(chan string)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for text := range next {
				conn := w.dial(t)
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn) // a reset ends it too
				_ = conn.Close()
			}
		})
	}
	tried := 0
	for i := 0; i < len(all); i += step {
		next <- all[i]
		tried++
	}
	close(next)
	workers.Wait()
	for _, seen := range w.behind.requests() {
		if strings.Contains(seen, "smuggled") {
			t.Errorf("the upstream ran %q", seen)
		}
	}
	allowed := w.decidedAllowed(t)
	forwarded := len(w.behind.requests())
	if forwarded > allowed || forwarded < tried/50 {
		t.Errorf("of %d mutations the gate allowed %d requests, and the upstream ran %d", tried, allowed, forwarded)
	}
	for _, text := range w.behind.transcripts(w) {
		wantUnsplit(t, text)
	}
	t.Logf("%d mutations, %d allowed, %d run by the upstream", tried, allowed, forwarded)
}

var requestHead = regexp.MustCompile(`(?s)(?:POST|GET) /any/front[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n`)

// wantUnsplit looks at all that one connection carried: each head is framed in
// one way and names the caller once.
func wantUnsplit(t *testing.T, text string) {
	t.Helper()
	for _, head := range requestHead.FindAllString(text, -1) {
		if fault := smuggle.Fault(head, "user-1"); fault != "" {
			t.Errorf("the upstream saw %s: %q", fault, head)
		}
	}
}
