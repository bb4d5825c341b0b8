package redis

import (
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// user and secret are who the gates are to the server, with no more rights
// than docs/guide/replicas.md asks for.
const (
	user   = "gate"
	secret = "correct-horse"
	rights = "resetkeys ~wicketgate:replay:* resetchannels -@all +set +get +eval +time +info"
)

// server is a redis-server that can be killed and started again.
type server struct {
	t       testing.TB
	port    string
	dir     string
	process *process.RunningPart
}

func startServer(t testing.TB, options ...string) *server {
	t.Helper()
	s := newServer(t)
	s.start(options...)
	return s
}

// newServer has a port that leaves room for the bus of a cluster, 10000 above, which
// is below the ports that systems give to connections as well.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	for n := 65536; n > 22_000; {
		_, port, err := net.SplitHostPort(process.Free(t))
		if err != nil {
			t.Fatal(err)
		}
		if n, err = strconv.Atoi(port); err != nil {
			t.Fatal(err)
		}
		s.port = port
	}
	return s
}

func (s *server) address() string { return "127.0.0.1:" + s.port }

// start runs the server; it does not wait until it has read what it kept.
func (s *server) start(options ...string) {
	s.t.Helper()
	arguments := append([]string{
		"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--enable-debug-command", "yes",
		"--user", user, "on", ">" + secret,
	}, strings.Fields(rights)...)
	s.execute(append(arguments, options...))
}

func (s *server) execute(arguments []string) {
	s.t.Helper()
	s.process = process.RunPart(s.t, process.Part{Program: "redis-server", Args: arguments, Listens: []string{s.address()}, End: syscall.SIGKILL})
}

func (s *server) kill() { s.process.Stop() }

func (s *server) stop()    { s.process.Signal(syscall.SIGSTOP) }
func (s *server) carryOn() { s.process.Signal(syscall.SIGCONT) }
func (s *server) forget()  { s.do("FLUSHALL") }
func (s *server) login(with string) {
	s.do("ACL", "SETUSER", user, "resetpass", ">"+with)
}

// do runs a command as the administrator.
func (s *server) do(arguments ...string) string {
	s.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-p", s.port}, arguments...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("redis-cli %q: %v %s", arguments, err, out)
	}
	return strings.TrimSpace(string(out))
}

// until polls for what another process does.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}
