package report

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"testing"
)

func said(percent int) Setting { return Setting{true, percent} }

// TestTheNearestSettingWins: route, resource, issuer, file.
func TestTheNearestSettingWins(t *testing.T) {
	for name, c := range map[string]struct {
		settings      Settings
		route         int
		issuer        string
		percent, most int
	}{
		"file":                        {settings: Settings{File: said(40), Routes: []Setting{{}}}, percent: 40, most: 40},
		"issuer over file":            {settings: Settings{File: said(40), Issuers: map[string]Setting{"a": said(10)}, Routes: []Setting{{}}}, issuer: "a", percent: 10, most: 40},
		"issuer enforces":             {settings: Settings{File: said(40), Issuers: map[string]Setting{"a": said(0)}, Routes: []Setting{{}}}, issuer: "a", percent: 0, most: 40},
		"another issuer":              {settings: Settings{Issuers: map[string]Setting{"a": said(10)}, Routes: []Setting{{}}}, issuer: "b", percent: 0, most: 10},
		"nobody vouches":              {settings: Settings{Issuers: map[string]Setting{"a": said(10)}, Routes: []Setting{{}}}, percent: 0, most: 10},
		"resource over issuer":        {settings: Settings{Resource: said(0), Issuers: map[string]Setting{"a": said(10)}, Routes: []Setting{{}, said(1)}}, issuer: "a", percent: 0},
		"route over resource":         {settings: Settings{Resource: said(100), Routes: []Setting{said(0)}}, percent: 0},
		"route over issuer":           {settings: Settings{Issuers: map[string]Setting{"a": said(100)}, Routes: []Setting{said(3), {}}}, issuer: "a", percent: 3, most: 3},
		"no route matches":            {settings: Settings{Resource: said(100), Routes: []Setting{said(0)}}, route: -1, percent: 100, most: 100},
		"no route, and only one says": {settings: Settings{Routes: []Setting{said(100)}}, route: -1, percent: 0},
	} {
		o := New(maphash.MakeSeed(), c.settings)
		if o == nil {
			t.Errorf("%s: enforces all", name)
		}
		if got, most := o.Percent(c.route, c.issuer), o.Most(c.route); got != c.percent || most != c.most {
			t.Errorf("%s: %d%%, at most %d%%, want %d and %d", name, got, most, c.percent, c.most)
		}
	}
	for name, s := range map[string]Settings{
		"nothing": {Routes: []Setting{{}}}, "all off": {File: said(0), Resource: said(0), Routes: []Setting{said(0)}},
		"hidden by nearer ones": {File: said(100), Resource: said(0), Issuers: map[string]Setting{"a": said(100)}, Routes: []Setting{{}}},
	} {
		if o := New(maphash.MakeSeed(), s); o != nil || o.Percent(0, "a") != 0 || o.Most(-1) != 0 || o.Lets(0, "a", "x", netip.Addr{}) {
			t.Errorf("%s: lets something through", name)
		}
	}
}

// TestSharesAreStable: what is in a share stays in it, and in every larger one;
// about as many are as it says.
func TestSharesAreStable(t *testing.T) {
	seed, none := maphash.MakeSeed(), netip.Addr{}
	at := func(percent int) *Only { return New(seed, Settings{File: said(percent), Routes: []Setting{{}}}) }
	const tries = 10_000
	for name, lets := range map[string]func(o *Only, i int) bool{
		"credential": func(o *Only, i int) bool { return o.Lets(0, "", strconv.Itoa(i), none) },
		"address": func(o *Only, i int) bool {
			return o.Lets(0, "", "", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		},
	} {
		passed := 0
		for i := range tries {
			quarter := lets(at(25), i)
			if quarter {
				passed++
			}
			if quarter != lets(at(25), i) || quarter && !lets(at(26), i) || !lets(at(100), i) {
				t.Fatalf("%s %d is not stable", name, i)
			}
		}
		if passed < tries/5 || passed > tries*3/10 {
			t.Errorf("%s: a quarter of %d is %d", name, tries, passed)
		}
	}
}
