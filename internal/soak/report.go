package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// report is what a run came to.
type report struct {
	stage *stage
	load  *load
	watch *watch
	took  time.Duration
	amiss []string // of the counters
	leaks []string // of the log, and how the process ended
}

// log looks into the gate's log for what must not be there, once the process has
// ended.
func (r *report) log(path string, ended error) {
	if ended != nil {
		r.leaks = append(r.leaks, fmt.Sprintf("the gate ended with %v", ended))
	}
	file, err := os.Open(path)
	if err != nil {
		r.leaks = append(r.leaks, err.Error())
		return
	}
	defer func() { _ = file.Close() }()
	forbidden := map[string]*regexp.Regexp{
		"a token": regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.`), "an opaque token": regexp.MustCompile(opaquePrefix + "[A-Z2-7]{20}"),
		"a panic": regexp.MustCompile(`panic|goroutine \d+ \[`), "a data race": regexp.MustCompile("DATA RACE"),
	}
	for lines := bufio.NewReader(file); err == nil; {
		var line []byte
		line, err = lines.ReadBytes('\n')
		for name, pattern := range forbidden {
			if pattern.Match(line) {
				r.leaks = append(r.leaks, "the gate's log has "+name)
				delete(forbidden, name)
			}
		}
	}
}

// budget is how many good fetches of keys an issuer may see, and how many failed
// ones: one to begin with and one for each time a set ran out; one for each new
// key, and one each time a token of a key that is gone came when it may be asked
// again; one a minute for signatures that fail under a good kid; for the flooded
// one, one for each time it may be asked. While it is away, one a refetchGap for
// new kids, and the backoff's 1, 2, 4, 8, 16 s and every 30 s, a fifth less.
func (r *report) budget(n int) (good, failed int) {
	is := r.stage.issuers[n]
	refresh := is.timeline.fresh * 4 / 5 * 95 / 100
	good = 2 + int(r.took/refresh) + is.rotated + is.timeline.strangers + 1 + int(r.took/time.Minute) + is.outages
	if n == busyIssuer {
		good += int(r.took / refetchGap)
	}
	failed = is.outages*6 + int(is.away/refetchGap) + int(is.away/(24*time.Second)) + is.outages
	return good, failed
}

// print tells everything, and whether it is good.
func (r *report) print(to io.Writer) bool {
	r.load.mu.Lock()
	defer r.load.mu.Unlock()
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	wrong := r.table(to)
	amiss := append(append(append([]string{}, r.amiss...), r.leaks...), r.watch.grown()...)
	amiss = append(amiss, r.fetches(to)...)
	r.process(to)
	for _, f := range r.load.faults {
		amiss = append(amiss, "the soak itself: "+f)
	}
	if n := r.stage.upstream.stray(); n > 0 {
		amiss = append(amiss, fmt.Sprintf("the upstream saw %d requests that nobody sent, or again after their answer", n))
	}
	if sent := r.sent(); float64(sent) < 0.9*r.took.Seconds()*float64(r.load.rate) {
		amiss = append(amiss, fmt.Sprintf("only %d requests were sent, %d held back because too many were open: the machine does not bear this rate", sent, r.load.held))
	}
	for _, f := range r.load.failures {
		fmt.Fprintln(to, "  ", f)
	}
	for _, a := range amiss {
		fmt.Fprintln(to, "amiss:", a)
	}
	if wrong > 0 || len(amiss) > 0 {
		fmt.Fprintf(to, "\nFAILED: %d wrong verdicts, %d other things amiss\n", wrong, len(amiss))
		return false
	}
	fmt.Fprintf(to, "\npassed: in %.0f s no verdict was wrong, the gate's counters agree, nothing grew\n", r.took.Seconds())
	return true
}

func (r *report) sent() (n int) {
	for _, t := range r.load.tallies {
		n += t.requests
	}
	return n
}

func (r *report) table(to io.Writer) (wrong int) {
	const form = "%-31s %8s %8s %7s | %8s %8s %8s %7s %7s %8s\n"
	fmt.Fprintf(to, "\n"+form, "", "", "", "busy,", "WRONGLY", "WRONGLY", "busy,", "another", "no", "upstream")
	fmt.Fprintf(to, form, "class", "requests", "right", "allowed", "ACCEPTED", "REFUSED", "wrongly", "answer", "answer", "differs")
	var all tally
	row := func(name string, t *tally) {
		fmt.Fprintf(to, "%-31s %8d %8d %7d | %8d %8d %8d %7d %7d %8d\n", name, t.requests, t.ok, t.busy, t.accepted, t.refused, t.notBusy, t.other, t.transport, t.upstream)
	}
	for _, c := range r.load.mix.classes {
		t := r.load.tallyOf(c.name)
		row(c.name, t)
		all.requests += t.requests
		all.ok += t.ok
		all.busy += t.busy
		all.accepted += t.accepted
		all.refused += t.refused
		all.notBusy += t.notBusy
		all.other += t.other
		all.transport += t.transport
		all.upstream += t.upstream
	}
	row("all", &all)
	fmt.Fprintf(to, "\nbusy was allowed %d times since an issuer was away or just had been, %d times since it may not be asked again so soon\n", r.load.away, all.busy-r.load.away)
	return all.wrong()
}

func (r *report) fetches(to io.Writer) (out []string) {
	fmt.Fprintf(to, "%.0f s, %.0f requests a second; fetches of keys:\n", r.took.Seconds(), float64(r.sent())/r.took.Seconds())
	for n, is := range r.stage.issuers {
		asked, got := is.timeline.counted()
		good, failed := r.budget(n)
		fmt.Fprintf(to, "  %-8s %-6s rotated %2d times, away %2d times for %3.0f s: %3d good of at most %3d, %3d failed of at most %3d\n",
			is.name, is.alg, is.rotated, is.outages, is.away.Seconds(), got, good, asked-got, failed)
		if got > good || asked-got > failed {
			out = append(out, "issuer "+is.name+" was asked for keys too often")
		}
	}
	return out
}

func (r *report) process(to io.Writer) {
	most := r.watch.most()
	fmt.Fprintf(to, "the gate's process: memory %.1f MiB at the start, median of the second fifth %.1f, of the last %.1f, most %.1f, at the end %.1f\n",
		mib(r.watch.start.rss), mib(r.watch.fifth(1)), mib(r.watch.fifth(4)), mib(most.rss), mib(r.watch.last.rss))
	fmt.Fprintf(to, "  goroutines %d at the start, most %d, at the end %d; descriptors %d, most %d, %d\n",
		r.watch.start.goroutines, most.goroutines, r.watch.last.goroutines, r.watch.start.fds, most.fds, r.watch.last.fds)
}

func mib(kib int) float64 { return float64(kib) / 1024 }
