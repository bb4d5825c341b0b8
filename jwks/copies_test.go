package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/internal/keep"
)

// copying is a cache with copies in a folder, running, and what it told of them.
type copying struct {
	*Cache
	mu   sync.Mutex // guards told
	told []Copied
}

func copyingIn(folder string, sources ...Source) *copying {
	c := &copying{}
	c.Cache = NewCache(Options{Folder: folder, OnCopy: func(_ string, one Copied) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, one)
	}})
	c.Configure(sources)
	return c
}

func (c *copying) results() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.told {
		list = append(list, one.Result)
	}
	return list
}

// once loads the keys and writes the copy.
func (c *copying) once(t *testing.T, source Source) {
	t.Helper()
	if _, err := c.Keys(t.Context(), source.Name, "", "ES256", time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.copies.flush()
}

// Every kind of key comes back as it was, under its name and for its use, and
// nothing else that the issuer published is written.
func TestCopyHoldsPublicKeysOnly(t *testing.T) {
	as := start(t, devissuer.Options{Algorithms: []string{"ES256", "ES384", "ES512", "RS256", "PS384", "EdDSA"}})
	as.Publish(json.RawMessage(`{"kty":"oct","kid":"mac","k":"c2VjcmV0LXN5bW1ldHJpYw","alg":"HS256"}`))
	as.Publish(json.RawMessage(jwkFor("ES256").with(members{"kid": "private", "d": "c2VjcmV0LXByaXZhdGU"}).text()))
	as.Publish(json.RawMessage(jwkFor("ES256").with(members{"kid": "\u00fc \"<&>", "x-more": "not-ours", "x5t": "AAAA"}).text()))
	as.Publish(json.RawMessage(jwkFor("EdDSA").with(members{"kid": nil}).text()))
	dir, source := filepath.Join(t.TempDir(), "keys"), of(as)
	first := copyingIn(dir, source)
	first.once(t, source)
	text, err := os.ReadFile(filepath.Join(dir, source.copyName()))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"c2VjcmV0", "not-ours", "x5t", `"k":`, `"d":`, "oct", "HS256"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is in the copy", secret)
		}
	}
	as.Fail(devissuer.Fault{Reset: true})
	second := copyingIn(dir, source)
	want, _, _ := first.entries.Load().byName["as"].current.Peek()
	got, loaded, _ := second.entries.Load().byName["as"].current.Peek()
	if want.Len() != 8 || !slices.EqualFunc(want.keys, got.keys, (*Key).same) {
		t.Errorf("%d keys went out, %d came back", want.Len(), got.Len())
	}
	if first.Status()[0].LastSuccess.Sub(loaded).Abs() > time.Second {
		t.Errorf("loaded %s, want %s", loaded, first.Status()[0].LastSuccess)
	}
	if r := slices.Concat(first.results(), second.results()); !slices.Equal(r, []string{CopyWritten, CopyRestored}) {
		t.Errorf("told %v", r)
	}
}

// A copy serves the source it was made for, and no other.
func TestCopyIsBoundToItsSource(t *testing.T) {
	as := start(t, devissuer.Options{})
	dir, source := filepath.Join(t.TempDir(), "keys"), of(as)
	copyingIn(dir, source).once(t, source)
	as.Fail(devissuer.Fault{Reset: true})
	for name, change := range map[string]func(*Source){
		"discovery": func(s *Source) { s.DiscoveryURL = as.URL }, "jwks_uri": func(s *Source) { s.JWKSURI = as.URL }, "algorithms": func(s *Source) { s.Algorithms = []string{"ES256"} },
		"authorities": func(s *Source) { s.RootsID = "other" }, "hosts": func(s *Source) { s.Hosts = []string{"a.example.com"} }, "http": func(s *Source) { s.InsecureHTTP = true },
		"own token": func(s *Source) { s.BearerTokenFile = "token" },
	} {
		other := source
		change(&other)
		c := copyingIn(dir, other)
		if !slices.Equal(c.results(), []string{CopyIgnored}) || c.Status()[0].Ready || !errors.Is(c.told[0].Err, errCopySettings) {
			t.Errorf("%s: %+v", name, c.told)
		}
	}
	// Neither under another file's name.
	stranger := Source{Name: "b", Issuer: "https://b.example.com"}
	if err := os.Rename(filepath.Join(dir, source.copyName()), filepath.Join(dir, stranger.copyName())); err != nil {
		t.Fatal(err)
	}
	if c := copyingIn(dir, stranger); !slices.Equal(c.results(), []string{CopyIgnored}) || c.Status()[0].Ready {
		t.Errorf("another issuer's: %+v", c.told)
	}
	if c := copyingIn(dir, source); len(c.results()) != 0 || c.Status()[0].Ready {
		t.Errorf("none: %+v", c.told)
	}
}

// What is in the form of a file and not in that of a copy is not used.
func TestCopyForm(t *testing.T) {
	as := start(t, devissuer.Options{})
	source := of(as)
	key := jwkFor("ES256").with(members{"kid": "a"}).text()
	now := time.Now()
	form := func(settings string, loaded time.Time, keys string) string {
		return fmt.Sprintf(`{"settings":%q,"loaded":%q,"fresh":1,"keys":%s}`, settings, loaded.Format(time.RFC3339Nano), keys)
	}
	settings := source.settings()
	for name, test := range map[string]struct {
		text string
		good bool
	}{
		"good": {form(settings, now, "["+key+"]"), true}, "a little ahead": {form(settings, now.Add(30*time.Second), "["+key+"]"), true}, "empty set": {form(settings, now, "[]"), true},
		"no JSON": {"x", false}, "no keys": {form(settings, now, "null"), false}, "no date": {`{"settings":"` + settings + `","keys":[]}`, false},
		"too old": {form(settings, now.Add(-24*time.Hour), "["+key+"]"), false}, "almost too old": {form(settings, now.Add(-24*time.Hour+time.Minute), "["+key+"]"), true},
		"ahead": {form(settings, now.Add(2*time.Minute), "["+key+"]"), false}, "other settings": {form("x", now, "["+key+"]"), false},
		"private": {form(settings, now, `[`+jwkFor("ES256").with(members{"d": "AAAA"}).text()+`]`), false}, "symmetric": {form(settings, now, `[{"kty":"oct","k":"AAAA"}]`), false},
		"weak": {form(settings, now, `[{"kty":"RSA","n":"AQAB","e":"AQAB"}]`), false}, "keys twice": {strings.TrimSuffix(form(settings, now, "["+key+"]"), "}") + `,"keys":[]}`, false},
	} {
		dir := filepath.Join(t.TempDir(), "keys")
		if err := keep.New(dir).Write(source.copyName(), []byte(test.text)); err != nil {
			t.Fatal(err)
		}
		c := copyingIn(dir, source)
		want := CopyIgnored
		if test.good {
			want = CopyRestored
		}
		if got := c.results(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %s", name, c.told, want)
		}
	}
}

// A set that was believed to be empty is empty after a restart too.
func TestCopyOfEmptySet(t *testing.T) {
	as := start(t, devissuer.Options{})
	dir, source := filepath.Join(t.TempDir(), "keys"), of(as)
	synctest.Test(t, func(t *testing.T) {
		c := copyingIn(dir, source)
		running(t, c.Cache)
		time.Sleep(time.Second)
		as.SetJWKS([]byte(`{"keys":[]}`))
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		as.Fail(devissuer.Fault{Reset: true})
		again := copyingIn(dir, source)
		if s := again.Status()[0]; s.Ready || s.LastSuccess.IsZero() || !slices.Equal(again.results(), []string{CopyRestored}) {
			t.Errorf("%+v, %+v", s, again.told)
		}
		wantFault(t, again.Cache, "as", "es256-1", "ES256", longAgo())
	})
}

// A folder that cannot be written to is told of, and keys go on.
func TestCopyFails(t *testing.T) {
	as := start(t, devissuer.Options{})
	dir, source := filepath.Join(t.TempDir(), "no", "parent"), of(as)
	c := copyingIn(dir, source)
	c.once(t, source)
	if r := c.results(); !slices.Equal(r, []string{CopyFailed}) || c.told[0].Err == nil {
		t.Errorf("%+v", c.told)
	}
	wantKeys(t, c.Cache, "as", "es256-1", "ES256")
}

// The place of the keys comes back too: metadata that cannot be had is no
// reason to do without keys that can.
func TestCopyKnowsThePlace(t *testing.T) {
	as := start(t, devissuer.Options{})
	dir, source := filepath.Join(t.TempDir(), "keys"), of(as)
	copyingIn(dir, source).once(t, source)
	if _, err := as.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{oauthPlace, oidcPlace} {
		as.Fail(devissuer.Fault{Path: place, Status: 500})
	}
	c := copyingIn(dir, source)
	wantKeys(t, c.Cache, "as", "es256-2", "ES256")
}

func TestCheckHost(t *testing.T) {
	own := []string{"https://as.example.com/t1", "https://meta.example.com:8443/x", ""}
	listed := []string{"keys.example.com", "odd.example.com:444", "[2001:db8::1]:445"}
	for address, good := range map[string]bool{
		"https://as.example.com/jwks": true, "https://AS.example.com:443/jwks": true, "https://as.example.com./jwks": true, "https://meta.example.com:8443/": true,
		"https://keys.example.com/k": true, "https://keys.example.com:443/k": true, "https://odd.example.com:444/": true, "https://[2001:db8::1]:445/": true, "https://[2001:DB8::1]:445/": true,
		"https://as.example.com:8443/jwks": false, "http://as.example.com/jwks": false, "https://meta.example.com/": false, "https://keys.example.com:444/": false, "https://odd.example.com/": false,
		"https://evil.as.example.com/": false, "https://as.example.com.evil.example/": false, "https://as.example.com@evil.example/": false, "https://evil.example/#as.example.com": false,
		"https://169.254.169.254/": false, "https://127.0.0.1/": false, "": false, "::": false, "https://": false, "file:///etc/passwd": false, "https://a b/": false, "//as.example.com/jwks": false,
	} {
		if err := CheckHost("jwks_uri", address, own, listed); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
	err := CheckHost("jwks_uri", "https://keys.elsewhere.example:8443/secret-path", own, nil)
	if err == nil || !strings.Contains(err.Error(), "keys.elsewhere.example:8443 as jwks_uri") || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("it says %v", err)
	}
}

// KEY-16: the documents of one issuer must agree.
func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*devissuer.Running)
		want  int
	}{
		"agree":    {func(*devissuer.Running) {}, 0},
		"one only": {func(is *devissuer.Running) { is.Change(func(o *devissuer.Options) { o.Metadata = devissuer.OIDC }) }, 0},
		"other keys": {func(is *devissuer.Running) {
			is.Fail(devissuer.Fault{Path: oidcPlace, Body: fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":"%s/other"}`, is.URL, is.URL)})
		}, 1},
		"other issuer": {func(is *devissuer.Running) {
			is.Fail(devissuer.Fault{Path: oidcPlace, Body: fmt.Appendf(nil, `{"issuer":"%s/","jwks_uri":"%s/jwks"}`, is.URL, is.URL)})
		}, 1},
		"away": {func(is *devissuer.Running) { is.Fail(devissuer.Fault{Path: oidcPlace, Status: 500}) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			as := start(t, devissuer.Options{})
			test.spoil(as)
			if got := Compare(t.Context(), fetch.NewClient(fetch.ClientOptions{}), as.URL); len(got) != test.want {
				t.Errorf("%q", got)
			}
			synctest.Test(t, func(t *testing.T) {
				var told int
				c := NewCache(Options{OnDisagree: func(string, string) { told++ }})
				c.Configure([]Source{of(as)})
				running(t, c)
				before := len(as.Requests())
				time.Sleep(10 * time.Second)
				if n := len(as.Requests()) - before; n > 3 {
					t.Errorf("%d requests at the start", n)
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if told != test.want {
					t.Errorf("told of %d differences", told)
				}
			})
		})
	}
}

// The date of an issuer's answers tells its clock, once it is off and once it
// is right again.
func TestSkew(t *testing.T) {
	as := start(t, devissuer.Options{})
	source := of(as)
	source.Leeway, source.RefetchInterval = 30*time.Second, 1
	var loads []Skew
	c := NewCache(Options{OnLoad: func(_ string, l Load) { loads = append(loads, l.Skew) }})
	c.Configure([]Source{source})
	for _, ahead := range []time.Duration{0, 29 * time.Second, -20 * time.Second, 40 * time.Second, time.Hour, 0, -40 * time.Second} {
		as.Heal()
		as.Fail(devissuer.Fault{Path: "/jwks", Header: map[string][]string{"Date": {time.Now().Add(ahead).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}}})
		_, _ = c.Keys(t.Context(), "as", "unknown", "ES256", longAgo())
		if s := c.Status()[0].Skew; !s.Known || (s.Ahead-ahead).Abs() > 2*time.Second || s.Beyond != (ahead.Abs() > 31*time.Second) {
			t.Errorf("%s ahead: %+v", ahead, s)
		}
	}
	var news []bool
	for _, s := range loads {
		if s.News {
			news = append(news, s.Beyond)
		}
	}
	if !slices.Equal(news, []bool{true, false, true}) {
		t.Errorf("news %v", news)
	}
}

// An issuer that is asked about its tokens may do without keys.
func TestOptionalKeys(t *testing.T) {
	as := start(t, devissuer.Options{Members: map[string]json.RawMessage{"jwks_uri": nil}})
	for optional, ready := range map[bool]bool{true: true, false: false} {
		source := of(as)
		source.Optional = optional
		c := configured(source)
		wantFault(t, c, "as", "k", "ES256", longAgo())
		if s := c.Status()[0]; s.Ready != ready || !strings.Contains(s.Err, "no jwks_uri") {
			t.Errorf("optional %t: %+v", optional, s)
		}
	}
}

// It may publish a set without keys as well, also once that is believed. One
// that had keys and is out of reach for too long is in trouble all the same.
func TestOptionalKeysEmpty(t *testing.T) {
	as := start(t, devissuer.Options{})
	synctest.Test(t, func(t *testing.T) {
		source := of(as)
		source.Optional = true
		c := configured(source)
		wantKeys(t, c, "as", "es256-1", "ES256")
		as.SetJWKS([]byte(`{"keys":[]}`))
		for range 4 {
			time.Sleep(time.Minute)
			_, _ = c.Keys(t.Context(), "as", "unknown", "ES256", longAgo()) // asks for the set
		}
		if s := c.Status()[0]; !s.Ready || s.Keys != 0 || s.Err != "" {
			t.Errorf("without keys by its own word: %+v", s)
		}
		as.SetJWKS(nil)
		time.Sleep(time.Minute)
		wantKeys(t, c, "as", "es256-1", "ES256")
		as.Fail(devissuer.Fault{Reset: true})
		time.Sleep(25 * time.Hour)
		if s := c.Status()[0]; s.Ready {
			t.Errorf("its keys are too old: %+v", s)
		}
	})
}
