package denials

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

func rule(subject string) revoke.Rule {
	return revoke.Rule{Issuer: "https://as.example.com", Subject: subject}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// store is what File and Shared are both.
type store interface {
	Add(context.Context, ...revoke.Rule) error
	Remove(context.Context, string) (bool, error)
	List(context.Context, func(id, rule string)) error
}

func TestStores(t *testing.T) {
	server := miniredis.RunT(t)
	address := server.Addr()
	rules := revoke.New(FromRedis)
	shared, err := Reach(t.Context(), redis.Options{Addresses: []string{address}, Timeout: time.Second}, rules)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	name := t.TempDir() + "/rules.jsonl"
	for which, s := range map[string]store{"file": File(name), "redis": shared} {
		t.Run(which, func(t *testing.T) {
			alice, bob := rule("alice"), rule("bob")
			if err := errors.Join(s.Add(t.Context(), alice, bob), s.Add(t.Context(), rule("carol"))); err != nil {
				t.Fatal(err)
			}
			if found, err := s.Remove(t.Context(), alice.Name()); !found || err != nil {
				t.Errorf("removed: %v %v", found, err)
			}
			if found, err := s.Remove(t.Context(), alice.Name()); found || err != nil {
				t.Errorf("removed twice: %v %v", found, err)
			}
			listed := map[string]string{}
			if err := s.List(t.Context(), func(id, rule string) { listed[id] = rule }); err != nil || len(listed) != 2 || listed[bob.Name()] != bob.String() {
				t.Errorf("%v %v", listed, err)
			}
		})
	}
	if rules.Len() != 3 {
		t.Errorf("%d rules in force by Redis", rules.Len())
	}
	write(t, name, "no rule\n")
	if err := File(name).Add(t.Context(), rule("dave")); err == nil {
		t.Error("a rule was added where no gate would read it")
	}
	t.Run("out of reach", func(t *testing.T) {
		server.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Reach(ctx, redis.Options{Addresses: []string{address}}, revoke.New(FromRedis)); !errors.Is(err, errNoRedis) {
			t.Error(err)
		}
	})
}

// TestFileIsFollowed has a file that is written, broken, taken away and put
// back while the rules of before stay in force.
func TestFileIsFollowed(t *testing.T) {
	name := t.TempDir() + "/rules.jsonl"
	write(t, name, rule("alice").String()+"\n")
	synctest.Test(t, func(t *testing.T) {
		var read, current int
		var failed error
		s := New(Options{File: name, OnCurrent: func(string, int) { current++ }, OnRead: func(_ string, _, _ int, err error) {
			read++
			failed = err
		}})
		set, err := s.Load()
		if err != nil || set.Len() != 1 || !s.Rules().Complete() {
			t.Fatal(set, err)
		}
		if again, err := s.Load(); again != nil || err != nil {
			t.Errorf("read twice: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		after := func(looks int) {
			time.Sleep(time.Duration(looks) * lookEvery)
			synctest.Wait()
		}
		after(2)
		if read != 1 || current == 0 {
			t.Errorf("nothing changed: read %d times, current %d", read, current)
		}
		write(t, name, rule("alice").String()+"\n"+rule("bob").String()+"\n")
		after(1)
		if s.Rules().Len() != 1 {
			t.Error("read before it came to rest")
		}
		after(1)
		if s.Rules().Len() != 2 || failed != nil {
			t.Errorf("%d rules, %v", s.Rules().Len(), failed)
		}
		write(t, name, "{}\n")
		after(2)
		if s.Rules().Len() != 2 || failed == nil {
			t.Errorf("%d rules, %v", s.Rules().Len(), failed)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		after(2)
		if s.Rules().Len() != 2 || !errors.Is(failed, fs.ErrNotExist) {
			t.Errorf("%d rules, %v", s.Rules().Len(), failed)
		}
		write(t, name, "# nobody\n")
		after(2)
		if s.Rules().Len() != 0 || failed != nil {
			t.Errorf("%d rules, %v", s.Rules().Len(), failed)
		}
		stop()
		<-done
	})
}

func TestKept(t *testing.T) {
	name := t.TempDir() + "/kept.jsonl"
	ended := rule("ended")
	ended.Until = time.Now().Add(-time.Hour).Truncate(time.Second)
	write(t, name, ended.String()+"\n"+rule("alice").String()+"\n"+rule("alice").String()+"\n"+`{"iss":"cut`)
	s := New(Options{Events: true, Kept: name})
	if _, err := s.Load(); err != nil || s.Rules().Len() != 1 {
		t.Fatalf("%d rules, %v", s.Rules().Len(), err)
	}
	if err := s.Deny(t.Context(), []revoke.Rule{rule("bob")}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if want := rule("alice").String() + "\n" + rule("bob").String() + "\n"; err != nil || string(text) != want {
		t.Errorf("%q %v", text, err)
	}
	again := New(Options{Events: true, Kept: name})
	if _, err := again.Load(); err != nil || again.Rules().Len() != 2 {
		t.Errorf("%d rules, %v", again.Rules().Len(), err)
	}
}

func TestSources(t *testing.T) {
	if s := New(Options{}); s.Rules() != nil || len(s.Names()) != 0 {
		t.Error("rules of nobody")
	} else {
		s.Run(t.Context()) // and that returns
	}
	missing := t.TempDir() + "/missing"
	_, err := New(Options{File: missing}).Load()
	if at, ok := errors.AsType[*Error](err); !ok || at.Source != FromFile || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	bad := t.TempDir() + "/bad"
	write(t, bad, "no rule\n")
	_, err = New(Options{Events: true, Kept: bad}).Load()
	if at, ok := errors.AsType[*Error](err); !ok || at.Source != FromSignals {
		t.Error(err)
	}
	s := New(Options{Redis: true, Events: true, Kept: missing})
	if got := strings.Join(s.Names(), " "); got != FromRedis {
		t.Error(got)
	}
	if err := s.Deny(t.Context(), []revoke.Rule{rule("alice")}); err == nil || s.Rules().Complete() {
		t.Error("a rule was kept nowhere")
	}
}
