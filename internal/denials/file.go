package denials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

	whole  int64       // octets when last read well
	inode  os.FileInfo // then
	absent bool        // it was not there at some look since
	since  time.Time   // when it was first seen as it is
}

// shrunkFor is how long a file that lost text must stay the same until that
// counts: whoever writes it anew in its place may only have begun.
const shrunkFor = 5 * time.Second

// begun tells of a file that may be on its way to be written: shorter than it
// was, and not put there whole in the place of another.
func (f *ruleFile) begun(info os.FileInfo) bool {
	placed := info.Size() > 0 && !f.absent && !os.SameFile(info, f.inode)
	return f.inode != nil && info.Size() < f.whole && !placed
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
	f.whole, f.inode = info.Size(), info
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
		f.seen, f.missing, f.absent = nil, f.missing || tell, true
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
		f.since = time.Now()
		return nil, false, nil
	case f.begun(info) && time.Since(f.since) < shrunkFor:
		return nil, false, nil
	}
	set, err = readRules(f.name)
	if f.seen, _ = os.Stat(f.name); !sameFile(info, f.seen) {
		return nil, false, nil
	}
	f.read, f.good, f.looks = info, err == nil, 0
	if err == nil {
		f.whole, f.inode, f.absent = info.Size(), info, false
	}
	return set, false, err
}

// readRules reads a regular file; a pipe could keep the reader waiting for good.
// readRules turns a panic into an error: the text is somebody else's, and it is
// read where nobody else stops a panic.
func readRules(name string) (set *revoke.Set, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the rules panicked: %T", p)
		}
	}()
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
	file, err := openLocked(name, os.O_CREATE, mode)
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

// replaceFile puts text in the place of a file that is locked, whole or not at
// all. It keeps who may read it.
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

// File is a file of deny rules that people write, by its name.
type File string

// Add adds rules at the file's end, and makes the file where there is none. The
// error tells that it cannot be read, or not be written.
func (f File) Add(_ context.Context, rules ...revoke.Rule) error {
	if _, err := readRules(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // a gate would not read what is added to that
	}
	return appendRules(string(f), 0o644, rules)
}

// List gives the rules with their IDs, in the order of the file. The error
// names the line that is no rule.
func (f File) List(_ context.Context, each func(id, rule string)) error {
	file, err := openRegular(string(f))
	if err != nil {
		return err
	}
	defer file.Close()
	return revoke.Lines(file, func(r revoke.Rule) error {
		each(r.Name(), r.String())
		return nil
	})
}

// Remove takes the rule of an ID out. It keeps what people wrote beside the
// rules.
func (f File) Remove(_ context.Context, id string) (found bool, err error) {
	file, err := openRegular(string(f))
	if err != nil {
		return false, err
	}
	_ = file.Close() // nothing was written
	if file, err = openLocked(string(f), 0, 0); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	text, err := io.ReadAll(file)
	if err != nil {
		return false, err
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		if rule, err := revoke.ParseRule(string(bytes.TrimSpace(line))); err == nil && rule.Name() == id {
			found = true
			continue
		}
		kept = append(kept, line...)
	}
	if !found {
		return false, nil
	}
	return true, replaceFile(string(f), kept)
}
