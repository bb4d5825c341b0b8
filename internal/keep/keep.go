// Package keep stores small files in a folder that nobody else may write to:
// whole or not at all, and so that what was cut or changed by accident is told
// from what was written. It does not know what the files hold.
//
// It holds no secret, so it cannot tell what somebody wrote on purpose who may
// write there.
package keep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxFile   = 1 << 20
	head      = "wicketgate 1 " // then the SHA-256 of what follows, and a line end
	temporary = ".new"
	abandoned = time.Hour // a temporary file that old is of a process that died
)

// The errors of a file that is there and is not used.
var (
	ErrForeign = errors.New("file belongs to somebody else, is no regular file, or others may write to it")
	ErrDamaged = errors.New("file is not as it was written")
)

// Folder is a place for files. It holds nothing open.
type Folder struct{ path string }

// New names a folder. It looks at nothing.
func New(path string) *Folder { return &Folder{path} }

// Probe says why the folder cannot serve. One that is not there can, where it
// could be made; with write, Probe tries to write as well. It leaves nothing
// behind.
func (f *Folder) Probe(write bool) error {
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(filepath.Dir(f.path))
		if err == nil && !info.IsDir() {
			err = errors.New("its parent is no folder")
		}
		return err
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if !write {
		return nil
	}
	name, file, err := temp(root, "probe")
	if err != nil {
		return fmt.Errorf("cannot be written to: %w", err)
	}
	return errors.Join(file.Close(), root.Remove(name))
}

// open opens the folder, if it is ours alone.
func (f *Folder) open() (*os.Root, error) {
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = private(info)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// private wants a folder of ours to which nobody else may write.
func private(info fs.FileInfo) error {
	switch owner, told := ownerOf(info); {
	case !info.IsDir():
		return errors.New("is no folder")
	case told && owner != os.Geteuid():
		return fmt.Errorf("belongs to user %d, and this is user %d: name a folder below it that is not there yet, which is then made", owner, os.Geteuid())
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("may be written to by others (mode %04o), who could put keys of theirs there: chmod go-w, or name a folder below it that is not there yet, which is then made", info.Mode().Perm())
	}
	return nil
}

// Read returns what Write was given. The error wraps fs.ErrNotExist when there
// is no such file, ErrForeign or ErrDamaged when it is not used.
func (f *Folder) Read(name string) ([]byte, error) {
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() { // a pipe would keep whoever opens it
		return nil, ErrForeign
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if owner, told := ownerOf(info); !os.SameFile(seen, info) || told && owner != os.Geteuid() || info.Mode()&0o022 != 0 {
		return nil, ErrForeign
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	return unwrap(text)
}

func unwrap(text []byte) ([]byte, error) {
	line, data, found := bytes.Cut(text, []byte("\n"))
	if !found || len(text) > maxFile || string(line) != heading(data) {
		return nil, ErrDamaged
	}
	return data, nil
}

func heading(data []byte) string {
	sum := sha256.Sum256(data)
	return head + hex.EncodeToString(sum[:])
}

// Write replaces the file in one step, readable by us only. A folder that is
// not there is made, its parent is not.
func (f *Folder) Write(name string, data []byte) error {
	root, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(f.path, 0o700); err == nil {
			root, err = f.open()
		}
	}
	if err != nil {
		return err
	}
	defer root.Close()
	fresh, file, err := temp(root, name)
	if err != nil {
		return err
	}
	_, err = file.WriteString(heading(data) + "\n" + string(data))
	if err == nil {
		err = file.Sync() // or the name could outlive the content
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = root.Rename(fresh, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(fresh))
	}
	return nil
}

// temp makes a new file, and takes away what a process that died left of its.
func temp(root *os.Root, name string) (string, *os.File, error) {
	mine, err := fs.Glob(root.FS(), name+".*"+temporary)
	if err != nil {
		return "", nil, err
	}
	for _, old := range mine {
		if info, err := root.Lstat(old); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = root.Remove(old) // the next one tries again
		}
	}
	fresh := strings.Join([]string{name, fmt.Sprint(os.Getpid()), fmt.Sprint(time.Now().UnixNano())}, ".") + temporary
	file, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return fresh, file, err
}
