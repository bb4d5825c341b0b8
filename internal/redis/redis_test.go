package redis

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a client that is closed with the test, and waits until it is
// connected unless o points nowhere.
func open(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second // a busy machine is no outage
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// until polls for what the background does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

func connected(t *testing.T, c *Client) {
	t.Helper()
	until(t, "connected", func() bool { return c.State().Connected })
}

func used(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func TestOptionsThatCannotBe(t *testing.T) {
	for name, o := range map[string]Options{
		"no address":             {},
		"sentinels of a cluster": {Addresses: []string{"a:1"}, Cluster: true, SentinelMaster: "m"},
		"a cluster's database":   {Addresses: []string{"a:1"}, Cluster: true, Database: 1},
		"two of nothing":         {Addresses: []string{"a:1", "b:1"}},
	} {
		if c, err := New(o); err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFirstUseOnly(t *testing.T) {
	server := miniredis.RunT(t)
	one, two := open(t, Options{Addresses: []string{server.Addr()}}), open(t, Options{Addresses: []string{server.Addr()}})
	connected(t, one)
	connected(t, two)
	ctx := context.Background()
	first, since, err := one.First(ctx, used("a"), time.Minute)
	if err != nil || !first || time.Since(since) > time.Minute || time.Since(since) < -time.Minute {
		t.Fatalf("first use: %v, since %v, %v", first, since, err)
	}
	if again, _, err := two.First(ctx, used("a"), time.Minute); err != nil || again {
		t.Errorf("second use, by another client: %v, %v", again, err)
	}
	if other, _, err := two.First(ctx, used("b"), time.Minute); err != nil || !other {
		t.Errorf("another identifier: %v, %v", other, err)
	}
	for _, key := range server.Keys() {
		if !strings.HasPrefix(key, "wicketgate:replay:{0}:") {
			t.Errorf("a key without the prefix: %s", key)
		}
	}
	server.FastForward(2 * time.Minute)
	if late, _, err := one.First(ctx, used("a"), time.Minute); err != nil || !late {
		t.Errorf("after its time: %v, %v", late, err)
	}
}

// A memory that lost everything says that it begins now, whoever asks first.
// What its clock shows is another matter: proofs are dated by clocks like ours.
func TestForgettingIsTold(t *testing.T) {
	for name, off := range map[string]time.Duration{"right": 0, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			clock := time.Now().Add(off)
			server.SetTime(clock)
			if err := server.Set("wicketgate:replay:{0}:epoch", fmt.Sprint("unknown ", clock.Unix()-600)); err != nil {
				t.Fatal(err)
			}
			c := open(t, Options{Addresses: []string{server.Addr()}})
			connected(t, c)
			now := func(id string) time.Duration {
				t.Helper()
				first, since, err := c.First(context.Background(), used(id), time.Minute)
				if err != nil || !first {
					t.Fatalf("%v, %v", first, err)
				}
				return time.Since(since)
			}
			if age := now("a"); age < 10*time.Minute || age > 11*time.Minute {
				t.Errorf("began %s ago", age)
			}
			server.FlushAll()
			if age := now("a"); age < 0 || age > time.Minute {
				t.Errorf("forgot %s ago", age)
			}
			if age := now("b"); age < 0 || age > time.Minute {
				t.Errorf("forgot %s ago, says the next answer", age)
			}
		})
	}
}

// A clock that goes wrong, or a setting that somebody changes, is seen although
// the connection holds.
func TestLooksAgainAtTheServer(t *testing.T) {
	server := miniredis.RunT(t)
	c := open(t, Options{Addresses: []string{server.Addr()}})
	connected(t, c)
	was := c.current.Load().behind[0].Load()
	server.SetTime(time.Now().Add(-time.Hour))
	until(t, "the clock is looked at", func() bool {
		c.awake() // instead of ten seconds
		return c.current.Load().behind[0].Load() > was+int64(time.Minute)
	})
}

// Of a cluster the warning tells, whichever server it is about.
func TestAnyUnfitServerIsTold(t *testing.T) {
	s := newSession(&Options{Cluster: true})
	for bucket := range s.epochs {
		policy := "noeviction"
		if bucket == 7 {
			policy = "allkeys-lru"
		}
		s.assess(bucket, "100", policy, 0)
	}
	if w := s.warning(); !strings.Contains(w, "allkeys-lru") {
		t.Errorf("warning %q", w)
	}
}

func TestNobodyThere(t *testing.T) {
	server := miniredis.RunT(t)
	address := server.Addr()
	server.Close()
	var told atomic.Int64
	c := open(t, Options{Addresses: []string{address}, OnError: func(error) { told.Add(1) }})
	if _, _, err := c.First(context.Background(), used("a"), time.Minute); !errors.Is(err, ErrUnavailable) {
		t.Errorf("First: %v", err)
	}
	if err := c.Set(context.Background(), "k", []byte("v"), 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Set: %v", err)
	}
	until(t, "told", func() bool { return told.Load() == 1 })
	if s := c.State(); s.Connected || s.Err == nil {
		t.Errorf("state %+v", s)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	connected(t, c)
	if first, _, err := c.First(context.Background(), used("a"), time.Minute); err != nil || !first {
		t.Errorf("once it is there: %v, %v", first, err)
	}
	server.Close()
	until(t, "lost", func() bool { return !c.State().Connected })
	if _, _, err := c.First(context.Background(), used("b"), time.Minute); err == nil {
		t.Error("First without a server")
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	connected(t, c)
}

func TestAfterClose(t *testing.T) {
	server := miniredis.RunT(t)
	c := open(t, Options{Addresses: []string{server.Addr()}})
	connected(t, c)
	c.Close()
	if _, _, err := c.First(context.Background(), used("a"), time.Minute); !errors.Is(err, ErrClosed) {
		t.Errorf("First: %v", err)
	}
	if err := c.Subscribe(context.Background(), "c", func(string) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("Subscribe: %v", err)
	}
}

// The password is read for each connection, so a new one needs no restart.
func TestPasswordIsReadAgain(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireUserAuth("gate", "one")
	var password atomic.Value
	password.Store("none")
	c := open(t, Options{
		Addresses: []string{server.Addr()}, Username: "gate",
		Password: func() (string, error) { return password.Load().(string), nil },
	})
	until(t, "refused", func() bool { err := c.State().Err; return err != nil && strings.Contains(err.Error(), "WRONGPASS") })
	if text := c.State().Err.Error(); text != "redis answered WRONGPASS" {
		t.Errorf("the error is %q", text)
	}
	password.Store("one")
	connected(t, c)
}

func TestValuesAndFields(t *testing.T) {
	server := miniredis.RunT(t)
	c := open(t, Options{Addresses: []string{server.Addr()}, Prefix: "p:"})
	connected(t, c)
	ctx := context.Background()
	if _, found, err := c.Get(ctx, "k"); err != nil || found {
		t.Errorf("nothing there: %v, %v", found, err)
	}
	if err := c.Set(ctx, "k", []byte("v\x00\r\n"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if value, found, err := c.Get(ctx, "k"); err != nil || !found || string(value) != "v\x00\r\n" {
		t.Errorf("Get: %q, %v, %v", value, found, err)
	}
	if !server.Exists("p:k") || server.TTL("p:k") != time.Minute {
		t.Errorf("keys %v, ttl %v", server.Keys(), server.TTL("p:k"))
	}
	if err := c.SetField(ctx, "h", "f", "1"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetField(ctx, "h", "g", "2"); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteFields(ctx, "h", "g", "none"); err != nil {
		t.Fatal(err)
	}
	if fields, err := c.Fields(ctx, "h"); err != nil || len(fields) != 1 || fields["f"] != "1" {
		t.Errorf("Fields: %v, %v", fields, err)
	}
	if _, _, err := c.Get(ctx, "h"); err == nil || !strings.HasSuffix(err.Error(), "WRONGTYPE") {
		t.Errorf("Get of another type: %v", err)
	}
	if !c.State().Connected {
		t.Error("an answer about one key ended the connection")
	}
}

func TestWhatIsReadIsBounded(t *testing.T) {
	server := miniredis.RunT(t)
	c := open(t, Options{Addresses: []string{server.Addr()}, Prefix: "p:"})
	connected(t, c)
	ctx := context.Background()
	if err := c.Set(ctx, "k", make([]byte, MaxValue+1), 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Set: %v", err)
	}
	if err := server.Set("p:k", strings.Repeat("x", MaxValue+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get(ctx, "k"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Get: %v", err)
	}
	server.HSet("p:h", "f", strings.Repeat("x", MaxValue+1))
	if _, err := c.Fields(ctx, "h"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Fields: %v", err)
	}
	if !c.State().Connected {
		t.Error("an answer that is too large ended the connection")
	}
}

func TestMessages(t *testing.T) {
	server := miniredis.RunT(t)
	c := open(t, Options{Addresses: []string{server.Addr()}})
	got := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Subscribe(ctx, "c", func(m string) { got <- m }) }()
	for round := range 2 {
		if m := <-got; round == 0 && m != "" {
			t.Fatalf("the first call is %q", m)
		}
		until(t, "heard", func() bool { // a message that nobody listened to is lost
			_ = c.Publish(context.Background(), "c", "hello")
			for len(got) > 0 {
				if <-got == "hello" {
					return true
				}
			}
			return false
		})
		server.Close()
		until(t, "lost", func() bool { return !c.State().Connected })
		for len(got) > 0 {
			<-got
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Subscribe ends with %v", err)
	}
}

func TestCodeOfARefusal(t *testing.T) {
	for refusal, want := range map[string]string{
		"OOM command not allowed when used memory > 'maxmemory'.": "OOM",
		"unknown command 'HELLO', with args: 'secret'":            "ERR",
		"": "ERR", "secret": "ERR", strings.Repeat("A", 30): "ERR",
	} {
		if got := code(refusal); got != want {
			t.Errorf("code(%q) = %q, want %q", refusal, got, want)
		}
	}
}

// TLS: a server is believed when a known authority vouches for its name.
func TestTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil) // it has a certificate for 127.0.0.1
	t.Cleanup(https.Close)
	server := miniredis.NewMiniRedis()
	if err := server.StartTLS(&tls.Config{Certificates: https.TLS.Certificates}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	known := x509.NewCertPool()
	known.AddCert(https.Certificate())
	c := open(t, Options{Addresses: []string{server.Addr()}, TLS: &tls.Config{RootCAs: known}})
	connected(t, c)
	if first, _, err := c.First(context.Background(), used("a"), time.Minute); err != nil || !first {
		t.Errorf("%v, %v", first, err)
	}
	for name, o := range map[string]*tls.Config{
		"an unknown authority": {RootCAs: x509.NewCertPool()},
		"another name":         {RootCAs: known, ServerName: "redis.invalid"},
		"plain text":           nil,
	} {
		stranger := open(t, Options{Addresses: []string{server.Addr()}, TLS: o, Timeout: 50 * time.Millisecond})
		until(t, name+" is refused", func() bool { err := stranger.State().Err; return err != nil && !errors.Is(err, ErrUnavailable) })
		if stranger.State().Connected {
			t.Errorf("%s: connected", name)
		}
	}
}
