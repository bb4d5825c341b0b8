package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// group is a cgroup of version 1 or 2 with a limit, for as long as a test lasts.
type group struct {
	t   *testing.T
	dir string
}

// newGroup makes one. Each limit is the file's name in version 2, whose value
// version 1 has under another name. It wants root, or a cgroup that was handed
// over.
func newGroup(t *testing.T, controller string, limits map[string]string) *group {
	t.Helper()
	name := fmt.Sprintf("wicketgate-%d-%d", os.Getpid(), rand.IntN(1<<20))
	root := "/sys/fs/cgroup"
	g := &group{t: t, dir: filepath.Join(root, controller, name)}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		g.dir = filepath.Join(root, name)
		g.set(root, "cgroup.subtree_control", "+"+controller)
	} else {
		limits = versionOne(limits)
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatalf("this test wants root and a cgroup with the controller %s: %v", controller, err)
	}
	t.Cleanup(func() { until(t, "the cgroup to be empty", func() bool { return os.Remove(g.dir) == nil }) })
	for file, value := range limits {
		g.set(g.dir, file, value)
	}
	return g
}

func (g *group) set(dir, file, value string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
		g.t.Fatalf("this test wants root and a cgroup it may limit: %v", err)
	}
}

func versionOne(limits map[string]string) map[string]string {
	old := make(map[string]string)
	for file, value := range limits {
		switch file {
		case "memory.max":
			old["memory.limit_in_bytes"] = value
		case "cpu.max":
			quota, period, _ := strings.Cut(value, " ")
			old["cpu.cfs_period_us"], old["cpu.cfs_quota_us"] = period, quota
		}
	}
	return old
}

// under is the command line that puts a process into the group.
func (g *group) under() []string {
	return []string{"/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, g.dir}
}

// number reads the first of the files that is there; -1 for none.
func (g *group) number(files ...string) int {
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(g.dir, file))
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return n
		}
	}
	return -1
}
