package keep

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const name = "a.json"

func kept(t *testing.T, data string) (f *Folder, path string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kept")
	f = New(dir)
	if err := f.Write(name, []byte(data)); err != nil {
		t.Fatal(err)
	}
	return f, filepath.Join(dir, name)
}

func names(t *testing.T, f *Folder) (list []string) {
	t.Helper()
	all, err := os.ReadDir(f.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		list = append(list, one.Name())
	}
	return list
}

func TestWriteRead(t *testing.T) {
	for _, data := range []string{"", "x", "{}\n", "a\nb\nc", strings.Repeat("x", 500<<10)} {
		f, path := kept(t, "before")
		if err := f.Write(name, []byte(data)); err != nil {
			t.Fatal(err)
		}
		got, err := f.Read(name)
		if err != nil || string(got) != data {
			t.Errorf("%d octets: got %d, %v", len(data), len(got), err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if folder, err := os.Stat(f.path); err != nil || folder.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", folder, err)
		}
		if list := names(t, f); len(list) != 1 {
			t.Errorf("left behind: %v", list)
		}
	}
}

func TestReadNothing(t *testing.T) {
	f, _ := kept(t, "x")
	for _, one := range []*Folder{f, New(filepath.Join(t.TempDir(), "none"))} {
		if _, err := one.Read("other"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

// Whatever becomes of a file, what is read is what was written.
func TestDamage(t *testing.T) {
	f, path := kept(t, `{"keys":[]}`)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"empty": {}, "longer": append(bytes.Clone(good), 'x'), "twice": append(bytes.Clone(good), good...), "no head": good[bytes.IndexByte(good, '\n')+1:],
		"another version": bytes.Replace(good, []byte("wicketgate 1"), []byte("wicketgate 2"), 1), "too long": bytes.Repeat([]byte("x"), 2<<20)}
	for i := range good {
		texts["cut"] = good[:i]
		texts["flipped"] = bytes.Clone(good)
		texts["flipped"][i] ^= 1 << (i % 8)
		for what, text := range texts {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Read(name); !errors.Is(err, ErrDamaged) || got != nil {
				t.Fatalf("%s at %d: %q, %v", what, i, got, err)
			}
		}
		clear(texts)
	}
}

func TestForeign(t *testing.T) {
	for what, spoil := range map[string]func(path string) error{
		"group may write":  func(path string) error { return os.Chmod(path, 0o620) },
		"others may write": func(path string) error { return os.Chmod(path, 0o602) },
		"symbolic link": func(path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(name+".real", path))
		},
		"link outside": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"folder":       func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"pipe":         func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
	} {
		t.Run(what, func(t *testing.T) {
			f, path := kept(t, "x")
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Read(name); !errors.Is(err, ErrForeign) || got != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A folder that others may write to is not used at all.
func TestFolderOfOthers(t *testing.T) {
	for _, mode := range []os.FileMode{0o770, 0o707, 0o777, 0o720} {
		f, _ := kept(t, "x")
		if err := os.Chmod(f.path, mode); err != nil {
			t.Fatal(err)
		}
		_, read := f.Read(name)
		for what, err := range map[string]error{"read": read, "write": f.Write(name, nil), "probe": f.Probe(false)} {
			if err == nil || !strings.Contains(err.Error(), "written to by others") {
				t.Errorf("mode %o, %s: %v", mode, what, err)
			}
		}
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(dir, "ours")
	if err := os.Mkdir(ours, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{
		ours: true, filepath.Join(dir, "new"): true, filepath.Join(dir, "no", "parent"): false, file: false, filepath.Join(file, "below"): false,
	} {
		for _, write := range []bool{false, true} {
			if err := New(path).Probe(write); (err == nil) != good {
				t.Errorf("%s, %t: %v", path, write, err)
			}
		}
	}
	if list := names(t, New(ours)); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made: %v", err)
	}
}

// What a process that died left of its own goes, in time.
func TestAbandoned(t *testing.T) {
	f, path := kept(t, "x")
	old, young, other := path+".1.1"+temporary, path+".2.2"+temporary, filepath.Join(f.path, "b.json.1.1"+temporary)
	for _, one := range []string{old, young, other} {
		if err := os.WriteFile(one, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandoned)
	if err := errors.Join(os.Chtimes(old, long, long), os.Chtimes(other, long, long), f.Write(name, []byte("y"))); err != nil {
		t.Fatal(err)
	}
	if list := names(t, f); len(list) != 3 || list[0] != name {
		t.Errorf("there is %v", list)
	}
	if got, err := f.Read(name); err != nil || string(got) != "y" {
		t.Errorf("%q, %v", got, err)
	}
}

// Several processes may share a folder: who reads sees one of the texts, whole.
func TestConcurrent(t *testing.T) {
	f, _ := kept(t, strings.Repeat("0", 10000))
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for range 25 {
				if err := f.Write(name, bytes.Repeat([]byte{'a' + byte(n)}, 10000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		got, err := f.Read(name)
		if errors.Is(err, ErrForeign) {
			continue // it was replaced between two looks
		}
		if err != nil || len(got) != 10000 || bytes.Count(got, got[:1]) != 10000 {
			t.Errorf("%d octets, %v", len(got), err)
		}
	}
	writers.Wait()
}
