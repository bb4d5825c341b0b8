package process

import (
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Part is a program of others' making that stands around a gate: a proxy, a
// Prometheus, a Redis.
type Part struct {
	Program string   // looked up in PATH
	Args    []string // it must stay in the foreground
	Env     []string // added to the environment, each NAME=value
	Listens []string // addresses; it has started when all of them accept
	// End asks it to end; 0 is SIGTERM. A master ends its workers by itself then.
	// SIGKILL is for one whose state nobody wants.
	End syscall.Signal
}

// RunningPart is a Part that was started.
type RunningPart struct {
	child
	end     syscall.Signal
	stopped bool
}

// RunPart starts a program for a test, waits until it listens, ends it with the
// test, its children too, and shows what it wrote when the test failed.
func RunPart(t testing.TB, p Part) *RunningPart {
	t.Helper()
	r := &RunningPart{end: p.End}
	if r.end == 0 {
		r.end = syscall.SIGTERM
	}
	var log Log
	r.command = exec.Command(p.Program, p.Args...)
	r.command.Stdout, r.command.Stderr = &log, &log
	r.command.WaitDelay = 200 * time.Millisecond // a child that it left behind may hold the ends of its pipes
	for _, address := range p.Listens {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Fatalf("somebody listens at %s before %s does", address, p.Program)
		}
	}
	if err := r.start(p.Env); err != nil {
		t.Fatalf("%s is needed: %v", p.Program, err)
	}
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			t.Logf("%s: %s", p.Program, log.String())
		}
	})
	for _, address := range p.Listens {
		if !r.accepts(address) {
			t.Fatalf("%s does not listen at %s: %s", p.Program, address, log.String())
		}
	}
	return r
}

// accepts waits until somebody listens at an address, and reports false when the
// program has ended before, or takes too long.
func (r *RunningPart) accepts(address string) bool {
	late := time.After(readyWithin)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-r.ended:
			return false
		case <-late:
			return false
		case <-tick.C:
		}
	}
}

// Stop asks the program to end, waits until it has, and ends it and what it left
// behind. A second call does nothing.
func (r *RunningPart) Stop() {
	if r.stopped {
		return
	}
	r.stopped = true
	select {
	case <-r.ended: // by itself; its children may be there
		_ = syscall.Kill(-r.PID(), syscall.SIGKILL)
		return
	default:
	}
	r.Signal(r.end)
	_ = r.waited(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(300 * time.Millisecond); syscall.Kill(-r.PID(), syscall.SIGKILL) == nil; { // its group: there as long as one of it is, or nobody has buried it
		select {
		case <-late:
			<-r.ended
			return
		case <-tick.C:
		}
	}
	<-r.ended
}
