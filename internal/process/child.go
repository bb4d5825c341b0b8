package process

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is a started process, which somebody waits for from the start.
type child struct {
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	outcome error         // of the process, once ended is closed
}

// start runs the command in a process group of its own, so that an interrupt from
// the terminal is for the test alone. It ends with the test's process, whatever
// ends that.
func (c *child) start(env []string) error {
	c.ended = make(chan struct{})
	c.command.Env = append(os.Environ(), env...)
	c.command.SysProcAttr = apart()
	started := make(chan error)
	go func() {
		// Linux takes the end of the thread that started it for the end of its parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.command.Start()
		started <- err
		if err == nil {
			c.outcome = c.command.Wait()
			close(c.ended)
		}
	}()
	return <-started
}

// PID is the number of the process.
func (c *child) PID() int { return c.command.Process.Pid }

// Signal sends a signal; one that has ended does not mind.
func (c *child) Signal(s syscall.Signal) { _ = c.command.Process.Signal(s) }

// Ended is closed when the process has ended.
func (c *child) Ended() <-chan struct{} { return c.ended }

// Outcome waits for the end of the process and returns nil for exit code 0, else
// what [exec.Cmd.Wait] says.
func (c *child) Outcome() error {
	<-c.ended
	return c.outcome
}

// waited reports whether the process ends within the time.
func (c *child) waited(within time.Duration) bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(within):
		return false
	}
}
