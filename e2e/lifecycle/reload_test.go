package lifecycle

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// reload asks for one and returns the status: 200 once the new file holds, 422
// where it was refused.
func (g *running) reload() int {
	g.t.Helper()
	resp, err := asks.Post("http://"+g.admin+"/-/reload", "", nil)
	if err != nil {
		g.t.Errorf("reload: %v", err)
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (g *running) configure(text string) {
	g.t.Helper()
	if err := g.Configure(text); err != nil {
		g.t.Fatal(err)
	}
}

// steady sends what every configuration gives the same verdict on.
func (s *stand) steady(g *running, stop <-chan struct{}) (*tally, *sync.WaitGroup) {
	expired := s.mint(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	var y tally
	var clients sync.WaitGroup
	for i, row := range []struct {
		path, token string
		want        int
	}{{"/x", s.token, 200}, {"/x", "", 401}, {"/x", expired, 401}, {"/open", "", 200}, {"/x", s.token, 200}, {"/none", s.token, 404}} {
		for range 3 {
			clients.Go(func() {
				l := &line{dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
				defer l.close()
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					status, err := l.send("POST", row.path, row.token, fmt.Sprint("steady-", i, n), nil)
					y.count(status, row.want, err)
					time.Sleep(40 * time.Millisecond)
				}
			})
		}
	}
	return &y, &clients
}

// TestReloads: a good file holds for the first request that is sent after the
// answer, a bad one changes nothing, requests under way keep what they began
// with, and nothing is left over..
func TestReloads(t *testing.T) {
	s := newStand(t)
	wide := func(listen, admin string) string {
		return strings.Replace(s.configuration(listen, admin, "drain: {delay: 0s}\n"), `{name: rest, path: "/**"}`,
			"{name: x, path: /x}\n      - {name: slow, path: /slow}\n      - {name: moving, path: /moving}", 1)
	}
	g := s.gate(wide, process.Options{})
	open := wide(g.listen, g.admin)
	narrow := strings.Replace(strings.Replace(open, "{name: moving, path: /moving}", "{name: moving, path: /moving, scopes: [more]}", 1), "      - {name: slow, path: /slow}\n", "", 1)
	bad := strings.Replace(open, "path: /moving", "pth: /moving", 1)
	stop := make(chan struct{})
	steady, clients := s.steady(g, stop)
	for range 20 {
		g.configure(open)
		g.reload()
	}
	before := g.metric("go_goroutines")
	l := &line{dial: func() (net.Conn, error) { return net.Dial("tcp", g.listen) }}
	holds, refused, wrong, kept := http.StatusOK, 0, 0, 0
	slow := make(chan int, 1)
	for i := range *reloads {
		next, want, answer := open, http.StatusOK, http.StatusOK
		switch i % 5 {
		case 1, 3:
			next, want = narrow, http.StatusForbidden
		case 4:
			next, want, answer = bad, holds, http.StatusUnprocessableEntity
			refused++
		}
		g.configure(next)
		if got := g.reload(); got != answer {
			t.Fatalf("reload %d: %d, want %d", i, got, answer)
		}
		if got, err := l.send("GET", "/moving", s.token, "", nil); got != want {
			wrong++
			t.Errorf("after reload %d: %d %v, want %d", i, got, err, want)
		}
		holds = want
		if i%100 == 0 { // it begins under a file that has the route, and ends under one that has not
			go func() {
				one := &line{dial: l.dial}
				status, _ := one.send("POST", "/slow", s.token, fmt.Sprint("slow-", i), nil)
				slow <- status
			}()
			g.until("the slow request to be on its way", func() bool { return g.metric("wicketgate_requests_in_flight") >= 1 })
			time.Sleep(100 * time.Millisecond)
		}
		if i%100 == 1 {
			if got := <-slow; got != http.StatusOK {
				t.Errorf("a request under way at reload %d: %d", i, got)
			}
			kept++
		}
	}
	close(stop)
	clients.Wait()
	l.close()
	after := 0.0
	until(t, "its goroutines to be as many as before", func() bool { after = g.metric("go_goroutines"); return after <= before })
	t.Logf("%d reloads, %d of them bad: %d wrong, %d requests under way kept theirs; beside them %v; goroutines %v before, %v after", *reloads, refused, wrong, kept, steady, before, after)
	if steady.bad.Load() > 0 {
		t.Errorf("beside: %v", steady)
	}
	if got := g.metric("wicketgate_config_reloads_total", `result="error"`); int(got) != refused {
		t.Errorf("%v bad reloads are counted, want %d", got, refused)
	}
}

// volume is a folder as a kubelet mounts it: names that lead through ..data,
// which is swapped in one step.
type volume struct {
	t    *testing.T
	dir  string
	turn int
}

func (v *volume) set(files map[string]string) {
	v.t.Helper()
	v.turn++
	fresh := fmt.Sprintf("..2026_%d", v.turn)
	for name, text := range files {
		write(v.t, filepath.Join(v.dir, fresh, name), text)
		if link := filepath.Join(v.dir, name); v.turn == 1 {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	draft, data := filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")
	old, _ := os.Readlink(data)
	if err := os.Symlink(fresh, draft); err != nil {
		v.t.Fatal(err)
	}
	if err := os.Rename(draft, data); err != nil {
		v.t.Fatal(err)
	}
	if old != "" {
		_ = os.RemoveAll(filepath.Join(v.dir, old))
	}
}

// TestKubernetesVolumes swaps a ConfigMap and a Secret under a gate that nobody
// tells: R-41.
func TestKubernetesVolumes(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	configs, secrets := &volume{t: t, dir: t.TempDir()}, &volume{t: t, dir: t.TempDir()}
	ca := newAuthority(t)
	secrets.set(ca.server(t))
	listen, admin := process.Free(t), process.Free(t)
	wide := s.configuration(listen, admin, fmt.Sprintf("drain: {delay: 0s}\ntls: {cert_file: %q, key_file: %q}\n", secrets.dir+"/tls.crt", secrets.dir+"/tls.key"))
	narrow := strings.Replace(wide, `{name: rest, path: "/**"}`, `{name: rest, path: "/**", scopes: [more]}`, 1)
	configs.set(map[string]string{"config.yaml": wide})
	g := &running{t: t, listen: listen, admin: admin, log: &process.Log{}}
	var err error
	if g.Gate, err = process.Start(process.Options{
		Program: program, Dir: t.TempDir(), Config: wide, Log: g.log,
		Under: []string{"/bin/sh", "-c", `exec "$1" serve --config "$0"`, configs.dir + "/config.yaml"},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Stop(10 * time.Second)
		if t.Failed() {
			t.Log(tail(g.log.String(), 20))
		}
	})
	g.until("it to be ready", func() bool { return status(admin, "/readyz") == http.StatusOK })
	client := &line{dial: func() (net.Conn, error) { return ca.dial(listen, nil) }}
	defer client.close()
	ask := func() int {
		got, err := client.send("GET", "/x", s.token, "", nil)
		if err != nil {
			t.Errorf("ask: %v", err)
		}
		return got
	}
	if got := ask(); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	configs.set(map[string]string{"config.yaml": narrow})
	g.until("the narrower rules", func() bool { return ask() == http.StatusForbidden })
	serial := ca.served(t, listen)
	secrets.set(ca.server(t))
	g.until("the new certificate", func() bool { return ca.served(t, listen) != serial })
	configs.set(map[string]string{"config.yaml": "version: 2\n"})
	g.until("the bad file to be noticed", func() bool { return g.metric("wicketgate_config_last_reload_successful") == 0 })
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("after the bad file: %d", got)
	}
	configs.set(map[string]string{"config.yaml": wide})
	g.until("the wider rules", func() bool { return ask() == http.StatusOK })
	g.Signal(syscall.SIGTERM)
	g.wantEnd(10 * time.Second)
}
