package proxy

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzEncode holds encode against another decoder and a trip over the wire
// (threats H-97): what the upstream reads back is what the token said.
func FuzzEncode(f *testing.F) {
	for _, one := range []string{
		"", "user-1", "a\r\nX-Admin: 1", " a ", "a  b", "100%25", "user,admin", "Zoë", "\x00\x7f\t", "\xff\xfe", "%", "+", " ", ",",
	} {
		f.Add(one, "a,b", "c d")
	}
	f.Fuzz(func(t *testing.T, text, second, third string) {
		encoded := encode(text, "")
		checkFieldValue(t, encoded)
		if back := unescape(t, encoded); back != text {
			t.Fatalf("%q became %q and came back as %q", text, encoded, back)
		}
		if got := overTheWire(t, encoded); got != encoded {
			t.Fatalf("%q arrived as %q", encoded, got)
		}
		list := []string{text, second, third}
		for _, separator := range []string{" ", ","} {
			joined := encodeList(list, separator)
			for _, c := range []byte(joined) {
				if c < 0x20 || c > 0x7e {
					t.Fatalf("octet %#x in %q", c, joined)
				}
			}
			var back []string
			for part := range strings.SplitSeq(joined, separator) {
				back = append(back, unescape(t, part))
			}
			if !slices.Equal(back, list) {
				t.Fatalf("%q became %q and came back as %q", list, joined, back)
			}
		}
	})
}

func unescape(t *testing.T, text string) string {
	t.Helper()
	back, err := url.PathUnescape(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return back
}

func overTheWire(t *testing.T, value string) string {
	t.Helper()
	var wire bytes.Buffer
	if err := (http.Header{"X-Value": {value}}).Write(&wire); err != nil {
		t.Fatal(err)
	}
	wire.WriteString("\r\n")
	h, err := textproto.NewReader(bufio.NewReader(&wire)).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	if len(h) != 1 || len(h["X-Value"]) != 1 {
		t.Fatalf("%q arrived as %q", value, h)
	}
	return h["X-Value"][0]
}

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
