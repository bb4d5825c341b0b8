package faults

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestR36 moves the upstream to another address of the same name, in a hosts file
// that only this gate sees. The old one stays and goes on answering: nothing but
// the name tells. It needs root, or user namespaces for everybody.
func TestR36(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	name := func(address string) {
		// In place: what is mounted is the file, not its name.
		if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+address), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name("127.0.0.1 upstream.test\n")
	old := newCounter(t, says("old"))
	_, port, err := net.SplitHostPort(old.address)
	if err != nil {
		t.Fatal(err)
	}
	next := &counter{address: "127.0.0.2:" + port, handle: says("next"), executed: map[string]int{}}
	next.start(t)
	t.Cleanup(next.stop)
	under := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		under = append(under, "--map-root-user")
	}
	s := newStand(t, "http://upstream.test:"+port, "", append(under, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts)...)
	get := func() answer {
		got := s.send(s.h1, http.MethodGet, "/", "")
		if got.status != 200 || got.err != nil {
			t.Errorf("%d, %v", got.status, got.err)
		}
		return got
	}
	if got := get(); got.body != "old" {
		t.Fatalf("the answer is of %q", got.body)
	}
	time.Sleep(time.Second) // so that the file's time differs
	name("127.0.0.2 upstream.test\n")
	began := time.Now()
	until(t, "the gate asks the new address", 30*time.Second, func() bool { return get().body == "next" })
	t.Logf("followed within %s, under load, with the old one alive", time.Since(began).Round(time.Second))

	name("") // the name is gone: connections that are open stay
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := get(); got.body != "next" {
			t.Fatalf("the answer is of %q", got.body)
		}
	}
}

func says(word string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(word)) }
}
