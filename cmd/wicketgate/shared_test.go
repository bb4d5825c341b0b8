package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

const (
	firstKey  = "the first secret, which has 32 octets and more"
	secondKey = "the second secret, which comes after the first"
)

// pair is two gates that share what one issuer says of tokens.
type pair struct {
	*introspecting
	other *fixture
	redis *miniredis.Miniredis
	where string
}

// newPair gives both gates their key file, one line for each key.
func newPair(t *testing.T, one, other []string) *pair {
	t.Helper()
	server := miniredis.RunT(t)
	p := &pair{redis: server, where: server.Addr()}
	dir := t.TempDir()
	keys := func(name string, lines []string) string {
		(&introspecting{dir: dir}).write(name, strings.Join(lines, "\n")+"\n")
		return `, shared: {redis: {addresses: ["` + p.where + `"], timeout: 2s}, key_file: "` + dir + "/" + name + `"}`
	}
	p.introspecting = newAsking(t, `client_secret_file: "DIR/secret"`+keys("one", one))
	p.other = newFixture(t, func(text string) string {
		text = instead(t, text, `issuer: "%[3]s", `, `issuer: "`+p.a.Identifier()+`", introspection: {client_id: gate, client_secret_file: "`+p.dir+`/secret"`+keys("other", other)+"}, ")
		return text
	})
	for _, f := range []*fixture{p.fixture, p.other} {
		f.untilReady()
		eventually(t, "redis is connected", func() bool {
			return strings.Contains(f.metrics("wicketgate_redis_connected"), `wicketgate_redis_connected{redis="`+p.where+`"} 1`)
		})
	}
	return p
}

func (p *pair) shared(f *fixture, result, want string) {
	p.t.Helper()
	eventually(p.t, result+" "+want, func() bool {
		return strings.Contains(f.metrics("wicketgate_introspection_shared_requests_total"), `wicketgate_introspection_shared_requests_total{issuer="a",result="`+result+`"} `+want+"\n")
	})
}

// stored waits until Redis holds n answers and returns their names.
func (p *pair) stored(n int) (names []string) {
	p.t.Helper()
	eventually(p.t, "answers are left in Redis", func() bool {
		names = slices.DeleteFunc(p.redis.Keys(), func(key string) bool { return !strings.HasPrefix(key, "wicketgate:introspection:") })
		return len(names) == n
	})
	return names
}

func (f *fixture) bearer(raw string) int {
	return f.do("GET", "/any/x", "Authorization", "Bearer "+raw).StatusCode
}

func TestTwoGatesShareAnswers(t *testing.T) {
	p := newPair(t, []string{firstKey}, []string{firstKey})
	good, bad := p.opaque(nil), p.opaque(nil)
	p.a.Revoke(bad)
	before := p.questions()
	p.passes(t, good)
	if got := p.bearer(bad); got != http.StatusUnauthorized {
		t.Errorf("revoked: %d", got)
	}
	names := p.stored(2)
	if got := p.other.bearer(good); got != http.StatusOK {
		t.Errorf("good at the other gate: %d", got)
	}
	if got := p.other.bearer(bad); got != http.StatusUnauthorized {
		t.Errorf("revoked at the other gate: %d", got)
	}
	p.wantQuestions(t, before, 2)
	p.shared(p.other, "hit", "2")
	p.shared(p.fixture, "miss", "2")
	for _, name := range names {
		value, err := p.redis.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if ttl := p.redis.TTL(name); ttl <= 0 || ttl.Seconds() > 30 {
			t.Errorf("kept for %s", ttl)
		}
		for _, secret := range []string{good, bad, "user-1", "active", testIdentifier, firstKey, gateSecret} {
			if strings.Contains(name+value, secret) {
				t.Errorf("Redis learns %q", secret)
			}
		}
	}
}

// TestSharedAnswersThatDoNotOpen: altered, swapped or sealed by strangers, an
// answer is none, and the issuer is asked.
func TestSharedAnswersThatDoNotOpen(t *testing.T) {
	for name, c := range map[string]struct {
		other  []string
		spoil  func(p *pair, names []string) error
		result string
	}{
		"altered": {[]string{firstKey}, func(p *pair, names []string) error {
			for _, name := range names {
				value, err := p.redis.Get(name)
				if err != nil {
					return err
				}
				if err := p.redis.Set(name, value[:100]+string(value[100]^1)+value[101:]); err != nil {
					return err
				}
			}
			return nil
		}, "unreadable"},
		"swapped": {[]string{firstKey}, func(p *pair, names []string) error {
			a, errA := p.redis.Get(names[0])
			b, errB := p.redis.Get(names[1])
			if errA != nil || errB != nil {
				return errA
			}
			_ = p.redis.Set(names[0], b)
			return p.redis.Set(names[1], a)
		}, "unreadable"},
		"another key": {[]string{secondKey}, func(*pair, []string) error { return nil }, "miss"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, []string{firstKey}, c.other)
			good, revoked := p.opaque(nil), p.opaque(nil)
			p.passes(t, good)
			p.passes(t, revoked)
			names := p.stored(2)
			p.a.Revoke(revoked)
			if err := c.spoil(p, names); err != nil {
				t.Fatal(err)
			}
			before := p.questions()
			if got := p.other.bearer(good); got != http.StatusOK {
				t.Errorf("good: %d", got)
			}
			if got := p.other.bearer(revoked); got != http.StatusUnauthorized {
				t.Errorf("revoked: %d", got)
			}
			p.wantQuestions(t, before, 2)
			p.shared(p.other, c.result, "2")
		})
	}
}

// TestSharedKeyChanges goes through a change of the key: at no step do the
// gates stop to understand each other.
func TestSharedKeyChanges(t *testing.T) {
	p := newPair(t, []string{secondKey, firstKey}, []string{firstKey, secondKey})
	there, back := p.opaque(nil), p.opaque(nil)
	before := p.questions()
	p.passes(t, there)
	if got := p.other.bearer(back); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	p.stored(2)
	p.passes(t, back)
	if got := p.other.bearer(there); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	p.wantQuestions(t, before, 2)
}

// TestWithoutSharedAnswers: each gate asks for itself while Redis is away.
func TestWithoutSharedAnswers(t *testing.T) {
	p := newPair(t, []string{firstKey}, []string{firstKey})
	p.redis.Close()
	raw := p.opaque(nil)
	before := p.questions()
	p.passes(t, raw)
	if got := p.other.bearer(raw); got != http.StatusOK {
		t.Errorf("the other gate: %d", got)
	}
	p.wantQuestions(t, before, 2)
	p.shared(p.fixture, "error", "2") // the look, and the answer that could not be left
}

func TestSharedRedisNeedsARestart(t *testing.T) {
	p := newPair(t, []string{firstKey}, []string{firstKey})
	p.rewrite("timeout: 2s", "timeout: 1s")
	p.gateway.tryReload("test")
	if log := p.log.String(); !strings.Contains(log, "restart needed: introspection.shared names a Redis") {
		t.Errorf("log: %s", log)
	}
}

func TestCheckLiveAsksSharedRedis(t *testing.T) {
	t.Parallel()
	p := newPair(t, []string{firstKey}, []string{firstKey})
	command(t, "check", "--live", "--config", p.gateway.path).want(t, exitOK,
		"ok     redis of issuers[0].introspection.shared.redis accepts connections", "answers well within 2s", "issuer a: answers gate about tokens")
	p.redis.RequireAuth("x")
	command(t, "check", "--live", "--config", p.gateway.path).want(t, exitFailed, "FAILED redis of issuers[0].introspection.shared.redis: ", "next: look at username")
}

// TestSharedKeysThatCannotBe: a key file that will not do is told with its
// place.
func TestSharedKeysThatCannotBe(t *testing.T) {
	for text, said := range map[string]string{
		"short\n": "32 octets or more", firstKey + "\nshort\n": "32 octets or more", strings.Repeat(firstKey+"\n", 3): "two while they are changed", "": "is empty",
	} {
		dir := &introspecting{dir: t.TempDir()}
		dir.write("key", text)
		dir.write("secret", gateSecret)
		path := written(t, strings.ReplaceAll("version: 1\nissuers: [{issuer: https://as.example.com, introspection: {client_id: gate, client_secret_file: DIR/secret, shared: {redis: {addresses: ['127.0.0.1:1']}, key_file: DIR/key}}}]\n"+
			"resources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n", "DIR", dir.dir))
		command(t, "check", "--config", path).want(t, exitConfig, "introspection.shared.key_file", said)
	}
}
