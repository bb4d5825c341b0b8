package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// socketMode lets the gate's user and group connect.
const socketMode = 0o660

// ListenSocket listens on a Unix socket at path. It takes the place of one that a
// process left behind, of nothing else, and of none at which somebody answers.
// Closing the listener removes it.
func ListenSocket(path string) (net.Listener, error) {
	if err := vacant(path); err != nil {
		return nil, err
	}
	// Where nobody else can connect, until it has its mode.
	hidden, err := os.MkdirTemp(filepath.Dir(path), ".wicketgate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(hidden) }()
	made := filepath.Join(hidden, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	own, err := place(made, path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: l, path: path, own: own}, nil
}

// place gives the socket its mode and then its name.
func place(made, path string) (fs.FileInfo, error) {
	if err := os.Chmod(made, socketMode); err != nil {
		return nil, err
	}
	own, err := os.Lstat(made)
	if err != nil {
		return nil, err
	}
	return own, os.Rename(made, path)
}

// vacant is an error where path is somebody's.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("somebody listens on %s already", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // not sure that nobody does
		return err
	}
	return nil
}

// socket removes its file when it is closed, and no other that has its name by
// then.
type socket struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
	once sync.Once
}

// Addr is where clients connect.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close implements net.Listener.
func (s *socket) Close() error {
	s.once.Do(func() {
		if there, err := os.Lstat(s.path); err == nil && os.SameFile(there, s.own) {
			_ = os.Remove(s.path) // a file that stays is taken for one left behind
		}
	})
	return s.UnixListener.Close()
}
