package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// folder holds a configuration that names one more file.
func folder(t *testing.T) (config, keys string) {
	t.Helper()
	dir := t.TempDir()
	config, keys = filepath.Join(dir, "config.yaml"), filepath.Join(dir, "keys.json")
	write(t, keys, "{}")
	write(t, config, withKeys)
	return config, keys
}

var withKeys = strings.Replace(Smallest(), "resources:", "    jwks_file: keys.json\nresources:", 1)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watched runs a watch in a bubble, where a look takes no time, and tells how
// often it saw a change so far.
func watched(t *testing.T, test func(look func() int), watch func(context.Context, time.Duration, func()) error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var count atomic.Int64 // a look reads it while the watch goes on
		ended := make(chan error, 1)
		go func() { ended <- watch(ctx, 5*time.Second, func() { count.Add(1) }) }()
		synctest.Wait()
		test(func() int {
			time.Sleep(5500 * time.Millisecond) // fake: the interval and the most jitter
			synctest.Wait()
			return int(count.Load())
		})
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestWatch(t *testing.T) {
	config, keys := folder(t)
	watched(t, func(look func() int) {
		expect := func(what string, want int) {
			t.Helper()
			// At least one look falls into every step, whatever the jitter.
			if got := look(); got != want {
				t.Fatalf("%s: %d changes, want %d", what, got, want)
			}
		}
		expect("nothing", 0)
		write(t, config, withKeys+"# more\n")
		expect("the file", 1)
		write(t, keys, `{"keys":[]}`)
		expect("a file it names", 2)
		write(t, keys, `{"keys":[]}`)
		expect("the same contents", 2)
		write(t, config, "versio: 1\n")
		expect("a bad file", 3)
		write(t, keys, "{}")
		expect("a file that the last good one named", 4)
		write(t, config, Smallest())
		expect("a file that names none", 5)
		write(t, keys, "{\n}")
		expect("a file named no more", 5)
	}, func(ctx context.Context, every time.Duration, changed func()) error {
		return loaded(t, config).Watch(ctx, every, changed)
	})
}

func TestWatchBeginsWithWhatWasLoaded(t *testing.T) {
	config, keys := folder(t)
	f, err := Load(config, nothing)
	must(t, err)
	write(t, keys, "changed between load and watch")
	watched(t, func(look func() int) {
		if got := look(); got != 1 {
			t.Errorf("%d changes, want 1", got)
		}
		if got := look(); got != 1 {
			t.Errorf("%d changes after another look, want 1", got)
		}
	}, f.Watch)

	f, err = Load(config, nothing)
	must(t, err)
	watched(t, func(look func() int) {
		if got := look(); got != 0 {
			t.Errorf("%d changes of an unchanged file", got)
		}
	}, f.Watch)
}

// TestWatchConfigMap swaps a folder the way the kubelet does: the file is a link
// through ..data, which is replaced in one step.
func TestWatchConfigMap(t *testing.T) {
	dir := t.TempDir()
	for version, text := range map[string]string{"..1": Smallest(), "..2": Smallest() + "# 2\n"} {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "config.yaml"), text)
	}
	must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
	config := filepath.Join(dir, "config.yaml")
	must(t, os.Symlink(filepath.Join("..data", "config.yaml"), config))
	watched(t, func(look func() int) {
		for i, version := range []string{"..2", "..1", "..2"} {
			link := filepath.Join(dir, "..data_tmp")
			must(t, os.Symlink(version, link))
			must(t, os.Rename(link, filepath.Join(dir, "..data")))
			if got := look(); got != i+1 {
				t.Fatalf("swap %d: %d changes", i+1, got)
			}
		}
	}, func(ctx context.Context, every time.Duration, changed func()) error {
		return loaded(t, config).Watch(ctx, every, changed)
	})
}

func TestLookAtMissingFiles(t *testing.T) {
	config, keys := folder(t)
	w := &watcher{path: config, env: nothing}
	w.look()
	steps := []struct {
		what string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"gone for a moment", func() { must(t, os.Remove(config)) }, false},
		{"back as it was", func() { write(t, config, withKeys) }, false},
		{"gone again", func() { must(t, os.Remove(config)) }, false},
		{"back with more", func() { write(t, config, withKeys+"#\n") }, true},
		{"a named file gone", func() { must(t, os.Remove(keys)) }, false},
		{"gone for good", func() {}, true},
		{"still gone", func() {}, false},
		{"changed meanwhile", func() { write(t, config, withKeys) }, true},
		{"back", func() { write(t, keys, "{}") }, true},
		{"a folder in its place", func() { must(t, os.Remove(keys)); must(t, os.Mkdir(keys, 0o700)) }, false},
		{"a folder still", func() {}, true},
	}
	for _, s := range steps {
		s.do()
		if got := w.look(); got != s.want {
			t.Fatalf("%s: changed = %v", s.what, got)
		}
	}
}

func TestWatchNeedsAnInterval(t *testing.T) {
	config, _ := folder(t)
	if err := loaded(t, config).Watch(t.Context(), 0, func() {}); err == nil {
		t.Error("an interval of 0 is taken")
	}
}

func TestHash(t *testing.T) {
	config, keys := folder(t)
	f, err := Load(config, nothing)
	must(t, err)
	sum, err := Hash(config, f.Files())
	must(t, err)
	if read, err := f.Hash(); err != nil || read != sum {
		t.Errorf("Hash and Load differ: %v", err)
	}
	write(t, keys, "{ }")
	if other, err := Hash(config, f.Files()); err != nil || other == sum {
		t.Errorf("a changed key set has the same hash, %v", err)
	}
	must(t, os.Remove(keys))
	if _, err := Hash(config, f.Files()); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestLoad(t *testing.T) {
	config, keys := folder(t)
	f, err := Load(config, nothing)
	must(t, err)
	if f.Issuers[0].JWKSFile != keys {
		t.Errorf("%s is not looked up from the folder of the file", f.Issuers[0].JWKSFile)
	}
	write(t, config, withKeys+"tls: {cert_file: /nowhere/tls.crt, key_file: .}\n")
	_, err = Load(config, nothing)
	all, ok := errors.AsType[Errors](err)
	if !ok || len(all) != 2 || all[0].Path != "tls.cert_file" || all[0].Line != 8 || all[1].Path != "tls.key_file" || all[1].Column != 46 {
		t.Errorf("got %v", err)
	}
	if _, err = Load(filepath.Join(t.TempDir(), "none.yaml"), nothing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, isErrors := errors.AsType[Errors](err); isErrors {
		t.Error("a missing file is no fault of its contents")
	}
}

func loaded(t *testing.T, path string) *File {
	t.Helper()
	f, err := Load(path, nothing)
	must(t, err)
	return f
}
