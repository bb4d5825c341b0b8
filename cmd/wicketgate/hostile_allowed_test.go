package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// bearingRoutes are put before those of the fixture. All of them bear what can be
// borne but for admin and one, which other readers would find behind others.
const bearingRoutes = `    routes:
      - {name: wide, path: /w/**, allow: [path_parameters, empty_segments, encoded_slash], optional: true}
      - {name: admin, path: /w/admin/**, scopes: [admin]}
      - {name: bare, path: /bare/**, public: true, allow: [path_parameters, empty_segments, encoded_slash]}
      - {name: secret, path: /bare/secret, scopes: [admin]}
      - {name: one, path: "/one/{id}", allow: [path_parameters]}
      - {name: cut, path: /cut/**, strip_prefix: /cut, allow: [path_parameters, empty_segments, encoded_slash]}
      - {name: iis, path: /Iis/**, case_insensitive: true}
      - {name: iis-admin, path: /iis/Admin/**, case_insensitive: true, scopes: [admin]}
`

func newBearingWire(t *testing.T) *wire {
	t.Helper()
	return newWire(t, func(text string) string {
		return strings.Replace(text, "    routes:\n", bearingRoutes, 1) + "limits: {target: 64KiB}\n"
	})
}

// allowedRows are the rows about paths again, where a route allows what can be
// allowed: what it bears goes through octet for octet, and nothing else does.
var allowedRows = []conformanceRow{
	{"H-30", allowedH30}, {"H-31", allowedH31}, {"H-32", allowedH32}, {"H-33", allowedH33}, {"H-34", allowedH34},
	{"H-35", allowedH35}, {"H-36", allowedH36}, {"H-37", allowedH37}, {"H-38", allowedH38}, {"H-42", allowedH42},
}

func TestAllowedPaths(t *testing.T) {
	for _, r := range allowedRows {
		t.Run(r.id, r.run)
	}
}

// bears wants each target forwarded as it was sent, over both protocols.
func (w *wire) bears(t *testing.T, targets ...string) {
	t.Helper()
	for _, target := range targets {
		w.forwardedTarget(t, target)
		if seen := w.http2Passes(t, w.pseudo("GET", target), ""); !strings.HasPrefix(seen, "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("of %q over HTTP/2 the upstream saw %.100q", target, seen)
		}
	}
}

// bearsNot wants each target refused, over both protocols, before anybody looks
// at a token.
func (w *wire) bearsNot(t *testing.T, targets ...string) {
	t.Helper()
	for _, target := range targets {
		r := w.refuses(t, w.open("GET", target), 400)
		if ours := r.Header.Get("Content-Type") == "application/json"; ours && !strings.Contains(r.body, "invalid_request") || !ours && r.body != "400 Bad Request" {
			t.Errorf("%q was answered %v %s", target, r.Header, r.body)
		}
		w.http2Refused(t, w.pseudo("GET", target), "", "400", "reset")
	}
}

func allowedH30(t *testing.T) {
	newBearingWire(t).bearsNot(t, "/w/a/../b", "/w/.", "/w/%2e%2e/b", "/w/..;/b", "/w/a/.;x/", "/w/a%2f..%2fb", "/w/..%2f", "/w/a%2f.", "/w/a;x=%2f../b", "/w/a%2f..;x/b", "/cut/../w", "/w/%2e", "/w/x%2e")
}

func allowedH31(t *testing.T) {
	w := newBearingWire(t)
	w.bears(t, "/w/a//b", "/w//", "/w///x", "/w//x/", "/w/a//")
	w.bearsNot(t, "//w/a", "//", "/w//admin", "/w//admin/x", "/w///admin", "/w/admin//x", "//any/x", "/any//x", "/one//x", "/bare//secret", "//evil.example/w/a")
}

func allowedH32(t *testing.T) {
	w := newBearingWire(t)
	w.bears(t, "/w/a%2fb", "/w/a%2Fb/c", "/w/%2Fx", "/w/x%2f", "/w/group%2Fproject/issues")
	w.bearsNot(t, "/w%2fa", "/w/admin%2fx", "/w/%2fadmin", "/w/%2fadmin%2Fx", "/w/admin/x%2fy", "/bare%2fsecret", "/bare/%2fsecret", "/one/a%2fb", "/any/a%2fb", "/w/a%5cb", `/w/a\b`, "/w/%5C")
}

func allowedH33(t *testing.T) {
	newBearingWire(t).bearsNot(t, "/w/%00", "/w/x%0ay", "/w/x%0D%0Ay", "/w/%1f", "/w/%7f", "/bare/x%00", "/w/a;b=%00")
}

func allowedH34(t *testing.T) {
	w := newBearingWire(t)
	w.bears(t, "/w/a;b", "/w/a;", "/w/;jsessionid=1", "/w/a;b=c/d;e", "/one/x;v=1", "/w/a;admin", "/w/x%3by")
	w.bearsNot(t, "/w;x/a", "/w/admin;x", "/w/admin;x/y", "/w/;x/admin", "/bare/secret;x", "/one;x/y", "/any/a;b", "/w/a;b%3bc", "/w/admin%3bx")
	t.Run("all at once", func(t *testing.T) {
		w.bears(t, "/w//a;b%2fc//", "/w/;x/%2f/;y", "/w/a%2f%2f;b;//c")
		w.bearsNot(t, "/w/;x/%2fadmin;y", "/w/x;%2f/..%2f", "/w//;/%2f;%2f/admin%2F", "/bare/;/secret;")
	})
}

func allowedH35(t *testing.T) {
	newBearingWire(t).bearsNot(t, "/w/x#y", "/w/\xc3\xa9", "/w/%", "/w/%2", "/w/%zz", "/w/%u002e", "/w/%c0%af", "/w/%ff")
}

func allowedH36(t *testing.T) {
	w := newBearingWire(t)
	w.bears(t, "/w/%252e%252e", "/w/%252fadmin", "/w/%253b", "/w/a//%252e%252e")
}

func allowedH37(t *testing.T) {
	w := newBearingWire(t)
	for _, target := range []string{"/w/%61dmin", "/w/adm%69n/x", "/%77/admin", "/bare/s%65cret"} {
		w.refuses(t, w.open("GET", target), 403)
	}
	w.bearsNot(t, "/w//%61dmin", "/w/%61dmin;x", "/w/%61dmin%2Fx")
	w.bears(t, "/%77/a//%61dmin")
}

func allowedH38(t *testing.T) {
	w := newBearingWire(t)
	w.bears(t, "/iis/x", "/IIS/X", "/iIs/adminX", "/%49is/%61")
	for _, target := range []string{"/iis/admin", "/IIS/ADMIN/x", "/Iis/%41dmin/", "/iis/ADMI%4e/x"} {
		if r := w.refuses(t, w.open("GET", target), 403); !strings.Contains(r.body, "insufficient_scope") {
			t.Errorf("%s: %s", target, r.body)
		}
	}
	w.bearsNot(t, "/iis/adm%C4%B1n", "/%C4%B0is/x", "/iis//admin", "/iis/x;y")
	w.refuses(t, w.open("GET", "/W/a"), 404)
}

// Whoever presents nothing gets no further by it, on public and optional
// routes, and a proof is for the path as it was sent.
func TestAllowedPathsWithoutToken(t *testing.T) {
	w := newBearingWire(t)
	anonymous := func(target string) string {
		return strings.Replace(w.open("GET", target), w.at+"\r\n", "", 1)
	}
	for _, target := range []string{"/bare/a//b;c%2Fd", "/w/a//b;c%2Fd", "/bare/Secret;x"} {
		before := len(w.behind.requests())
		conn := w.dial(t)
		_, _ = io.WriteString(conn, anonymous(target))
		if r := nextReply(t, bufio.NewReader(conn), "GET"); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", target, r.StatusCode, r.body)
		}
		if seen := w.behind.requests()[before:]; len(seen) != 1 || seen[0] != "GET "+target {
			t.Errorf("of %s the upstream saw %q", target, seen)
		}
	}
	for target, status := range map[string]int{"/bare//secret": 400, "/bare/secret;x": 400, "/bare/secret": 401, "/w//admin": 400, "/w/admin/": 401, "/bare%2fa": 400, "/bare/../x": 400} {
		w.refuses(t, anonymous(target), status)
	}
	key := newClientKey(t, "ES256")
	raw := w.bound(key, nil)
	const target = "/w/a//b;c=d%2Fe"
	for _, one := range []struct {
		proven string
		status int
	}{{target, 200}, {"/w/a/b;c=d%2Fe", 401}, {"/w/a//b/d/e", 401}, {"/w/a//b", 401}} {
		r := w.do("GET", target, "Authorization", "DPoP "+raw, "Dpop", w.proof(key, raw, "GET", one.proven, devissuer.Proof{}))
		if r.StatusCode != one.status {
			t.Errorf("a proof for %s: %d %s, want %d", one.proven, r.StatusCode, r.body, one.status)
		}
	}
}

// allowedH42: no octet of a query changes beside an odd path, and what is
// stripped is the prefix alone.
func allowedH42(t *testing.T) {
	w := newBearingWire(t)
	queries := []string{"a;b=1", "%zz", "", "?", "a=%00&b=%ff", "u=http://evil/../x//y", "a=/../b//c;d%2f", strings.Repeat("a=1&", 10_001)}
	for _, query := range queries {
		w.forwardedTarget(t, "/w/a;b//c%2Fd?"+query)
		head, _, _ := w.passes(t, w.open("GET", "/cut/a;b//c%2Fd?"+query))
		if !strings.HasPrefix(head, "GET /a;b//c%2Fd?"+query+" HTTP/1.1\r\n") {
			t.Errorf("/cut/… was forwarded as %.100q", head)
		}
	}
	w.bearsNot(t, "/cut//evil.example/x", "/cut/%2fevil.example", "/cut/;x/evil.example?a=b", "/cut//")
}

// TestPathsGuide: the file of the guide is good, and its paths fare as it says.
func TestPathsGuide(t *testing.T) {
	text := contents(t, filepath.Join(repository, "docs", "guide", "paths.md"))
	files := blocks(text, "yaml")
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	path := written(t, files[0])
	command(t, "check", "--config", path).want(t, exitOK, "no mistakes")
	_, rows, _ := strings.Cut(text, "## What is refused all the same")
	said := 0
	for row := range strings.Lines(rows) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		for i, target := range strings.Split(cells[1], "`") {
			if i%2 == 0 {
				continue
			}
			list, code := filepath.Join(t.TempDir(), "urls"), exitOK
			if err := os.WriteFile(list, []byte(target), 0o600); err != nil {
				t.Fatal(err)
			}
			if said++; strings.Contains(cells[2], "400") {
				code = exitFailed
			}
			command(t, "check", "--config", path, "--urls", list).want(t, code)
		}
	}
	if said != 12 {
		t.Errorf("%d paths", said)
	}
}
