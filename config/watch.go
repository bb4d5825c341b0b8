package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"time"
)

// Hash is the SHA-256 of the contents of the file at path and of files. It
// fails when one of them cannot be read.
func Hash(path string, files []string) ([32]byte, error) {
	text, err := read(path)
	if err != nil {
		return [32]byte{}, err
	}
	return digest(text, files)
}

// digest hashes text and the contents of files, each with its length ahead. A
// file that cannot be read counts as such, and the first of these errors is
// returned as well.
func digest(text []byte, files []string) (sum [32]byte, err error) {
	all := sha256.New()
	all.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
	all.Write(text)
	for _, name := range files {
		one := sha256.New()
		if problem := copyFile(one, name); problem != nil {
			err = errors.Join(err, problem)
			one = sha256.New224()
		}
		all.Write([]byte(name + "\x00"))
		all.Write(one.Sum(nil))
	}
	return [32]byte(all.Sum(nil)), err
}

func copyFile(to io.Writer, name string) error {
	file, err := open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(to, file)
	return err
}

// Watch calls changed whenever the contents of the file that f was loaded from,
// or of a file it names, are other than before, beginning with what was loaded:
// a change since then counts. It looks every so often, give or take a tenth,
// since notifications get lost when Kubernetes swaps the folder under a mounted
// file. It returns when ctx ends, with its error.
func (f *File) Watch(ctx context.Context, every time.Duration, changed func()) error {
	w := &watcher{path: f.source.name, env: f.env, files: f.Files(), seen: f.hash}
	return w.run(ctx, every, changed)
}

type watcher struct {
	path  string
	env   func(string) (string, bool)
	text  []byte   // of the file when last parsed
	files []string // that it named when it was last good
	seen  [32]byte
	gone  bool // something was not there at the last look
}

func (w *watcher) run(ctx context.Context, every time.Duration, changed func()) error {
	if every <= 0 {
		return errors.New("the interval of a watch must be positive")
	}
	for {
		jitter := time.Duration((rand.Float64() - 0.5) * 0.2 * float64(every))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every + jitter):
		}
		if w.look() {
			changed()
		}
	}
}

// look reports whether something changed since the last look. A file missing
// for one look is on its way to be replaced; missing for two it has changed.
func (w *watcher) look() (changed bool) {
	defer func() {
		if recover() != nil { // whoever reads the file next says what is wrong with it
			changed = true
		}
	}()
	text, err := read(w.path)
	if err == nil && !bytes.Equal(text, w.text) {
		w.text = text
		if f, err := Parse(w.path, text, w.env); err == nil {
			w.files = f.Files()
		}
	}
	sum, problem := digest(text, w.files)
	wasGone := w.gone
	if w.gone = err != nil || problem != nil; w.gone && !wasGone {
		return false
	}
	changed = sum != w.seen
	w.seen = sum
	return changed
}
