package decisions

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFileIsReopened(t *testing.T) {
	name := filepath.Join(t.TempDir(), "decisions.jsonl")
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	write("one\n")
	moved := name + ".1"
	if err := os.Rename(name, moved); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	for range 2 { // what was opened for nothing is closed
		if err := f.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	write("three\n")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{moved: "one\ntwo\n", name: "three\n"} {
		if text, _ := os.ReadFile(path); string(text) != want {
			t.Errorf("%s: %q, want %q", path, text, want)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, bad := range []string{t.TempDir(), filepath.Join(name, "below")} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%s was opened", bad)
		}
	}
}

// TestFileGoesOnAfterAFullDisk: a line that was cut is not continued by the next.
func TestFileGoesOnAfterAFullDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "decisions.jsonl")
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte(`{"v":`))
	f.torn = true // as when the disk took no more
	_, _ = f.Write([]byte("{}\n"))
	_, _ = f.Write([]byte("{}\n"))
	_ = f.Close()
	if text, _ := os.ReadFile(name); string(text) != "{\"v\":\n{}\n{}\n" {
		t.Errorf("%q", text)
	}
	full, err := Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := full.Write([]byte("{}\n")); err == nil || n != 0 {
		t.Errorf("%d octets on a full disk, %v", n, err)
	}
	_ = full.Close()
}

// sink writes at once, and counts.
type sink struct {
	io.Writer
	mu     sync.Mutex // guards closed
	closed bool
}

func (s *sink) Lost() uint64 { return 1 }

func (s *sink) Close(time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func TestLogChangesOutlets(t *testing.T) {
	var made []*sink
	stdout := &strings.Builder{}
	l := NewLog(stdout, time.Minute, func(w io.Writer) Sink {
		made = append(made, &sink{Writer: w})
		return made[len(made)-1]
	})
	folder := t.TempDir()
	prepare := func(name string) *Outlet {
		t.Helper()
		o, err := l.Prepare(name)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if prepare("") != nil || l.Lost() != 0 || l.Reopen() != nil {
		t.Error("a log without a file does something")
	}
	one := prepare(filepath.Join(folder, "one"))
	l.Use(one, Options{})
	if prepare(filepath.Join(folder, "one")) != one {
		t.Error("the file in use was opened once more")
	}
	l.Drop(one) // in use: nothing comes of it
	l.Drop(prepare(filepath.Join(folder, "unused")))
	l.Use(prepare(Standard), Options{})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if len(made) != 3 || l.Lost() != 3 {
		t.Errorf("%d sinks, %d lost", len(made), l.Lost())
	}
	for i, s := range made {
		if !s.closed {
			t.Errorf("sink %d is open", i)
		}
	}
	if _, err := l.Prepare(folder); err == nil {
		t.Error("a folder is a log")
	}
}
