package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// TestH2Spec: where the standard library's server differs from what h2spec
// wants, the gate may; nowhere else.
func TestH2Spec(t *testing.T) {
	t.Parallel()
	c, known := newCertificate(t), baseline(t)
	var mu sync.Mutex // guards failed
	failed := map[string]map[string]string{}
	t.Run("run", func(t *testing.T) {
		for name, start := range map[string]func(t *testing.T) string{
			"bare cleartext": func(t *testing.T) string { return startBare(t, c, false) },
			"bare TLS":       func(t *testing.T) string { return startBare(t, c, true) },
			"gate cleartext": func(t *testing.T) string { return startGate(t, startUpstream(t), "").address },
			"gate TLS":       func(t *testing.T) string { return startGate(t, startUpstream(t), c.setting()).address },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				list := h2spec(t, start(t), strings.HasSuffix(name, "TLS"), known)
				mu.Lock()
				defer mu.Unlock()
				failed[name] = list
			})
		}
	})
	for name, list := range failed {
		_, over, _ := strings.Cut(name, " ")
		for id, what := range list {
			if known[id] == "" || failed["bare "+over][id] == "" {
				t.Errorf("%s fails %s: %s", name, id, what)
			}
		}
		t.Logf("%s fails %q", name, slices.Sorted(maps.Keys(list)))
	}
	for id := range known {
		if failed["bare cleartext"][id] == "" {
			t.Errorf("the baseline has %s, which a bare server does not fail", id)
		}
	}
}

// baseline reads the IDs of testdata/h2spec.txt with their reasons.
func baseline(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "h2spec.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	known := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if id, reason, ok := strings.Cut(lines.Text(), "\t"); ok && !strings.HasPrefix(id, "#") {
			known[id] = strings.TrimSpace(reason)
		}
	}
	return known
}

func startBare(t *testing.T, c certificate, tls bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: &http.Protocols{}, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(plain), ErrorLog: log.New(io.Discard, "", 0)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		if tls {
			_ = server.ServeTLS(l, c.certFile, c.keyFile)
			return
		}
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// h2spec runs every case against the public route of a server and returns what
// failed, by ID. Because a busy machine may be late, a case that is not known to
// fail does when it has three times.
func h2spec(t *testing.T, address string, tls bool, known map[string]string) map[string]string {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Config{Host: at.Addr().String(), Port: int(at.Port()), Path: "/open/h2spec", Timeout: 3 * time.Second, MaxHeaderLen: 4000, TLS: tls, Insecure: true}
	cases := map[string]*spec.TestCase{}
	for _, root := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		collect(cases, root)
	}
	if len(cases) < 140 {
		t.Errorf("there are only %d cases", len(cases))
	}
	var mu sync.Mutex // guards failed
	failed := map[string]string{}
	ids := make(chan string)
	var running sync.WaitGroup
	for range 24 {
		running.Go(func() {
			for id := range ids {
				tries := 3
				if known[id] != "" {
					tries = 1
				}
				err := try(c, cases[id], tries)
				if err == nil {
					continue
				}
				mu.Lock()
				failed[id] = cases[id].Desc + ": " + err.Error()
				mu.Unlock()
			}
		})
	}
	for id := range cases {
		ids <- id
	}
	close(ids)
	running.Wait()
	return failed
}

func collect(cases map[string]*spec.TestCase, g *spec.TestGroup) {
	for i, one := range slices.Concat(g.Tests, g.StrictTests) {
		cases[fmt.Sprintf("%s/%d", g.ID(), i+1)] = one
	}
	for _, below := range g.Groups {
		collect(cases, below)
	}
}

func try(c *config.Config, one *spec.TestCase, tries int) (err error) {
	for range tries {
		var conn *spec.Conn
		if conn, err = spec.Dial(c); err != nil {
			continue
		}
		err = one.Run(c, conn)
		_ = conn.Close()
		if err == nil || errors.Is(err, spec.ErrSkipped) {
			return nil
		}
	}
	return err
}
