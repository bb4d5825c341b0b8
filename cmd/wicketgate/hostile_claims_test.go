package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/token"
)

// claimFieldRows are about what a token says and the upstream reads. The issuer signs
// it, but its users chose it.
var claimFieldRows = []conformanceRow{
	{"H-90", threatH90}, {"H-91", threatH91}, {"H-92", threatH92}, {"H-93", threatH93}, {"H-94", threatH94},
	{"H-95", threatH95}, {"H-96", threatH96}, {"H-97", threatH97},
}

// wantClaims has tokens say each of the JSON texts as a claim, and wants the
// upstream to read what stands beside it in one field, and no other field more.
func wantClaims(t *testing.T, claim, name string, want map[string]string) {
	t.Helper()
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		wantOK(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{claim: "plain"})))
		fields := len(f.upstream.last().Header)
		read := map[string]string{}
		for text, value := range want {
			wantOK(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{claim: json.RawMessage(text)})))
			wantSeen(t, f, name, value)
			if got := len(f.upstream.last().Header); got != fields {
				t.Errorf("%s: %d fields, want %d", text, got, fields)
			}
			if other, same := read[value]; same {
				t.Errorf("%s and %s are told alike", text, other)
			}
			read[value] = text
		}
	})
}

func threatH90(t *testing.T) {
	wantClaims(t, "email", "X-Auth-Email", map[string]string{
		`"a\r\nX-Admin: 1"`: "a%0D%0AX-Admin: 1", `"\n"`: "%0A", `"\r"`: "%0D", `"\u0000"`: "%00", `"\u007f"`: "%7F", `"\t"`: "%09", `"\u0085\u2028"`: "%C2%85%E2%80%A8",
	})
}

func threatH91(t *testing.T) {
	wantClaims(t, "sub", "X-Auth-Subject", map[string]string{
		`"Zo\u00eb"`: "Zo%C3%AB", `"Zoe\u0308"`: "Zoe%CC%88", `"Zoe"`: "Zoe", `"李"`: "%E6%9D%8E", `"Özil"`: "%C3%96zil", `"Ozil"`: "Ozil", `"\ud83d\ude00"`: "%F0%9F%98%80",
	})
}

func threatH92(t *testing.T) {
	wantClaims(t, "number", "X-Auth-Number", map[string]string{
		"9007199254740993": "9007199254740993", "9007199254740992": "9007199254740992", "1.10": "1.10", "1.1": "1.1", "1e30": "1e30", "-0": "-0", "0": "0",
	})
}

func threatH93(t *testing.T) {
	wantClaims(t, "roles", "X-Auth-Roles", map[string]string{
		`["user,admin"]`: "user%2Cadmin", `["user","admin"]`: "user,admin", `["user%2Cadmin"]`: "user%252Cadmin", `["user"," admin"]`: "user,%20admin",
	})
}

func threatH94(t *testing.T) {
	wantClaims(t, "email", "X-Auth-Email", map[string]string{`"100%25"`: "100%2525", `"100%"`: "100%25"})
}

// threatH95 is HDR-05 and the lines that count it.
func threatH95(t *testing.T) {
	testHDR05(t)
	s := newSiege(t)
	groups := make([]string, 500)
	for i := range groups {
		groups[i] = "a group with a name"
	}
	for _, claims := range []map[string]any{{"sub": strings.Repeat("a", 5<<10)}, {"roles": groups}} {
		r := s.do("GET", "/read", "Authorization", "Bearer "+s.AT(claims))
		s.repels(t, r, verdict{431, absent, absent}, token.ReasonClaims)
	}
}

func threatH96(t *testing.T) {
	const file = "version: 1\nissuers: [{issuer: https://a.example.com}]\nresources: [{identifier: https://b.example.com, behind_tls: true, upstream: http://127.0.0.1:1, forward: {headers: {HEADERS}}}]\n"
	parse := func(headers string) error {
		_, err := config.Parse("c.yaml", []byte(strings.Replace(file, "HEADERS", headers, 1)), func(string) (string, bool) { return "", false })
		return err
	}
	if err := parse("X-Mail: email"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Host", "host", "Content-Length", "content_length", "Connection", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "X-Auth-Subject", "x_auth_subject", "X Mail", "X-Mäil", "X-Mail:", "", `"X-M\r\nail"`} {
		quoted := name
		if !strings.HasPrefix(name, `"`) {
			quoted = `"` + name + `"`
		}
		if err := parse(quoted + ": email"); err == nil {
			t.Errorf("%s may be a header for a claim", quoted)
		}
	}
	for _, two := range []string{"X-Mail: email, x-mail: sub", "X-Mail: email, X_Mail: sub"} {
		if parse(two) == nil {
			t.Errorf("%s are two headers", two)
		}
	}
}

// threatH97 sends texts of every kind of character the whole way. fieldvalue.FuzzText
// looks for more of them.
func threatH97(t *testing.T) {
	f := newFixture(t, nil)
	random := rand.New(rand.NewPCG(97, 1)) //nolint:gosec // the same texts in every run
	kinds := []rune{0x80, 0x20, 0x800, 0xd800, 0x10ffff}
	for range 200 {
		var text strings.Builder
		for range 1 + random.IntN(40) {
			text.WriteRune(random.Int32N(kinds[random.IntN(len(kinds))]))
		}
		want := strings.ToValidUTF8(text.String(), "")
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"sub": "x" + want})))
		got := seenAs(f, "X-Auth-Subject")
		if len(got) != 1 {
			t.Fatalf("%q: %q", want, got)
		}
		if back, err := url.PathUnescape(got[0]); err != nil || back != "x"+want {
			t.Errorf("%q came back as %q, %v", want, back, err)
		}
	}
}
