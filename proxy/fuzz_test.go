package proxy

import (
	"slices"
	"strings"
	"testing"
)

// FuzzStrip looks for a spelling that gets past strip and that a server which
// folds every odd octet to a hyphen would read as one of ours.
func FuzzStrip(f *testing.F) {
	for _, name := range slices.Concat(identityNames, forbiddenNames) {
		plain, folded := spellings(name)
		for _, one := range append(plain[:1], folded[:min(1, len(folded))]...) {
			f.Add(one)
		}
	}
	f.Add("X-Request-Id")
	f.Fuzz(func(t *testing.T, name string) {
		if !isFieldName(name) || !survives(name, true) {
			return
		}
		folded := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, strings.ToLower(name))
		for _, taken := range slices.Concat(identityNames, forbiddenNames) {
			if strings.EqualFold(folded, taken) {
				t.Errorf("%q survives and reads as %s", name, taken)
			}
		}
		if strings.HasPrefix(folded, "x-auth-") {
			t.Errorf("%q survives and reads as an identity field", name)
		}
	})
}

// isFieldName tells what net/http lets through as a field name: a token of RFC
// 9110 section 5.6.2.
func isFieldName(name string) bool {
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// FuzzNormalHost: what passes has one form, holds nothing that could end a
// field or a parameter, and is ASCII from the start.
func FuzzNormalHost(f *testing.F) {
	for _, host := range []string{"h", "H.COM:443", "h.", "h..", "[::1]:80", "[::1].", "h:080", "h/evil", "u@h", "h;for=1", "h:0", "[::1%25x]", "b\u00fccher"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		normal, ok := NormalHost(host)
		if !ok {
			return
		}
		for _, c := range []byte(host) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(`/\@;,"'?#%<>(){}|^`+"`", c) >= 0 {
				t.Fatalf("%q passes", host)
			}
		}
		if strings.ToLower(normal) != normal || len(normal) > len(host) {
			t.Fatalf("%q became %q", host, normal)
		}
	})
}
