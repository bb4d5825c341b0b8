package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/validator/revoke"
)

// ruleFile is a file of deny rules that others write.
type ruleFile struct {
	name    string
	seen    os.FileInfo // at the last look; nil when it was not there
	read    os.FileInfo // when last read, well or not
	good    bool        // it was read well
	missing bool        // and that it is was told
	looks   int         // since it was read badly
}

// retryAfterLooks is when a file that could not be read is tried again though
// it has not changed: who may read it is nothing that shows.
const retryAfterLooks = 20

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (f *ruleFile) first() (*revoke.Set, error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return nil, err
	}
	set, err := readRules(f.name)
	f.seen, f.read, f.good = info, info, err == nil
	return set, err
}

// look reads the file when it has changed and does not change any more. current
// tells that the rules read last are those it has. A file that is gone for one
// look is on its way to be replaced.
func (f *ruleFile) look() (set *revoke.Set, current bool, err error) {
	info, err := os.Stat(f.name)
	before := f.seen
	if err != nil {
		tell := before == nil && !f.missing
		f.seen, f.missing = nil, f.missing || tell
		if tell {
			return nil, false, err
		}
		return nil, false, nil
	}
	f.seen, f.missing = info, false
	if !f.good {
		f.looks++
	}
	switch {
	case sameFile(info, f.read) && (f.good || f.looks < retryAfterLooks):
		return nil, f.good, nil
	case !sameFile(info, before):
		return nil, false, nil
	}
	set, err = readRules(f.name)
	if f.seen, _ = os.Stat(f.name); !sameFile(info, f.seen) {
		return nil, false, nil
	}
	f.read, f.good, f.looks = info, err == nil, 0
	return set, false, err
}

// readRules reads a regular file; a pipe could keep the reader waiting for good.
func readRules(name string) (*revoke.Set, error) {
	file, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return revoke.ReadSet(file, time.Now())
}

func openRegular(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	return os.Open(name)
}

// appendRules adds rules to a file in one write, so that no reader sees a part
// of one, and makes sure that they are on the disk.
func appendRules(name string, mode fs.FileMode, rules []revoke.Rule) (err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var text strings.Builder
	if info, err := file.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, info.Size()-1); err != nil || last[0] != '\n' {
			text.WriteByte('\n')
		}
	}
	for _, r := range rules {
		text.WriteString(r.String() + "\n")
	}
	if _, err := file.WriteString(text.String()); err != nil {
		return err
	}
	return file.Sync()
}

// replaceFile puts text in the place of a file, whole or not at all. It keeps
// who may read it.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(info.Mode().Perm()), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // it is of no use now
	}
	return err
}

// keptRules is the file in which rules that events made are kept.
type keptRules struct {
	name string // empty: they are not

	mu      sync.Mutex // guards the file and written
	written int        // rules since it was read or cleared
}

// clearAfter is how many rules are added before those that have ended, or are
// there twice, are taken out.
const clearAfter = 50_000

// read takes out what has ended. The end of a line that was never finished was
// never acknowledged either.
func (k *keptRules) read(now time.Time) (*revoke.Set, error) {
	if k.name == "" {
		return revoke.NewSet(), nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := os.Stat(k.name); errors.Is(err, fs.ErrNotExist) {
		return revoke.NewSet(), nil
	}
	text, err := k.clear(now)
	if err != nil {
		return nil, err
	}
	return revoke.ReadSet(bytes.NewReader(text), now)
}

// clear rewrites the file, where that is worth it, and returns its text.
func (k *keptRules) clear(now time.Time) ([]byte, error) {
	file, err := openRegular(k.name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() > revoke.MaxOctets {
		return nil, errors.Join(err, fmt.Errorf("longer than %d MiB", revoke.MaxOctets>>20))
	}
	text, err := os.ReadFile(k.name)
	if err != nil {
		return nil, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	var kept bytes.Buffer
	seen := make(map[string]bool)
	err = revoke.Lines(bytes.NewReader(whole), func(r revoke.Rule) error {
		if name := r.Name(); !r.Over(now) && !seen[name] {
			seen[name] = true
			kept.WriteString(r.String() + "\n")
		}
		return nil
	})
	if err != nil || bytes.Equal(kept.Bytes(), text) {
		return text, err
	}
	k.written = 0
	return kept.Bytes(), replaceFile(k.name, kept.Bytes())
}

func (k *keptRules) add(rules []revoke.Rule) error {
	if k.name == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.written += len(rules); k.written > clearAfter {
		if _, err := k.clear(time.Now()); err != nil {
			return err
		}
	}
	return appendRules(k.name, 0o600, rules)
}
