package forwardauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// nobody has a good token.
type nobody struct{}

func (nobody) Validate(context.Context, token.Credential) (*token.Principal, error) {
	return nil, token.Refuse(token.CredentialRequired, token.ReasonMissing)
}

// newDoor is for rs.example.com, at which all below /open is public, and for the proxy
// at 192.0.2.1, from which httptest makes requests.
func newDoor(t testing.TB, f Form) *door {
	t.Helper()
	set, err := policy.Compile([]policy.Options{{Name: "open", Path: "/open/**", Public: true}, {Name: "all", Path: "/**"}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	forward := proxy.NewForward(proxy.ForwardOptions{})
	s := &proxy.Switch{}
	s.Set(&proxy.Table{Limits: proxy.DefaultLimits, Sites: map[string]*proxy.Site{"door": {
		Hosts: map[string]*proxy.Gate{"rs.example.com": {Name: "rs", Policy: set, Forward: []*proxy.Forward{forward, forward}, Validator: nobody{}}},
		Peers: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
	}}})
	return &door{Options{Checker: proxy.NewChecker(proxy.CheckerOptions{Door: "door", Switch: s, Copies: true}), Form: f}}
}

// asked is a question: name, value, name, value, with names as net/http keeps them.
func asked(header ...string) *http.Request {
	q := httptest.NewRequest(http.MethodPost, "/the/question?of=its&own", strings.NewReader("body"))
	for i := 0; i+1 < len(header); i += 2 {
		name := http.CanonicalHeaderKey(header[i])
		q.Header[name] = append(q.Header[name], header[i+1])
	}
	return q
}

// forwardedFields and originalFields are the fields of a question in each form.
func forwardedFields(method, proto, host, uri string, more ...string) []string {
	return append([]string{"X-Forwarded-Method", method, "X-Forwarded-Proto", proto, "X-Forwarded-Host", host, "X-Forwarded-Uri", uri}, more...)
}

func originalFields(method, url string, more ...string) []string {
	return append([]string{"X-Original-Method", method, "X-Original-URL", url}, more...)
}

// TestRead: what a question is taken for. Where no target is wanted it is taken for
// none. status is what becomes of it in the end.
func TestRead(t *testing.T) {
	const host, url = "rs.example.com", "https://rs.example.com"
	for name, row := range map[string]struct {
		form                     Form
		header                   []string
		method, wantHost, target string
		status                   int
	}{
		"forwarded":                         {XForwarded, forwardedFields("PUT", "https", host, "/open/a?b=c"), "PUT", host, "/open/a?b=c", 200},
		"forwarded, plain http":             {XForwarded, forwardedFields("GET", "http", host, "/open/a"), "GET", host, "/open/a", 200},
		"forwarded, capitals":               {XForwarded, forwardedFields("GET", "HTTPS", "RS.Example.Com", "/open/a"), "GET", "RS.Example.Com", "/open/a", 200},
		"forwarded, method in small":        {XForwarded, forwardedFields("get", "https", host, "/open/a"), "get", host, "/open/a", 200},
		"forwarded, port":                   {XForwarded, forwardedFields("GET", "https", host+":443", "/open/a"), "GET", host + ":443", "/open/a", 200},
		"forwarded, another port":           {XForwarded, forwardedFields("GET", "https", host+":8443", "/open/a"), "GET", host + ":8443", "/open/a", 421},
		"forwarded, private":                {XForwarded, forwardedFields("GET", "https", host, "/a"), "GET", host, "/a", 401},
		"forwarded, no method":              {XForwarded, forwardedFields("", "https", host, "/open/a")[2:], "", "", "", 400},
		"forwarded, empty method":           {XForwarded, forwardedFields("", "https", host, "/open/a"), "", "", "", 400},
		"forwarded, no target":              {XForwarded, forwardedFields("GET", "https", host, "")[:6], "", "", "", 400},
		"forwarded, empty target":           {XForwarded, forwardedFields("GET", "https", host, ""), "", "", "", 400},
		"forwarded, empty host":             {XForwarded, forwardedFields("GET", "https", "", "/open/a"), "", "", "", 400},
		"forwarded, two methods":            {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Forwarded-Method", "GET"), "", "", "", 400},
		"forwarded, two targets":            {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Forwarded-Uri", "/b"), "", "", "", 400},
		"forwarded, two hosts":              {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Forwarded-Host", host), "", "", "", 400},
		"forwarded, two protocols":          {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Forwarded-Proto", "https"), "", "", "", 400},
		"forwarded, methods joined":         {XForwarded, forwardedFields("GET, POST", "https", host, "/open/a"), "GET, POST", host, "/open/a", 400},
		"forwarded, hosts joined":           {XForwarded, forwardedFields("GET", "https", host+", evil.example.com", "/open/a"), "GET", host + ", evil.example.com", "/open/a", 400},
		"forwarded, protocols joined":       {XForwarded, forwardedFields("GET", "https,http", host, "/open/a"), "", "", "", 400},
		"forwarded, targets joined":         {XForwarded, forwardedFields("GET", "https", host, "/a, /open/a"), "GET", host, "/a, /open/a", 400},
		"forwarded, WebSocket's protocol":   {XForwarded, forwardedFields("GET", "wss", host, "/open/a"), "", "", "", 400},
		"forwarded, space around":           {XForwarded, forwardedFields("GET", " https", host, "/open/a"), "", "", "", 400},
		"forwarded, whole target":           {XForwarded, forwardedFields("GET", "https", host, url+"/open/a"), "", "", "", 400},
		"forwarded, no slash":               {XForwarded, forwardedFields("GET", "https", host, "open/a"), "", "", "", 400},
		"forwarded, star":                   {XForwarded, forwardedFields("OPTIONS", "https", host, "*"), "", "", "", 400},
		"forwarded, query only":             {XForwarded, forwardedFields("GET", "https", host, "?a"), "", "", "", 400},
		"forwarded, fragment":               {XForwarded, forwardedFields("GET", "https", host, "/open/a#b"), "GET", host, "/open/a#b", 400},
		"forwarded, two slashes":            {XForwarded, forwardedFields("GET", "https", host, "//open/a"), "GET", host, "//open/a", 400},
		"forwarded, encoded slash":          {XForwarded, forwardedFields("GET", "https", host, "/open/a%2Fb"), "GET", host, "/open/a%2Fb", 400},
		"forwarded, encoded in the query":   {XForwarded, forwardedFields("GET", "https", host, "/open/a?b=%2F..%2F"), "GET", host, "/open/a?b=%2F..%2F", 200},
		"forwarded, dots":                   {XForwarded, forwardedFields("GET", "https", host, "/a/../open/b"), "GET", host, "/a/../open/b", 400},
		"forwarded, encoded dots":           {XForwarded, forwardedFields("GET", "https", host, "/a/%2e%2e/open/b"), "GET", host, "/a/%2e%2e/open/b", 400},
		"forwarded, broken escape":          {XForwarded, forwardedFields("GET", "https", host, "/open/%zz"), "GET", host, "/open/%zz", 400},
		"forwarded, space in the target":    {XForwarded, forwardedFields("GET", "https", host, "/open/a b"), "GET", host, "/open/a b", 400},
		"forwarded, user":                   {XForwarded, forwardedFields("GET", "https", "u@"+host, "/open/a"), "GET", "u@" + host, "/open/a", 400},
		"forwarded, host and path":          {XForwarded, forwardedFields("GET", "https", host+"/open", "/a"), "GET", host + "/open", "/a", 400},
		"forwarded, another resource":       {XForwarded, forwardedFields("GET", "https", "other.example.com", "/open/a"), "GET", "other.example.com", "/open/a", 421},
		"forwarded, CONNECT":                {XForwarded, forwardedFields("CONNECT", "https", host, "/open/a"), "CONNECT", host, "/open/a", 405},
		"forwarded, both agree":             {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URI", "/open/a", "X-Original-Method", "GET", "X-Original-URL", url+"/open/a"), "GET", host, "/open/a", 200},
		"forwarded, original method":        {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-Method", "POST"), "", "", "", 400},
		"forwarded, original URI":           {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URI", "/b"), "", "", "", 400},
		"forwarded, original URL":           {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URL", url+"/b"), "", "", "", 400},
		"forwarded, original URL of http":   {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URL", "http://"+host+"/open/a"), "", "", "", 400},
		"forwarded, one of two contradicts": {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URI", "/open/a", "X-Original-URI", "/b"), "", "", "", 400},
		"forwarded, empty contradiction":    {XForwarded, forwardedFields("GET", "https", host, "/open/a", "X-Original-URI", ""), "", "", "", 400},

		"original":                       {XOriginal, originalFields("PUT", url+"/open/a?b=c"), "PUT", host, "/open/a?b=c", 200},
		"original, capitals":             {XOriginal, originalFields("GET", "HTTPS://RS.example.com/open/a"), "GET", "RS.example.com", "/open/a", 200},
		"original, port":                 {XOriginal, originalFields("GET", url+":443/open/a"), "GET", host + ":443", "/open/a", 200},
		"original, private":              {XOriginal, originalFields("GET", url+"/a"), "GET", host, "/a", 401},
		"original, nothing":              {XOriginal, nil, "", "", "", 400},
		"original, the other form":       {XOriginal, forwardedFields("GET", "https", host, "/open/a"), "", "", "", 400},
		"original, no method":            {XOriginal, originalFields("", url+"/open/a")[2:], "", "", "", 400},
		"original, no URL":               {XOriginal, originalFields("GET", "")[:2], "", "", "", 400},
		"original, URI for URL":          {XOriginal, []string{"X-Original-Method", "GET", "X-Original-URI", "/open/a"}, "", "", "", 400},
		"original, two URLs":             {XOriginal, originalFields("GET", url+"/open/a", "X-Original-URL", url+"/open/a"), "", "", "", 400},
		"original, two methods":          {XOriginal, originalFields("GET", url+"/open/a", "X-Original-Method", "GET"), "", "", "", 400},
		"original, path only":            {XOriginal, originalFields("GET", "/open/a"), "", "", "", 400},
		"original, no scheme":            {XOriginal, originalFields("GET", "//rs.example.com/open/a"), "", "", "", 400},
		"original, empty scheme":         {XOriginal, originalFields("GET", "://rs.example.com/open/a"), "", "", "", 400},
		"original, another scheme":       {XOriginal, originalFields("GET", "ftp://rs.example.com/open/a"), "", "", "", 400},
		"original, no host":              {XOriginal, originalFields("GET", "https:///open/a"), "", "", "", 400},
		"original, no path":              {XOriginal, originalFields("GET", url), "", "", "", 400},
		"original, query for a path":     {XOriginal, originalFields("GET", url+"?/open/a"), "", "", "", 400},
		"original, fragment for a path":  {XOriginal, originalFields("GET", url+"#/open/a"), "", "", "", 400},
		"original, fragment":             {XOriginal, originalFields("GET", url+"/open/a#b"), "GET", host, "/open/a#b", 400},
		"original, user":                 {XOriginal, originalFields("GET", "https://u:p@"+host+"/open/a"), "GET", "u:p@" + host, "/open/a", 400},
		"original, host as user":         {XOriginal, originalFields("GET", url+"@evil.example.com/open/a"), "GET", host + "@evil.example.com", "/open/a", 400},
		"original, encoded slash":        {XOriginal, originalFields("GET", url+"/open/a%2fb"), "GET", host, "/open/a%2fb", 400},
		"original, slash in the host":    {XOriginal, originalFields("GET", "https://rs.example.com%2fopen/a"), "GET", "rs.example.com%2fopen", "/a", 400},
		"original, backslash":            {XOriginal, originalFields("GET", url+"\\@evil.example.com/open/a"), "GET", host + "\\@evil.example.com", "/open/a", 400},
		"original, URL in the query":     {XOriginal, originalFields("GET", url+"/open/a?u=https://x/y"), "GET", host, "/open/a?u=https://x/y", 200},
		"original, two slashes":          {XOriginal, originalFields("GET", url+"//open/a"), "GET", host, "//open/a", 400},
		"original, both agree":           {XOriginal, originalFields("GET", url+"/open/a", "X-Original-URI", "/open/a", "X-Forwarded-Uri", "/open/a", "X-Forwarded-Method", "GET"), "GET", host, "/open/a", 200},
		"original, forwarded method":     {XOriginal, originalFields("GET", url+"/open/a", "X-Forwarded-Method", "POST"), "", "", "", 400},
		"original, forwarded target":     {XOriginal, originalFields("GET", url+"/open/a", "X-Forwarded-Uri", "/b"), "", "", "", 400},
		"original, original URI differs": {XOriginal, originalFields("GET", url+"/open/a", "X-Original-URI", "/b"), "", "", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, row.form)
			r, ok := d.read(asked(row.header...))
			if ok != (row.target != "") {
				t.Fatalf("ok %t: %s %s %s", ok, r.Method, r.Host, r.RequestURI)
			}
			if ok && (r.Method != row.method || r.Host != row.wantHost || r.RequestURI != row.target) {
				t.Errorf("read %q at %q for %q", r.Method, r.Host, r.RequestURI)
			}
			w := httptest.NewRecorder()
			d.ServeHTTP(w, asked(row.header...))
			if got := meant(w); got != row.status {
				t.Errorf("%d %v, want %d", got, w.Header(), row.status)
			}
		})
	}
}

// meant is the status that an answer stands for; 0 where it does not say.
func meant(w *httptest.ResponseRecorder) int {
	said := w.Header().Get(HeaderStatus)
	if w.Code == http.StatusOK && said == "" {
		return w.Code
	}
	status, err := strconv.Atoi(said)
	if err != nil || w.Code/100 == 2 {
		return 0
	}
	return status
}

// TestRequestOf: the rest of the request is the client's, less the question, and the
// address is what the proxy wrote last.
func TestRequestOf(t *testing.T) {
	for name, row := range map[string]struct {
		form   Form
		more   []string
		client string
		length int64
		want   map[string]string // fields; "" for none
	}{
		"as it is":          {XForwarded, []string{"X-Request-Id", "7", "Connection", "close, X-Auth-Subject"}, "192.0.2.1", -1, map[string]string{"X-Request-Id": "7", "Connection": "", "X-Forwarded-Uri": "", "X-Forwarded-Method": "", "X-Original-Uri": ""}},
		"client":            {XForwarded, []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.7"}, "198.51.100.7", -1, nil},
		"no client":         {XForwarded, []string{"X-Forwarded-For", "unknown"}, "192.0.2.1", -1, nil},
		"length":            {XForwarded, []string{"Content-Length", "12"}, "192.0.2.1", 12, nil},
		"odd length":        {XForwarded, []string{"Content-Length", "+12"}, "192.0.2.1", -1, nil},
		"negative length":   {XForwarded, []string{"Content-Length", "-12"}, "192.0.2.1", -1, nil},
		"two lengths":       {XForwarded, []string{"Content-Length", "1", "Content-Length", "2"}, "192.0.2.1", -1, nil},
		"handshake":         {XForwarded, []string{"Sec-WebSocket-Key", "x"}, "192.0.2.1", -1, map[string]string{"Upgrade": "websocket", "Connection": "Upgrade"}},
		"h2c":               {XForwarded, []string{"HTTP2-Settings", "x"}, "192.0.2.1", -1, map[string]string{"Upgrade": "h2c", "Connection": "Upgrade"}},
		"h2c at nginx":      {XOriginal, []string{"HTTP2-Settings", "x"}, "192.0.2.1", -1, map[string]string{"Upgrade": "", "Connection": ""}},
		"told the protocol": {XForwarded, []string{"Upgrade", "TLS/1.0", "Sec-WebSocket-Key", "x"}, "192.0.2.1", -1, map[string]string{"Upgrade": "TLS/1.0", "Connection": "Upgrade"}},
	} {
		t.Run(name, func(t *testing.T) {
			header := forwardedFields("POST", "https", "rs.example.com", "/open/a", row.more...)
			if row.form == XOriginal {
				header = originalFields("POST", "https://rs.example.com/open/a", row.more...)
			}
			q := asked(header...)
			r, ok := newDoor(t, row.form).read(q)
			if !ok || r.RemoteAddr != row.client+":0" && r.RemoteAddr != row.client || r.ContentLength != row.length || r.Body != nil || r.URL != nil || r.TLS != nil {
				t.Fatalf("%t %+v", ok, r)
			}
			for name, value := range row.want {
				if got := r.Header.Get(name); got != value || value == "" && r.Header[name] != nil {
					t.Errorf("%s %q, want %q", name, got, value)
				}
			}
			if q.Method != http.MethodPost || q.URL.Path != "/the/question" || q.Header.Get("X-Forwarded-Uri") == "" && row.form == XForwarded {
				t.Errorf("the question has changed: %+v", q)
			}
		})
	}
}

// TestStrangers: who may not ask learns nothing, whatever the question.
func TestStrangers(t *testing.T) {
	for _, header := range [][]string{nil, forwardedFields("GET", "https", "rs.example.com", "/open/a"), {"X-Forwarded-Uri", "/a"}} {
		q := asked(header...)
		q.RemoteAddr = "198.51.100.1:1"
		w := httptest.NewRecorder()
		if newDoor(t, XForwarded).ServeHTTP(w, q); w.Code != http.StatusForbidden || meant(w) != http.StatusForbidden {
			t.Errorf("%q: %d %v", header, w.Code, w.Header())
		}
	}
}

// FuzzRead: nothing is read out of a question but what is in it, and leave is given for
// what is public only.
func FuzzRead(f *testing.F) {
	f.Add(false, "GET", "https", "rs.example.com", "/open/a?b=c", "", "")
	f.Add(true, "GET", "", "", "https://rs.example.com/open/a", "", "")
	f.Add(true, "GET", "", "", "https://rs.example.com@evil/open/a#b", "X-Forwarded-Uri", "/b")
	f.Add(false, "get", "HTTPS", "RS.example.com:443", "/open/%2e%2e/a", "X-Original-Url", "https://rs.example.com/b")
	f.Add(false, "GET", "https", "rs.example.com", "//evil.example.com/open", "X-Forwarded-Host", "x")
	doors := map[bool]*door{false: newDoor(f, XForwarded), true: newDoor(f, XOriginal)}
	f.Fuzz(func(t *testing.T, original bool, method, proto, host, target, name, value string) {
		header := forwardedFields(method, proto, host, target, name, value)
		if original {
			header = originalFields(method, target, name, value)
		}
		d := doors[original]
		r, ok := d.read(asked(header...))
		same := r.RequestURI == target && r.Host == host
		if original {
			same = strings.HasSuffix(target, "://"+r.Host+r.RequestURI) && !strings.ContainsAny(r.Host, "/?#")
		}
		if ok && (!same || r.Method != method || r.RequestURI[0] != '/') {
			t.Fatalf("%q %q %q (%t) became %q %q %q", method, host, target, original, r.Method, r.Host, r.RequestURI)
		}
		for _, name := range []string{forwardedMethod, forwardedURI, originalMethod, originalURL, originalURI} {
			if r.Header[name] != nil {
				t.Fatalf("%s is left", name)
			}
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, asked(header...))
		if w.Code/100 != 2 {
			return
		}
		normal, good := proxy.NormalHost(r.Host)
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if !ok || !good || normal != "rs.example.com" || !strings.HasPrefix(path, "/open") || strings.Contains(path+"/", "/../") || !token.IsToken(r.Method) {
			t.Fatalf("leave for %q at %q for %q", r.Method, r.Host, r.RequestURI)
		}
	})
}
