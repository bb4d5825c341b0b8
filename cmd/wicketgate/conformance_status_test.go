package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// statusRows are the rows about status lists, and those about signed answers of
// introspection.
var statusRows = []conformanceRow{
	{"TSL-01", rowTSL01}, {"TSL-02", rowTSL02}, {"TSL-03", rowTSL03}, {"TSL-04", rowTSL04}, {"TSL-05", rowTSL05},
	{"TSL-06", rowTSL06}, {"TSL-07", rowTSL07}, {"TSL-08", rowTSL08}, {"TSL-09", rowTSL09}, {"TSL-10", rowTSL10},
	{"INTR-17", rowINTR17}, {"INTR-19", rowINTR19},
}

const listPath = "/status/1"

// listing is a fixture whose issuer A publishes a status list of 16 tokens of
// two bits each, the first four with the statuses 0 to 3.
type listing struct {
	*introspecting
	uri string
}

func newListing(t *testing.T, settings string) *listing {
	t.Helper()
	return newListingOf(t, devissuer.Options{}, settings, nil)
}

// newListingOf lets edit change the configuration too; ISSUER in settings is
// the issuer.
func newListingOf(t *testing.T, o devissuer.Options, settings string, edit func(string) string) *listing {
	t.Helper()
	l := &listing{introspecting: &introspecting{dir: t.TempDir()}}
	f := newFixtureOf(t, o, func(is *devissuer.Running) {
		l.uri = is.SetStatusList(listPath, devissuer.StatusList{Bits: 2, Statuses: []uint8{0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}})
		settings = strings.ReplaceAll(settings, "ISSUER", is.Identifier())
	}, func(text string) string {
		if !strings.Contains(settings, "allow") {
			settings += `, allow: ["` + strings.TrimSuffix(l.uri, "1") + `"]`
		}
		text = instead(t, text, "{name: a, ", "{name: a, status_list: {"+strings.Trim(settings, ", ")+"}, ")
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	l.siege = besiege(f)
	return l
}

// at is the status claim of the token at an index of the list.
func (l *listing) at(index any) changes {
	return changes{"status": changes{"status_list": changes{"idx": index, "uri": l.uri}}}
}

func (l *listing) list(change func(*devissuer.StatusList)) {
	list := devissuer.StatusList{Bits: 2, Statuses: make([]uint8, 16)}
	change(&list)
	l.a.SetStatusList(listPath, list)
}

func (l *listing) fetches() int { return l.a.Hits(listPath) }

func (l *listing) wantFetches(t *testing.T, n int) {
	t.Helper()
	if got := l.fetches(); got != n {
		t.Errorf("the list was fetched %d times, want %d", got, n)
	}
}

// unknown sends a token whose status nobody can tell.
func (l *listing) unknown(t *testing.T, raw string) {
	t.Helper()
	l.wantUndecided(t, l.sendToken(raw), l.reached)
	l.moved(t, token.ReasonStatusUnavailable)
}

func rowTSL01(t *testing.T) {
	l := newListing(t, "")
	past := time.Now().Unix() - 60
	for name, c := range map[string]struct {
		raw    string
		reason token.Reason
	}{
		"expired":   {l.AT(with(l.at(0), changes{"exp": past})), token.ReasonExpired},
		"audience":  {l.AT(with(l.at(0), changes{"aud": "other"})), token.ReasonAudience},
		"signature": {tampered(t, l.AT(l.at(0))), token.ReasonSignature},
		"claims":    {l.AT(with(l.at(0), changes{"sub": nil})), token.ReasonClaim},
	} {
		t.Run(name, func(t *testing.T) { l.repels(t, l.sendToken(c.raw), badToken, c.reason) })
	}
	l.wantFetches(t, 0)
	l.passes(t, l.AT(l.at(0)))
	l.wantFetches(t, 1)
	// A token that names no list is none of this.
	l.passes(t, l.AT(nil))
	l.passes(t, l.mint(l.b, devissuer.Token{Claims: l.at(1)})) // B's claims are not looked at
	l.wantFetches(t, 1)
}

func rowTSL02(t *testing.T) {
	l := newListing(t, "")
	tokens := map[string]string{
		"null": l.AT(changes{"status": json.RawMessage("null")}), "text": l.AT(changes{"status": "active"}), "empty": l.AT(changes{"status": changes{}}),
		"other mechanism": l.AT(changes{"status": changes{"identifier_list": changes{"id": "a", "uri": l.uri}}}),
		"list is text":    l.AT(changes{"status": changes{"status_list": l.uri}}),
		"list is null":    l.AT(changes{"status": changes{"status_list": json.RawMessage("null")}}),
		"list of lists":   l.AT(changes{"status": changes{"status_list": []changes{{"idx": 0, "uri": l.uri}}}}),
		"no idx":          l.AT(changes{"status": changes{"status_list": changes{"uri": l.uri}}}),
		"no uri":          l.AT(changes{"status": changes{"status_list": changes{"idx": 0}}}),
		"uri number":      l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": 1}}}),
		"uri list":        l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": []string{l.uri}}}}),
		"uri empty":       l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": ""}}}),
	}
	for name, idx := range map[string]any{
		"text": "1", "negative": -1, "minus nought": json.RawMessage("-0"), "half": 1.5, "exponent": json.RawMessage("1e0"), "point": json.RawMessage("1.0"),
		"huge": json.RawMessage("18446744073709551616"), "list": []int{0}, "true": true, "null": json.RawMessage("null"),
	} {
		tokens["idx "+name] = l.AT(l.at(idx))
	}
	l.refuses(t, token.ReasonStatusReference, tokens)
	l.wantFetches(t, 0)
}

func rowTSL03(t *testing.T) {
	l := newListing(t, `allow: ["ISSUER/status/", "ISSUER/lists?id=1"]`)
	base := l.a.Identifier()
	tokens := map[string]string{}
	for _, uri := range []string{
		l.b.Identifier() + "/status/1", base + "/other/1", base + "/status", base + "/status/", base + "/statuses/1", base + "/status/../jwks",
		base + "/status/./1", base + "/status//1", base + "/status/%2e%2e/jwks", base + "/status/1?x=y", base + "/status/1#x", base + "/status/1%2f..",
		base + "/status/a\\b", base + "/status/1;a", base + "/lists?id=2", base + "/lists", base + "/lists?id=1&id=2", strings.ToUpper(base) + "/status/1",
		strings.Replace(base, "http://", "https://", 1) + "/status/1", strings.Replace(base, "http://", "http://user@", 1) + "/status/1",
		strings.Replace(base, "http://", "http://"+l.b.Identifier()[7:]+"@", 1) + "/status/1",
		base + "@" + l.b.Identifier()[7:] + "/status/1", base + ".example.com/status/1", "file:///status/1", "/status/1", "urn:status:1", " " + base + "/status/1",
		base + "/status/1\n", base + "/status/" + strings.Repeat("a", 3000),
	} {
		tokens[uri] = l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": uri}}})
	}
	before := len(l.a.Requests())
	l.refuses(t, token.ReasonStatusReference, tokens)
	for _, asked := range l.a.Requests()[before:] {
		if asked != "GET /jwks" && !strings.Contains(asked, ".well-known") {
			t.Errorf("asked for %s", asked)
		}
	}
	if n := l.b.Hits("/status/1"); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	l.passes(t, l.AT(l.at(0)))
	deep := l.a.SetStatusList("/status/2026/a-b_c.d~e", devissuer.StatusList{Statuses: []uint8{0}})
	l.passes(t, l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": deep}}}))
}

// rowTSL04 publishes each wrong list at an address of its own.
func rowTSL04(t *testing.T) {
	key := newClientKey(t, "ES256")
	now := time.Now().Unix()
	wrong := map[string]func(*devissuer.StatusList){
		"typ":          func(l *devissuer.StatusList) { l.Header = changes{"typ": "at+jwt"} },
		"typ JWT":      func(l *devissuer.StatusList) { l.Header = changes{"typ": "JWT"} },
		"no typ":       func(l *devissuer.StatusList) { l.Header = changes{"typ": nil} },
		"crit":         func(l *devissuer.StatusList) { l.Header = changes{"crit": []string{"exp"}} },
		"sub":          func(l *devissuer.StatusList) { l.Claims = changes{"sub": "https://as.example.com/status/1"} },
		"no sub":       func(l *devissuer.StatusList) { l.Claims = changes{"sub": nil} },
		"no iat":       func(l *devissuer.StatusList) { l.Claims = changes{"iat": nil} },
		"iat ahead":    func(l *devissuer.StatusList) { l.Claims = changes{"iat": now + 120} },
		"iat text":     func(l *devissuer.StatusList) { l.Claims = changes{"iat": fmt.Sprint(now)} },
		"nbf ahead":    func(l *devissuer.StatusList) { l.Claims = changes{"nbf": now + 120} },
		"exp past":     func(l *devissuer.StatusList) { l.Claims = changes{"exp": now - 1} },
		"exp text":     func(l *devissuer.StatusList) { l.Claims = changes{"exp": fmt.Sprint(now + 60)} },
		"exp null":     func(l *devissuer.StatusList) { l.Claims = changes{"exp": json.RawMessage("null")} },
		"ttl nought":   func(l *devissuer.StatusList) { l.Claims = changes{"ttl": 0} },
		"ttl negative": func(l *devissuer.StatusList) { l.Claims = changes{"ttl": -60} },
		"ttl text":     func(l *devissuer.StatusList) { l.Claims = changes{"ttl": "60"} },
		"other key":    func(l *devissuer.StatusList) { l.Key = key.Signer },
		"unsecured":    func(l *devissuer.StatusList) { l.Alg = devissuer.None },
		"MAC":          func(l *devissuer.StatusList) { l.Alg, l.Secret = "HS256", []byte("secret") },
		"other alg":    func(l *devissuer.StatusList) { l.Alg = "PS256" },
		"no list":      func(l *devissuer.StatusList) { l.Claims = changes{"status_list": nil} },
		"list is text": func(l *devissuer.StatusList) { l.Claims = changes{"status_list": "eNrbuRgAAhcBXQ"} },
		"no bits":      func(l *devissuer.StatusList) { l.Claims = changes{"status_list": changes{"lst": "eNrbuRgAAhcBXQ"}} },
		"bits 3": func(l *devissuer.StatusList) {
			l.Claims = changes{"status_list": changes{"bits": 3, "lst": "eNrbuRgAAhcBXQ"}}
		},
		"bits 16": func(l *devissuer.StatusList) {
			l.Claims = changes{"status_list": changes{"bits": 16, "lst": "eNrbuRgAAhcBXQ"}}
		},
		"bits text": func(l *devissuer.StatusList) {
			l.Claims = changes{"status_list": changes{"bits": "1", "lst": "eNrbuRgAAhcBXQ"}}
		},
		"lst a list": func(l *devissuer.StatusList) { l.Claims = changes{"status_list": changes{"bits": 1, "lst": []int{1}}} },
		"lst padded": func(l *devissuer.StatusList) {
			l.Claims = changes{"status_list": changes{"bits": 1, "lst": "eNrbuRgAAhcBXQ=="}}
		},
		"lst lines": func(l *devissuer.StatusList) {
			l.Claims = changes{"status_list": changes{"bits": 1, "lst": "eNrbuRg\nAAhcBXQ"}}
		},
		"not deflated": func(l *devissuer.StatusList) { l.Deflated = make([]byte, 16) },
		"cut":          func(l *devissuer.StatusList) { l.Deflated = []byte{0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02} },
		"bad checksum": func(l *devissuer.StatusList) {
			l.Deflated = []byte{0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5e}
		},
		"more follows": func(l *devissuer.StatusList) {
			l.Deflated = []byte{0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5d, 0}
		},
		"access token": func(l *devissuer.StatusList) {
			l.Header, l.Claims = changes{"typ": "at+jwt"}, changes{"aud": testIdentifier}
		},
		"claims beside": func(l *devissuer.StatusList) { l.RawPayload = []byte(`{"sub":"a","sub":"b"}`) },
	}
	l := newListingOf(t, devissuer.Options{Algorithms: []string{"ES256", "PS256"}}, "", func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, algorithms: [ES256], ")
	})
	n := 0
	serve := func(change func(*devissuer.StatusList)) string {
		n++
		list := devissuer.StatusList{Bits: 2, Statuses: make([]uint8, 16)}
		change(&list)
		return l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": l.a.SetStatusList(fmt.Sprintf("/status/n%d", n), list)}}})
	}
	for name, change := range wrong {
		t.Run(name, func(t *testing.T) { l.unknown(t, serve(change)) })
	}
	for name, f := range map[string]devissuer.Fault{
		"media type JSON": {ContentType: "application/json"}, "media type JWT": {ContentType: "application/jwt"}, "CWT": {ContentType: "application/statuslist+cwt"},
		"HTML": {ContentType: "text/html", Body: []byte("<html>")}, "no JWT": {Body: []byte("a.b.c")}, "two": {Body: []byte("a")},
	} {
		t.Run(name, func(t *testing.T) {
			raw := serve(func(*devissuer.StatusList) {})
			f.Path = fmt.Sprintf("/status/n%d", n)
			l.a.Fail(f)
			l.unknown(t, raw)
		})
	}
	for name, change := range map[string]func(*devissuer.StatusList){
		"plain": func(*devissuer.StatusList) {}, "typ in full": func(l *devissuer.StatusList) { l.Header = changes{"typ": "application/statuslist+jwt"} },
		"no exp": func(l *devissuer.StatusList) { l.Claims = changes{"exp": nil} }, "clocks differ": func(l *devissuer.StatusList) { l.Claims = changes{"iat": now + 30} },
		"unknown claims": func(l *devissuer.StatusList) { l.Claims = changes{"aggregation_uri": "x", "aud": []string{"a"}} },
	} {
		t.Run(name, func(t *testing.T) { l.passes(t, serve(change)) })
	}
	l.wantFetches(t, 0)
}

func rowTSL05(t *testing.T) {
	l := newListing(t, "")
	l.a.SetStatusList(listPath, devissuer.StatusList{Bits: 1, Statuses: make([]uint8, 16)})
	l.passes(t, l.AT(l.at(15)))
	l.refuses(t, token.ReasonStatusReference, map[string]string{
		"one": l.AT(l.at(16)), "far": l.AT(l.at(1 << 20)), "last": l.AT(l.at(json.RawMessage("9223372036854775807"))), "farther": l.AT(l.at(json.RawMessage("9223372036854775808"))),
	})
	l.wantFetches(t, 1)
}

// rowTSL06 serves the lists of the draft's appendix as they are printed there.
func rowTSL06(t *testing.T) {
	var vectors []struct {
		Bits     int
		Lst      string
		Statuses [][2]int
	}
	text, err := os.ReadFile(filepath.Join(repository, "validator/status/testdata/vectors.json"))
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil || len(vectors) != 4 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	l := newListing(t, "accept: [3, 255]")
	for _, v := range vectors {
		t.Run(fmt.Sprintf("%d bits", v.Bits), func(t *testing.T) {
			deflated, err := base64.RawURLEncoding.DecodeString(v.Lst)
			if err != nil {
				t.Fatal(err)
			}
			uri := l.a.SetStatusList(fmt.Sprintf("/status/bits%d", v.Bits), devissuer.StatusList{Bits: v.Bits, Deflated: deflated})
			for _, s := range slices.Concat(v.Statuses, [][2]int{{1, 0}, {1<<20 - 1, 0}}) {
				raw := l.AT(changes{"status": changes{"status_list": changes{"idx": s[0], "uri": uri}}})
				if s[1] == 0 || s[1] == 3 || s[1] == 255 {
					l.passes(t, raw)
					continue
				}
				l.repels(t, l.sendToken(raw), badToken, token.ReasonStatusRevoked)
			}
		})
	}
}

func rowTSL07(t *testing.T) {
	l := newListing(t, "")
	l.passes(t, l.AT(l.at(0)))
	l.refuses(t, token.ReasonStatusRevoked, map[string]string{"invalid": l.AT(l.at(1)), "suspended": l.AT(l.at(2)), "application's": l.AT(l.at(3))})
	kind := newListing(t, "accept: [3]")
	kind.passes(t, kind.AT(kind.at(3)))
	kind.refuses(t, token.ReasonStatusRevoked, map[string]string{"invalid": kind.AT(kind.at(1)), "suspended": kind.AT(kind.at(2))})
}

// rowTSL08 tries what can be seen without waiting: HTTP has no say where the
// list has, and what was fetched serves all. The times are tried in package
// status.
func rowTSL08(t *testing.T) {
	l := newListing(t, "")
	l.a.Fail(devissuer.Fault{Path: listPath, Header: http.Header{"Cache-Control": {"no-store"}}})
	l.list(func(s *devissuer.StatusList) { s.TTL = time.Minute })
	for range 3 {
		l.passes(t, l.AT(l.at(0)))
		l.passes(t, l.AT(l.at(5)))
	}
	l.wantFetches(t, 1)
	if got := l.count(`status_list_fetches_total{issuer="a",result="ok"}`); got != "1" {
		t.Errorf("%s fetches are counted", got)
	}
	if lists, size := l.count(`status_lists{issuer="a"}`), l.count(`status_list_bytes{issuer="a"}`); lists != "1" || size != "4" {
		t.Errorf("%s lists of %s octets are shown", lists, size)
	}
	t.Run("many at once", func(t *testing.T) {
		l := newListing(t, "")
		release := make(chan struct{})
		l.a.Fail(devissuer.Fault{Path: listPath, Until: release})
		var group sync.WaitGroup
		for range 100 {
			raw := l.AT(l.at(0))
			group.Go(func() { wantPassed(t, l.sendToken(raw)) })
		}
		eventually(t, "a fetch", func() bool { return l.fetches() > 0 })
		close(release)
		group.Wait()
		l.wantFetches(t, 1)
	})
	t.Run("a cached token too", func(t *testing.T) {
		l := newListing(t, "")
		raw := l.AT(l.at(0))
		l.passes(t, raw)
		l.a.SetStatus(listPath, 0, 1)
		l.passes(t, raw) // the list that is at hand says so
		l.rewrite("status_list: {", "status_list: {accept: [9], ")
		l.gateway.tryReload("test")
		l.wantReload("1")
		l.passes(t, raw) // a reload forgets no list
		l.wantFetches(t, 1)
	})
}

// rowTSL09 serves a gibibyte of noughts, and the longest list there may be.
func rowTSL09(t *testing.T) {
	l := newListing(t, "")
	l.list(func(s *devissuer.StatusList) { s.Deflated = bomb(t, 1<<10, false) })
	l.unknown(t, l.AT(l.at(0)))
	large := l.a.SetStatusList("/status/large", devissuer.StatusList{Bits: 8, Deflated: bomb(t, 16, true)})
	l.passes(t, l.AT(changes{"status": changes{"status_list": changes{"idx": 1<<24 - 1, "uri": large}}}))
	l.a.Fail(devissuer.Fault{Path: "/status/body", Body: bytes.Repeat([]byte("a"), 8<<20+1)})
	body := l.a.SetStatusList("/status/body", devissuer.StatusList{})
	l.unknown(t, l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": body}}}))
}

// bomb inflates to so many mebibytes of noughts, and with whole ends as a stream
// must.
func bomb(t *testing.T, mebibytes int, whole bool) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	part, from := make([]byte, 1<<20), 0
	write := func() {
		from = out.Len()
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write()
	if !whole { // each part after the first is the same
		return append(out.Bytes(), bytes.Repeat(out.Bytes()[from:], mebibytes-2)...)
	}
	for range mebibytes - 2 {
		write()
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func rowTSL10(t *testing.T) {
	for name, f := range map[string]devissuer.Fault{
		"500": {Status: 500}, "404": {Status: 404}, "204": {Status: 204}, "redirect": {Redirect: "/elsewhere"}, "reset": {Reset: true}, "cut": {Truncate: 20},
		"gzip": {Header: http.Header{"Content-Encoding": {"gzip"}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newListing(t, "on_unavailable: deny")
			f.Path = listPath
			l.a.Fail(f)
			l.unknown(t, l.AT(l.at(0)))
			l.passes(t, l.AT(nil))
			if n := l.a.Hits("/elsewhere"); n != 0 {
				t.Errorf("a redirect was followed %d times", n)
			}
			if got := l.count(`status_list_fetches_total{issuer="a",result="error"}`); got == "" || got == "0" {
				t.Errorf("%q are counted", got)
			}
		})
	}
	t.Run("no proof is used up", func(t *testing.T) {
		l := newListing(t, "")
		l.a.Fail(devissuer.Fault{Path: listPath, Status: 500})
		key := newClientKey(t, "ES256")
		raw := l.bound(key, l.at(0))
		proof := l.proof(key, raw, "GET", "/read", devissuer.Proof{})
		send := func() *reply { return l.do("GET", "/read", "Authorization", "DPoP "+raw, "Dpop", proof) }
		l.wantUndecided(t, send(), l.reached)
		l.moved(t, token.ReasonStatusUnavailable)
		l.a.Heal()
		eventually(t, "the list", func() bool { return l.sendToken(l.AT(l.at(0))).StatusCode == http.StatusOK })
		wantPassed(t, send())
	})
}

func rowINTR17(t *testing.T) {
	a := newAsking(t, "signed: required")
	raw := a.opaque(nil)
	a.passes(t, raw)
	asked := a.a.Questions()
	if got := asked[len(asked)-1].Header.Values("Accept"); !slices.Equal(got, []string{"application/token-introspection+jwt"}) {
		t.Errorf("Accept %v", got)
	}
	revoked := a.opaque(nil)
	a.a.Revoke(revoked)
	a.refuses(t, token.ReasonInactive, map[string]string{"inactive": revoked})
	a.refuses(t, token.ReasonAudience, map[string]string{"audience": a.answering(changes{"aud": "other"})})
	a.refuses(t, token.ReasonExpired, map[string]string{"expired": a.answering(changes{"exp": time.Now().Unix() - 60})})
	now := time.Now().Unix()
	key := newClientKey(t, "ES256")
	inside := changes{"active": true, "aud": testIdentifier, "iss": a.a.Identifier()}
	for name, c := range map[string]devissuer.Token{
		"typ":                 {Header: changes{"typ": "at+jwt"}},
		"no typ":              {Header: changes{"typ": nil}},
		"typ JWT":             {Header: changes{"typ": "JWT"}},
		"iss":                 {Claims: changes{"iss": a.b.Identifier()}},
		"iss slash":           {Claims: changes{"iss": a.a.Identifier() + "/"}},
		"no iss":              {Claims: changes{"iss": nil}},
		"aud":                 {Claims: changes{"aud": "other"}},
		"aud is the resource": {Claims: changes{"aud": testIdentifier}},
		"no aud":              {Claims: changes{"aud": nil}},
		"iat old":             {Claims: changes{"iat": now - 120}},
		"iat ahead":           {Claims: changes{"iat": now + 120}},
		"no iat":              {Claims: changes{"iat": nil}},
		"iat text":            {Claims: changes{"iat": "now"}},
		"other key":           {Key: key.Signer},
		"unsecured":           {Alg: devissuer.None},
		"MAC":                 {Alg: "HS256", Secret: []byte(gateSecret)},
		"not there":           {Claims: changes{"token_introspection": nil}},
		"a text":              {Claims: changes{"token_introspection": `{"active":true}`}},
		"a list":              {Claims: changes{"token_introspection": []changes{inside}}},
		"empty":               {Claims: changes{"token_introspection": changes{}}},
		"beside":              {Claims: changes{"token_introspection": nil, "active": true}},
		"twice":               {RawPayload: fmt.Appendf(nil, `{"iss":%q,"aud":"gate","iat":%d,"token_introspection":{"active":true,"active":true,"aud":%q}}`, a.a.Identifier(), now, testIdentifier)},
	} {
		t.Run(name, func(t *testing.T) { a.signedWrong(t, a.signedBody(c, inside), signedType) })
	}
	good := a.signedBody(devissuer.Token{}, inside)
	t.Run("media type JWT", func(t *testing.T) { a.signedWrong(t, good, "application/jwt") })
	t.Run("media type JSON", func(t *testing.T) { a.signedWrong(t, good, "application/json") })
	t.Run("plain", func(t *testing.T) {
		a.signedWrong(t, fmt.Sprintf(`{"active":true,"aud":%q,"iss":%q}`, testIdentifier, a.a.Identifier()), "application/json")
	})
	t.Run("plain under the other type", func(t *testing.T) { a.signedWrong(t, `{"active":true}`, signedType) })
	t.Run("good", func(t *testing.T) {
		a.a.Fail(devissuer.Fault{Path: "/introspect", Body: []byte(good), ContentType: signedType, Times: 1})
		a.passes(t, a.opaque(nil))
	})
	t.Run("other alg", func(t *testing.T) {
		o := devissuer.Options{Algorithms: []string{"ES256", "PS256"}, Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}
		a := newAskingOf(t, o, "signed: required", func(text string) string { return instead(t, text, "{name: a, ", "{name: a, algorithms: [ES256], ") })
		a.signedWrong(t, a.signedBody(devissuer.Token{Alg: "PS256"}, inside), signedType)
		a.passes(t, a.opaque(nil))
	})
	t.Run("not asked for", func(t *testing.T) {
		plain := newAsking(t, "")
		plain.a.Fail(devissuer.Fault{Path: "/introspect", Body: []byte(good), ContentType: signedType})
		plain.undecided(t, plain.opaque(nil))
	})
	command(t, "check", "--live", "--config", a.gateway.path).want(t, 0, "issuer a: answers gate about tokens")
}

const signedType = "application/token-introspection+jwt"

// signedBody is an answer in which some members differ from a good one.
func (a *introspecting) signedBody(change devissuer.Token, inside changes) string {
	a.t.Helper()
	change.Header = with(changes{"typ": "token-introspection+jwt"}, change.Header)
	change.Claims = with(changes{"aud": "gate", "sub": nil, "exp": nil, "token_introspection": inside}, change.Claims)
	return a.mint(a.a, change)
}

func (a *introspecting) signedWrong(t *testing.T, body, contentType string) {
	t.Helper()
	a.a.Fail(devissuer.Fault{Path: "/introspect", Body: []byte(body), ContentType: contentType, Times: 1})
	a.undecided(t, a.opaque(nil))
}

// rowINTR19: no key is ever configured, so nothing encrypted can be read.
func rowINTR19(t *testing.T) {
	a := newAsking(t, "signed: required")
	part := base64.RawURLEncoding.EncodeToString
	jwe := part([]byte(`{"alg":"ECDH-ES","enc":"A128GCM","typ":"token-introspection+jwt","cty":"JWT"}`)) + ".." + part(make([]byte, 12)) + "." + part(make([]byte, 40)) + "." + part(make([]byte, 16))
	a.signedWrong(t, jwe, signedType)
}
