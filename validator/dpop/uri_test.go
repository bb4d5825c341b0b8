package dpop

import (
	"net/url"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// DPOP-19, D-13: equal after normalisation by syntax and scheme.
func TestSameTarget(t *testing.T) {
	for _, row := range []struct{ origin, path, htu string }{
		{"https://rs.example.com", "/read", "https://rs.example.com/read"},
		{"https://rs.example.com", "/read", "HTTPS://rs.example.com/read"},
		{"https://rs.example.com", "/read", "https://RS.Example.COM/read"},
		{"https://rs.example.com", "/read", "https://rs.example.com:443/read"},
		{"https://rs.example.com", "/read", "https://rs.example.com:/read"},
		{"https://rs.example.com", "/read", "https://rs.example.com/read?a=b"},
		{"https://rs.example.com", "/read", "https://rs.example.com/read?"},
		{"https://rs.example.com", "/read", "https://rs.example.com/read#f"},
		{"https://rs.example.com", "/read", "https://rs.example.com/read?a#f?b"},
		{"https://rs.example.com", "/read", "https://rs.example.com/read?u=https://x/../%zz"},
		{"https://rs.example.com", "/read", "https://rs.example.com/x/../read"},
		{"https://rs.example.com", "/read", "https://rs.example.com/./read"},
		{"https://rs.example.com", "/read", "https://rs.example.com/../../read"},
		{"https://rs.example.com", "/read", "https://rs.example.com/x/%2e%2E/read"},
		{"https://rs.example.com", "/read", "https://rs.example.com/r%65%61d"},
		{"https://rs.example.com", "/r%65ad", "https://rs.example.com/read"},
		{"https://rs.example.com", "/~smith", "https://rs.example.com/%7Esmith"},
		{"https://rs.example.com", "/%7esmith", "https://rs.example.com/~smith"},
		{"https://rs.example.com", "/a%2fb", "https://rs.example.com/a%2Fb"},
		{"https://rs.example.com", "/a%2Fb", "https://rs.example.com/a%2fb"},
		{"https://rs.example.com", "/a%c3%a9", "https://rs.example.com/a%C3%A9"},
		{"https://rs.example.com", "/", "https://rs.example.com"},
		{"https://rs.example.com", "/", "https://rs.example.com/"},
		{"https://rs.example.com", "/", "https://rs.example.com?a"},
		{"https://rs.example.com", "/", "https://rs.example.com#a"},
		{"https://rs.example.com", "/a/", "https://rs.example.com/a/b/.."},
		{"https://rs.example.com", "/a/", "https://rs.example.com/a/."},
		{"https://rs.example.com:8443", "/read", "https://rs.example.com:8443/read"},
		{"http://localhost:8080", "/read", "http://localhost:8080/read"},
		{"http://localhost", "/read", "http://LOCALHOST:80/read"},
		{"https://[2001:db8::1]", "/read", "https://[2001:DB8::1]:443/read"},
		{"https://127.0.0.1", "/read", "https://127.0.0.1/read"},
		{"https://xn--bcher-kva.example", "/read", "https://xn--bcher-kva.example/read"},
	} {
		if !isTarget(row.htu, token.Credential{Origins: []string{"https://first.example", row.origin}, Path: row.path}) {
			t.Errorf("%s is not %s%s", row.htu, row.origin, row.path)
		}
	}
}

// DPOP-20, D-13, D-14: anything else differs.
func TestOtherTarget(t *testing.T) {
	cred := token.Credential{Origins: []string{"https://rs.example.com", "https://rs.example.org:8443"}, Path: "/read"}
	for _, htu := range []string{
		"http://rs.example.com/read", "https://rs.example.net/read", "https://rs.example.com:8443/read", "https://rs.example.com:80/read",
		"https://rs.example.com:0443/read", "https://rs.example.org/read", "https://rs.example.org:443/read", "https://rs.example.com./read",
		"https://rs.example.com.evil.example/read", "https://evil.example/https://rs.example.com/read", "https://srs.example.com/read",
		"https://rs.example.com", "https://rs.example.com/", "https://rs.example.com/Read", "https://rs.example.com/READ", "https://rs.example.com/read/",
		"https://rs.example.com//read", "https://rs.example.com/read//", "https://rs.example.com/read%2F", "https://rs.example.com/%2Fread",
		"https://rs.example.com/read%20", "https://rs.example.com/read%00", "https://rs.example.com/readx", "https://rs.example.com/rea",
		"https://rs.example.com/read;x", "https://rs.example.com/read/.", "https://rs.example.com/read/..", "https://rs.example.com?/read", "https://rs.example.com#/read",
		"https://rs.example.com/%72%65%61%64%25", "https://rs.example.com/re%2561d",
		"", "/", "/read", "read", "//rs.example.com/read", "rs.example.com/read", "https:rs.example.com/read", "https:/rs.example.com/read", "https:/read", "https://", "https:///read",
		"://rs.example.com/read", "urn:x:y", "mailto:a@rs.example.com", "ftp://rs.example.com/read", "ws://rs.example.com/read", "wss://rs.example.com/read",
		"https://u@rs.example.com/read", "https://u:p@rs.example.com/read", "https://@rs.example.com/read", "https://rs.example.com@evil.example/read", "https://rs.example.com:443@evil.example/read",
		`https://rs.example.com\read`, `https://evil.example\@rs.example.com/read`, `https://rs.example.com/\read`,
		" https://rs.example.com/read", "https://rs.example.com/read ", "https://rs.example.com/re ad", "https://rs.example.com/read\n", "https://rs.example.com/re\tad", "https://rs.example.com/read\x00",
		"https://rs.example.com /read", "https://rs%2Eexample.com/read", "https://rs.example.com:44x/read", "https://rs.example.com:-443/read", "https://rs.example.com:443:443/read",
		"https://rs.example.com/read%", "https://rs.example.com/read%6", "https://rs.example.com/%zzread", "https://rs.example.com/%u0072ead",
		"https://rs.example.com/r\u00e9ad", "https://\u0280s.example.com/read", "https://[rs.example.com]/read", "https://[::1]/read", "https://[::1/read",
	} {
		if isTarget(htu, cred) {
			t.Errorf("%q passes", htu)
		}
	}
	if isTarget("https://rs.example.com/read", token.Credential{Path: "/read"}) {
		t.Error("a target passes without an origin")
	}
}

func TestOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://rs.example.com": "https://rs.example.com", "HTTPS://RS.example.com:443/": "https://rs.example.com", "http://h:80": "http://h",
		"http://h:443": "http://h:443", "https://h:80": "https://h:80", "https://h:": "https://h", "https://h/path?q#f": "https://h", "http://[::1]:8080": "http://[::1]:8080",
		"https://a_b.internal": "https://a_b.internal",
	} {
		if got, err := Origin(in); err != nil || got != want {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "h", "h:443", "//h", "https:h", "https://", "https://u@h", "ftp://h", "https://h x", "https://h/%zz", "https://é.example", `https://h/a\b`, `https://h/a"b`, "https://h/<a>", "https://h/a b", "https://h/é"} {
		if got, err := Origin(in); err == nil {
			t.Errorf("%q: got %q", in, got)
		} else if strings.Contains(err.Error(), "%zz") {
			t.Errorf("%q: the error quotes it", in)
		}
	}
}

func TestRemoveDotSegments(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b/c/./../../g": "/a/g", "/": "/", "/.": "/", "/..": "/", "/./": "/", "/../": "/", "/a/.": "/a/", "/a/..": "/", "/a/b/..": "/a/",
		"/a//b": "/a//b", "/a//../b": "/a/b", "//": "//", "/.//a": "//a", "/...": "/...", "/.a/..b/c.": "/.a/..b/c.", "/../../a": "/a", "/a/./b/": "/a/b/",
	} {
		if got := removeDotSegments(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// FuzzSplit: what is normal stays as it is, and net/url reads the same host.
func FuzzSplit(f *testing.F) {
	for _, uri := range []string{
		"https://rs.example.com/read", "HTTPS://RS.EXAMPLE.COM:443/a/../%7Eb?q#f", "http://[::1]:80/%2f%2e/./x", "https://u@h/", "https://h", "https://h:/..//.", "urn:x",
		"https://h/%41%2e%2E/%c3%a9/", "https://a:b:80/", "https://h\\x/", "https://h/%%32%65", "https://[]/", "https://h:00443/",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		origin, path, ok := split(uri)
		if !ok {
			return
		}
		for _, c := range []byte(origin + path) {
			if c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '@' && !strings.Contains(path, "@") {
				t.Fatalf("%q: octet %#x in %q %q", uri, c, origin, path)
			}
		}
		if !strings.HasPrefix(path, "/") || strings.ToLower(origin) != origin {
			t.Fatalf("%q: got %q %q", uri, origin, path)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q: a dot segment is left in %q", uri, path)
			}
		}
		again, samePath, ok := split(origin + path)
		if !ok || again != origin || samePath != path {
			t.Fatalf("%q: %q %q becomes %q %q", uri, origin, path, again, samePath)
		}
		if only, err := Origin(uri); err != nil || only != origin {
			t.Fatalf("%q: Origin is %q, %v", uri, only, err)
		}
		if !isTarget(uri, token.Credential{Origins: []string{origin}, Path: path}) {
			t.Fatalf("%q is not its own target", uri)
		}
		u, err := url.Parse(uri)
		if err != nil {
			return
		}
		host := strings.ToLower(u.Scheme + "://" + u.Hostname())
		if mine := strings.NewReplacer("[", "", "]", "").Replace(origin); u.User != nil || !strings.HasPrefix(mine, host) {
			t.Fatalf("%q: net/url reads %q, got %q", uri, u.Host, origin)
		}
	})
}
