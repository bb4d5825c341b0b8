package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/forwarded"
	"github.com/wicketgate/wicketgate/token"
)

// Threats H-41.
func TestNormalHost(t *testing.T) {
	for _, row := range []struct {
		in, want string
		ok       bool
	}{
		{"h", "h", true},
		{"h.", "h", true},
		{"H.COM:443", "h.com", true},
		{"h.com:80", "h.com", true},
		{"H.Com:8443", "h.com:8443", true},
		{"api_1.internal", "api_1.internal", true},
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"[::1]", "[::1]", true},
		{"[::1]:443", "[::1]", true},
		{"[2001:DB8::1]:8080", "[2001:db8::1]:8080", true},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", true},
		{"", "", false},
		{".", "", false},
		{".h", "", false},
		{"h/evil", "", false},
		{`h\evil`, "", false},
		{"u@h", "", false},
		{"h;for=1", "", false},
		{`h"`, "", false},
		{"h,i", "", false},
		{"h:0", "", false},
		{"h:99999", "", false},
		{"h:65536", "", false},
		{"h:80:80", "", false},
		{"h:", "", false},
		{"h:+80", "", false},
		{"h:8a", "", false},
		{"h: 80", "", false},
		{":80", "", false},
		{" h", "", false},
		{"h ", "", false},
		{"h i", "", false},
		{"h\r\n", "", false},
		{"h\x00", "", false},
		{"h%2e", "", false},
		{"::1", "", false},
		{"[::1", "", false},
		{"[::1:80", "", false},
		{"h{", "", false},
		{"[]", "", false},
		{"[::1%25x]", "", false},
		{"[::1%eth0]", "", false},
		{"[127.0.0.1]", "", false},
		{"[::1]x", "", false},
		{"[::1]x:80", "", false},
		{"bücher.example", "", false},
		{"\u212A.example", "", false}, // a Kelvin sign is no k
		{"\u0130.example", "", false}, // nor is a dotted capital i an i
	} {
		got, ok := NormalHost(row.in)
		if ok != row.ok || ok && got != row.want {
			t.Errorf("%q: got %q %v, want %q %v", row.in, got, ok, row.want, row.ok)
		}
	}
}

// Threats H-39, H-40 and H-42.
func TestSplitTarget(t *testing.T) {
	for _, row := range []struct {
		in, path, query string
		ok              bool
	}{
		{"/", "/", "", true},
		{"/a/b", "/a/b", "", true},
		{"/a?", "/a", "?", true},
		{"/a?x=1;b=2&c=%zz&d=?", "/a", "?x=1;b=2&c=%zz&d=?", true},
		{"/a?u=http://x/", "/a", "?u=http://x/", true},
		{"//h/path", "//h/path", "", true}, // the path is judged by policy.Canonical
		{"/a%2Fb", "/a%2Fb", "", true},
		{"http://h/a?b", "/a", "?b", true},
		{"HTTPS://h:443/a", "/a", "", true},
		{"http://h", "/", "", true},
		{"http://h?q=1", "/", "?q=1", true},
		{"http://h/a?u=x@y", "/a", "?u=x@y", true},
		{"", "", "", false},
		{"*", "", "", false},
		{"h:443", "", "", false},
		{"a/b", "", "", false},
		{"?a", "", "", false},
		{"mailto:x", "", "", false},
		{"ftp://h/a", "", "", false},
		{"http:/a", "", "", false},
		{"http:///x", "", "", false},
		{"http://", "", "", false}, // no host, whatever the Host field says
		{"http://u@h/", "", "", false},
		{"http://u:p@h/", "", "", false},
		{"http://?x", "", "", false},
		{"/a#b", "", "", false},
		{"/a?b#c", "", "", false},
		{"/a b", "", "", false},
		{"/a?b c", "", "", false},
		{"/a\x7f", "", "", false},
	} {
		got, ok := splitTarget(row.in)
		if ok != row.ok || ok && got != (target{row.path, row.query}) {
			t.Errorf("%q: got %q %v, want %q %q %v", row.in, got, ok, row.path, row.query, row.ok)
		}
	}
}

// Conformance CRED-09 and HTTP-20.
func TestHasQueryToken(t *testing.T) {
	for query, want := range map[string]bool{
		"":                             false,
		"access_token=x":               true,
		"access_token":                 true,
		"access_token=":                true,
		"a=1&access_token=x":           true,
		"a=1;access_token=x":           true,
		"a=1;access_token=x&b=2":       true,
		"access_token=x;a":             true,
		"&&;;access_token=x":           true,
		"access%5Ftoken=x":             true,
		"access%5ftoken=x":             true,
		"%61%63%63ess_toke%6E=x":       true,
		"%zz=1&access_token=x":         true,
		"a=%&access_token=x":           true,
		"Access_Token=x":               false,
		"ACCESS_TOKEN=x":               false,
		"xaccess_token=x":              false,
		"access_tokens=x":              false,
		"access_token%3Dx=y":           false,
		"access%255Ftoken=x":           false,
		"a=access_token":               false,
		"a=%26access_token":            false,
		"access_token%":                false,
		"access_toke%6":                false,
		"id_token=x&token=y&access=z":  false,
		strings.Repeat("a=1&", 10_000): false,
		strings.Repeat("a=1&", 10_000) + "access_token=x": true,
	} {
		if got := hasQueryToken(query); got != want {
			t.Errorf("%.60q: got %v", query, got)
		}
	}
}

func TestLimits(t *testing.T) {
	l := Limits{HeaderFields: 3, HeaderSection: 30}
	for _, row := range []struct {
		name   string
		header http.Header
		want   bool
	}{
		{"nothing", nil, true},
		{"three lines", http.Header{"A": {"1", "2"}, "B": {"3"}}, true},
		{"four lines", http.Header{"A": {"1", "2"}, "B": {"3", "4"}}, false},
		{"thirty octets", http.Header{"A": {strings.Repeat("v", 25)}}, true},
		{"thirty-one octets", http.Header{"A": {strings.Repeat("v", 26)}}, false},
		{"empty values count", http.Header{"Abcdef": {"", "", ""}}, true},
		{"names count every time", http.Header{"Abcdefg": {"", "", ""}}, false},
	} {
		if got := l.allow(row.header); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}

// enterWith sends a request through the door of a listener that serves
// api.example.com only.
func enterWith(change func(*http.Request)) (*exchange, *token.Error) {
	r := &http.Request{Method: "GET", RequestURI: "/a", Host: "api.example.com", Header: http.Header{}}
	change(r)
	ex := &exchange{table: &Table{Limits: DefaultLimits}}
	set, err := policy.Compile(nil, policy.Resource{})
	if err != nil {
		panic(err)
	}
	site := &Site{Hosts: map[string]*Gate{"api.example.com": {Policy: set}}}
	return ex, ex.enter(site, r)
}

func TestEnter(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		code   token.Code
		reason token.Reason
	}{
		{"CONNECT", func(r *http.Request) { r.Method = "CONNECT" }, token.MethodNotAllowed, token.ReasonMethod},
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, token.MethodNotAllowed, token.ReasonMethod},
		{"connect", func(r *http.Request) { r.Method = "connect" }, token.MethodNotAllowed, token.ReasonMethod},
		{"Trace", func(r *http.Request) { r.Method = "Trace" }, token.MethodNotAllowed, token.ReasonMethod},
		{"CONNECT before all else", func(r *http.Request) { r.Method, r.RequestURI, r.Host = "CONNECT", "*", "" }, token.MethodNotAllowed, token.ReasonMethod},
		{"long target", func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", 16<<10) }, token.TargetTooLong, token.ReasonTarget},
		{"asterisk", func(r *http.Request) { r.RequestURI = "*" }, token.InvalidRequest, token.ReasonTarget},
		{"fragment", func(r *http.Request) { r.RequestURI = "/a#b" }, token.InvalidRequest, token.ReasonTarget},
		{"no host", func(r *http.Request) { r.Host = "" }, token.InvalidRequest, token.ReasonHost},
		{"bad host", func(r *http.Request) { r.Host = "h/evil" }, token.InvalidRequest, token.ReasonHost},
		{"other host", func(r *http.Request) { r.Host = "other.example.com" }, token.Misdirected, token.ReasonHost},
		{"other port", func(r *http.Request) { r.Host = "api.example.com:8443" }, token.Misdirected, token.ReasonHost},
		{"dot segment", func(r *http.Request) { r.RequestURI = "/a/../b" }, token.InvalidRequest, token.ReasonPath},
		{"authority in the path", func(r *http.Request) { r.RequestURI = "//evil/a" }, token.InvalidRequest, token.ReasonPath},
		{"101 lines", func(r *http.Request) { r.Header["A"] = make([]string, 101) }, token.HeaderTooLarge, token.ReasonHeaderSection},
		{"65 KiB", func(r *http.Request) { r.Header["A"] = []string{strings.Repeat("v", 65<<10)} }, token.HeaderTooLarge, token.ReasonHeaderSection},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, refusal := enterWith(row.change)
			if refusal == nil || refusal.Code != row.code || refusal.Reason != row.reason {
				t.Errorf("got %v, want %s %s", refusal, row.code, row.reason)
			}
		})
	}
}

func TestEnterReads(t *testing.T) {
	ex, refusal := enterWith(func(r *http.Request) {
		r.Method, r.Host, r.RequestURI = "get", "API.example.com.:443", "http://API.example.com/%61/b%20c?x=1;y&%zz"
		r.Header = http.Header{"Authorization": {"Bearer a", "DPoP b"}, "Dpop": {"p"}}
	})
	if refusal != nil {
		t.Fatal(refusal)
	}
	got := ex.request
	if got.Method != "get" || got.Path != "/a/b c" || got.RawPath != "/%61/b%20c" || got.RawQuery != "x=1;y&%zz" ||
		len(got.Authorization) != 2 || len(got.Proofs) != 1 || ex.query != "?x=1;y&%zz" || ex.gate == nil {
		t.Errorf("got %+v, query %q", got, ex.query)
	}
}

func TestSiteGate(t *testing.T) {
	named, only := &Gate{Name: "named"}, &Gate{Name: "only"}
	s := &Site{Only: only, Hosts: map[string]*Gate{"h": named}}
	if s.gate("h") != named || s.gate("i") != only || (&Site{}).gate("h") != nil {
		t.Error("a host found the wrong gate")
	}
}

// Threats H-56: a listener on [::] sees IPv4 peers as mapped addresses.
func TestTrusts(t *testing.T) {
	table := &Table{Trusted: forwarded.Rules{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for address, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd00::1": true,
		"11.0.0.1": false, "::ffff:11.0.0.1": false, "127.0.0.1": false, "::1": false, "192.168.0.1": false,
	} {
		if got := table.Trusted.Trusts(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
	if table.Trusted.Trusts(netip.Addr{}) {
		t.Error("a peer without an address is trusted")
	}
}

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"10.1.2.3:1": "10.1.2.3", "[::ffff:10.1.2.3]:1": "10.1.2.3", "[::1]:1": "::1", "@": "invalid IP", "": "invalid IP",
	} {
		if got := PeerOf(&http.Request{RemoteAddr: remote}).String(); got != want {
			t.Errorf("%q: got %s, want %s", remote, got, want)
		}
	}
}
