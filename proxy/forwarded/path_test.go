package forwarded

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func rules(standard bool, trusted ...string) *Rules {
	r := &Rules{Standard: standard}
	for _, t := range trusted {
		r.Trusted = append(r.Trusted, netip.MustParsePrefix(t))
	}
	return r
}

// inside is what the tests trust: 10.0.0.0/8 and fd00::/8.
func inside(standard bool) *Rules { return rules(standard, "10.0.0.0/8", "fd00::/8") }

func TestTrusts(t *testing.T) {
	for address, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.1.2.3": false, "fd00::1": true, "::1": false, "fe80::1%eth0": false,
	} {
		if got := inside(false).Trusts(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
	if inside(false).Trusts(netip.Addr{}) {
		t.Error("nobody is trusted")
	}
}

// TestWalk writes ways as X-Forwarded-For tells them, less the peer 10.0.0.1.
func TestWalk(t *testing.T) {
	const peer = "10.0.0.1"
	many := func(n int, one string) string { return strings.Repeat(one+",", n) }
	for _, row := range []struct {
		name, sent string // lines apart by \n
		client     string
		told       string
	}{
		{"nothing", "", peer, ""},
		{"one", "6.6.6.6", "6.6.6.6", "6.6.6.6"},
		{"what the client wrote before", "1.1.1.1, 2.2.2.2, 6.6.6.6", "6.6.6.6", "6.6.6.6"},
		{"what the client wrote before, in lines of its own", "1.1.1.1\n2.2.2.2,3.3.3.3\n6.6.6.6", "6.6.6.6", "6.6.6.6"},
		{"trusted ones before", "1.1.1.1, 6.6.6.6, 10.0.0.3, fd00::2", "6.6.6.6", "6.6.6.6, 10.0.0.3, fd00::2"},
		{"trusted ones in lines of their own", "1.1.1.1\n6.6.6.6\n10.0.0.3\n10.0.0.2", "6.6.6.6", "6.6.6.6, 10.0.0.3, 10.0.0.2"},
		{"a trusted name given by the client", "10.0.0.9, 6.6.6.6, 10.0.0.2", "6.6.6.6", "6.6.6.6, 10.0.0.2"},
		{"trusted ones only", "10.0.0.3, 10.0.0.2", "10.0.0.3", "10.0.0.3, 10.0.0.2"},
		{"unknown", "1.1.1.1, unknown", peer, "unknown"},
		{"unknown behind one", "1.1.1.1, Unknown, 10.0.0.2", "10.0.0.2", "unknown, 10.0.0.2"},
		{"hidden", "1.1.1.1, _x.-_9, 10.0.0.2", "10.0.0.2", "unknown, 10.0.0.2"},
		{"hidden, with a port", "1.1.1.1, _x:_p, 10.0.0.2:1", "10.0.0.2", "unknown, 10.0.0.2"},
		{"IPv6", "2001:db8::1", "2001:db8::1", "2001:db8::1"},
		{"IPv6 in brackets", "[2001:DB8::0:1]", "2001:db8::1", "2001:db8::1"},
		{"IPv6 with a port", "[2001:db8::1]:65000", "2001:db8::1", "2001:db8::1"},
		{"IPv4 with a port", "6.6.6.6:99", "6.6.6.6", "6.6.6.6"},
		{"IPv4 written as IPv6", "1.1.1.1, ::ffff:6.6.6.6, ::ffff:10.0.0.2", "6.6.6.6", "6.6.6.6, 10.0.0.2"},
		{"spaces", " \t6.6.6.6 ,\t10.0.0.2 ", "6.6.6.6", "6.6.6.6, 10.0.0.2"},
		{"empty elements", "6.6.6.6,, 10.0.0.2, ,", "6.6.6.6", "6.6.6.6, 10.0.0.2"},
		{"empty lines", "6.6.6.6\n\n10.0.0.2\n", "6.6.6.6", "6.6.6.6, 10.0.0.2"},
		{"31 empty elements", "6.6.6.6" + strings.Repeat(",", 31), "6.6.6.6", "6.6.6.6"},
		{"32 empty elements", "6.6.6.6" + strings.Repeat(",", 32), peer, ""},
		{"31 trusted", "1.1.1.1, 6.6.6.6, " + many(30, "10.0.0.2") + "10.0.0.2", "6.6.6.6", "6.6.6.6, " + strings.TrimSuffix(strings.Repeat("10.0.0.2, ", 31), ", ")},
		{"32 trusted", "6.6.6.6, " + many(31, "10.0.0.2") + "10.0.0.3", "10.0.0.2", strings.Repeat("10.0.0.2, ", 31) + "10.0.0.3"},
		{"10,000", many(10_000, "1.1.1.1") + "6.6.6.6", "6.6.6.6", "6.6.6.6"},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantPath(t, inside(false), map[string][]string{"X-Forwarded-For": strings.Split(row.sent, "\n")}, peer, row.client, row.told)
		})
	}
	for _, junk := range []string{
		"junk", "6.6.6", "6.6.6.6.6", "06.6.6.6", "6.6.6.6:", "6.6.6.6:123456", "6.6.6.6:x", "6.6.6.6 7.7.7.7", "[6.6.6.6]", "[2001:db8::1", "2001:db8::1]", "[]", "[2001:db8::1]1",
		"[2001:db8::1]:", "fe80::1%eth0", "[fe80::1%eth0]", "_", "_ä", "_" + strings.Repeat("x", 64), `"6.6.6.6"`, `"_x"`, "6.6.6.6;", "6.6.6.6\x00", "\x806.6.6.6", "localhost", "for=6.6.6.6", "::ffff:6.6.6.6:1:2:3",
	} {
		t.Run("junk "+junk, func(t *testing.T) {
			wantPath(t, inside(false), map[string][]string{"X-Forwarded-For": {"1.1.1.1, " + junk}}, peer, peer, "")
			wantPath(t, inside(false), map[string][]string{"X-Forwarded-For": {"1.1.1.1, " + junk + ",10.0.0.2"}}, peer, "10.0.0.2", "10.0.0.2")
		})
	}
}

// wantPath gives up when the peer is not the last of what upstreams are told.
func wantPath(t *testing.T, r *Rules, header map[string][]string, peer, client, told string) Path {
	t.Helper()
	p := r.Trace(header, netip.MustParseAddr(peer))
	if told != "" {
		told += ", "
	}
	if p.Client.String() != client || p.For() != told+peer {
		t.Errorf("of %.200q: client %s by way of %q, want %s by way of %q", header, p.Client, p.For(), client, told+peer)
	}
	return p
}

func TestOnlyTrustedPeersAreHeard(t *testing.T) {
	for _, standard := range []bool{false, true} {
		header := map[string][]string{
			"X-Forwarded-For": {"1.1.1.1"}, "Forwarded": {"for=1.1.1.1;host=evil;proto=https"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"https"},
		}
		p := wantPath(t, inside(standard), header, "6.6.6.6", "6.6.6.6", "")
		if p.Host != "" || p.Proto != "" {
			t.Errorf("a stranger said host %q and proto %q", p.Host, p.Proto)
		}
		if p := inside(standard).Trace(header, netip.Addr{}); p.Client.IsValid() || p.For() != "unknown" || p.Forwarded("h", "http") != `for=unknown;host="h";proto=http` {
			t.Errorf("from nobody: %+v", p)
		}
	}
}

// TestOneFieldCounts: the other may have come as the client wrote it.
func TestOneFieldCounts(t *testing.T) {
	header := map[string][]string{"X-Forwarded-For": {"6.6.6.6"}, "Forwarded": {"for=7.7.7.7"}}
	wantPath(t, inside(false), header, "10.0.0.1", "6.6.6.6", "6.6.6.6")
	wantPath(t, inside(true), header, "10.0.0.1", "7.7.7.7", "7.7.7.7")
	delete(header, "X-Forwarded-For")
	wantPath(t, inside(false), header, "10.0.0.1", "10.0.0.1", "")
}

func TestForwardedField(t *testing.T) {
	const peer = "10.0.0.1"
	for _, row := range []struct {
		name, sent, client, told, host, proto string
	}{
		{"an address", "for=6.6.6.6", "6.6.6.6", "6.6.6.6", "", ""},
		{"all of it", `For="6.6.6.6:80";PROTO=https;by=_b;host="h:1";ext="a\"b"`, "6.6.6.6", "6.6.6.6", "h:1", "https"},
		{"IPv6", `for="[2001:db8::1]:_p"`, "2001:db8::1", "2001:db8::1", "", ""},
		{"escaped octets", `for="6\.6.6\.6"`, "6.6.6.6", "6.6.6.6", "", ""},
		{"no quotes", `for=[2001:db8::1]:80;host=h:80`, "2001:db8::1", "2001:db8::1", "h:80", ""},
		{"spaces", "for=6.6.6.6 ; proto=http;", "6.6.6.6", "6.6.6.6", "", "http"},
		{"of the client's proxy", "for=6.6.6.6;host=a;proto=https, for=10.0.0.2;host=b;proto=http", "6.6.6.6", "6.6.6.6, 10.0.0.2", "a", "https"},
		{"what the client wrote before", `for=1.1.1.1;host=evil;proto=gopher, for=6.6.6.6`, "6.6.6.6", "6.6.6.6", "", ""},
		{"a comma in quotes", `for=1.1.1.1, for=6.6.6.6;ext="a,for=2.2.2.2"`, "6.6.6.6", "6.6.6.6", "", ""},
		{"an open quote before", `for="1.1.1.1, for=6.6.6.6`, "6.6.6.6", "6.6.6.6", "", ""},
		{"an open quote before quotes", `for="1.1.1.1, for="[fd00::2]";host="b"` + "\n" + `for="[fd00::3]"`, "fd00::2", "fd00::2, fd00::3", "b", ""},
		{"a backslash before quotes", `for=\, for="[2001:db8::1]"`, "2001:db8::1", "2001:db8::1", "", ""},
		{"unknown", "for=1.1.1.1, for=unknown;proto=https", peer, "unknown", "", "https"},
		{"hidden", `for=1.1.1.1, for="_x", for=10.0.0.2`, "10.0.0.2", "unknown, 10.0.0.2", "", ""},
		{"no address", "for=1.1.1.1, proto=https", peer, "unknown", "", "https"},
		{"no parameter", "for=1.1.1.1, ;", peer, "unknown", "", ""},
		{"10,000", strings.Repeat(`for="[2001:db8::1]",`, 10_000) + "for=6.6.6.6", "6.6.6.6", "6.6.6.6", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := wantPath(t, inside(true), map[string][]string{"Forwarded": strings.Split(row.sent, "\n")}, peer, row.client, row.told)
			if p.Host != row.host || p.Proto != row.proto {
				t.Errorf("host %q, proto %q", p.Host, p.Proto)
			}
		})
	}
	for _, junk := range []string{
		"6.6.6.6", "for", "for=", "=6.6.6.6", "for=6.6.6.6;for=7.7.7.7", "for=6.6.6.6;host=a;HOST=b", `for="6.6.6.6`, `for=6.6.6.6"`, `for="6.6.6.6"x`, "for=6.6.6.6 x=y", "f or=6.6.6.6",
		`for="6.6.6.6\`, `for="6.6.6.6\"`, "for=6.6.6.6;;x", "for=(6.6.6.6)", `for="6.6.6.6` + "\x00\"", `for=\"6.6.6.6\"`,
	} {
		t.Run("junk "+junk, func(t *testing.T) {
			wantPath(t, inside(true), map[string][]string{"Forwarded": {"for=1.1.1.1, " + junk + ", for=10.0.0.2"}}, peer, "10.0.0.2", "10.0.0.2")
		})
	}
}

func TestHostAndProtoAreSaidOnce(t *testing.T) {
	header := func(name string, lines ...string) map[string][]string { return map[string][]string{name: lines} }
	peer := netip.MustParseAddr("10.0.0.1")
	if p := inside(false).Trace(header("X-Forwarded-Host", "a"), peer); p.Host != "a" {
		t.Errorf("host %q", p.Host)
	}
	if p := inside(false).Trace(header("X-Forwarded-Proto", "https"), peer); p.Proto != "https" {
		t.Errorf("proto %q", p.Proto)
	}
	if p := inside(false).Trace(header("X-Forwarded-Host", "a", "a"), peer); p.Host != "" {
		t.Errorf("of two lines host %q", p.Host)
	}
	if p := inside(true).Trace(header("X-Forwarded-Host", "a"), peer); p.Host != "" {
		t.Errorf("host %q of the field that does not count", p.Host)
	}
}

func TestWhatIsTold(t *testing.T) {
	p := inside(true).Trace(map[string][]string{"Forwarded": {`for=6.6.6.6;host=a;proto=https;by="x;y", for="[fd00::2]:80";host=b`}}, netip.MustParseAddr("10.0.0.1"))
	const want = `for=6.6.6.6;host="a";proto=https, for="[fd00::2]", for=10.0.0.1;host="h:1";proto=http`
	if got := p.Forwarded("h:1", "http"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	p = inside(true).Trace(map[string][]string{"Forwarded": {`for="_x:1"`}}, netip.MustParseAddr("fd00::1"))
	if got := p.Forwarded("h", "https"); got != `for=_x, for="[fd00::1]";host="h";proto=https` {
		t.Error(got)
	}
	zoned := Path{Peer: netip.MustParseAddr(`fe80::1%";evil`)}
	if got := zoned.Forwarded("h", "http") + zoned.For(); got != `for="[fe80::1]";host="h";proto=httpfe80::1` {
		t.Error(got)
	}
}

// TestLongListsCostLittle counts what is allocated for a list that is as long
// as a header section may be.
func TestLongListsCostLittle(t *testing.T) {
	peer := netip.MustParseAddr("10.0.0.1")
	for _, row := range []struct {
		standard bool
		header   map[string][]string
	}{
		{false, map[string][]string{"X-Forwarded-For": {strings.Repeat("10.0.0.2, ", 6_500)}}},
		{true, map[string][]string{"Forwarded": {strings.Repeat(`for="10.0.0.2",`, 4_300)}}},
		{true, map[string][]string{"Forwarded": {strings.Repeat(`\"`, 32_000) + `"`}}},
	} {
		r := inside(row.standard)
		if n := testing.AllocsPerRun(10, func() { r.Trace(row.header, peer) }); n > 10 {
			t.Errorf("%.40q: %v allocations", row.header, n)
		}
	}
}

// The grammar of RFC 7239 section 4 once more, with what is forgiven.
var (
	slowPair    = "([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([!#$%&'*+.^_`|~0-9A-Za-z:\\[\\]-]+|\"(?:[^\"\\\\]|\\\\(?s:.))*\")"
	slowElement = regexp.MustCompile(`^(?s)[; \t]*` + slowPair + `(?:[ \t]*;[; \t]*` + slowPair + `)*[; \t]*$|^[; \t]*$`)
	slowPairs   = regexp.MustCompile(`(?s)` + slowPair)
)

// slowLast takes the shortest end of a list that is an element.
func slowLast(line string) (rest, element string) {
	for i := len(line) - 1; i >= 0; i-- {
		if end := strings.Trim(line[i+1:], " \t"); line[i] == ',' && (end == "" || slowElement.MatchString(end)) {
			return line[:i], line[i+1:]
		}
	}
	return "", line
}

func slowValues(text string) (values map[string]string, ok bool) {
	if !slowElement.MatchString(text) {
		return nil, false
	}
	values = map[string]string{}
	for _, pair := range slowPairs.FindAllStringSubmatch(text, -1) {
		name, value := strings.ToLower(pair[1]), pair[2]
		if strings.HasPrefix(value, `"`) {
			value = regexp.MustCompile(`(?s)\\(.)`).ReplaceAllString(value[1:len(value)-1], "$1")
		}
		if _, twice := values[name]; twice && slices.Contains([]string{"for", "host", "proto"}, name) {
			return nil, false
		}
		values[name] = value
	}
	return values, true
}

// slowWalk is Trace with Standard, from addresses to those who wrote them.
func slowWalk(lines []string, trusted func(string) bool) (told []string) {
	var entries []string // from the last
	for _, line := range slices.Backward(lines) {
		for more := line != ""; more; more = line != "" {
			var one string
			line, one = slowLast(line)
			entries = append(entries, strings.Trim(one, " \t"))
		}
	}
	for i, one := range entries {
		if i == MaxHops {
			break
		}
		if one == "" {
			continue
		}
		values, ok := slowValues(one)
		if !ok {
			break
		}
		text := "unknown"
		if values["for"] != "" {
			hop, ok := parseNode(values["for"])
			if !ok {
				break
			}
			text = plain(hop.Addr)
		}
		told = append([]string{text}, told...)
		if text == "unknown" || !trusted(text) {
			break
		}
	}
	return told
}

func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{
		"for=6.6.6.6", `for="[2001:db8::1]:80";host=h, for=10.0.0.2`, `for="a,b\"", for=10.0.0.2;;`, `for="1.1.1.1, for="[fd00::2]"`, "for=unknown,,", "for=10.0.0.1\nfor=_x", `\",\\"`, "for=10.0.0.1 ; x=y,;",
		"for=10.0.0.2\n\n,for=10.0.0.3", `x=","`,
	} {
		f.Add(seed)
	}
	r := inside(true)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 500 || !regexp.MustCompile(`^[\x00-\x7f]*$`).MatchString(text) {
			return
		}
		lines := strings.Split(text, "\n")
		p := r.Trace(map[string][]string{"Forwarded": lines}, netip.MustParseAddr("10.0.0.1"))
		told := slowWalk(lines, func(a string) bool { return r.Trusts(netip.MustParseAddr(a)) })
		if want := strings.Join(append(told, "10.0.0.1"), ", "); p.For() != want {
			t.Fatalf("%q: %q, want %q", lines, p.For(), want)
		}
		// Whatever a client writes before what a trusted proxy adds changes nothing.
		after := r.Trace(map[string][]string{"Forwarded": append(slices.Clone(lines[:len(lines)-1]), lines[len(lines)-1]+`, for="[2001:db8::1]:9";proto=https`)}, netip.MustParseAddr("10.0.0.1"))
		if after.Client.String() != "2001:db8::1" || after.Proto != "https" || len(after.Told) != 1 {
			t.Fatalf("behind %q: %+v", lines, after)
		}
		p.Host, p.Proto = "", ""
		again := r.Trace(map[string][]string{"Forwarded": {p.Forwarded("h", "http")}}, netip.MustParseAddr("fd00::1"))
		if fmt.Sprint(again.Client) != fmt.Sprint(p.Client) || !strings.HasPrefix(again.For(), p.For()) {
			t.Fatalf("%q was told as %q", p.For(), again.For())
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"6.6.6.6", "1.1.1.1, 10.0.0.2,", "[2001:db8::1]:80", "unknown", "::ffff:10.0.0.2\n10.0.0.3", "_x,10.0.0.2:1"} {
		f.Add(seed)
	}
	r := inside(false)
	f.Fuzz(func(t *testing.T, text string) {
		p := r.Trace(map[string][]string{"X-Forwarded-For": strings.Split(text, "\n")}, netip.MustParseAddr("10.0.0.1"))
		if len(p.Told) > MaxHops {
			t.Fatalf("%d hops", len(p.Told))
		}
		for i, hop := range p.Told {
			if i > 0 && !r.Trusts(hop.Addr) {
				t.Fatalf("%q is believed, though %v said so", p.For(), hop)
			}
		}
		for _, one := range strings.Split(p.For(), ", ") {
			if _, err := netip.ParseAddr(one); err != nil && one != "unknown" {
				t.Fatalf("%q tells %q", text, one)
			}
		}
		after := r.Trace(map[string][]string{"X-Forwarded-For": {text + ",2001:db8::1"}}, netip.MustParseAddr("10.0.0.1"))
		if after.Client.String() != "2001:db8::1" || len(after.Told) != 1 {
			t.Fatalf("behind %q: %+v", text, after)
		}
	})
}
