package proxy

import (
	"path"
	"runtime"
	"strconv"
	"strings"
)

// A panicError is a panic while deciding: a failure to decide, by the place of
// the code that brought it about. What the panic said is not kept, since it may
// quote what a client sent.
type panicError string

func (e panicError) Error() string { return "panic while deciding, at " + string(e) }

// placeOfPanic is function and line of our own code that panicked, or called
// what did. Only the deferred function that recovers can ask.
func placeOfPanic() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		if panicking && (strings.HasPrefix(frame.Function, "github.com/wicketgate/wicketgate/") || strings.HasPrefix(frame.Function, "main.")) {
			return path.Base(frame.Function) + ":" + strconv.Itoa(frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "unknown"
		}
	}
}
