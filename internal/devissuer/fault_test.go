package devissuer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// client follows no redirect and keeps no connection.
func client(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestFaults(t *testing.T) {
	run := started(t, Options{Algorithms: []string{"ES256"}, MaxAge: time.Minute})
	honest := run.JWKS()
	for _, test := range []struct {
		name        string
		fault       Fault
		status      int
		contentType string
		body        []byte
		cut         bool
		header      string // of Location or Cache-Control
	}{
		{"status alone", Fault{Status: 500}, 500, "application/jwk-set+json", honest, false, "max-age=60"},
		{"page", Fault{ContentType: "text/html", Body: []byte("<p>")}, 200, "text/html", []byte("<p>"), false, "max-age=60"},
		{"empty", Fault{Body: []byte{}}, 200, "application/jwk-set+json", []byte{}, false, "max-age=60"},
		{"redirect", Fault{Redirect: "http://127.0.0.1:9/"}, 302, "application/jwk-set+json", honest, false, "http://127.0.0.1:9/"},
		{"redirect 307", Fault{Status: 307, Redirect: "/x"}, 307, "application/jwk-set+json", honest, false, "/x"},
		{"field", Fault{Header: http.Header{"Cache-Control": {"no-store"}}}, 200, "application/jwk-set+json", honest, false, "no-store"},
		{"drip", Fault{Drip: time.Nanosecond, Body: []byte("abc")}, 200, "application/jwk-set+json", []byte("abc"), false, "max-age=60"},
		{"truncated", Fault{Truncate: 5}, 200, "application/jwk-set+json", honest[:5], true, "max-age=60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer run.Heal()
			test.fault.Path = "/jwks"
			run.Fail(test.fault)
			resp, err := client(t, nil).Get(run.URL + "/jwks")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if cut := err != nil; cut != test.cut || !bytes.Equal(body, test.body) {
				t.Errorf("got %q, %v; want %q", body, err, test.body)
			}
			got := resp.Header.Get("Location")
			if got == "" {
				got = resp.Header.Get("Cache-Control")
			}
			if resp.StatusCode != test.status || resp.Header.Get("Content-Type") != test.contentType || got != test.header {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
		})
	}
	t.Run("reset", func(t *testing.T) {
		run.Fail(Fault{Reset: true, Path: "/jwks", Times: 1})
		if resp, err := client(t, nil).Get(run.URL + "/jwks"); err == nil {
			resp.Body.Close()
			t.Error("got an answer")
		}
		if resp, err := client(t, nil).Get(run.URL + "/jwks"); err != nil || resp.Body.Close() != nil || resp.StatusCode != 200 {
			t.Errorf("after the one time: %v", err)
		}
	})
	if want := 10; run.Hits("/jwks") != want {
		t.Errorf("%d hits, want %d: faults count too", run.Hits("/jwks"), want)
	}
}

func TestFaultsMatchPathAndOrder(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}})
	status := func(path string) int { return ask(t, is, "GET", path, nil).Code }
	is.Fail(Fault{Status: 500})
	is.Fail(Fault{Status: 502, Path: "/jwks", Times: 2})
	for i, want := range []int{502, 502, 500} {
		if got := status("/jwks"); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	if got := status("/"); got != 500 {
		t.Errorf("elsewhere: %d", got)
	}
	is.Heal()
	if got := status("/jwks"); got != 200 {
		t.Errorf("healed: %d", got)
	}
}

func TestHeldUntilReleased(t *testing.T) {
	run := started(t, Options{Algorithms: []string{"ES256"}})
	release := make(chan struct{})
	run.Fail(Fault{Path: "/jwks", Until: release})
	answered := make(chan []byte)
	go func() {
		defer close(answered)
		resp, err := client(t, nil).Get(run.URL + "/jwks")
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		answered <- body
	}()
	for run.Hits("/jwks") == 0 {
		runtime.Gosched() // the request is on its way
	}
	select {
	case <-answered:
		t.Fatal("answered while held")
	default:
	}
	kid, err := run.Rotate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if body := <-answered; published(t, body)[kid] == nil {
		t.Errorf("the released answer is as of before: %s", body)
	}
}

func TestHeldEndsWithTheClient(t *testing.T) {
	is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}})
	is.Fail(Fault{Until: make(chan struct{})})
	done := make(chan struct{}, 2)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		is.ServeHTTP(w, r)
	})}
	listener, err := net.Listen("tcp", Loopback)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Close()
	for _, target := range []struct{ method, path, body string }{{"GET", "/jwks", ""}, {"POST", "/token", "grant_type=x"}} {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(target.method, "http://as.example.com"+target.path, bytes.NewReader([]byte(target.body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := errors.Join(request.Write(conn), conn.Close()); err != nil {
			t.Fatal(err)
		}
		<-done // else the test hangs
	}
}

func TestDripTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := made(t, Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}})
		is.Fail(Fault{Drip: time.Second, Body: []byte("abc")})
		start := time.Now()
		if got := ask(t, is, "GET", "/jwks", nil).Body.String(); got != "abc" || time.Since(start) != 3*time.Second {
			t.Errorf("got %q after %s", got, time.Since(start))
		}
	})
}

func TestListen(t *testing.T) {
	is := made(t, Options{Identifier: "/t1", Algorithms: []string{"ES256"}})
	run, err := is.Listen(Loopback)
	if err != nil {
		t.Fatal(err)
	}
	if is.Identifier() != run.URL+"/t1" {
		t.Errorf("identifier %s at %s", is.Identifier(), run.URL)
	}
	if _, err := is.Listen(run.URL[len("http://"):]); err == nil {
		t.Error("listens twice at one address")
	}
	if _, err := run.CAFile(t.TempDir()); err == nil {
		t.Error("plain HTTP has a CA file")
	}
	get := func() int {
		resp, err := client(t, nil).Get(is.Identifier() + "/jwks")
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(); got != 200 {
		t.Errorf("status %d", got)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get(); got != 0 {
		t.Errorf("status %d after Close", got)
	}
	again, err := is.Listen(run.URL[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := get(); got != 200 || again.URL != run.URL {
		t.Errorf("status %d when back", got)
	}
	if _, err := Start(Options{Identifier: "nonsense"}); err == nil {
		t.Error("started with a bad identifier")
	}
}

func TestListenTLS(t *testing.T) {
	run := started(t, Options{Algorithms: []string{"ES256"}, TLS: true})
	path, err := run.CAFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the file")
	}
	for _, test := range []struct {
		name   string
		config *tls.Config
		good   bool
	}{
		{"its own authority", &tls.Config{RootCAs: roots}, true},
		{"its own authority and name", &tls.Config{RootCAs: roots, ServerName: "localhost"}, true},
		{"another name", &tls.Config{RootCAs: roots, ServerName: "as.example.com"}, false},
		{"no authority", &tls.Config{RootCAs: x509.NewCertPool()}, false},
		{"fake clock", &tls.Config{RootCAs: roots, Time: func() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(context.Background(), "GET", run.Identifier()+"/jwks", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client(t, test.config).Do(request)
			if (err == nil) != test.good {
				t.Fatalf("good %v, got %v", test.good, err)
			}
			if err == nil {
				resp.Body.Close()
			}
		})
	}
}
