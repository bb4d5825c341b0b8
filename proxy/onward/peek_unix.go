//go:build unix

package onward

import "syscall"

// Available tells whether the system can be asked what has come. Where it cannot,
// a connection serves one request.
const Available = true

// lookAt asks the system what has come, and takes nothing of it.
func (c *conn) lookAt(fd uintptr) {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		c.seen = nil
	case err != nil:
		c.seen = err
	case n == 0:
		c.seen = errGone
	default:
		c.seen = ErrUnasked
	}
}
