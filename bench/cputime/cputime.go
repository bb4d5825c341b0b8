// Package cputime tells what processes have used: processor time and memory, of
// a process with all its descendants, since servers with workers do their work
// in those. It needs Linux.
package cputime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Sample is the processor time, user and system, that each process of a tree
// has used since it began.
type Sample map[int]time.Duration

// Tree looks at a process and its descendants. /proc says who they are; their
// time comes from the clocks that feed /proc/PID/stat, which itself counts in
// ticks of 10 ms. Threads that have ended are included.
func Tree(pid int) (Sample, error) {
	family, err := descendants(pid)
	if err != nil {
		return nil, err
	}
	s := make(Sample, len(family))
	for _, p := range family {
		used, err := Process(p)
		if errors.Is(err, unix.EINVAL) && p != pid {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		s[p] = used
	}
	return s, nil
}

// Since is what was used from an earlier sample to this one. A process that
// ended in between took the account of its time with it, which is an error; one
// that is new counts in full.
func (s Sample) Since(earlier Sample) (time.Duration, error) {
	var total time.Duration
	for pid, used := range s {
		total += used - earlier[pid]
	}
	for pid := range earlier {
		if _, there := s[pid]; !there {
			return 0, fmt.Errorf("process %d ended while it was measured", pid)
		}
	}
	return total, nil
}

// Process is the processor time of one process, all its threads, since it began.
func Process(pid int) (time.Duration, error) {
	var t unix.Timespec
	const scheduler = 2 // CPUCLOCK_SCHED: exact, as opposed to ticks
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Resident is the memory of a tree that is in RAM, in octets: the sum of Pss, in
// which a page that several processes share is divided between them, as workers
// share those of their parent.
func Resident(pid int) (int64, error) {
	family, err := descendants(pid)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, p := range family {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			if p != pid {
				continue // it has ended meanwhile
			}
			return 0, err
		}
		kilo, err := member(text, "Pss:")
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", p, err)
		}
		total += kilo << 10
	}
	return total, nil
}

// RSS is the resident set of one process in octets, as VmRSS has it.
func RSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	kilo, err := member(text, "VmRSS:")
	return kilo << 10, err
}

func member(text []byte, name string) (int64, error) {
	for line := range bytes.Lines(text) {
		if rest, found := bytes.CutPrefix(line, []byte(name)); found {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

// descendants is the process and all below it.
func descendants(pid int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	found := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (NAME) STATE PPID ..., and a name may hold spaces and parentheses.
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		fields := strings.Fields(rest)
		id, errI := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if len(fields) < 2 || errI != nil || fields[0] == "Z" {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], id)
		found = found || id == pid
	}
	if !found {
		return nil, fmt.Errorf("no process %d", pid)
	}
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family, nil
}
