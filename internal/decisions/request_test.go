package decisions

import (
	"net/http"
	"strings"
	"testing"
)

func TestPathOf(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	long := strings.Repeat("aB3-", 16)
	for target, want := range map[string]struct {
		path  string
		whole bool
	}{
		"/a/b":                       {"/a/b", true},
		"/a/b?c=d":                   {"/a/b", true},
		"/a;b=c/d":                   {"/a", false},
		"/a%3Bb":                     {"/a", false},
		"/a%3fb":                     {"/a", false},
		"/a%23b":                     {"/a", false},
		"/a#b":                       {"/a", false},
		"/a%":                        {"/a%", true},
		"https://h":                  {"/", true},
		"https://h?a":                {"/", true},
		"https://u@h/a?b":            {"/a", true},
		"/a://b":                     {"/a://b", true},
		"*":                          {"*", true},
		"/a/" + jwt + "/b":           {"/a/{masked}/b", false},
		"/a/x." + jwt:                {"/a/{masked}", false},
		"/eyJ":                       {"/eyJ", true},
		"/a/" + long:                 {"/a/" + long, true},
		"/a/" + long + "x":           {"/a/{masked}", false},
		"/a/presented/b/presentedly": {"/a/{masked}/b/{masked}", false},
		"/o/123e4567-e89b-12d3-a456-426614174000": {"/o/123e4567-e89b-12d3-a456-426614174000", true},
		"/" + strings.Repeat("a/", 2000):          {("/" + strings.Repeat("a/", 2000))[:maxPath], false},
	} {
		if path, whole := pathOf(target, http.Header{"Authorization": {"Bearer presented"}}); path != want.path || whole != want.whole {
			t.Errorf("%s: %s %v, want %s %v", target, path, whole, want.path, want.whole)
		}
	}
}

func TestMethodOf(t *testing.T) {
	for method, want := range map[string]string{"GET": "GET", "M-SEARCH": "M-SEARCH", "get": Other, "": Other, "EYJHBGCIOIJFUZI1NIJ9": Other, strings.Repeat("A", 21): Other} {
		if got := methodOf(method); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
}

func TestTraceOf(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for line, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01": id, "00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01": "",
		"00-" + id: "", "00_" + id + "-00f067aa0ba902b7-01": "", "": "",
	} {
		if got := traceOf(http.Header{"Traceparent": {line}}); got != want {
			t.Errorf("%s: %q", line, got)
		}
	}
}

func TestQuote(t *testing.T) {
	o := out{}
	o.quote("a\"b\\c\n\x00\x7f\u2028é\xff")
	if want := `"a\"b\\c\u000a\u0000\u007f` + "\u2028é\ufffd\""; string(o) != want {
		t.Errorf("%s, want %s", o, want)
	}
}
