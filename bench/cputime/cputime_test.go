package cputime_test

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/bench/cputime"
)

// family is a shell whose child works; each line it reads ends a child.
func family(t *testing.T) (pid int, kill func()) {
	t.Helper()
	c := exec.Command("sh", "-c", `(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; exec sleep 60) & child=$!; read line; kill $child; wait; echo; exec sleep 60`)
	in, errI := c.StdinPipe()
	out, errO := c.StdoutPipe()
	if errI != nil || errO != nil || c.Start() != nil {
		t.Fatal(errI, errO)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid, func() {
		_, _ = in.Write([]byte("\n"))
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTree(t *testing.T) {
	pid, kill := family(t)
	all, err := cputime.Tree(pid)
	if err != nil {
		t.Fatal(err)
	}
	own, err := cputime.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	total, err := all.Since(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || total < own+10*time.Millisecond {
		t.Errorf("%d processes used %v, their parent %v", len(all), total, own)
	}
	for name, measure := range map[string]func(int) (int64, error){"Resident": cputime.Resident, "RSS": cputime.RSS} {
		if octets, err := measure(pid); err != nil || octets < 100<<10 {
			t.Errorf("%s: %d, %v", name, octets, err)
		}
	}
	kill()
	later, err := cputime.Tree(pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Since(all); err == nil {
		t.Error("a worker ended, and nobody says so")
	}
}

func TestNobody(t *testing.T) {
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := cputime.Tree(c.Process.Pid); err == nil {
		t.Error("a process that has ended has a tree")
	}
}

// A clock that stands still would make every proxy free.
func TestProcessCounts(t *testing.T) {
	before, err := cputime.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range 20_000_000 {
		sum ^= i
	}
	after, err := cputime.Process(os.Getpid())
	if err != nil || after-before < time.Millisecond {
		t.Errorf("%v, %v (%d)", after-before, err, sum)
	}
}
