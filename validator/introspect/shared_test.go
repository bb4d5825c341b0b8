package introspect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// pool is a store in memory, as several gates see it. It keeps for ever what
// it is told to keep for a while, like a store somebody has tampered with.
type pool struct {
	mu     sync.Mutex // guards all below
	values map[string][]byte
	ttls   map[string]time.Duration
	gets   int
	err    error
	took   time.Duration
}

func newPool() *pool { return &pool{values: map[string][]byte{}, ttls: map[string]time.Duration{}} }

func (p *pool) wait(ctx context.Context) error {
	p.mu.Lock()
	took, err := p.took, p.err
	p.mu.Unlock()
	select {
	case <-time.After(took):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := p.wait(ctx); err != nil {
		return nil, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gets++
	value, found := p.values[key]
	return bytes.Clone(value), found, nil
}

func (p *pool) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[key], p.ttls[key] = bytes.Clone(value), ttl
	return nil
}

// change alters what the store does or holds.
func (p *pool) change(alter func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	alter()
}

var (
	secretA = []byte(strings.Repeat("a", minSecret))
	secretB = []byte(strings.Repeat("b", minSecret))
)

func sharing(t *testing.T, store Store, secrets ...[]byte) *Shared {
	t.Helper()
	s, err := NewShared(store, secrets, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newSharing makes one gate that shares. results is what OnShared was told.
func newSharing(t *testing.T, store Store, cache time.Duration, secrets ...[]byte) (c *Client, e *endpoint, results func() []string) {
	t.Helper()
	c, e = newTest(t, Server{Cache: cache, Shared: sharing(t, store, secrets...)})
	var mu sync.Mutex
	var told []string
	c.options.OnShared = func(_, result string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, result)
	}
	return c, e, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

// TestSharedAnswers: what one gate was told, the other need not ask.
func TestSharedAnswers(t *testing.T) {
	for body, reason := range map[string]token.Reason{
		`{"active":true,"sub":"somebody"}`: token.ReasonNone,
		`{"active":false}`:                 token.ReasonInactive,
		`{"active":true,"aud":1}`:          token.ReasonAudience,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newPool()
			a, asked, _ := newSharing(t, store, time.Minute, secretA)
			b, idle, results := newSharing(t, store, time.Minute, secretA)
			asked.say(body, nil)
			want(t, a, "raw", reason)
			synctest.Wait()
			want(t, b, "raw", reason)
			want(t, b, "raw", reason) // and now it is its own
			wantAsked(t, asked, 1)
			wantAsked(t, idle, 0)
			if !slices.Equal(results(), []string{SharedHit}) {
				t.Errorf("%s: %v", body, results())
			}
			if claims, err := introspect(t, b, "raw"); err == nil && claims.Subject != "somebody" {
				t.Errorf("claims %+v", claims)
			}
		})
	}
}

// TestSharedAge: an answer is as old for all gates as for the one that asked,
// whatever the store does with it, so that a revoked token lives no longer.
func TestSharedAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		a, _, _ := newSharing(t, store, 30*time.Second, secretA)
		b, revoked, results := newSharing(t, store, 30*time.Second, secretA)
		revoked.say(`{"active":false}`, nil)
		want(t, a, "raw", "")
		synctest.Wait()
		if ttl := slices.Collect(maps.Values(store.ttls)); !slices.Equal(ttl, []time.Duration{30 * time.Second}) {
			t.Errorf("kept for %v", ttl)
		}
		time.Sleep(30*time.Second - time.Millisecond)
		want(t, b, "raw", "")
		wantAsked(t, revoked, 0)
		time.Sleep(time.Millisecond)
		want(t, b, "raw", token.ReasonInactive)
		wantAsked(t, revoked, 1)
		if !slices.Equal(results(), []string{SharedHit, SharedMiss}) {
			t.Errorf("%v", results())
		}
	})
}

// TestSharedByOwnCache: a gate that remembers for a shorter time uses what it
// would have remembered itself.
func TestSharedByOwnCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		a, _, _ := newSharing(t, store, time.Minute, secretA)
		b, asked, _ := newSharing(t, store, 5*time.Second, secretA)
		want(t, a, "raw", "")
		synctest.Wait()
		time.Sleep(5 * time.Second)
		want(t, b, "raw", "")
		wantAsked(t, asked, 1)
	})
}

// TestSharedNeverPastExp: nor is anything left for a token that has ended.
func TestSharedNeverPastExp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		a, e, _ := newSharing(t, store, time.Minute, secretA)
		e.say(fmt.Sprintf(`{"active":true,"exp":%d}`, time.Now().Unix()+5), nil)
		want(t, a, "raw", "")
		synctest.Wait()
		for _, ttl := range store.ttls {
			if ttl > 5*time.Second {
				t.Errorf("kept for %s", ttl)
			}
		}
		e.say(fmt.Sprintf(`{"active":true,"exp":%d}`, time.Now().Unix()-5), nil)
		want(t, a, "old", "")
		synctest.Wait()
		if len(store.values) != 1 {
			t.Errorf("%d values", len(store.values))
		}
	})
}

// TestSharedStoreFails: without the store each gate asks for itself, and waits
// for the store no longer than it should.
func TestSharedStoreFails(t *testing.T) {
	for name, breaking := range map[string]func(*pool){
		"down": func(p *pool) { p.err = errors.New("down") }, "slow": func(p *pool) { p.took = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newPool()
				breaking(store)
				c, e, results := newSharing(t, store, time.Minute, secretA)
				began := time.Now()
				want(t, c, "raw", "")
				if took := time.Since(began); took > sharedTime {
					t.Errorf("it took %s", took)
				}
				time.Sleep(time.Second)
				want(t, c, "raw", "")
				wantAsked(t, e, 1)
				synctest.Wait()
				if !slices.Equal(results(), []string{SharedError, SharedError}) { // the look, and the answer left
					t.Errorf("%v", results())
				}
			})
		})
	}
}

// TestSharedTampered: what does not open is no answer.
func TestSharedTampered(t *testing.T) {
	for name, alter := range map[string]func(p *pool, key string){
		"a bit":   func(p *pool, key string) { p.values[key][40] ^= 1 },
		"its end": func(p *pool, key string) { p.values[key] = p.values[key][:50] },
		"empty":   func(p *pool, key string) { p.values[key] = []byte{} },
		"form":    func(p *pool, key string) { p.values[key][0] = 2 },
		"long":    func(p *pool, key string) { p.values[key] = make([]byte, 1<<20) },
		"plain":   func(p *pool, key string) { p.values[key] = []byte(`{"active":true}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newPool()
				a, _, _ := newSharing(t, store, time.Minute, secretA)
				b, e, results := newSharing(t, store, time.Minute, secretA)
				e.say(`{"active":false}`, nil)
				want(t, a, "raw", "")
				synctest.Wait()
				store.change(func() {
					for key := range store.values {
						alter(store, key)
					}
				})
				want(t, b, "raw", token.ReasonInactive)
				if wantAsked(t, e, 1); !slices.Contains(results(), SharedUnreadable) {
					t.Errorf("%v", results())
				}
			})
		})
	}
}

// TestSharedSwapped: an answer about one token is none about another, nor one
// of another issuer.
func TestSharedSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		a, e, _ := newSharing(t, store, time.Minute, secretA)
		want(t, a, "good", "")
		synctest.Wait()
		e.say(`{"active":false}`, nil)
		want(t, a, "bad", token.ReasonInactive)
		synctest.Wait()
		store.change(func() {
			names := slices.Collect(maps.Keys(store.values))
			store.values[names[0]], store.values[names[1]] = store.values[names[1]], store.values[names[0]]
		})
		b, fresh, results := newSharing(t, store, time.Minute, secretA)
		fresh.say(`{"active":false}`, nil)
		want(t, b, "bad", token.ReasonInactive)
		want(t, b, "good", token.ReasonInactive)
		if wantAsked(t, fresh, 2); !slices.Equal(results(), []string{SharedUnreadable, SharedUnreadable}) {
			t.Errorf("%v", results())
		}
	})
	k := sharing(t, nil, secretA).keys[0]
	one, errO := k.cipher([32]byte{1})
	other, errN := k.cipher([32]byte{2})
	if errO != nil || errN != nil {
		t.Fatal(errO, errN)
	}
	if _, err := other.Open(nil, nil, one.Seal(nil, nil, []byte("x"), nil), nil); err == nil {
		t.Error("two names have one key")
	}
	value, err := k.seal([32]byte{1}, []byte("one"), time.Now(), "{}")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.open([32]byte{1}, []byte("other"), value); err == nil {
		t.Error("opens for another issuer")
	}
}

// TestSharedFuture: an answer from a gate whose clock is ahead would live
// longer here than there.
func TestSharedFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		c, e, results := newSharing(t, store, time.Minute, secretA)
		s := c.servers["as"]
		key := s.key(sha256.Sum256([]byte("raw")))
		value, err := s.Shared.keys[0].seal(key, []byte(s.Issuer), time.Now().Add(time.Second), `{"active":true}`)
		if err != nil {
			t.Fatal(err)
		}
		store.values[s.Shared.keys[0].name(key)] = value
		e.say(`{"active":false}`, nil)
		if want(t, c, "raw", token.ReasonInactive); !slices.Contains(results(), SharedUnreadable) {
			t.Errorf("%v", results())
		}
	})
}

// TestSharedKeys: gates of other secrets find nothing, and those in the middle
// of a change of secrets find each other's.
func TestSharedKeys(t *testing.T) {
	for name, c := range map[string]struct {
		writer, reader [][]byte
		found          bool
	}{
		"other secret":      {[][]byte{secretA}, [][]byte{secretB}, false},
		"new one announced": {[][]byte{secretA}, [][]byte{secretA, secretB}, true},
		"new one in use":    {[][]byte{secretB, secretA}, [][]byte{secretA, secretB}, true},
		"old one in use":    {[][]byte{secretA, secretB}, [][]byte{secretB, secretA}, true},
		"old one taken out": {[][]byte{secretB, secretA}, [][]byte{secretB}, true},
		"old one gone":      {[][]byte{secretA}, [][]byte{secretB}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newPool()
				a, _, _ := newSharing(t, store, time.Minute, c.writer...)
				b, e, _ := newSharing(t, store, time.Minute, c.reader...)
				want(t, a, "raw", "")
				synctest.Wait()
				want(t, b, "raw", "")
				if found := e.asked() == 0; found != c.found {
					t.Errorf("found: %t", found)
				}
			})
		})
	}
}

// TestStoreLearnsNothing: neither the token, nor its hash, nor a word of the
// answer, nor whether it is active by the length.
func TestStoreLearnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newPool()
		c, e, _ := newSharing(t, store, time.Minute, secretA)
		e.say(`{"active":true,"sub":"somebody@example.com"}`, nil)
		want(t, c, "raw-token", "")
		e.say(`{"active":false}`, nil)
		want(t, c, "another", token.ReasonInactive)
		synctest.Wait()
		digest := sha256.Sum256([]byte("raw-token"))
		size := 0
		for name, value := range store.values {
			for _, secret := range []string{"raw-token", string(digest[:]), "somebody", "active", string(secretA)} {
				if strings.Contains(name, secret) || bytes.Contains(value, []byte(secret)) {
					t.Errorf("%q is told", secret)
				}
			}
			if size != 0 && len(value) != size {
				t.Errorf("lengths %d and %d", size, len(value))
			}
			size = len(value)
		}
		if len(store.values) != 2 {
			t.Errorf("%d values", len(store.values))
		}
	})
}

func TestSecretsRefused(t *testing.T) {
	for name, secrets := range map[string][][]byte{"none": nil, "short": {secretA[1:]}, "one short": {secretA, []byte("x")}, "three": {secretA, secretB, secretA}} {
		if _, err := NewShared(newPool(), secrets, 0); !errors.Is(err, errSecrets) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSharedCompared(t *testing.T) {
	store := newPool()
	one := sharing(t, store, secretA)
	if !one.equal(sharing(t, store, secretA)) || one.equal(sharing(t, store, secretB)) || one.equal(sharing(t, newPool(), secretA)) ||
		one.equal(nil) || one.equal(sharing(t, store, secretA, secretB)) || !(*Shared)(nil).equal(nil) {
		t.Error("settings are not told apart")
	}
}

func BenchmarkSharedOpen(b *testing.B) {
	s, err := NewShared(newPool(), [][]byte{secretA}, 0)
	if err != nil {
		b.Fatal(err)
	}
	key := sha256.Sum256([]byte("raw"))
	value, err := s.keys[0].seal(key, []byte("issuer"), time.Now(), `{"active":true}`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.keys[0].open(key, []byte("issuer"), value); err != nil {
			b.Fatal(err)
		}
	}
}
