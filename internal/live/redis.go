package live

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/url"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/denials"
	"github.com/wicketgate/wicketgate/internal/redis"
)

// Redis is a server that replicas share, and what for.
type Redis struct {
	At      string // the place of its block in the file
	Options redis.Options
	Proofs  bool // it remembers used proofs, and must forget nothing
	Answers bool // of introspection
	Rules   bool // which tokens are refused
}

// Question connects the way serve does, and does what serve does there with a
// key that is gone after a second.
func (l Redis) Question() Question { return Question{"redis of " + l.At, l.ask} }

func (l Redis) ask(ctx context.Context, r *report) {
	for _, address := range l.Options.Addresses {
		if !strings.HasPrefix(address, "/") && !r.connect(ctx, target{location: &url.URL{Scheme: "redis", Host: address}}) {
			return
		}
	}
	changed, o := make(chan struct{}, 1), l.Options
	o.OnState = func(bool, bool) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	client, err := redis.New(o)
	if err != nil {
		r.fail("", ": %v", err)
		return
	}
	defer client.Close()
	state := connected(ctx, client, changed)
	if !state.Connected {
		r.fail("look at username, password_file, tls and the rights of that user: see docs/guide/replicas.md", ": %v", state.Err)
		return
	}
	switch {
	case state.Warning == "":
		r.good(" remembers, and evicts nothing")
	case l.Proofs:
		r.fail("change that setting of the server: used proofs could pass again", ": %s", state.Warning)
	default:
		r.good(": %s; here that costs no more than questions", state.Warning)
	}
	l.use(ctx, r, client)
}

// connected waits for a connection, but not for long.
func connected(ctx context.Context, client *redis.Client, changed <-chan struct{}) redis.State {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if state := client.State(); state.Connected {
			return state
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return client.State()
		}
	}
}

// use does what it is for, with a key that nobody else has, and tells how long
// that takes.
func (l Redis) use(ctx context.Context, r *report, client *redis.Client) {
	const rights = "give its user the rights that docs/guide/replicas.md lists"
	began, operations := time.Now(), time.Duration(0)
	if l.Proofs {
		operations++
		if _, _, err := client.First(ctx, sha256.Sum256([]byte(rand.Text())), time.Second); err != nil {
			r.fail(rights, ": remembers no proof: %v", err)
			return
		}
	}
	if l.Answers {
		operations += 2
		key := "introspection:check-" + rand.Text()
		if err := client.Set(ctx, key, []byte(key), time.Second); err != nil {
			r.fail(rights, ": keeps no answer: %v", err)
			return
		}
		value, _, err := client.Get(ctx, key)
		if err != nil || string(value) != key {
			r.fail(rights, ": gives no answer back: %v", err)
			return
		}
	}
	if l.Rules {
		operations++
		if _, err := client.Fields(ctx, denials.Key); err != nil {
			r.fail(rights, ": gives no deny rules: %v", err)
			return
		}
	}
	if took := time.Since(began) / operations; took > l.Options.Timeout/2 {
		r.warn("have it closer, or raise timeout: what takes longer than that has failed", ": an operation took %s of the %s it may", took.Round(time.Millisecond), l.Options.Timeout)
		return
	}
	r.good(" answers well within %s", l.Options.Timeout)
}
