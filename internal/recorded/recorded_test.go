package recorded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
)

func newJudge(t testing.TB, routes ...policy.Options) *Judge {
	t.Helper()
	set, err := policy.Compile(routes, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	table := &proxy.Table{Limits: proxy.DefaultLimits, Sites: map[string]*proxy.Site{"l": {Hosts: map[string]*proxy.Gate{"api.example.com": {Policy: set}}}}}
	return &Judge{Table: table, Resources: []Resource{{Name: "api", Listen: "l", Host: "api.example.com", Origins: []string{"https://api.example.com"}}}}
}

func TestRequest(t *testing.T) {
	for line, want := range map[string][2]string{
		"/a":                             {"GET", "/a"},
		"/a b HTTP/1.1":                  {"GET", "/a b HTTP/1.1"},
		`/a"b`:                           {"GET", `/a"b`},
		"https://h/a?b":                  {"GET", "https://h/a?b"},
		"HTTP://h":                       {"GET", "HTTP://h"},
		"POST /a":                        {"POST", "/a"},
		"M-SEARCH * HTTP/1.1":            {"M-SEARCH", "*"},
		"GET /a b HTTP/1.1":              {"GET", "/a b"},
		"GET garbage HTTP/1.1":           {"GET", "garbage"},
		"CONNECT h:443 HTTP/1.1":         {"CONNECT", "h:443"},
		`h - - [x] "GET /a HTTP/1.1" 2`:  {"GET", "/a"},
		`h "PUT /\x22\\\"\t\x0 HTTP/2"`:  {"PUT", "/\"\\\"\t\\x0"},
		`h "GET /a\x20b HTTP/1.1" "GET"`: {"GET", "/a b"},
		`h "GET /a`:                      {"GET", "/a"},
		"":                               {},
		"get /a":                         {},
		"Bearer x":                       {},
		"GET":                            {},
		"GET secret":                     {},
		`h "-" 408`:                      {},
		`h "\x16\x03" 400`:               {},
		`{"path": "/a"}`:                 {},
	} {
		method, target, ok := request(line)
		if ok != (want[0] != "") || ok && (method != want[0] || target != want[1]) {
			t.Errorf("%q: %q %q %v", line, method, target, ok)
		}
	}
}

// TestVerdictsOfOtherSpellings: beside a hidden route they are judged, and refused all the same.
func TestVerdictsOfOtherSpellings(t *testing.T) {
	for status, hide := range map[string]bool{"400": false, "404": true} {
		j := newJudge(t, policy.Options{Name: "wide", Path: "/**", Public: true}, policy.Options{Name: "deals", Path: "/deals", Hide: hide})
		text, unrouted := j.verdict(&j.Resources[0], "GET", "/deals.")
		if want := status + " for route wide as it stands, for deals as others would read it"; text != want || unrouted {
			t.Errorf("%q %v, want %q", text, unrouted, want)
		}
	}
}

func TestVisible(t *testing.T) {
	for target, want := range map[string]string{
		"/a/b":                         "/a/b",
		"/a?b":                         "/a",
		"/a#b":                         "/a",
		"/a%3fb":                       "/a",
		"/a%23b":                       "/a",
		"/a;b=c/d;e?f":                 "/a;*/d;*",
		"/a;b?c":                       "/a;*",
		"/a;":                          "/a;*",
		"/a%3Bb/c":                     "/a;*/c",
		"/a%":                          "/a%",
		"https://u:p@h/a?b":            "/a",
		"https://h?b":                  "-",
		"https://h":                    "/",
		"secret":                       "-",
		"/\x00\x1b[31m\\é":             `/\x00\x1b[31m\x5c\xc3\xa9`,
		"/" + strings.Repeat("a", 300): "/" + strings.Repeat("a", 199) + "...",
	} {
		if got := visible(target); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
}

// A file may be of any size: what is too long for a line is read over.
func TestAllReadsOverLongLines(t *testing.T) {
	long := strings.Repeat("/a", 2*maxLine) // whatever part of it is looked at, it begins like a path
	in := strings.NewReader(long + "\n/a\r\n" + "/" + strings.Repeat("b", 20<<10) + "\n" + long)
	var out strings.Builder
	tally, err := newJudge(t).All(in, &out)
	if err != nil || tally != (Tally{Passed: 1, Refused: 1, Unread: 2}) || tally.Good() {
		t.Errorf("%+v, %v", tally, err)
	}
	for _, want := range []string{"line 1: longer than 256 KiB\n", "line 3: GET /bbb", "...: 414 the request target is not acceptable\n", "line 4: longer"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q in %q", want, out.String())
		}
	}
	if out.Len() > 2000 {
		t.Errorf("%d octets are printed", out.Len())
	}
}

func TestAllFailsWithItsReader(t *testing.T) {
	broken := errors.New("gone")
	if _, err := newJudge(t).All(io.MultiReader(strings.NewReader("/a\n"), iotest.ErrReader(broken)), io.Discard); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// What a route could allow is said only where that would help.
func TestVerdictsTellWhatWouldNotHelp(t *testing.T) {
	j := newJudge(t, policy.Options{Name: "files", Path: "/files/**"}, policy.Options{Name: "admin", Path: "/files/admin/**"})
	var out strings.Builder
	if _, err := j.All(strings.NewReader("/files//x\n/files//admin\n"), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"line 1: GET /files//x: 400 empty segment: allow with allow: [empty_segments] on route files\n",
		"line 2: GET /files//admin: 400 empty segment, and for route files as it stands, for admin as others would read it\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q in %s", want, out.String())
		}
	}
}

// FuzzAll: whatever a line holds, what is printed is a line of its own, and
// holds nothing from behind a question mark.
func FuzzAll(f *testing.F) {
	for _, line := range []string{"/a?%s", "GET /a;x=%s HTTP/1.1", `h "GET /\"?%s" x`, "https://u@h/%3F%s", "/\x1b[0m", "Bearer %s"} {
		f.Add(line)
	}
	j := newJudge(f, policy.Options{Name: "a", Path: "/a/**"})
	const secret = "s3cr3t"
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n") || strings.Contains(line, secret) {
			return
		}
		var out strings.Builder
		if _, err := j.All(strings.NewReader(line+"?"+secret+"\n"), &out); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.Contains(text, secret) || strings.Count(text, "line 1: ") > 1 && !strings.Contains(line, "line 1") {
			t.Errorf("%q: %q", line, text)
		}
		for _, c := range []byte(text) {
			if c != '\n' && (c < ' ' || c >= 0x7f) {
				t.Errorf("%q: octet %#x in %q", line, c, text)
			}
		}
	})
}
