package denials

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// TestEventsDoNotFill has one user log out more often than there is room for
// rules.
func TestEventsDoNotFill(t *testing.T) {
	server := miniredis.RunT(t)
	one := newReplica(t, server)
	now := time.Now().Truncate(time.Second)
	logout := func(i int) revoke.Rule {
		r := rule("alice")
		r.IssuedBefore, r.Until = now.Add(time.Duration(i)*time.Second), now.Add(time.Duration(i)*time.Second+time.Hour)
		return r
	}
	byHand := rule("alice")
	byHand.IssuedBefore, byHand.KeyID = now, "1"
	if err := one.Add(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := one.Deny(t.Context(), logout(i)); err != nil {
			t.Fatal(err)
		}
	}
	fields, _ := server.HKeys(redis.DefaultPrefix + Key)
	if len(fields) != 3 || server.HGet(redis.DefaultPrefix+Key, logout(49).Name()) == "" {
		t.Errorf("%d fields", len(fields))
	}
	if one.refresh(t.Context(), true); one.rules.Len() != 2 || !one.denies("alice") {
		t.Errorf("%d rules", one.rules.Len())
	}

	t.Run("in a file", func(t *testing.T) {
		name := t.TempDir() + "/kept.jsonl"
		var text strings.Builder
		for i := range 50 {
			text.WriteString(logout(i).String() + "\n")
		}
		write(t, name, text.String())
		if err := New(Options{Events: true, Kept: name}).Load(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != logout(49).String()+"\n" {
			t.Errorf("%d octets, %v", len(got), err)
		}
	})
	t.Run("a rule of people is not taken into account", func(t *testing.T) {
		wide := rule("bob")
		if err := one.Add(t.Context(), wide); err != nil {
			t.Fatal(err)
		}
		event := rule("bob")
		event.IssuedBefore = now.Add(time.Hour)
		if err := one.Deny(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Remove(t.Context(), wide.Name()); err != nil {
			t.Fatal(err)
		}
		if one.refresh(t.Context(), true); !one.denies("bob") {
			t.Error("what an event denied went with the rule that covered it")
		}
	})
}

// TestFullOfTheEnded wants room made by what has ended.
func TestFullOfTheEnded(t *testing.T) {
	server := miniredis.RunT(t)
	ended := rule("ended")
	ended.Until = time.Now().Add(-time.Hour).Truncate(time.Second)
	count := 0
	for octets := 0; octets < redis.MaxValue-maxOld; count++ {
		ended.Client = strconv.Itoa(count)
		id, text := ended.Name(), ended.String()
		octets += len(id) + len(text)
		server.HSet(redis.DefaultPrefix+Key, id, text)
	}
	one := newReplica(t, server)
	if fields, _ := server.HKeys(redis.DefaultPrefix + Key); len(fields) != count+1 {
		t.Errorf("%d fields: what ended an hour ago is removed already", len(fields))
	}
	if err := one.Add(t.Context(), rule("alice")); err != nil {
		t.Error(err)
	}
	if one.refresh(t.Context(), true); !one.denies("alice") {
		t.Error("not in force")
	}
}

// TestClockAhead wants no rule removed because one clock is wrong.
func TestClockAhead(t *testing.T) {
	for name, test := range map[string]struct {
		server time.Time
		left   bool
	}{
		"ours":  {time.Now().Add(-30 * 24 * time.Hour), true},
		"none":  {time.Now(), false},
		"Redis": {time.Now().Add(30 * 24 * time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			server.SetTime(test.server)
			ended := rule("alice")
			ended.Until = time.Now().Add(-2 * 24 * time.Hour).Truncate(time.Second)
			server.HSet(redis.DefaultPrefix+Key, ended.Name(), ended.String())
			newReplica(t, server)
			if left := server.HGet(redis.DefaultPrefix+Key, ended.Name()) != ""; left != test.left {
				t.Errorf("left: %v", left)
			}
		})
	}
}
