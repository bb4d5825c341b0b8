package jwks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// long ago is the iat of a token that any set fetched now is newer than.
func longAgo() time.Time { return time.Now().Add(-time.Hour) }

func wantKeys(t *testing.T, c *Cache, issuer, kid, alg string) []*Key {
	t.Helper()
	keys, err := c.Keys(t.Context(), issuer, kid, alg, longAgo())
	if err != nil || len(keys) == 0 {
		t.Fatalf("%s, kid %q: %v, %v", issuer, kid, keys, err)
	}
	return keys
}

func wantNoKey(t *testing.T, c *Cache, issuer, kid, alg string, issuedAt time.Time) {
	t.Helper()
	if keys, err := c.Keys(t.Context(), issuer, kid, alg, issuedAt); !errors.Is(err, ErrNoKey) || keys != nil {
		t.Errorf("%s, kid %q: %v, %v, want ErrNoKey", issuer, kid, keys, err)
	}
}

func wantFault(t *testing.T, c *Cache, issuer, kid, alg string, issuedAt time.Time) {
	t.Helper()
	keys, err := c.Keys(t.Context(), issuer, kid, alg, issuedAt)
	fault, ok := errors.AsType[*token.Fault](err)
	if !ok || keys != nil {
		t.Fatalf("%s, kid %q: %v, %v, want a fault", issuer, kid, keys, err)
	}
	if fault.Reason != token.ReasonKeysUnavailable || fault.RetryAfter < time.Second || fault.Cause == nil {
		t.Errorf("fault is %+v", fault)
	}
}

func of(as *devissuer.Running) Source { return Source{Name: "as", Issuer: as.Identifier()} }

func configured(sources ...Source) *Cache {
	c := NewCache(Options{})
	c.Configure(sources)
	return c
}

func TestCacheStartsNothing(t *testing.T) {
	as := start(t, devissuer.Options{})
	c := configured(of(as))
	c.Configure([]Source{of(as), {Name: "other", Issuer: as.URL + "/x"}})
	if n := len(as.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	s := c.Status()
	if len(s) != 2 || s[0].Name != "as" || s[1].Name != "other" || s[0].Ready || s[0].Keys != 0 || s[0].Err != "" || !s[0].LastSuccess.IsZero() {
		t.Errorf("status %+v", s)
	}
	wantFault(t, c, "nobody", "k", "ES256", longAgo())
}

func TestCacheKeys(t *testing.T) {
	as := start(t, devissuer.Options{Algorithms: []string{"ES256", "EdDSA"}})
	raw, err := as.Mint(devissuer.Token{Alg: "EdDSA"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := token.ParseJWT(raw, token.MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	c := configured(of(as))
	for _, k := range wantKeys(t, c, "as", u.KeyID, u.Algorithm) {
		if err := u.Signature(k); err != nil {
			t.Error(err)
		}
		if !c.Holds("as", k) || c.Holds("other", k) {
			t.Error("Holds is wrong about the key or the issuer")
		}
	}
	wantKeys(t, c, "as", u.KeyID, "Ed25519")
	wantKeys(t, c, "as", "", "ES256") // JWS-17: no kid
	if as.Hits("/jwks") != 1 || as.Hits(oauthPlace) != 1 {
		t.Errorf("asked %v", as.Requests())
	}
	// JWS-11: a known key under another algorithm is no reason to ask again.
	wantNoKey(t, c, "as", u.KeyID, "ES256", time.Time{})
	if as.Hits("/jwks") != 1 {
		t.Errorf("asked %v", as.Requests())
	}
	s := c.Status()[0]
	if !s.Ready || s.Keys != 2 || s.Err != "" || s.LastSuccess.IsZero() || s.Issuer != as.URL {
		t.Errorf("status %+v", s)
	}
	stranger := &Key{}
	if n := testing.AllocsPerRun(100, func() { c.Holds("as", stranger) }); n != 0 {
		t.Errorf("Holds makes %v allocations", n)
	}
}

// one metadata and one JWKS request, whoever comes first.
func TestCacheColdHerd(t *testing.T) {
	as := start(t, devissuer.Options{})
	c := configured(of(as))
	var herd sync.WaitGroup
	for range 500 {
		herd.Go(func() {
			if _, err := c.Keys(t.Context(), "as", "es256-1", "ES256", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	herd.Wait()
	if as.Hits("/jwks") != 1 || as.Hits(oauthPlace) != 1 {
		t.Errorf("asked %v", as.Requests())
	}
}

// KEY-04, KEY-15: an authority of its own, and a set named outright.
func TestCacheSources(t *testing.T) {
	as := start(t, devissuer.Options{TLS: true})
	name := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(name, as.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := configured(
		Source{Name: "ca", Issuer: as.URL, RootCAs: roots(t, as)},
		Source{Name: "no ca", Issuer: as.URL},
		Source{Name: "outright", Issuer: "https://as.invalid", JWKSURI: as.URL + "/jwks", RootCAs: roots(t, as)},
		Source{Name: "file", Issuer: "https://as.invalid", File: name},
		Source{Name: "no file", Issuer: "https://as.invalid", File: name + "x"},
		Source{Name: "http", Issuer: "http://as.invalid"},
	)
	for _, good := range []string{"ca", "outright", "file"} {
		wantKeys(t, c, good, "es256-1", "ES256")
	}
	for _, bad := range []string{"no ca", "no file", "http"} {
		wantFault(t, c, bad, "es256-1", "ES256", longAgo())
	}
	if as.Hits(oauthPlace) != 1 {
		t.Errorf("asked %v", as.Requests())
	}
}

// KEY-05, KEY-14, R-04, R-05: garbage keeps the old set, and is told of. The
// answers carry a key of the attacker's wherever they can carry one.
func TestCacheGarbage(t *testing.T) {
	evil := public(newKey().Public()).with(members{"kid": "evil"}).text()
	body := setOf(evil)
	for name, fault := range map[string]devissuer.Fault{
		"500 with keys":  {Status: 500, Body: body},
		"204":            {Status: 204},
		"203 with keys":  {Status: 203, Body: body},
		"HTML":           {ContentType: "text/html", Body: []byte("<html></html>")},
		"keys as text":   {ContentType: "text/plain", Body: body},
		"keys as JS":     {ContentType: "application/javascript", Body: body},
		"empty object":   {Body: []byte("{}")},
		"error":          {Body: []byte(`{"error":"server_error"}`)},
		"truncated":      {Body: body, Truncate: len(body) - 2},
		"cut JSON":       {Body: body[:len(body)-2]},
		"nothing":        {Body: []byte{}, Truncate: 1},
		"huge":           {Body: []byte(`{"keys":[` + evil + `],"x":"` + strings.Repeat("x", 512<<10) + `"}`)},
		"too many keys":  {Body: setOf(strings.Split(strings.TrimSuffix(strings.Repeat(evil+"\n", 101), "\n"), "\n")...)},
		"redirect":       {Redirect: "http://127.0.0.1:9/jwks"},
		"reset":          {Reset: true},
		"empty set":      {Body: []byte(`{"keys":[]}`)},
		"nothing usable": {Body: setOf(`{"kty":"oct","kid":"evil","k":"AAAA"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := start(t, devissuer.Options{MaxAge: time.Hour})
			var loads []Load
			c := NewCache(Options{OnLoad: func(issuer string, l Load) {
				if issuer != "as" || l.At.IsZero() {
					t.Errorf("told of %s, %+v", issuer, l)
				}
				loads = append(loads, l)
			}})
			c.Configure([]Source{of(as)})
			k := wantKeys(t, c, "as", "es256-1", "ES256")[0]
			fault.Path = "/jwks"
			as.Fail(fault)
			wantNoKey(t, c, "as", "evil", "ES256", longAgo()) // asks
			if as.Hits("/jwks") != 2 || len(loads) != 2 {
				t.Fatalf("asked %v, told of %v", as.Requests(), loads)
			}
			if loads[0].Err != nil || !loads[0].Changed || loads[0].Keys != 1 || loads[1].Err == nil || loads[1].Changed {
				t.Errorf("told of %+v", loads)
			}
			if got := wantKeys(t, c, "as", "es256-1", "ES256")[0]; got != k || !c.Holds("as", k) {
				t.Error("the old key is gone")
			}
			if s := c.Status()[0]; !s.Ready || s.Keys != 1 || s.Err == "" || strings.Contains(s.Err, "evil") || strings.Contains(s.Err, "html>") {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// R-01, KEY-13: one that never answered, and one that does.
func TestCacheDeadIssuer(t *testing.T) {
	as, gone := start(t, devissuer.Options{}), start(t, devissuer.Options{})
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	c := configured(of(as), Source{Name: "gone", Issuer: gone.URL})
	wantFault(t, c, "gone", "es256-1", "ES256", longAgo())
	wantFault(t, c, "gone", "es256-1", "ES256", time.Now())
	wantKeys(t, c, "as", "es256-1", "ES256")
	if s := c.Status(); !s[0].Ready || s[1].Ready || s[1].Err == "" {
		t.Errorf("status %+v", s)
	}
}

// KEY-11 and isolation: one issuer hangs in a refresh, and neither its own
// known keys nor the other issuer wait for it.
func TestCacheSlowIssuer(t *testing.T) {
	slow, other := start(t, devissuer.Options{}), start(t, devissuer.Options{})
	c := configured(of(slow), Source{Name: "other", Issuer: other.URL}, Source{Name: "cold", Issuer: slow.URL})
	wantKeys(t, c, "as", "es256-1", "ES256")
	release := make(chan struct{})
	slow.Fail(devissuer.Fault{Path: "/jwks", Until: release})
	var waiting sync.WaitGroup
	for _, name := range []string{"as", "cold"} {
		waiting.Go(func() {
			if _, err := c.Keys(t.Context(), name, "es256-1x", "ES256", longAgo()); !errors.Is(err, ErrNoKey) {
				t.Errorf("%s, after it was released: %v", name, err)
			}
		})
	}
	for slow.Hits("/jwks") < 3 {
		wantKeys(t, c, "as", "es256-1", "ES256")
	}
	wantKeys(t, c, "other", "es256-1", "ES256")
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Keys(ctx, "cold", "es256-1", "ES256", longAgo()); !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(release)
	waiting.Wait()
}

// KEY-09, R-09: a new key works after one fetch, an old one stops with it; a
// key that stays keeps its address.
func TestCacheRotation(t *testing.T) {
	as := start(t, devissuer.Options{Algorithms: []string{"ES256", "EdDSA"}})
	c := configured(of(as))
	old, stays := wantKeys(t, c, "as", "es256-1", "ES256")[0], wantKeys(t, c, "as", "eddsa-1", "EdDSA")[0]
	kid, err := as.Rotate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	var herd sync.WaitGroup
	for range 100 {
		herd.Go(func() {
			if _, err := c.Keys(t.Context(), "as", kid, "ES256", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	herd.Wait()
	if as.Hits("/jwks") != 2 || as.Hits(oauthPlace) != 1 {
		t.Errorf("asked %v", as.Requests())
	}
	if c.Holds("as", old) {
		t.Error("the withdrawn key is held still")
	}
	wantNoKey(t, c, "as", "es256-1", "ES256", longAgo())
	if k := wantKeys(t, c, "as", "eddsa-1", "EdDSA")[0]; k != stays || !c.Holds("as", stays) {
		t.Error("the key that stayed has a new address")
	}
}

// KEY-08, R-12: unknown kids cost the issuer one fetch an interval, and what
// they mean until then depends on whether the set is newer than the token.
func TestCacheUnknownKeys(t *testing.T) {
	as := start(t, devissuer.Options{})
	var refetched, heldBack atomic.Int64
	c := NewCache(Options{OnUnknownKey: func(issuer string, asked bool) {
		if issuer != "as" {
			t.Errorf("told of %s", issuer)
		}
		if asked {
			refetched.Add(1)
		} else {
			heldBack.Add(1)
		}
	}})
	source := of(as)
	source.RefetchInterval = time.Hour
	c.Configure([]Source{source})
	wantKeys(t, c, "as", "es256-1", "ES256")
	wantNoKey(t, c, "as", "first", "ES256", time.Now().Add(time.Hour)) // a fetch after the request has the last word
	if as.Hits("/jwks") != 2 {
		t.Fatalf("asked %v", as.Requests())
	}
	var flood sync.WaitGroup
	for i := range 100 {
		flood.Go(func() {
			for j := range 20 {
				wantNoKey(t, c, "as", fmt.Sprintf("random-%d-%d", i, j), "ES256", longAgo())
			}
		})
	}
	flood.Wait()
	wantFault(t, c, "as", "new", "ES256", time.Now()) // the token may be younger than the set
	wantFault(t, c, "as", "new", "ES256", time.Time{})
	if as.Hits("/jwks") != 2 || refetched.Load() != 1 || heldBack.Load() != 2002 {
		t.Errorf("asked %v; %d refetched, %d held back", as.Requests(), refetched.Load(), heldBack.Load())
	}
}

// A kid that is unknown to a set fetched for this very request is unknown.
func TestCacheUnknownKeyCold(t *testing.T) {
	as := start(t, devissuer.Options{})
	c := configured(of(as))
	wantNoKey(t, c, "as", "unknown", "ES256", time.Now())
	if as.Hits("/jwks") != 1 {
		t.Errorf("asked %v", as.Requests())
	}
}

// A kid that turns up with another algorithm is decided, even for a request that
// came while the load that brought it was under way.
func TestCacheUnknownKeyOfAnotherAlgorithm(t *testing.T) {
	as := start(t, devissuer.Options{Algorithms: []string{"EdDSA"}})
	source := of(as)
	source.RefetchInterval = time.Hour
	c := configured(source)
	later := time.Now().Add(time.Minute)
	if _, err := c.entries.Load().byName["as"].newer(t.Context(), "eddsa-1", "ES256", later, later); !errors.Is(err, ErrNoKey) {
		t.Errorf("%v, want ErrNoKey", err)
	}
	if as.Hits("/jwks") != 1 {
		t.Errorf("asked %v", as.Requests())
	}
}

// KEY-06, R-14: equal kids and equal texts, and still two issuers.
func TestCacheIssuersAreApart(t *testing.T) {
	var sources []Source
	var own []*devissuer.Running
	for i := range 50 {
		signer := newKey()
		as := start(t, devissuer.Options{Keys: []devissuer.Key{{ID: "same", Algorithm: "ES256", Signer: signer}}})
		own = append(own, as)
		sources = append(sources, Source{Name: fmt.Sprint(i), Issuer: as.URL})
	}
	sources = append(sources, Source{Name: "twin", Issuer: own[0].URL})
	c := configured(sources...)
	all := make([]*Key, len(sources))
	for i, s := range sources {
		all[i] = wantKeys(t, c, s.Name, "same", "ES256")[0]
	}
	for i, s := range sources {
		for j, k := range all {
			if c.Holds(s.Name, k) != (i == j) {
				t.Fatalf("issuer %s and key of %s", s.Name, sources[j].Name)
			}
		}
	}
	// A set that the LRU has forgotten is held all the same.
	c.parsed.Purge()
	for i, s := range sources {
		if k := wantKeys(t, c, s.Name, "same", "ES256")[0]; k != all[i] || !c.Holds(s.Name, k) {
			t.Fatalf("issuer %s lost its key", s.Name)
		}
	}
}

// The address of a set may change: after a failed fetch the metadata is read
// again.
func TestCacheFollowsMetadata(t *testing.T) {
	as := start(t, devissuer.Options{Identifier: "/old"})
	source := of(as)
	source.RefetchInterval = 1
	other := start(t, devissuer.Options{})
	source.Hosts = []string{strings.TrimPrefix(other.URL, "http://")}
	c := configured(source)
	wantKeys(t, c, "as", "es256-1", "ES256")
	issuer := as.Identifier()
	as.Fail(devissuer.Fault{Path: "/old/jwks", Status: 404})
	wantNoKey(t, c, "as", "new", "ES256", longAgo())
	if _, err := other.Add(devissuer.Key{ID: "new", Algorithm: "ES256"}); err != nil {
		t.Fatal(err)
	}
	as.Fail(devissuer.Fault{Path: oauthPlace + "/old", Body: fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, issuer, other.URL)})
	wantKeys(t, c, "as", "new", "ES256")
	// Metadata that cannot be had does not take the keys away.
	as.Fail(devissuer.Fault{Status: 500})
	other.Fail(devissuer.Fault{Path: "/jwks", Status: 500, Times: 1})
	wantNoKey(t, c, "as", "x", "ES256", longAgo())
	if _, err := other.Add(devissuer.Key{ID: "newer", Algorithm: "ES256"}); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, c, "as", "newer", "ES256")
}

// A reload keeps what it did not touch.
func TestCacheConfigure(t *testing.T) {
	as, other := start(t, devissuer.Options{}), start(t, devissuer.Options{})
	stays, goes := of(as), Source{Name: "other", Issuer: other.URL, Algorithms: []string{"ES256"}}
	c := configured(stays, goes)
	k, gone := wantKeys(t, c, "as", "es256-1", "ES256")[0], wantKeys(t, c, "other", "es256-1", "ES256")[0]
	same := of(as)
	same.RefetchInterval = 10 * time.Second // what the zero means
	c.Configure([]Source{same})
	if !c.Holds("as", k) || c.Holds("other", gone) || as.Hits("/jwks") != 1 {
		t.Error("the reload touched what it should not, or kept what it should not")
	}
	wantFault(t, c, "other", "es256-1", "ES256", longAgo())
	c.Configure([]Source{stays, goes})
	wantKeys(t, c, "other", "es256-1", "ES256")
	for name, change := range map[string]func(*Source){
		"issuer":     func(s *Source) { s.Issuer += "/" },
		"discovery":  func(s *Source) { s.DiscoveryURL = "http://localhost/x" },
		"jwks_uri":   func(s *Source) { s.JWKSURI = "http://localhost/x" },
		"file":       func(s *Source) { s.File = "x" },
		"authority":  func(s *Source) { s.RootCAs = roots(t, start(t, devissuer.Options{TLS: true})) },
		"http":       func(s *Source) { s.InsecureHTTP = true },
		"algorithms": func(s *Source) { s.Algorithms = []string{"PS256"} },
	} {
		changed := stays
		change(&changed)
		c.Configure([]Source{changed})
		if s := c.Status()[0]; s.Ready {
			t.Errorf("%s: the state before the change is kept", name)
		}
	}
}

// What does not decide which keys these are costs none when it changes, though
// the issuer is away, and makes them no younger.
func TestCacheConfigureKeepsKeys(t *testing.T) {
	for name, change := range map[string]func(*Source){
		"interval": func(s *Source) { s.RefetchInterval = time.Second },
		"leeway":   func(s *Source) { s.Leeway = time.Minute },
		"label":    func(s *Source) { s.Label = "x" },
		"optional": func(s *Source) { s.Optional = true },
	} {
		t.Run(name, func(t *testing.T) {
			as := start(t, devissuer.Options{})
			synctest.Test(t, func(t *testing.T) {
				source := of(as)
				c := configured(source)
				k := wantKeys(t, c, "as", "es256-1", "ES256")[0]
				as.Fail(devissuer.Fault{Reset: true})
				time.Sleep(12 * time.Hour)
				change(&source)
				c.Configure([]Source{source})
				if s := c.Status()[0]; !c.Holds("as", k) || !s.Ready || time.Since(s.LastSuccess) < 12*time.Hour {
					t.Errorf("after the change: %+v", s)
				}
				time.Sleep(12 * time.Hour)
				if c.Holds("as", k) {
					t.Error("the change made the keys younger")
				}
			})
		})
	}
}

// ALG-09: what was read for one list of algorithms is not served for another.
func TestCacheAlgorithms(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jwks.json")
	write(t, name, setOf(jwkFor("RS256").with(members{"kid": "r"}).text()))
	c := configured(Source{Name: "file", File: name})
	k := wantKeys(t, c, "file", "r", "RS256")[0]
	c.Configure([]Source{{Name: "file", File: name, Algorithms: []string{"PS256"}}})
	wantKeys(t, c, "file", "r", "PS256")
	wantNoKey(t, c, "file", "r", "RS256", longAgo())
	if c.Holds("file", k) {
		t.Error("the key is held with its old algorithm")
	}
}

func write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

// running starts Run in a synctest bubble and ends it with the test.
func running(t *testing.T, c *Cache) {
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		run.Wait()
	})
}

// KEY-10, KEY-12, KEY-15, R-02: a set on disk, replaced and lost.
func TestCacheFile(t *testing.T) {
	a, b := jwkFor("ES256").with(members{"kid": "a"}).text(), jwkFor("EdDSA").with(members{"kid": "b"}).text()
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "jwks.json")
		write(t, name, setOf(a))
		var changes atomic.Int64 // read while loads go on
		c := NewCache(Options{OnLoad: func(_ string, l Load) {
			if l.Changed {
				changes.Add(1)
			}
		}})
		running(t, c)
		c.Configure([]Source{{Name: "file", Issuer: "https://as.example.com", File: name}})
		synctest.Wait()
		ka := wantKeys(t, c, "file", "a", "ES256")[0]
		time.Sleep(time.Hour)
		synctest.Wait()
		if !c.Holds("file", ka) || changes.Load() != 1 {
			t.Fatalf("%d changes", changes.Load())
		}
		write(t, name, setOf(b, a))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		kb := wantKeys(t, c, "file", "b", "EdDSA")[0]
		if !c.Holds("file", ka) {
			t.Error("the key that stayed is lost")
		}
		write(t, name, setOf(b))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if c.Holds("file", ka) || !c.Holds("file", kb) || changes.Load() != 3 {
			t.Errorf("withdrawn key held: %v; %d changes", c.Holds("file", ka), changes.Load())
		}
		write(t, name, []byte("{"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24*time.Hour - 2*time.Minute)
		synctest.Wait()
		wantKeys(t, c, "file", "b", "EdDSA")
		if s := c.Status()[0]; !s.Ready || s.Err == "" {
			t.Errorf("status %+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantFault(t, c, "file", "b", "EdDSA", longAgo())
		if c.Holds("file", kb) || c.Status()[0].Ready {
			t.Error("a key outlived max_stale")
		}
		write(t, name, setOf(a))
		time.Sleep(36 * time.Second)
		synctest.Wait()
		wantKeys(t, c, "file", "a", "ES256")
	})
}

// an empty set is believed when it stays, not when it flickers.
func TestCacheEmptySet(t *testing.T) {
	a := setOf(jwkFor("ES256").with(members{"kid": "a"}).text())
	for name, empty := range map[string]string{"empty": `{"keys":[]}`, "nothing usable": `{"keys":[{"kty":"AKP","kid":"pq"}]}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "jwks.json")
				write(t, file, a)
				c := configured(Source{Name: "file", File: file})
				running(t, c)
				synctest.Wait()
				k := wantKeys(t, c, "file", "a", "ES256")[0]
				for range 3 { // flickers
					write(t, file, []byte(empty))
					time.Sleep(50 * time.Second)
					if !c.Holds("file", k) {
						t.Fatal("believed too soon")
					}
					write(t, file, a)
					time.Sleep(40 * time.Second)
				}
				write(t, file, []byte(empty))
				time.Sleep(59 * time.Second)
				wantKeys(t, c, "file", "a", "ES256")
				time.Sleep(80 * time.Second)
				if c.Holds("file", k) || c.Status()[0].Ready || c.Status()[0].Err != "" {
					t.Errorf("not believed: %+v", c.Status())
				}
				wantFault(t, c, "file", "a", "ES256", longAgo())
				write(t, file, a)
				time.Sleep(6 * time.Second)
				if !c.Holds("file", wantKeys(t, c, "file", "a", "ES256")[0]) {
					t.Error("the key is not back")
				}
			})
		})
	}
}

// Neither three answers at once nor a minute with two are enough.
func TestCacheEmptyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "jwks.json")
		write(t, file, []byte(`{"keys":[]}`))
		e := configured(Source{Name: "file", File: file}).entries.Load().byName["file"]
		for i, step := range []struct {
			after    time.Duration
			believed bool
		}{{0, false}, {time.Hour, false}, {0, true}, {0, true}} {
			time.Sleep(step.after)
			if _, _, err := e.load(t.Context()); (err == nil) != step.believed {
				t.Errorf("answer %d: %v", i+1, err)
			}
		}
	})
}

// an empty set from the start is a reason to wait, not to refuse.
func TestCacheEmptyFromTheStart(t *testing.T) {
	as := start(t, devissuer.Options{})
	as.SetJWKS([]byte(`{"keys":[]}`))
	c := configured(of(as))
	wantFault(t, c, "as", "es256-1", "ES256", longAgo())
}

// Run follows Configure, and ends what it began.
func TestCacheRun(t *testing.T) {
	a := setOf(jwkFor("ES256").with(members{"kid": "a"}).text())
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		source := func(name string) Source {
			file := filepath.Join(dir, name)
			write(t, file, a)
			return Source{Name: name, File: file}
		}
		var loads sync.Map
		c := NewCache(Options{OnLoad: func(name string, _ Load) {
			n, _ := loads.LoadOrStore(name, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		}})
		count := func(name string) int64 {
			n, ok := loads.Load(name)
			if !ok {
				return 0
			}
			return n.(*atomic.Int64).Load()
		}
		one, two := source("one"), source("two")
		running(t, c)
		synctest.Wait()
		c.Configure([]Source{one})
		c.Configure([]Source{one, two})
		time.Sleep(time.Second)
		if count("one") != 1 || count("two") != 1 {
			t.Errorf("%d and %d loads", count("one"), count("two"))
		}
		c.Configure([]Source{two})
		time.Sleep(time.Minute)
		if count("one") != 1 || count("two") < 10 {
			t.Errorf("%d and %d loads after one is gone", count("one"), count("two"))
		}
	})
}

func BenchmarkHolds(b *testing.B) {
	name := filepath.Join(b.TempDir(), "jwks.json")
	if err := os.WriteFile(name, setOf(jwkFor("ES256").with(members{"kid": "a"}).text()), 0o600); err != nil {
		b.Fatal(err)
	}
	c := configured(Source{Name: "file", File: name})
	keys, err := c.Keys(b.Context(), "file", "a", "ES256", time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !c.Holds("file", keys[0]) {
			b.Fatal("not held")
		}
	}
}
