package smuggle

import "strings"

// A Stream is one request over HTTP/2: its fields in order, each name and value,
// and its body.
type Stream struct {
	ID     string // of the threat it belongs to
	Fields []string
	Body   string
}

// Streams is what only HTTP/2 can say and no request over HTTP/1.1 must be made
// of, with credentials as the value of authorization.
func Streams(credentials string) (list []Stream) {
	request := func(method, path string) []string {
		return []string{":method", method, ":scheme", "http", ":path", path, ":authority", "rs.example.com", "authorization", credentials}
	}
	add := func(id, body string, fields []string, more ...string) {
		list = append(list, Stream{id, append(fields, more...), body})
	}
	for _, fields := range [][]string{
		{":method", "CONNECT", ":authority", "up:1"}, {":method", "CONNECT", ":authority", "rs.example.com", ":scheme", "http", ":path", "/any/h01", ":protocol", "websocket"},
	} {
		add("H-01", Smuggled, fields, "authorization", credentials)
	}
	for _, pair := range [][2]string{
		{"transfer-encoding", "chunked"}, {"connection", "close"}, {"connection", "x-auth-subject"}, {"upgrade", "websocket"}, {"keep-alive", "timeout=5"},
		{"proxy-connection", "keep-alive"}, {"te", "gzip"}, {"te", "trailers, gzip"}, {"te", "trailers"}, {"transfer_encoding", "chunked"},
	} {
		add("H-14", "0\r\n\r\n"+Smuggled, request("POST", "/any/h14"), pair[:]...)
	}
	for _, pair := range [][2]string{
		{"x-a", "b\rc"}, {"x-a", "b\nx-auth-subject: evil"}, {"x-a", "b\x00"}, {"x-a", "b\r\n\r\n" + Smuggled}, {"x-a:", "b"}, {"X-A", "b"}, {"x a", "b"},
		{"x-a\r\nx-b", "c"}, {"", "b"}, {"x-\xc3\xa9", "b"}, {":path", "/any/y"}, {":unknown", "b"}, {":status", "200"}, {"host:", "b"},
		{"x-a\r\nx-auth-subject", "evil"}, {"x-auth-subject", "evil"}, {"x_auth_subject", "evil"}, {"x-auth-subject\r\n", "evil"},
	} {
		add("H-15", "", request("GET", "/any/h15"), pair[:]...)
	}
	for _, length := range []string{"0", "3", "400", "-1", "+4", "4 ", "0x4", "4, 4", "", "99999999999999999999"} {
		add("H-16", "body"+Smuggled, request("POST", "/any/h16"), "content-length", length)
	}
	add("H-16", "body", request("POST", "/any/h16"), "content-length", "4", "content-length", "5")
	for _, method := range []string{"GET /any/smuggled HTTP/1.1", "GET ", " GET", "G\x01T", "GET\r\n", "G(T", "", "GET/", "G\xc3\xa9T", "CONNECT", "TRACE"} {
		add("H-17", "", request(method, "/any/h17"))
	}
	for _, path := range []string{
		"/any/x y", "/any/x HTTP/1.1\r\nX-Auth-Subject: evil", "*", "http://rs.example.com/any/x", "//rs.example.com/any/x", "/any/x#y", "any/x", "", "?x", "/any/\x00", "/any/x\t",
		"/any/\xff", "https://other/any/x", "mailto:x", "/any/../admin/x", "/any/%2e%2e/admin/x", "/any/..;/admin/x", `/any/..\admin`,
	} {
		add("H-18", "", request("GET", path))
	}
	for _, host := range []string{"other.example.com", "rs.example.com/evil", "", "rs.example.com:8080", "rs.example.com\r\nX-Auth-Subject: evil"} {
		add("H-19", "", request("GET", "/any/h19"), "host", host)
		fields := request("GET", "/any/h19")
		fields[7] = host
		add("H-19", "", fields)
	}
	for _, s := range spelt("X-Auth-Subject") {
		add("H-50", "", request("GET", "/any/h50"), strings.ToLower(s), "evil")
	}
	return list
}
