package gate

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// profiler is put beside the program's own files where a profile is wanted, so
// that the product has none of it: the second signal writes what the processor did
// since the first.
const profiler = `package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	turn := make(chan os.Signal, 1)
	signal.Notify(turn, syscall.SIGUSR2)
	go func() {
		<-turn
		f, err := os.Create(os.Getenv("WICKETGATE_BENCH_PROFILE"))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			panic(err)
		}
		<-turn
		pprof.StopCPUProfile()
		if err := os.Rename(f.Name(), f.Name()+".done"); err != nil || f.Close() != nil {
			panic(err)
		}
	}()
}
`

// overlay writes what makes go build take the profiler for a file of the tree,
// and returns the flag for it.
func overlay(tree, dir string) (string, error) {
	source, list := filepath.Join(dir, "profiler.go.txt"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(tree, "cmd", "wicketgate", "bench_profiler.go"): source}})
	if err != nil {
		return "", err
	}
	return "-overlay=" + list, errors.Join(os.WriteFile(source, []byte(profiler), 0o600), os.WriteFile(list, text, 0o600))
}

// Profile makes a gate that was built with one begin a profile of its processor
// time, or end it.
func (g *Gate) Profile() { g.Signal(syscall.SIGUSR2) }

// SaveProfile moves the profile that a gate has ended to a file.
func (g *Gate) SaveProfile(file string) error {
	var text []byte
	var err error
	for range 100 {
		if text, err = os.ReadFile(g.profile + ".done"); err == nil {
			return os.WriteFile(file, text, 0o600)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
