package admin

import (
	"context"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Profiles are the handlers of /debug/pprof/, as go tool pprof asks for them. They
// are not those of net/http/pprof: importing that registers it on the default
// mux, and it has a page with the command line.
type Profiles struct {
	Write   time.Duration   // for an answer to be written, once it is made
	Leaving <-chan struct{} // closed when the gate ends: nobody is waited for any more
}

const (
	defaultSeconds = 30
	mostSeconds    = 60
)

// lookups are what can be seen without waiting.
var lookups = []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"}

// ServeHTTP implements http.Handler, for the path value name.
func (p *Profiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); {
	case name == "":
		Text(w, http.StatusOK, "profile?seconds="+strconv.Itoa(defaultSeconds)+"\ntrace?seconds=1\n"+strings.Join(lookups, "\n")+"\n")
	case name == "profile":
		p.during(w, r, defaultSeconds, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case name == "trace":
		p.during(w, r, 1, func() error { return trace.Start(w) }, trace.Stop)
	case slices.Contains(lookups, name):
		look(w, r, name)
	default:
		http.NotFound(w, r)
	}
}

// during answers with what was recorded for so many seconds.
func (p *Profiles) during(w http.ResponseWriter, r *http.Request, seconds int, start func() error, stop func()) {
	seconds, ok := number(r, "seconds", seconds, mostSeconds)
	if !ok || seconds == 0 {
		Text(w, http.StatusBadRequest, "seconds is a whole number from 1 to "+strconv.Itoa(mostSeconds)+"\n")
		return
	}
	took := time.Duration(seconds) * time.Second
	// The listener's own limit may be shorter than what is asked for.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(took + p.Write))
	binary(w, r.PathValue("name"))
	if err := start(); err != nil {
		w.Header().Del("Content-Disposition")
		Text(w, http.StatusServiceUnavailable, "one is being made already\n")
		return
	}
	defer stop()
	p.wait(r.Context(), took)
}

// wait returns after a while, or when whoever asked or the gate is gone.
func (p *Profiles) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-p.Leaving:
	case <-timer.C:
	}
}

func look(w http.ResponseWriter, r *http.Request, name string) {
	debug, ok := number(r, "debug", 0, 2)
	gc, good := number(r, "gc", 0, 1)
	if !ok || !good {
		Text(w, http.StatusBadRequest, "debug is 0, 1 or 2, and gc 0 or 1\n")
		return
	}
	if name == "heap" && gc == 1 {
		runtime.GC()
	}
	if debug == 0 {
		binary(w, name)
	} else {
		Text(w, http.StatusOK, "")
	}
	_ = pprof.Lookup(name).WriteTo(w, debug) // a client that has gone needs no answer
}

func binary(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// number reads a query parameter that is a whole number up to most.
func number(r *http.Request, name string, unsaid, most int) (n int, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return unsaid, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= most
}
