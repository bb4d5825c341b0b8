package admin

import (
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/telemetry"
)

// TestRecorder lets time pass without waiting for it.
func TestRecorder(t *testing.T) {
	counts := telemetry.Tally{}
	r := &Recorder{Take: func() telemetry.Tally {
		return telemetry.Tally{Decisions: map[string]float64{"denied": counts.InFlight}, Refusals: map[string]float64{"expired": counts.InFlight, "never": 0}}
	}}
	began := time.Unix(1_700_000_000, 0)
	for i := range 30 { // 150 seconds, with 10 refusals in each sample of the last minute
		if i >= 18 {
			counts.InFlight += 10
		}
		r.look(began.Add(time.Duration(i) * sampleEvery))
	}
	now := began.Add(29 * sampleEvery)
	rates := r.Now(now)
	if rates.Over != remembered || rates.Decisions["denied"] != 2 || rates.Refusals["expired"] != 120 {
		t.Errorf("%v: %v, %v", rates.Over, rates.Decisions, rates.Refusals)
	}
	if !rates.Last["expired"].Equal(now) || !rates.Last["never"].IsZero() {
		t.Errorf("the last: %v", rates.Last)
	}
	if len(r.samples) > int(remembered/sampleEvery)+1 {
		t.Errorf("%d samples are kept", len(r.samples))
	}
	later := now.Add(2 * time.Second) // nobody was refused since
	if rates = r.Now(later); !rates.Last["expired"].Equal(now) {
		t.Errorf("the last: %v", rates.Last)
	}
	counts.InFlight = 3 // a reload took series away
	if rates = r.Now(later); rates.Decisions["denied"] < 0 {
		t.Errorf("a rate below zero: %v", rates.Decisions)
	}
}

// TestPageEscapes puts what would be markup in every text of a page.
func TestPageEscapes(t *testing.T) {
	const evil = `"'><script>alert(1)</script>&`
	p := &Page{
		Version: evil, Revision: evil, Hash: evil, Here: true,
		Lines: []Line{{true, evil, evil}, {false, evil, evil}}, Issuers: []Issuer{{Name: evil, Identifier: evil}},
		Resources: []Resource{{evil, evil, evil, []Route{{evil, evil, evil, evil, evil}}}},
		Rates:     Rates{Tally: telemetry.Tally{Decisions: map[string]float64{evil: 1}, Refusals: map[string]float64{evil: 1}}},
	}
	w := httptest.NewRecorder()
	if ServePage(w, p); strings.Contains(w.Body.String(), "in force") {
		t.Error("a page without a file tells of one")
	}
	p.Rates.Reloads = 1
	for _, p.Here = range []bool{true, false} {
		w := httptest.NewRecorder()
		ServePage(w, p)
		if body := w.Body.String(); strings.Contains(body, "<script") || strings.Contains(body, `"'>`) || strings.Count(body, "&lt;script&gt;") < 8 {
			t.Errorf("not everything is escaped:\n%s", body)
		}
	}
}

// TestListenSocket: a socket takes no place that is somebody's, and leaves none.
func TestListenSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "wg") // shorter than t.TempDir: a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "admin.sock")
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 || l.Addr().String() != path {
		t.Errorf("%v, %v, at %s", info.Mode(), err, l.Addr())
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("while somebody listens: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err = ListenSocket(path)
	if err != nil {
		t.Fatalf("in place of one left behind: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("what has the name by now is gone: %v", err)
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("in place of a file: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), path+".link"); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path + ".link"); err == nil {
		t.Error("in place of a link")
	}
}
