package trial

import (
	"bytes"
	"encoding/xml"
	"maps"
	"testing"

	"github.com/wicketgate/wicketgate/config"
)

func TestParameters(t *testing.T) {
	for _, row := range []struct {
		line string
		want map[string]string
	}{
		{`Bearer`, map[string]string{"scheme": "Bearer"}},
		{`Bearer realm="a, b", error="x"`, map[string]string{"scheme": "Bearer", "realm": "a, b", "error": "x"}},
		{`DPoP algs="ES256 EdDSA", max_age=300`, map[string]string{"scheme": "DPoP", "algs": "ES256 EdDSA", "max_age": "300"}},
		{`Bearer realm="a \"b\" \\", scope="c"`, map[string]string{"scheme": "Bearer", "realm": `a "b" \`, "scope": "c"}},
		{`Bearer max_age=1, scope="c`, map[string]string{"scheme": "Bearer", "max_age": "1", "scope": "c"}},
		{`Bearer what`, map[string]string{"scheme": "Bearer"}},
	} {
		if got := parameters(row.line); !maps.Equal(got, row.want) {
			t.Errorf("%s: got %q", row.line, got)
		}
	}
}

// The challenge that differs least is the one compared with.
func TestChallenge(t *testing.T) {
	both := []string{`Bearer error="invalid_token"`, `DPoP algs="ES256"`}
	text := func(s string) config.Wanted { return config.Wanted{Text: s} }
	for _, row := range []struct {
		want  config.Challenge
		lines []string
		diffs []Difference
	}{
		{config.Challenge{None: true}, nil, nil},
		{config.Challenge{None: true}, both[:1], []Difference{{"challenge", "none", `Bearer error="invalid_token"`}}},
		{config.Challenge{Contains: `algs="ES256"`}, both, nil},
		{config.Challenge{Contains: `algs="PS256"`}, both[1:], []Difference{{"challenge", `algs="PS256"`, `DPoP algs="ES256"`}}},
		{config.Challenge{Parameters: map[string]config.Wanted{"scheme": text("DPoP"), "error": {Absent: true}}}, both, nil},
		{config.Challenge{Parameters: map[string]config.Wanted{"scheme": text("DPoP"), "algs": text("*")}}, both, nil},
		{config.Challenge{Parameters: map[string]config.Wanted{"scheme": text("DPoP"), "error": text("a"), "algs": text("ES256")}}, both, []Difference{{"challenge.error", "a", "none"}}},
		{config.Challenge{Parameters: map[string]config.Wanted{"error": {Absent: true}}}, both[:1], []Difference{{"challenge.error", "none", "invalid_token"}}},
		{config.Challenge{Parameters: map[string]config.Wanted{"error": text("a"), "scope": text("b")}}, nil, []Difference{{"challenge", "error=a, scope=b", "none"}}},
	} {
		c := comparison{}
		c.challenge(row.want, row.lines)
		if len(c.list) != len(row.diffs) || len(c.list) > 0 && c.list[0] != row.diffs[0] {
			t.Errorf("%+v: got %+v", row.want, c.list)
		}
	}
}

// What the upstream would be told is compared field by field, and no token of it
// is shown.
func TestFields(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
	fields := []string{"X-Auth-Subject: a: b", "X-Auth-Assertion: " + jwt}
	c := comparison{}
	c.fields(map[string]config.Wanted{"x-auth-subject": {Text: "a: b"}, "X-Auth-Assertion": {Text: "*"}, "X-Auth-Scope": {Absent: true}}, fields, true)
	if len(c.list) > 0 {
		t.Errorf("got %+v", c.list)
	}
	c.fields(map[string]config.Wanted{"X-Auth-Assertion": {Absent: true}}, fields, true)
	c.fields(map[string]config.Wanted{"X-Auth-Assertion": {Text: "b"}}, fields, true)
	c.fields(map[string]config.Wanted{"X-Auth-Scope": {Text: "b"}}, fields, true)
	c.fields(map[string]config.Wanted{"X-Auth-Scope": {Absent: true}}, nil, false)
	want := []Difference{
		{"headers.X-Auth-Assertion", "none", "(a token)"}, {"headers.X-Auth-Assertion", "b", "(a token)"},
		{"headers.X-Auth-Scope", "b", "none"}, {"headers.X-Auth-Scope", "none", "the request is not forwarded"},
	}
	for i := range want {
		if i >= len(c.list) || c.list[i] != want[i] {
			t.Fatalf("got %+v", c.list)
		}
	}
}

// Readers of JUnit reports find what they look for.
func TestJUnit(t *testing.T) {
	r := Report{Results: []Result{
		{File: "a.yaml", Name: "one", Line: 3},
		{File: "a.yaml", Name: "<two> & \"three\"", Line: 9, Request: "GET /", Differences: []Difference{{"decision", "allow", "deny"}}, Why: []string{"FAIL <scope>"}},
		{File: "b.yaml", Name: "four", Line: 1},
	}}
	var text bytes.Buffer
	if err := r.JUnit(&text, "too little"); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Class   string `xml:"classname,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Tests != 4 || read.Failures != 2 || len(read.Suites) != 3 {
		t.Fatalf("got %+v", read)
	}
	first, last := read.Suites[0], read.Suites[2]
	if first.Name != "a.yaml" || first.Tests != 2 || first.Failures != 1 || first.Cases[0].Failure != nil || first.Cases[0].Class != "a.yaml" ||
		first.Cases[1].Name != r.Results[1].Name || first.Cases[1].Failure.Message != "decision: wanted allow, got deny" ||
		first.Cases[1].Failure.Text != "a.yaml:9\nGET /, route none\n- decision: allow\n+ decision: deny\nFAIL <scope>" {
		t.Errorf("got %+v", first)
	}
	if last.Name != "coverage" || last.Cases[0].Failure.Message != "too little" {
		t.Errorf("got %+v", last)
	}
}
