package lifecycle

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// withMore is a configuration with more at its top level.
func (s *stand) withMore(more string) func(listen, admin string) string {
	return func(listen, admin string) string {
		return s.configuration(listen, admin, "drain: {delay: 0s, timeout: 1s}\n"+more)
	}
}

// TestFewDescriptors lets four times as many come as there are files for: R-46.
func TestFewDescriptors(t *testing.T) {
	s := newStand(t)
	g := s.gate(s.withMore(""), process.Options{Under: []string{"prlimit", "--nofile=256:256"}})
	busy := &line{dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
	defer busy.close()
	var idle []net.Conn
	unanswered, good := 0, 0
	for i := range 1000 {
		conn, err := net.Dial("tcp", g.listen)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		idle = append(idle, conn)
		if i%50 != 0 {
			continue
		}
		if status(g.admin, "/livez") != http.StatusOK {
			unanswered++
		}
		one := &line{dial: busy.dial}
		if got, err := one.send("GET", "/x", s.token, "", nil); err == nil && got == http.StatusOK {
			good++
		}
		one.close()
	}
	t.Logf("1000 connections with 256 files: livez unanswered %d of 20, new requests answered %d of 20, connections closed %v", unanswered, good, g.metric("wicketgate_connections_refused_total"))
	if unanswered > 0 || good < 20 {
		t.Errorf("livez unanswered %d of 20, requests answered %d of 20", unanswered, good)
	}
	began := time.Now()
	for _, conn := range idle {
		_ = conn.Close()
	}
	g.until("requests to be answered", func() bool {
		got, err := busy.send("GET", "/x", s.token, "", nil)
		return err == nil && got == http.StatusOK
	})
	t.Logf("the first answer after that took %v", time.Since(began).Round(time.Millisecond))
	g.until("its files to be few again", func() bool { return g.metric("process_open_fds") < 64 })
}

// TestLittleCPU gives a gate a tenth of a core and more to do than it can: R-47.
func TestLittleCPU(t *testing.T) {
	s := newStand(t)
	cpu := newGroup(t, "cpu", map[string]string{"cpu.max": "10000 100000"})
	g := s.gate(s.withMore(""), process.Options{Under: cpu.under()})
	l := &clientLoad{stop: make(chan struct{}), dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
	for range 20 {
		l.running.Go(func() { l.keeping(s.token) })
	}
	unanswered, slowest := 0, time.Duration(0)
	for range 25 {
		began := time.Now()
		if status(g.admin, "/livez") != http.StatusOK {
			unanswered++
		}
		slowest = max(slowest, time.Since(began))
		time.Sleep(100 * time.Millisecond)
	}
	close(l.stop)
	l.running.Wait()
	t.Logf("a tenth of a core: %v; livez unanswered %d of 25, slowest %v", &l.kept, unanswered, slowest.Round(time.Millisecond))
	if unanswered > 0 || l.kept.bad.Load() > 0 {
		t.Errorf("livez unanswered %d of 25; %v", unanswered, &l.kept)
	}
}

// TestLog takes the reader of the log away in every way there is: R-49.
func TestLog(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) *os.File{
		"a pipe that nobody reads": func(t *testing.T) *os.File {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			return w
		},
		"a pipe whose reader has gone": func(t *testing.T) *os.File {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			return w
		},
		"a full disk": func(t *testing.T) *os.File {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			return full
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			to := open(t)
			g := s.gate(s.withMore("log: {access: all}\n"), process.Options{Log: to})
			_ = to.Close() // the gate has its own
			var y tally
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() {
					l := &line{dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
					defer l.close()
					for i := range 500 {
						path, want := "/x", http.StatusOK
						if i%2 == 0 { // two kinds of lines
							path, want = "/none", http.StatusOK
						}
						token := s.token
						if i%3 == 0 {
							token, want = "", http.StatusUnauthorized
						}
						got, err := l.send("GET", path, token, "", nil)
						y.count(got, want, err)
					}
				})
			}
			clients.Wait()
			g.reload()
			lost := g.metric("wicketgate_log_lost_total")
			t.Logf("%v, %v lines lost", &y, lost)
			if y.bad.Load() > 0 {
				t.Error(&y)
			}
			if name != "a pipe that nobody reads" && lost == 0 {
				t.Error("no line is counted as lost")
			}
			g.Signal(syscall.SIGTERM)
			g.wantEnd(10 * time.Second)
		})
	}
}

// TestStalledLogFillsUp is the first of these with more lines than a pipe and
// the gate together have room for.
func TestStalledLogFillsUp(t *testing.T) {
	s := newStand(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	g := s.gate(s.withMore("log: {level: debug}\n"), process.Options{Log: w})
	_ = w.Close()
	for i := 0; g.metric("wicketgate_log_lost_total") == 0; i++ {
		if i == 1000 {
			t.Fatal("no line is lost after a thousand reloads")
		}
		for range 20 {
			if got := g.reload(); got != http.StatusOK {
				t.Fatalf("a reload that cannot be told of: %d", got)
			}
		}
	}
	if status(g.listen, "/open") != http.StatusOK {
		t.Error("nothing is served")
	}
	in := bufio.NewReader(r)
	if _, err := in.ReadString('\n'); err != nil { // what was kept is whole
		t.Error(err)
	}
	g.Signal(syscall.SIGTERM)
	g.wantEnd(10 * time.Second)
}

// TestCacheFolderGone: copies of keys are a help, and nothing stands or falls
// with them.
func TestCacheFolderGone(t *testing.T) {
	s := newStand(t)
	dir := filepath.Join(t.TempDir(), "keys")
	g := s.gate(s.withMore(fmt.Sprintf("cache_dir: %q\n", dir)), process.Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a file is where the folder was")
	if _, err := s.issuer.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	raw, err := s.issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	l := &line{dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
	defer l.close()
	g.until("the new key to be known", func() bool {
		got, err := l.send("GET", "/x", raw, "", nil)
		return err == nil && got == http.StatusOK
	})
	if got := g.reload(); got != http.StatusOK {
		t.Errorf("a reload: %d", got)
	}
}
