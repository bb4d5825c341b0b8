package probes

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is what stands beside the gate.
func program(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// ask asks a relay for /probe/app.
func ask(t *testing.T, r *Relay, method string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /probe/{name}", r)
	req := httptest.NewRequestWithContext(t.Context(), method, "/probe/app?full=1", nil)
	req.Header = header
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	return w
}

func relay(location string, timeout time.Duration) *Relay {
	r := &Relay{}
	r.Use(map[string]string{"app": location}, timeout)
	return r
}

// TestStatus: the status is the program's, and a kubelet takes 200 to 399 for
// success.
func TestStatus(t *testing.T) {
	status := 0
	s := program(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if r.URL.Path != "/healthz" || r.Method != http.MethodGet || r.URL.RawQuery != "deep=1" {
			t.Errorf("the program is asked %s %s", r.Method, r.URL)
		}
	})
	r := relay(s.URL+"/healthz?deep=1", 5*time.Second)
	for _, c := range []struct {
		status int
		fails  string
	}{{200, ""}, {204, ""}, {302, ""}, {399, ""}, {400, "status 400"}, {401, "status 401"}, {500, "status 500"}, {503, "status 503"}} {
		status = c.status
		for _, method := range []string{"GET", "HEAD"} {
			if w := ask(t, r, method, nil); w.Code != c.status || w.Header().Get("Location") != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s of %d: %d %v", method, c.status, w.Code, w.Header())
			}
		}
		if got := r.Fails("app"); got != c.fails {
			t.Errorf("%d: %q, want %q", c.status, got, c.fails)
		}
	}
}

// TestNothingElsePasses: of a request, the program learns that a kubelet asked;
// of the answer, who asked learns the status and a little text.
func TestNothingElsePasses(t *testing.T) {
	var seen http.Header
	s := program(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, strings.Repeat("x", 4*bodyOctets))
	})
	r := relay(s.URL, 5*time.Second)
	for sent, want := range map[string]string{"kube-probe/1.36": "kube-probe/1.36", "kube-probe/1.36+": "kube-probe/1.36+", "curl/8": ownAgent, "": ownAgent, "kube-probe/x": ownAgent} {
		w := ask(t, r, "GET", http.Header{"User-Agent": {sent}, "Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Forwarded-For": {"10.0.0.1"}, "Accept-Encoding": {"gzip"}})
		if w.Code != 200 || w.Body.String() != strings.Repeat("x", bodyOctets) || w.Header().Get("Set-Cookie") != "" ||
			w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %v, %d octets", w.Code, w.Header(), w.Body.Len())
		}
		if len(seen) != 2 || seen.Get("User-Agent") != want || seen.Get("Connection") != "close" {
			t.Errorf("%q: the program is sent %v", sent, seen)
		}
	}
	if w := ask(t, r, "HEAD", nil); w.Body.Len() != 0 {
		t.Errorf("HEAD is answered with %d octets", w.Body.Len())
	}
}

// TestNoAnswer: what does not answer, not in time, or with no HTTP is 503 with
// the same text.
func TestNoAnswer(t *testing.T) {
	closed, mute := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	_ = closed.Close()
	babbler := listen(t, "tcp", "127.0.0.1:0")
	go func() {
		for {
			conn, err := babbler.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-x\r\n")
			_ = conn.Close()
		}
	}()
	for what, l := range map[string]net.Listener{"nobody listens": closed, "nobody answers": mute, "no HTTP": babbler} {
		r := relay("http://"+l.Addr().String(), 200*time.Millisecond)
		if w := ask(t, r, "GET", nil); w.Code != 503 || w.Body.String() != "no answer\n" || r.Fails("app") != "no answer" {
			t.Errorf("%s: %d %q, %q", what, w.Code, w.Body, r.Fails("app"))
		}
	}
	if w := ask(t, &Relay{}, "GET", nil); w.Code != 404 || w.Body.String() != "no such probe\n" {
		t.Errorf("a name that is not known: %d %q", w.Code, w.Body)
	}
	r := relay("http://127.0.0.1", time.Second)
	r.Use(nil, time.Second)
	if w := ask(t, r, "GET", nil); w.Code != 404 || r.Fails("app") == "" {
		t.Errorf("a name that is gone: %d %q", w.Code, w.Body)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestForms: a socket with a path and a query, and localhost by either family.
func TestForms(t *testing.T) {
	s := program(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+r.URL.String()) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	socket := filepath.Join(t.TempDir(), "app.sock")
	l := listen(t, "unix", socket)
	go func() { _ = http.Serve(l, s.Config.Handler) }() //nolint:gosec // it ends with the test
	for location, want := range map[string]string{
		"http://localhost:" + port:             "localhost:" + port + "/",
		"http://LOCALHOST:" + port + "/a":      "LOCALHOST:" + port + "/a",
		"http://127.0.0.1:" + port + "/a?b=c":  "127.0.0.1:" + port + "/a?b=c",
		"unix://" + socket + "#/healthz":       "localhost/healthz",
		"unix://" + socket + "#/healthz?a=b":   "localhost/healthz?a=b",
		"unix://" + socket:                     "localhost/",
		"http://127.0.0.1:" + port + "/%7Ea/b": "127.0.0.1:" + port + "/~a/b",
	} {
		if w := ask(t, relay(location, 5*time.Second), "GET", nil); w.Code != 200 || w.Body.String() != want && !strings.Contains(location, "%7E") {
			t.Errorf("%s: %d %q, want %q", location, w.Code, w.Body, want)
		}
	}
}

// TestCrowd: however many ask at once, the program answers one of them.
func TestCrowd(t *testing.T) {
	var mu sync.Mutex
	asked, arrived, release := 0, make(chan struct{}, 30), make(chan struct{})
	s := program(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		asked++
		mu.Unlock()
		arrived <- struct{}{}
		<-release
	})
	r := relay(s.URL, 10*time.Second)
	c := r.find("app")
	var crowd sync.WaitGroup
	results := make([]int, 20)
	crowd.Go(func() { results[0] = c.ask(ownAgent).status })
	<-arrived
	var begun sync.WaitGroup
	for i := range results[1:] {
		begun.Add(1)
		crowd.Go(func() { begun.Done(); results[i+1] = c.ask(ownAgent).status })
	}
	begun.Wait()
	close(release)
	crowd.Wait()
	for i, status := range results {
		if status != 200 {
			t.Errorf("%d: %d", i, status)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked > 2 { // one who came when the first had its answer asks anew
		t.Errorf("the program was asked %d times", asked)
	}
}
