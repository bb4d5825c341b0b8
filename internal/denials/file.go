package denials

import (
	"bytes"
	"context"
	"errors"
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
	text, err := os.ReadFile(file.Name())
	_ = file.Close()
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
