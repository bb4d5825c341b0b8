package rivals

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// patience is how long a peer may take to listen, and to end.
const patience = 15 * time.Second

// Running is a peer at work. Its processes are in a group of their own.
type Running struct {
	Peer  Peer
	Pid   int             // of the first process; others are its children
	Doors map[Kind]string // addresses by kind

	issuer *secured // nil: it takes addresses in plain HTTP
	child  *exec.Cmd
	ended  chan struct{} // closed when the first process has ended
	log    process.Log
}

// attempts is how often a peer is started: between the choice of its ports and
// its listening there, somebody else may take one.
const attempts = 3

var errEnded = errors.New("it has ended")

// Start runs the peer and waits until it listens at all doors.
func (p Peer) Start(ctx context.Context, in Place) (r *Running, err error) {
	if err := p.Missing(); err != nil {
		return nil, err
	}
	for range attempts {
		if r, err = p.start(ctx, in); !errors.Is(err, errEnded) {
			break
		}
	}
	return r, err
}

func (p Peer) start(ctx context.Context, in Place) (*Running, error) {
	r := &Running{Peer: p, ended: make(chan struct{})}
	if p.secure {
		var err error
		if r.issuer, err = secure(&in); err != nil {
			return nil, err
		}
	}
	config, doors, err := p.configure(in)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configuring %s: %w", p.Name, err), r.issuer.Close())
	}
	r.Doors = doors
	r.child = exec.Command(p.program, p.args(config, in.Dir)...)
	r.child.Stdout, r.child.Stderr = &r.log, &r.log
	r.child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.child.Start(); err != nil {
		return nil, errors.Join(err, r.issuer.Close())
	}
	r.Pid = r.child.Process.Pid
	go func() {
		_ = r.child.Wait() // it is told to end
		close(r.ended)
	}()
	for _, address := range doors {
		if err := r.listens(ctx, address); err != nil {
			return nil, errors.Join(fmt.Errorf("starting %s: %w: %s", p.Name, err, r.log.String()), r.Stop())
		}
	}
	return r, nil
}

func (r *Running) listens(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-r.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Log is what it has written to its standard outputs: nothing, when all is well.
func (r *Running) Log() string { return r.log.String() }

// Stop ends all its processes.
func (r *Running) Stop() (err error) {
	_ = syscall.Kill(r.Pid, syscall.SIGTERM) // it may have ended
	select {
	case <-r.ended:
	case <-time.After(patience):
		err = fmt.Errorf("%s had to be killed", r.Peer.Name)
	}
	_ = syscall.Kill(-r.Pid, syscall.SIGKILL) // what remains of the group, if anything
	<-r.ended
	return errors.Join(err, r.issuer.Close())
}
