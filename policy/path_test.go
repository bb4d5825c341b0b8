package policy

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	for _, row := range []struct{ raw, want string }{
		{"/", "/"},
		{"/a", "/a"},
		{"/a/", "/a/"},
		{"/a/b.json", "/a/b.json"},
		{"/...", "/..."},
		{"/.well-known/x", "/.well-known/x"},
		{"/a../..b", "/a../..b"},
		{"/~smith", "/~smith"},
		{"/a:b@c!$&'()*+,=-_", "/a:b@c!$&'()*+,=-_"},
		{"/%61dmin", "/admin"},                   // H-37
		{"/Admin", "/Admin"},                     // H-38
		{"/%252e%252e", "/%2e%2e"},               // H-36: decoded once
		{"/%252f", "/%2f"},                       //
		{"/a%20b", "/a b"},                       //
		{"/100%25", "/100%"},                     //
		{"/%3F%23", "/?#"},                       //
		{"/%C3%A9", "/é"},                        //
		{"/%c3%a9", "/é"},                        //
		{"/%E6%9D%8E", "/李"},                     //
		{"/%EF%BC%8E%EF%BC%8E", "/\uFF0E\uFF0E"}, // full-width dots are letters
		{"/%F0%9F%98%80/", "/\U0001F600/"},
	} {
		got, ok := Canonical(row.raw)
		if !ok || got != row.want {
			t.Errorf("%q: got %q %v, want %q", row.raw, got, ok, row.want)
		}
	}
}

// Threats H-30 to H-35 and H-40, conformance HTTP-18.
func TestCanonicalRefuses(t *testing.T) {
	rows := []string{
		// H-30
		"/a/../b", "/./", "/.", "/..", "/../", "/a/.", "/a/..", "/a/./b", "/%2e%2e/", "/%2E.", "/.%2e", "/%2e", "/%2E%2E/a",
		"/..;/", "/a/.;/", "/a/..;x=1/b", "/a%2eb",
		// H-31
		"//a", "/a//b", "///", "//", "/a//", "//evil.example/a",
		// H-32
		"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`, `/..\`, "/%2f", "/open%2f..%2fread",
		// H-33
		"/%00", "/%0a", "/%0A", "/%0d", "/%0D", "/%09", "/%1f", "/%1F", "/%7f", "/%7F", "/read%00", "/a\x00", "/a\n", "/a\t", "/a b", "/a\x7f",
		// H-34
		"/a;b", "/;", "/a;/b", "/open;/../read",
		// H-35
		"/a#b", "/a?b", "/é", "/\xff", "/%", "/%2", "/%zz", "/%2z", "/%z2", "/a%", "/%u002e", "/%c0%af", "/%C0%AF", "/%c0%ae", "/%ff", "/%ed%a0%80",
		"/%f4%90%80%80", "/%E6%9D", "/\uFF0E\uFF0E",
		// H-40
		"", "*", "a", "a/b", "http://h/a",
		// a semicolon that hides dots from those who decode before they cut
		"/..%3bx/y", "/.%3B/y", "/a/..%3b", "/%3bx/y",
		// what RFC 3986 has no place for
		`/a"b`, "/a<b", "/a>b", "/a[b", "/a]b", "/a^b", "/a`b", "/a{b", "/a|b", "/a}b",
	}
	for i := range 0x20 {
		rows = append(rows, "/"+string(rune(i)), "/%"+string("0123456789abcdef"[i>>4])+string("0123456789abcdef"[i&15]))
	}
	for _, raw := range rows {
		if got, ok := Canonical(raw); ok {
			t.Errorf("%q passes as %q", raw, got)
		}
		if got, ok := Canonical("/open" + raw); ok && strings.HasPrefix(raw, "/") {
			t.Errorf("%q passes as %q", "/open"+raw, got)
		}
	}
}

// whatwg reads a path as browsers and the servers written after them do: a
// backslash is a slash, %2e is a dot, tabs and line ends are not there.
func whatwg(raw string) []string {
	raw = strings.NewReplacer("\\", "/", "\t", "", "\n", "", "\r", "").Replace(raw)
	var out []string
	segments := strings.Split(raw[1:], "/")
	for i, s := range segments {
		dots := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(s)
		switch {
		case dots == "..":
			out = out[:max(len(out)-1, 0)]
		case dots != ".":
			out = append(out, s)
			continue
		}
		if i == len(segments)-1 {
			out = append(out, "")
		}
	}
	return out
}

// tomcat cuts parameters off each segment, then decodes, then removes dot
// segments, as servlet containers do.
func tomcat(t *testing.T, raw string) string {
	t.Helper()
	segments := strings.Split(raw, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	decoded, err := url.PathUnescape(strings.Join(segments, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return cleaned(strings.ReplaceAll(decoded, `\`, "/"))
}

// cleaned is path.Clean with the slash at the end kept.
func cleaned(p string) string {
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// FuzzCanonical: whoever reads a path that passed reads the same path.
func FuzzCanonical(f *testing.F) {
	for _, raw := range []string{
		"/", "/a/b/", "/a/../b", "/%2e%2e/a", "/%252e", "//a", "/a%2Fb", "/a;b/c", "/a%5Cb", "/%C3%A9", "/%c0%af", "/a%20b", "/%", "*",
		"/%EF%BC%8E", "/a+b", "/x%3B/%3f", "/..%3bx/y", "/%3bx", "/...", "/:@!$&'()*+,=",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		decoded, ok := Canonical(raw)
		if !ok {
			if decoded != "" && utf8.ValidString(decoded) {
				t.Fatalf("%q is refused as %q", raw, decoded)
			}
			return
		}
		plain, err := url.PathUnescape(raw)
		if err != nil || plain != decoded {
			t.Fatalf("%q: got %q, net/url decodes %q, %v", raw, decoded, plain, err)
		}
		if cleaned(decoded) != decoded {
			t.Fatalf("%q: %q is not clean", raw, decoded)
		}
		if got := "/" + strings.Join(whatwg(raw), "/"); got != raw {
			t.Fatalf("%q: a browser reads %q", raw, got)
		}
		if got := tomcat(t, raw); got != decoded {
			t.Fatalf("%q: a servlet container reads %q", raw, got)
		}
		u := url.URL{Scheme: "http", Host: "up", Path: decoded, RawPath: raw}
		if got := u.EscapedPath(); got != raw {
			t.Fatalf("%q: net/url would send %q", raw, got)
		}
		back, err := url.ParseRequestURI(raw)
		if err != nil || back.Path != decoded || back.RawQuery != "" || back.Host != "" {
			t.Fatalf("%q: net/http would read %+v, %v", raw, back, err)
		}
		if strings.Count(raw, "/") != strings.Count(decoded, "/") {
			t.Fatalf("%q: %q has other segments", raw, decoded)
		}
	})
}

func TestCutPrefix(t *testing.T) {
	for _, row := range []struct{ raw, prefix, want string }{
		{"/ext/a", "/ext", "/a"},
		{"/ext/", "/ext", "/"},
		{"/ext", "/ext", "/"},
		{"/%65xt/a", "/ext", "/a"},
		{"/%65%78%74/%61", "/ext", "/%61"},
		{"/ex%74", "/ext", "/"},
		{"/a/b/c/d%20e/", "/a/b", "/c/d%20e/"},
		{"/%C3%A9/x", "/é", "/x"},
		{"/a%20b/x", "/a b", "/x"},
		{"/ext/ext/a", "/ext", "/ext/a"},
	} {
		if got := cutPrefix(row.raw, row.prefix); got != row.want {
			t.Errorf("%q less %q: got %q, want %q", row.raw, row.prefix, got, row.want)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	for name, raw := range map[string]string{"plain": "/api/v1/customers/42/orders", "escaped": "/api/v1/customers/Zo%C3%AB/orders"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := Canonical(raw); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
