package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const secret = "attackers-own-words"

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func TestClientGet(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept"); got != "application/json" {
			t.Errorf("Accept is %q", got)
		}
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding is %q", got)
		}
		w.Header().Set("Content-Type", "Application/JSON; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=300")
		w.Header().Set("Date", "Fri, 15 Jan 2027 08:00:00 GMT")
		fmt.Fprint(w, `{}`)
	})
	b, err := NewClient(ClientOptions{}).Get(t.Context(), server.URL+"/x?y=z", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	if string(b.Bytes) != "{}" || b.ContentType != "application/json" || b.MaxAge != 5*time.Minute || !b.HasMaxAge || b.Date.Unix() != 1800000000 {
		t.Errorf("got %+v", b)
	}
}

// KEY-05: what does not count as a document, with the
// words the error must have. None may have the server's.
func TestClientRefuses(t *testing.T) {
	sentinel := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"500 with keys": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, secret)
		}, "status 500"},
		"204": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "status 204"},
		"206": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, "status 206"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, sentinel.URL+"/"+secret, http.StatusFound)
		}, "redirects are not followed"},
		"redirect to metadata service": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		}, "redirects are not followed"},
		"one octet too large": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 4097))
		}, "larger than 4096"},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < 64<<20 && r.Context().Err() == nil; i += 64 << 10 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "larger than 4096"},
		"gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 1<<20))
			_ = z.Close()
		}, "content coding"},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, secret)
		}, "unexpected EOF"},
		"drip": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, "x")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		}, "no complete answer in time"},
		"hang": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no complete answer in time"},
		"reset": {func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, "EOF"},
		"not HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "%s %s\r\n\r\n", secret, secret)
			_ = conn.Close()
		}, "not well-formed HTTP"},
		"bad header": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", secret)
			_ = conn.Close()
		}, "not well-formed HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, test.handler)
			c := NewClient(ClientOptions{MaxBody: 4096, Timeout: time.Second})
			b, err := c.Get(t.Context(), server.URL, "*/*")
			if err == nil {
				t.Fatalf("accepted %d octets", len(b.Bytes))
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("error is %q, want %q in it and nothing of the answer", err, test.want)
			}
		})
	}
}

// TestErrorsHideQueries: keys are in the query of an address at times.
func TestErrorsHideQueries(t *testing.T) {
	gone := serve(t, func(http.ResponseWriter, *http.Request) {})
	gone.Close()
	no := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	hidden := func(base string) string { return base + "/m?redacted: " }
	for address, want := range map[string]string{
		gone.URL + "/m?key=" + secret: hidden(gone.URL), no.URL + "/m?key=" + secret: hidden(no.URL), "ftp://127.0.0.1/m?" + secret: hidden("ftp://127.0.0.1"),
		"https://me:" + secret + "@127.0.0.1/m?" + secret: "https://me:xxxxx@127.0.0.1/m?redacted: ", gone.URL + "/m": gone.URL + "/m: ", "https://127.0.0.1/%zz?" + secret: "malformed URL",
	} {
		c := NewClient(ClientOptions{})
		_, get := c.Get(t.Context(), address, "*/*")
		_, post := c.Post(t.Context(), address, nil, nil)
		_, inJSON := c.PostJSON(t.Context(), address, nil)
		for _, err := range []error{get, post, inJSON} {
			if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
	if got := Shown("https://h/%zz?" + secret); strings.Contains(got, secret) {
		t.Error(got)
	}
}

// R-08, KEY-05: what holds when nobody says otherwise.
func TestClientDefaults(t *testing.T) {
	if c := NewClient(ClientOptions{}); c.http.Timeout != 5*time.Second || c.maxBody != 512<<10 || c.allowHTTP {
		t.Errorf("got %v, %d octets, http %v", c.http.Timeout, c.maxBody, c.allowHTTP)
	}
}

func TestClientStatusError(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err := NewClient(ClientOptions{}).Get(t.Context(), server.URL, "*/*")
	if status, ok := errors.AsType[*StatusError](err); !ok || status.Code != 404 {
		t.Errorf("got %v", err)
	}
}

// KEY-01, KEY-04, R-11: which addresses are asked at all.
func TestClientAddresses(t *testing.T) {
	for _, test := range []struct {
		address   string
		allowHTTP bool
		want      string
	}{
		{"http://192.0.2.1/", false, "loopback hosts only"},
		{"http://localhost.example/", false, "loopback hosts only"},
		{"http://127.0.0.1.example/", false, "loopback hosts only"},
		{"ftp://localhost/", true, "scheme"},
		{"file:///etc/passwd", true, "absolute URL"},
		{"/jwks", true, "absolute URL"},
		{"https:jwks", true, "absolute URL"},
		{"https://user:" + secret + "@localhost/", true, "user information"},
		{"https://local host/", true, "malformed"},
		{"http://169.254.169.254/latest/meta-data", true, "metadata service"},
		{"https://169.254.169.254/", false, "metadata service"},
		{"http://[fd00:ec2::254]/", true, "metadata service"},
		{"http://100.100.100.200/", true, "metadata service"},
		{"http://[fe80::1%25lo]/", true, "link-local"},
		{"http://[::ffff:169.254.169.254]/", true, "link-local"},
		{"http://0.0.0.0/", true, "unspecified"},
		{"https://[::]/", false, "unspecified"},
		{"http://224.0.0.1/", true, "multicast"},
	} {
		_, err := NewClient(ClientOptions{AllowHTTP: test.allowHTTP}).Get(t.Context(), test.address, "*/*")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q", test.address, err, test.want)
		}
	}
}

func TestForbiddenAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.0.1": true, "169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true,
		"fd00:ec2::254": true, "100.100.100.200": true, "fe80::1%eth0": true, "ff02::1": true, "239.1.2.3": true,
		"0.0.0.0": true, "::": true, "255.255.255.255": true,
		"fd20:ce::254": true, "168.63.129.16": true, "192.0.0.192": true, "::ffff:100.100.100.200": true, "64:ff9b::6464:64c8": true,
		"64:ff9b:1::a9fe:a9fe": true, "2002:a9fe:a9fe::1": true, "::a9fe:a9fe": true, "64:ff9b::": true, "2002:e001:203::": true,
		"2002:808:808::1": false, "64:ff9b:1::a00:1": false, "::a00:1": false,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "192.168.1.1": false, "fd00::1": false,
		"8.8.8.8": false, "64:ff9b::808:808": false, "100.100.100.201": false,
	} {
		if got := isForbidden(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

// A name is judged by what it resolves to at the moment of connecting.
func TestClientResolvesToForbidden(t *testing.T) {
	server := linkLocalDNS(t)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}
	c := NewClient(ClientOptions{AllowHTTP: true})
	dialer := &net.Dialer{Resolver: resolver, Control: filterAddress}
	c.http.Transport.(*http.Transport).DialContext = dialer.DialContext
	if _, err := c.Get(t.Context(), "http://issuer.example./", "*/*"); err == nil || !errors.Is(err, errAddress) {
		t.Errorf("got %v", err)
	}
}

// net/http reads the environment once a process, so the setting is looked at.
func TestClientIgnoresProxyEnvironment(t *testing.T) {
	if NewClient(ClientOptions{}).http.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy may be used")
	}
}

// KEY-04: chain, name and version are checked; an own authority is possible.
func TestClientTLS(t *testing.T) {
	start := func(old bool) *httptest.Server {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		if old {
			server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	good, old := start(false), start(true)
	pool := func(s *httptest.Server) *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(s.Certificate())
		return p
	}
	for name, test := range map[string]struct {
		address string
		roots   *x509.CertPool
		want    string
	}{
		"own authority":     {good.URL, pool(good), ""},
		"unknown authority": {good.URL, nil, "certificate"},
		"wrong name":        {strings.Replace(good.URL, "127.0.0.1", "localhost", 1), pool(good), "certificate"},
		"TLS 1.1":           {old.URL, pool(old), "protocol version"},
		"http on https":     {strings.Replace(serve(t, nil).URL, "http:", "https:", 1), nil, "HTTP response to HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(ClientOptions{RootCAs: test.roots}).Get(t.Context(), test.address, "*/*")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestMaxAge(t *testing.T) {
	for _, test := range []struct {
		control, age string
		want         time.Duration
		said         bool
	}{
		{"", "", 0, false},
		{"public", "", 0, false},
		{"max-age=60", "", time.Minute, true},
		{`Max-Age="60"`, "", time.Minute, true},
		{"public , max-age=60, must-revalidate", "", time.Minute, true},
		{"max-age=0", "", 0, true},
		{"max-age=60, no-store", "", 0, true},
		{"no-cache", "", 0, true},
		{"max-age=-1", "", 0, false},
		{"max-age=x", "", 0, false},
		{"max-age=99999999999999999999", "", 365 * 24 * time.Hour, true},
		{"max-age=600", "500", 100 * time.Second, true},
		{"max-age=600", "700", 0, true},
		{"max-age=600", "-1", 600 * time.Second, true},
		{"s-maxage=60", "", 0, false},
	} {
		h := http.Header{"Cache-Control": {test.control}, "Age": {test.age}}
		if got, said := maxAge(h); got != test.want || said != test.said {
			t.Errorf("%q, age %q: %v, %v", test.control, test.age, got, said)
		}
	}
}

// linkLocalDNS is a name server that knows one address, 169.254.169.254.
func linkLocalDNS(t *testing.T) (address string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(question[12:n], 0) + 5
			answer := bytes.Clone(question[:end])
			copy(answer[2:12], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
			if isA := question[end-3] == 1; isA {
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 169, 254, 169, 254)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// The clock of the origin is told, also through a cache on the way.
func TestClientAhead(t *testing.T) {
	for name, test := range map[string]struct {
		date, age string
		ahead     time.Duration
	}{
		"right": {date(0), "", 0}, "ahead": {date(time.Minute), "", time.Minute}, "behind": {date(-time.Hour), "", -time.Hour},
		"cached": {date(-10 * time.Minute), "600", 0}, "cached, behind": {date(-time.Hour), "600", -50 * time.Minute}, "no date": {"-", "", 0}, "odd age": {date(0), "x", 0},
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = []string{test.date}
			if test.date == "-" {
				w.Header()["Date"] = nil
			}
			w.Header().Set("Age", test.age)
			fmt.Fprint(w, `{}`)
		})
		b, err := NewClient(ClientOptions{}).Get(t.Context(), server.URL, "*/*")
		if err != nil || (b.Ahead-test.ahead).Abs() > 2*time.Second || b.Date.IsZero() != (test.date == "-") || b.Date.IsZero() && b.Ahead != 0 {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func date(ahead time.Duration) string { return time.Now().Add(ahead).UTC().Format(http.TimeFormat) }
