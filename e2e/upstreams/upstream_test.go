package upstreams

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// upstream is one service at an address of each protocol, below /base.
type upstream struct {
	locations map[string]string
	gone      chan string // what handlers tell of clients that go
}

func startUpstream(t *testing.T, certFile, keyFile string) *upstream {
	t.Helper()
	u := &upstream{locations: map[string]string{}, gone: make(chan string, 1)}
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{
		"/base/seen": seen, "/base/echo": echo, "/base/take": take, "/base/give": give, "/base/refuse": refuse, "/base/wait": u.wait, "/base/read": u.read,
	} {
		mux.HandleFunc(path, handler)
	}
	for _, p := range protocols {
		s := &http.Server{Handler: mux, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
		network, address := "tcp", "127.0.0.1:0"
		if p == "unix" {
			network, address = "unix", filepath.Join(t.TempDir(), "app.sock")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		u.locations[p] = p + "://" + l.Addr().String() + map[bool]string{true: "#", false: ""}[p == "unix"] + "/base"
		switch p {
		case "h2c":
			s.Protocols.SetUnencryptedHTTP2(true)
		case "https":
			s.Protocols.SetHTTP1(true)
			s.Protocols.SetHTTP2(true)
			s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		default:
			s.Protocols.SetHTTP1(true)
		}
		var served sync.WaitGroup
		served.Go(func() {
			serve := s.Serve
			if p == "https" {
				serve = func(l net.Listener) error { return s.ServeTLS(l, certFile, keyFile) }
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		t.Cleanup(func() { _ = s.Close(); served.Wait() })
	}
	return u
}

// seen tells how the request came.
func seen(w http.ResponseWriter, r *http.Request) {
	alpn := "none"
	if r.TLS != nil {
		alpn = r.TLS.NegotiatedProtocol
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	_, _ = fmt.Fprintf(w, "%s %s %s %s %s %s", r.Proto, alpn, local.Network(), r.Host, r.RequestURI, r.Header.Get("Via"))
}

// echo gives back what comes while it comes, and its digest in a trailer.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 always is
	w.Header().Set("Trailer", "X-Digest")
	w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
	if r.URL.RawQuery == "first" { // to the client who waits for it
		_ = control.Flush()
	}
	digest, buffer := sha256.New(), make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buffer)
		_, _ = digest.Write(buffer[:n])
		_, _ = w.Write(buffer[:n])
		_ = control.Flush()
		if err != nil {
			break
		}
	}
	w.Header().Set("X-Digest", hex.EncodeToString(digest.Sum(nil)))
	w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
}

func take(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprint(w, n, err)
}

// give gives as many octets as the query says.
func give(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.ParseInt(r.URL.RawQuery, 10, 64) // none, for what is no number
	_, _ = io.Copy(w, zeros(n))
}

// refuse answers before it reads anything.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	_, _ = io.WriteString(w, "too large")
}

// wait begins an answer and ends when its client goes.
func (u *upstream) wait(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "begun")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	u.gone <- "wait"
}

// read says what it read first, reads until its client goes, and answers
// nothing.
func (u *upstream) read(_ http.ResponseWriter, r *http.Request) {
	first := make([]byte, len("some"))
	_, _ = io.ReadFull(r.Body, first)
	u.gone <- string(first)
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		u.gone <- "read"
	}
}

type zero struct{}

// Read implements io.Reader.
func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }
