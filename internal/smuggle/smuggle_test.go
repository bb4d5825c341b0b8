package smuggle

import (
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	const good = "GET /any/x HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: user-1\r\n"
	for text, subject := range map[string]string{
		good + "\r\n":                             "user-1",
		good + "Content-Length: 0\r\n\r\n":        "user-1",
		"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n": "",
	} {
		if got := Fault(text, subject); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
	for _, text := range []string{
		strings.Replace(good, "user-1", "evil", 1), strings.Replace(good, "X-Auth-Subject", "X-Other", 1), good + "X_Auth_Subject: user-1\r\n", good + "x.auth.email: evil\r\n",
		good + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", good + "Content-Length: 0\r\nContent-Length: 0\r\n", good + "X: a\nb: c\r\n", good + "X: a\rb: c\r\n",
		good + "X : a\r\n", good + "Host: b\r\n", good + " folded\r\n", strings.Replace(good, "/x", "/x\nX: y", 1),
	} {
		if Fault(text+"\r\n", "user-1") == "" {
			t.Errorf("nothing is wrong with %q", text)
		}
	}
	if Fault(good+"\r\n", "") == "" {
		t.Error("a subject where nobody is known")
	}
}

func TestWanders(t *testing.T) {
	for _, target := range []string{"/any/x", "/any/", "/any/%252e%252e", "/any/%61", "/any/x?a=/../b//;c", "/any/...", "/"} {
		if Wanders(target) {
			t.Errorf("%s wanders", target)
		}
	}
	for _, target := range []string{"/any/../x", "/any/%2e./x", "//any", "/any//x", "/any/%2fx", "/any/%5cx", "/any/a;b", "/any/%00", "/any/%zz", "any", "", "/any/."} {
		if !Wanders(target) {
			t.Errorf("%s stays", target)
		}
	}
}

// TestEveryThreatIsThere holds the lists to what they are used for.
func TestEveryThreatIsThere(t *testing.T) {
	const line = "Authorization: Bearer x"
	seen := map[string]int{}
	for _, p := range Catalogue(line) {
		seen[p.ID]++
	}
	for _, s := range Streams("Bearer x") {
		seen[s.ID]++
	}
	for _, id := range strings.Fields("H-01 H-02 H-03 H-04 H-05 H-06 H-07 H-08 H-09 H-10 H-11 H-12 H-14 H-15 H-16 H-17 H-18 H-19 H-30 H-31 H-32 H-33 H-34 H-35 H-36 C-02 H-50 H-51 H-52 H-53 H-54 H-55 H-57") {
		if seen[id] == 0 {
			t.Errorf("nothing belongs to %s", id)
		}
	}
	list := Mutations(line)
	different := map[string]bool{}
	for _, text := range list {
		different[text] = true
	}
	if len(different) < 10_000 || len(different) < len(list)*9/10 {
		t.Errorf("%d different mutations of %d", len(different), len(list))
	}
}
