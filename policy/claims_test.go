package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

func TestClaimRules(t *testing.T) {
	contains := ClaimRule{Contains: []string{"user", "admin"}}
	equals, seven := ClaimRule{Equals: "ops"}, ClaimRule{Equals: "7"}
	team := ClaimRule{Prefix: "team-"}
	mail := ClaimRule{Suffix: "@example.com"}
	both := ClaimRule{Prefix: "team-", Suffix: "-eu"}
	picky := ClaimRule{AnyOf: []string{"a-1", "b-1"}, Prefix: "a-"}
	all := ClaimRule{AnyOf: []string{"x", "y"}, Contains: []string{"z"}}
	for _, row := range []struct {
		rule    ClaimRule
		members string
		want    string
	}{
		{contains, `"c":["user","x","admin"]`, ""},
		{contains, `"c":[{"value":"user"},"admin"]`, ""},
		{contains, `"c":["user"]`, noRule},
		{contains, `"c":["admin","admin"]`, noRule},
		{contains, `"c":"user admin"`, noRule},
		{contains, `"c":{"value":"user"}`, noRule},
		{contains, ``, noRule},
		{ClaimRule{Contains: []string{"user"}}, `"c":"user"`, ""},
		{ClaimRule{Contains: []string{"use"}}, `"c":"user"`, noRule},
		{ClaimRule{Contains: []string{"7", "true"}}, `"c":[7,true]`, ""},
		{ClaimRule{Contains: []string{""}}, `"c":[{}]`, noRule},

		{equals, `"c":"ops"`, ""},
		{equals, `"c":"\u006fps"`, ""},
		{equals, `"c":["ops"]`, noRule},
		{equals, `"c":[{"value":"ops"}]`, noRule},
		{equals, `"c":{"value":"ops"}`, noRule},
		{equals, `"c":"Ops"`, noRule},
		{equals, `"c":null`, noRule},
		{equals, ``, noRule},
		{seven, `"c":7`, ""},
		{seven, `"c":"7"`, ""},
		{seven, `"c":7.0`, noRule},
		{ClaimRule{Equals: "null"}, `"c":null`, noRule},
		{ClaimRule{Equals: "false"}, `"c":false`, ""},

		{team, `"c":"team-a"`, ""},
		{team, `"c":"team-"`, ""},
		{team, `"c":["x","team-a"]`, ""},
		{team, `"c":[{"value":"team-a"}]`, ""},
		{team, `"c":"Team-a"`, noRule},
		{team, `"c":" team-a"`, noRule},
		{team, `"c":"team"`, noRule},
		{team, `"c":[["team-a"]]`, noRule},
		{team, ``, noRule},
		{ClaimRule{Prefix: "7"}, `"c":77`, noRule},
		{ClaimRule{Prefix: "t"}, `"c":true`, noRule},
		{ClaimRule{Suffix: "7"}, `"c":[77]`, noRule},
		{mail, `"c":"a@example.com"`, ""},
		{mail, `"c":"a@evil-example.com"`, noRule},
		{mail, `"c":"a@example.com.evil.org"`, noRule},
		{mail, `"c":"a@EXAMPLE.com"`, noRule},
		{both, `"c":"team-a-eu"`, ""},
		{both, `"c":["team-a","b-eu"]`, noRule},
		{picky, `"c":["b-1","a-1"]`, ""},
		{picky, `"c":["b-1","a-2"]`, noRule},
		{all, `"c":["z","y"]`, ""},
		{all, `"c":["x","y"]`, noRule},
		{all, `"c":"z"`, noRule},

		{ClaimRule{Present: true}, `"c":[]`, ""},
		{ClaimRule{Present: true}, `"c":false`, ""},
		{ClaimRule{Present: true}, `"c":null`, noRule},
		{ClaimRule{Present: true}, ``, noRule},
		{ClaimRule{Absent: true}, ``, ""},
		{ClaimRule{Absent: true}, `"c":null`, noRule},
		{ClaimRule{Absent: true}, `"c":""`, noRule},
	} {
		t.Run(fmt.Sprintf("%+v of %s", row.rule, row.members), func(t *testing.T) {
			wantAnswer(t, routeOf(t, Options{Claims: map[string]ClaimRule{"c": row.rule}}, Resource{}), row.members, row.want)
		})
	}
}

func TestClaimRuleNote(t *testing.T) {
	for rule, want := range map[*ClaimRule]string{
		{AnyOf: []string{"a", "b"}, Prefix: "p", Suffix: "s", Contains: []string{"c", "d"}}: "c 1 (a b with prefix p with suffix s all of c d)",
		{Equals: "e"}:   "c 1 (equal to e)",
		{Present: true}: "c 1 (present)",
		{Absent: true}:  "c 1 (absent)",
	} {
		trace := &token.Trace{}
		routeOf(t, Options{Claims: map[string]ClaimRule{"c": *rule}}, Resource{}).Note(trace, here, callerOf(t, `"c":1`), t0)
		if got := trace.Steps[0].Seen + " (" + trace.Steps[0].Want + ")"; len(trace.Steps) != 1 || got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNetworks(t *testing.T) {
	r := routeOf(t, Options{Networks: prefixes("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")}, Resource{})
	const no = "forbidden network"
	for source, want := range map[from]string{
		"10.0.0.0": "", "10.255.255.255": "", "192.0.2.7": "", "2001:db8::1": "", "::ffff:10.1.2.3": "", "2001:db8::1%eth0": "",
		"11.0.0.0": no, "192.0.2.8": no, "2001:db9::1": no, "::10.1.2.3": no, "": no,
	} {
		if got := answerOf(r.Authorize(&Request{Sender: source}, callerOf(t, ""), t0)); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	trace := &token.Trace{}
	for _, req := range []*Request{{}, {Sender: from("")}, {Sender: from("10.1.2.3")}} {
		r.Note(trace, req, callerOf(t, ""), t0)
	}
	var seen []string
	for _, step := range trace.Steps {
		seen = append(seen, step.Seen)
	}
	if got := strings.Join(seen, " "); got != "unknown unknown 10.1.2.3" {
		t.Errorf("noted %s", got)
	}
	if got := answerOf(r.Authorize(&Request{}, callerOf(t, ""), t0)); got != no {
		t.Errorf("nobody knows where from: %q", got)
	}
	if wide := routeOf(t, Options{Networks: prefixes("0.0.0.0/0", "::/0")}, Resource{}); answerOf(wide.Authorize(&Request{}, callerOf(t, ""), t0)) != no {
		t.Error("what is not known is in some network")
	}
}

func TestTokenAge(t *testing.T) {
	const old = "invalid_token token_age"
	r := routeOf(t, Options{MaxTokenAge: 300e9}, Resource{})
	for payload, want := range map[string]string{
		`{"iat":1800000000}`:                  "",
		`{"iat":1799999700}`:                  "",
		`{"iat":1799999699}`:                  old,
		`{"iat":1799999699.999}`:              old,
		`{"iat":1800000020}`:                  "", // the issuer's leeway was held against it
		`{"iat":0}`:                           old,
		`{}`:                                  old,
		`{"auth_time":1800000000}`:            old,
		`{"nbf":1800000000,"exp":1800000300}`: old,
	} {
		if got := answerOf(r.Authorize(&Request{}, callerWith(t, payload), t0)); got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}

// What is no text is never the empty text.
func TestEmptyValues(t *testing.T) {
	q := &ClaimRule{AnyOf: []string{""}}
	for value, want := range map[token.Value]bool{`""`: true, `"a"`: false, `{}`: false, `null`: false, `{"a":""}`: false, `[""]`: true, `[{}]`: false, `[]`: false} {
		if got := q.holds(value, true); got != want {
			t.Errorf("%s: %t, want %t", value, got, want)
		}
	}
}

// Rules are asked in one order, whatever that of a map is: a refusal names the
// first.
func TestRulesAreInOrder(t *testing.T) {
	for range 20 {
		rules := compileRules(map[string]ClaimRule{"e": {}, "b": {}, "d": {}, "a": {}, "c": {}})
		if !slices.IsSortedFunc(rules, func(a, b rule) int { return strings.Compare(a.path, b.path) }) {
			t.Fatalf("asked in the order %v", rules)
		}
	}
}

// A finding is of one requirement, whatever the others say.
func TestFindings(t *testing.T) {
	r := compile(t, Options{Path: "/**", All: []string{"a"}, Any: []string{"b", "c"}}).Route("GET", "", "/x")
	for scope, want := range map[string]string{"a b": "", "b": "a", "a": "any", "x": "a any"} {
		var lacks []string
		for _, f := range r.Findings(&Request{Path: "/x"}, &token.Principal{Claims: &token.Claims{}, Scope: token.ParseScopes(scope)}, time.Now()) {
			if f.Refusal != nil {
				lacks = append(lacks, f.Part)
			}
		}
		if got := strings.Join(lacks, " "); got != want {
			t.Errorf("scope %q lacks %q, want %q", scope, got, want)
		}
	}
}
