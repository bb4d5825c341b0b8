package smuggle

import (
	"fmt"
	"slices"
	"strings"
)

// A Payload is octets for one connection.
type Payload struct {
	ID    string // of the threat it belongs to
	Text  string
	Whole bool // one request that is complete to every reader
}

// catalogue collects payloads for requests with one field line that says who
// asks.
type catalogue struct {
	authorization string
	list          []Payload
}

// Catalogue is the threats to framing, targets and fields over HTTP/1.1, with
// the field line authorization in each request that may be let through. Allowed
// may be what lies below /any/; /open/ is for everybody and /admin/ for nobody.
func Catalogue(authorization string) []Payload {
	c := &catalogue{authorization: authorization}
	c.tunnels()
	c.framings()
	c.chunks()
	c.heads()
	c.pipelines()
	c.targets()
	c.identities()
	c.hops()
	return c.list
}

func (c *catalogue) add(id, text string) { c.list = append(c.list, Payload{ID: id, Text: text}) }

func (c *catalogue) whole(id, text string) {
	c.list = append(c.list, Payload{ID: id, Text: text, Whole: true})
}

// open writes the head of a request that leaves the connection open.
func (c *catalogue) open(method, target string, lines ...string) string {
	all := append([]string{method + " " + target + " HTTP/1.1", "Host: rs.example.com", c.authorization}, lines...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

// tunnels ask for octets to go on unread.
func (c *catalogue) tunnels() {
	for _, target := range []string{"up:1", "rs.example.com:443", "/any/h01", "http://rs.example.com/any/h01"} {
		c.add("H-01", c.open("CONNECT", target)+Smuggled)
		c.add("H-01", c.open("CONNECT", target, fmt.Sprintf("Content-Length: %d", len(Smuggled)))+Smuggled)
		c.add("H-01", c.open("CONNECT", target, "Transfer-Encoding: chunked")+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(Smuggled), Smuggled))
	}
	c.add("H-01", c.open("TRACE", "/any/h01")+Smuggled)
}

func (c *catalogue) framings() {
	const chunked = "3\r\nabc\r\n0\r\n\r\n"
	for _, lines := range [][]string{
		{"Content-Length: 4", "Transfer-Encoding: chunked"}, {"Transfer-Encoding: chunked", "Content-Length: 4"},
		{"Content-Length: 40", "Transfer-Encoding: Chunked"}, {"Content-Length: 0", "Transfer-Encoding: chunked"},
		{"Content-Length: 13", "Transfer-Encoding:\tchunked"}, {"Content-Length: 4", "Transfer-Encoding: chunked", "Connection: Content-Length"},
	} {
		c.add("H-02", c.open("POST", "/any/h02", lines...)+chunked+Smuggled)
	}
	for _, coding := range codings() {
		if coding != "" {
			c.add("H-03", c.open("POST", "/any/h03", coding)+"0\r\n\r\n"+Smuggled)
		}
	}
	for _, value := range []string{
		"1\r\nContent-Length: 2", "1, 1", "1, 2", "+1", "-1", "0x1", "1_0", "", "12345678901234567890", "1 1", "1.0", "1e0", "\x0b1", "1;", "٣",
		"1\r\nContent-Length: +1", ",1", "9223372036854775808", "1\r\nContent-Length: 1", "01",
	} {
		c.add("H-04", c.open("POST", "/any/h04", "Content-Length: "+value)+"a"+Smuggled)
	}
	for _, lines := range [][]string{
		{"Content_Length: 5", "Content-Length: 1"}, {"Transfer_Encoding: chunked", "Content-Length: 1"}, {"Content.Length: 7", "Content-Length: 1"},
		{"transfer_encoding: chunked", "content_length: 0", "Content-Length: 1"},
	} {
		c.add("H-09", c.open("POST", "/any/h09", lines...)+"a"+Smuggled)
	}
}

func (c *catalogue) chunks() {
	chunked := c.open("POST", "/any/h05", "Transfer-Encoding: chunked")
	for _, body := range []string{
		"+1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n", "00000000000000001\r\na\r\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1\r\na0\r\n\r\n",
		"1;a\nb\r\na\r\n0\r\n\r\n", "-1\r\na\r\n0\r\n\r\n", "\r\n0\r\n\r\n", "1 1\r\na\r\n0\r\n\r\n", "fffffffffffffffff\r\na", "1\r\na\n\r0\r\n\r\n", "1\ra\r\n0\r\n\r\n",
		";\r\n\r\n", "1\x00\r\na\r\n0\r\n\r\n", "1;\"\r\na\r\n0\r\n\r\n", "1;a=\"b\r\n\"\r\na\r\n0\r\n\r\n", "0\r\nX: y\r\n", "0;\n\r\n",
	} {
		c.add("H-05", chunked+body+Smuggled)
	}
	for _, declared := range []string{"X-Other: 1", "Trailer: X-Auth-Subject", "Trailer: Content-Length, Transfer-Encoding"} {
		c.whole("H-06", c.open("POST", "/any/h06", "Transfer-Encoding: chunked", declared)+
			"3;ext=\"evil\";b\r\nabc\r\n0;evil\r\nX-Auth-Subject: evil\r\nX_Auth_Email: evil\r\nContent-Length: 5\r\n\r\n")
	}
}

func (c *catalogue) heads() {
	for _, text := range []string{
		strings.ReplaceAll(c.open("GET", "/any/h07", "X-A: b"), "\r\n", "\n"), c.open("GET", "/any/h07", "X-A: b", "X-B: c\r\n\td"),
		c.open("GET", "/any/h07", "X-A: b\r\n  X-Auth-Subject: evil"), c.open("GET", "/any/h07", "X-A: b\nX-Auth-Subject: evil"),
	} {
		c.add("H-07", text)
	}
	for _, line := range []string{
		"X-A: b\rc", "X-A: b\x00c", "X-\x00A: b", "X A: b", ": b", "X-A\x7f: b", "X-A: b\x7fc", "X-A", "X-A\r: b", "X-A: \x01", "X-\xc3\xa9: b", "(X): b",
		"X-A:b\rX-Auth-Subject: evil", "X-Auth-Subject : evil", "X-Auth-Subject\t: evil", "X-Auth-Subject\x00: evil", "X-Auth-Subject\r: evil",
	} {
		c.add("H-08", c.open("GET", "/any/h08", line)+Smuggled)
	}
	host := "Host: rs.example.com\r\n" + c.authorization + "\r\n\r\n"
	for _, start := range []string{
		"GET /any/h10 HTTP/1.2", "GET /any/h10 HTTP/2.0", "GET /any/h10 HTTP/3.0", "GET /any/h10 HTTP/1.10", "GET /any/h10 http/1.1", "GET /any/h10 HTTP/1",
		"GET  /any/h10 HTTP/1.1", "GET /any/h10\tHTTP/1.1", " GET /any/h10 HTTP/1.1", "\r\nGET /any/h10 HTTP/1.1", "GET /any/h10 HTTP/1.1 ", "GET /any/h10 HTTP/1.1 HTTP/1.1",
		"PRI * HTTP/2.0", "GET /any/h10 HTTP/0.9", "GET /any/h10",
	} {
		c.add("H-10", start+"\r\n"+host+Smuggled)
	}
	c.add("H-10", "POST /any/h10 HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n"+host+"0\r\n\r\n"+Smuggled)
}

func (c *catalogue) pipelines() {
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PATCH"} {
		c.whole("H-11", c.open(method, "/any/h11", fmt.Sprintf("Content-Length: %d", len(Smuggled)))+Smuggled)
		c.whole("H-11", c.open(method, "/any/h11", "Transfer-Encoding: chunked")+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(Smuggled), Smuggled))
	}
	bad := strings.Replace(c.open("GET", "/any/smuggled"), c.authorization, "Authorization: Bearer bad", 1)
	last := c.open("GET", "/any/h12-5", "Connection: close") + Smuggled
	c.add("H-12", c.open("GET", "/any/h12-1")+bad+c.open("GET", "/any/h12-3")+last)
	c.add("H-12", c.open("POST", "/any/h12-1", "Content-Length: 1")+"a"+bad+c.open("POST", "/any/h12-3", "Transfer-Encoding: chunked")+"1\r\na\r\n0\r\n\r\n"+last)
	c.add("H-12", c.open("GET", "/any/h12-1")+c.open("GET", "/any/h12-2", "Expect: 100-continue")+last)
	c.add("H-12", c.open("POST", "/any/h12-1", "Expect: 100-continue", "Content-Length: 4")+"body"+last)
	c.add("H-12", c.open("HEAD", "/any/h12-1")+c.open("HEAD", "/any/h12-2")+last)
}

func (c *catalogue) targets() {
	for id, list := range map[string][]string{
		"H-30": {"/any/a/../b", "/any/./b", "/any/..", "/..", "/any/%2e%2e/b", "/any/%2E.", "/any/.%2e/admin/x", "/open/..;/admin/x", "/any/a/.;/", "/any/.", "/open/../admin/x", "/.", "/any/...;/../x", "/any/../admin/x"},
		"H-31": {"//any/x", "/any//x", "///", "/any/x//", "//", "//admin/x", "/any//../admin/x"},
		"H-32": {"/any%2fx", "/any/%2Fx", "/any/%5cx", "/any/x%5C..%5cy", `/any\x`, `/any/..\..\admin`, `/\any`, "/any/..%2fadmin/x", "/any/%2e%2e%2fadmin/x"},
		"H-33": {"/any/x%00", "/any/x%01y", "/any/x%0a", "/any/x%0d%0aX-Auth-Subject:%20evil", "/any/x%1f", "/any/x%7f", "/any/x\x01y", "/any/x\x7f"},
		"H-34": {"/any/a;b", "/any/a;", "/any;jsessionid=1/x", "/any/;/x", "/any/x%3b;", "/any/..;/admin/x"},
		"H-35": {"/any/x#y", "/any/\xc3\xa9", "/any/%", "/any/%2", "/any/%zz", "/any/%u002e", "/any/%c0%af", "/any/%ff", "/any/%ed%a0%80", "/any/．．/x"},
		"H-36": {"/any/%252e%252e", "/any/%252fx", "/any/%2500", "/any/%25", "/any/%252e%252e%252fadmin", "/any/%61?a;b=%zz", "/%61ny/x", "/%61dmin/x"},
	} {
		for _, target := range list {
			c.whole(id, c.open("GET", target))
		}
	}
	slices.SortStableFunc(c.list, func(a, b Payload) int { return strings.Compare(a.ID, b.ID) })
}

// spelt lists spellings of a name that some server folds onto it.
func spelt(name string) []string {
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."),
		strings.Replace(name, "-", "_", 1), strings.ToLower(strings.ReplaceAll(name, "-", "_")),
	}
}

func (c *catalogue) identities() {
	names := []string{"X-Auth-Subject", "X-Auth-Issuer", "X-Auth-Scope", "X-Auth-Email", "X-Auth-Roles", "X-Auth-Binding"}
	var all []string
	for _, name := range names {
		var lines []string
		for _, s := range spelt(name) {
			lines = append(lines, s+": evil")
			c.whole("C-02", c.open("GET", "/any/c02", s+": evil"))
		}
		c.whole("H-50", c.open("GET", "/any/h50", append(lines, slices.Repeat([]string{name + ": evil"}, 20)...)...))
		all = append(all, lines...)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		c.whole("H-51", strings.Replace(c.open(method, "/open/h51", all...), c.authorization+"\r\n", "", 1))
	}
	c.whole("H-51", c.open("POST", "/open/h51", append(all, "Content-Length: 1")...)+"a")
	c.whole("H-52", c.open("GET", "/any/h52", "X-Auth-Email: evil", "X_Auth_Roles: evil"))
}

func (c *catalogue) hops() {
	for _, line := range []string{
		"Connection: X-Auth-Subject, authorization, host, content-length, x-forwarded-for", "Connection: x-auth-subject,AUTHORIZATION,Host,Content-Length",
		"Connection:\tX-Auth-Subject\t,\tHost ,, Content-Length", "Connection: keep-alive\r\nConnection: x-auth-subject\r\nConnection: content-length, transfer-encoding", "Connection: \"X-Auth-Subject\"",
	} {
		c.whole("H-53", c.open("POST", "/any/h53", line, "Content-Length: 4")+"body")
	}
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Envoy-Original-Path", "Proxy",
	} {
		c.whole("H-54", c.open("GET", "/any/h54", name+": /admin/evil", strings.ReplaceAll(name, "-", "_")+": /admin/evil"))
	}
	for _, value := range []string{"unknown", `"_x"`, "[2001:db8::1]:80", strings.Repeat("6.6.6.6, ", 300) + "7.7.7.7", "\x80junk, , ,;"} {
		c.whole("H-55", c.open("GET", "/any/h55", "X-Forwarded-For: "+value, "X-Forwarded-For: 5.5.5.5"))
	}
	c.whole("H-57", c.open("GET", "/any/h57", "Proxy-Authorization: Basic eDp5", "TE: trailers, deflate", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "HTTP2-Settings: AAMAAABkAAQAAP__"))
	for _, upgrade := range []string{"h2c", "websocket", "TLS/1.0, websocket", "foo"} {
		c.whole("H-100", c.open("GET", "/any/h100", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+upgrade, "HTTP2-Settings: AAMAAABkAAQAAP__"))
	}
}
