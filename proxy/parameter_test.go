package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// partsOf cuts text at every one of separators.
func partsOf(text, separators string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) })
}

// FuzzWithoutToken: no reader finds access_token in what is left of a query or
// a form, whichever way it splits, and every other part is there octet for
// octet.
func FuzzWithoutToken(f *testing.F) {
	for _, text := range []string{
		"", "access_token=x", "a=1;b=2&access_token=x&c=%zz", "a=1;access_token=x&b=2", "x=1&access_token=x;b", "access%5ftoken;&%61ccess_token=&&", "Access_Token=1",
		"access%255Ftoken=x", "access_token%3Dx=1", "a=access_token=1", "%", "&access_token=x&access_token=y;",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest := withoutToken(text)
		var p presented
		addParameters(&p, text)
		if p.count == 0 && rest != text {
			t.Fatalf("%q became %q", text, rest)
		}
		var p2 presented
		if addParameters(&p2, rest); p2.count != 0 || hasQueryToken(rest) {
			t.Fatalf("%q became %q", text, rest)
		}
		for _, one := range []string{rest, strings.ReplaceAll(rest, ";", "&"), strings.ReplaceAll(rest, "&", "%26"), strings.ReplaceAll(strings.ReplaceAll(rest, "&", "%26"), ";", "&")} {
			values, _ := url.ParseQuery(one) // what it can read of it
			if values.Has("access_token") {
				t.Fatalf("%q became %q, where some reader finds %q", text, rest, values)
			}
		}
		kept := slices.DeleteFunc(partsOf(text, "&;"), func(part string) bool {
			name, _, _ := strings.Cut(part, "=")
			return hasQueryToken(name)
		})
		if got := partsOf(rest, "&;"); !slices.Equal(got, kept) {
			t.Fatalf("%q became %q", text, rest)
		}
		// Readers that split at the ampersand only see the other parts as before.
		for _, part := range partsOf(rest, "&") {
			if !strings.Contains(part, ";") && !slices.Contains(partsOf(text, "&;"), part) {
				t.Fatalf("%q became %q", text, rest)
			}
		}
	})
}

// FuzzCookiesWithout: nothing that reads cookies finds the one that was
// removed, and every other part is there octet for octet.
func FuzzCookiesWithout(f *testing.F) {
	for _, line := range []string{
		"", "t=x", "a=1; t=x; b=\"2,3\"", "t=x; a=1", "a=1,t=x; b", "%74=x; a", " t =x;a", "\u2003t=x", "T=1", "a=t=x", "a=\"x;t=y\"", "t;t=;t", "$Version=1,t=x",
	} {
		f.Add(line, "a=1; t=2")
	}
	f.Fuzz(func(t *testing.T, line, second string) {
		const name = "t"
		kept := cookiesWithout(name, []string{line, second})
		if got := cookiesNamed(name, kept); len(got) != 0 {
			t.Fatalf("%q became %q", line, kept)
		}
		for _, c := range (&http.Request{Header: http.Header{"Cookie": kept}}).Cookies() {
			if c.Name == name {
				t.Fatalf("%q became %q, where net/http finds it", line, kept)
			}
		}
		for _, one := range kept {
			for _, part := range partsOf(one, ";,") {
				if bare, _, _ := strings.Cut(part, "="); strings.TrimSpace(bare) == name {
					t.Fatalf("%q became %q", line, kept)
				}
			}
		}
		isOne := func(part string) bool {
			bare, _, _ := strings.Cut(part, "=")
			return strings.TrimSpace(token.Unescape(strings.TrimSpace(bare))) == name
		}
		blank := func(part string) bool { return strings.Trim(part, " \t") == "" }
		trim := func(parts []string) []string { // at its ends a field value has no blanks
			for i := range parts {
				parts[i] = strings.Trim(parts[i], " \t")
			}
			return parts
		}
		want := slices.DeleteFunc(partsOf(line+";"+second, ";,"), func(part string) bool { return isOne(part) || blank(part) })
		if got := slices.DeleteFunc(partsOf(strings.Join(kept, ";"), ";,"), blank); !slices.Equal(trim(got), trim(want)) {
			t.Fatalf("%q and %q became %q", line, second, kept)
		}
		if !slices.ContainsFunc(partsOf(line, ";,"), isOne) && !slices.Contains(kept, line) {
			t.Fatalf("%q became %q", line, kept)
		}
	})
}
