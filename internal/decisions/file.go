package decisions

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// mode is that of a file we make: what it holds is about people.
const mode = 0o600

// A File is added to, and can be opened again under its name once it was moved
// away. Its methods are safe for concurrent use.
type File struct {
	name string
	next atomic.Pointer[os.File] // to go on in; nil for the one that is open

	mu   sync.Mutex // guards all below, and is held while a disk is waited for
	open *os.File
	torn bool // it ends within a line
}

// Open opens a file for adding lines, and makes it where there is none. It takes
// no pipe or socket: to open one waits for whoever reads.
func Open(name string) (*File, error) {
	f := &File{name: name}
	return f, f.Reopen()
}

// Reopen has the next line go to the file that has the name now. It does not wait
// for a line that is being written. On an error the old file stays.
func (f *File) Reopen() error {
	if info, err := os.Stat(f.name); err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDir) != 0 {
		return &fs.PathError{Op: "open", Path: f.name, Err: errors.New("is a folder, a pipe or a socket")}
	}
	opened, err := os.OpenFile(f.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if unused := f.next.Swap(opened); unused != nil {
		_ = unused.Close() // nothing was written
	}
	return nil
}

// turn goes on in the file that Reopen opened.
func (f *File) turn() {
	next := f.next.Swap(nil)
	if next == nil {
		return
	}
	if f.open != nil {
		_ = f.open.Close() // what was written is written
	}
	f.open, f.torn = next, false
}

// Write adds whole lines. After a failure within a line the next one begins on a
// line of its own.
func (f *File) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	if f.torn {
		if _, err := f.open.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := f.open.Write(lines)
	if err != nil && n > 0 {
		f.torn = lines[n-1] != '\n'
	}
	return n, err
}

// Close ends it. Nothing may be written any more.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	return f.open.Close()
}
