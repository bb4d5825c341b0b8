package denials

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/validator/revoke"
)

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
