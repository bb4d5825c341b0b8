package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// newChecker decides for one resource whose every token is alice's.
func newChecker(t *testing.T, peers []netip.Prefix, copies bool, told *[]Outcome) *Checker {
	t.Helper()
	set, err := policy.Compile([]policy.Options{
		{Name: "ext", Path: "/ext/**", StripPrefix: "/ext"}, {Name: "open", Path: "/open", Public: true}, {Name: "ws", Path: "/ws", WebSocket: true},
	}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	forward := NewForward(ForwardOptions{})
	gate := &Gate{
		Name: "rs", Policy: set, Forward: []*Forward{forward, forward, forward},
		Validator: validatorFunc(func() (*token.Principal, error) {
			return &token.Principal{Claims: &token.Claims{Subject: "alice", Issuer: "https://issuer.example.com"}, Nonce: "next"}, nil
		}),
	}
	s := &Switch{}
	s.Set(&Table{Sites: map[string]*Site{"door": {Only: gate, Peers: peers}}, Limits: DefaultLimits})
	return NewChecker(CheckerOptions{Door: "door", Switch: s, Copies: copies, Decided: func(_ *http.Request, o *Outcome) { *told = append(*told, *o) }})
}

func asked(method, target string, header ...string) *http.Request {
	r := &http.Request{Method: method, RequestURI: target, Host: "rs.example.com", RemoteAddr: "192.0.2.7:1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	return r
}

var asker = netip.MustParseAddr("10.0.0.1")

func TestCheck(t *testing.T) {
	peers := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const bearer = "Bearer a.b.c"
	for name, test := range map[string]struct {
		request *http.Request
		asker   netip.Addr
		copies  bool
		allowed bool
		status  int
		means   int
		remove  []string
		path    string
	}{
		"good":                {asked("GET", "/ext/a?b=c", "Authorization", bearer, "X_auth_subject", "root", "X-Auth-Scope", "all", "Dpop", "p", "X-Forwarded-Proto", "https"), asker, false, true, 200, 200, []string{"Authorization", "Dpop", "X-Auth-Scope", "X_auth_subject"}, "/a?b=c"},
		"public":              {asked("GET", "/open", "X-Http-Method-Override", "DELETE"), asker, false, true, 200, 200, []string{"X-Http-Method-Override"}, ""},
		"no route":            {asked("GET", "/other"), asker, false, false, 404, 404, nil, ""},
		"not a peer":          {asked("GET", "/open"), netip.MustParseAddr("192.0.2.1"), false, false, 403, 403, nil, ""},
		"no address":          {asked("GET", "/open"), netip.Addr{}, false, false, 403, 403, nil, ""},
		"bad path":            {asked("GET", "/open/../ext"), asker, false, false, 400, 400, nil, ""},
		"no target":           {asked("GET", ""), asker, false, false, 400, 400, nil, ""},
		"gRPC-Web":            {asked("POST", "/other", "Content-Type", "application/grpc-web"), asker, false, false, 200, 404, nil, ""},
		"connection":          {asked("GET", "/open", "Connection", "close, x-auth-subject"), asker, false, false, 400, 400, nil, ""},
		"copies, spelt oddly": {asked("GET", "/open", "X_auth_subject", "root"), asker, true, false, 400, 400, nil, ""},
		"copies, override":    {asked("GET", "/open", "X-Http-Method-Override", "DELETE"), asker, true, false, 400, 400, nil, ""},
		"copies, token stays": {asked("GET", "/ext/", "Authorization", bearer, "Dpop", "p"), asker, true, true, 200, 200, []string{"Authorization", "Dpop"}, "/"},
		"handshake":           {asked("GET", "/ws", "Authorization", bearer, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version", "13"), asker, true, true, 200, 200, []string{"Authorization"}, ""},
		"handshake, no key":   {asked("GET", "/ws", "Authorization", bearer, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13"), asker, false, false, 400, 400, nil, ""},
		"handshake, not here": {asked("GET", "/ext/", "Authorization", bearer, "Connection", "Upgrade", "Upgrade", "websocket"), asker, true, false, 400, 400, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var told []Outcome
			got := newChecker(t, peers, test.copies, &told).Check(test.asker, test.request)
			if got.Allowed != test.allowed || got.Status != test.status || got.Means != test.means || got.Path != test.path || !slices.Equal(got.Remove, test.remove) {
				t.Errorf("got %+v", got)
			}
			if len(told) != 1 || told[0].Status != test.means {
				t.Errorf("told %+v, want once", told)
			}
			if !got.Allowed {
				return
			}
			subject, nonce := got.Set.Get("X-Auth-Subject"), got.Header.Get("Dpop-Nonce")
			if private := test.request.RequestURI != "/open"; private != (subject == "alice" && nonce == "next" && got.Principal != nil) || !private && got.Principal != nil {
				t.Errorf("set %v, header %v", got.Set, got.Header)
			}
		})
	}
}

// Where nobody holds the request, it is judged as at a Reverse.
func TestCheckOwn(t *testing.T) {
	var told []Outcome
	got := newChecker(t, nil, false, &told).Check(netip.Addr{}, asked("GET", "/open", "X-Forwarded-For", "192.0.2.9"))
	if !got.Allowed || !slices.Equal(got.Remove, []string{"X-Forwarded-For"}) {
		t.Errorf("got %+v", got)
	}
	if told[0].Client != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("client %v", told[0].Client)
	}
}

// A panic of ours is an answer, and lets nobody in.
func TestCheckPanics(t *testing.T) {
	var told []Outcome
	c := newChecker(t, nil, false, &told)
	c.options.Switch.Table().Sites["door"].Only.Forward = nil
	if got := c.Check(netip.Addr{}, asked("GET", "/open")); got.Allowed || got.Status != 500 || told[0].Panic == "" {
		t.Errorf("got %+v, told %+v", got, told)
	}
}

// A token may come in a field that the gate sets on the way on, and empty values keep
// proxies from making up their own.
func TestCheckCopies(t *testing.T) {
	var told []Outcome
	c := newChecker(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, true, &told)
	gate := c.options.Switch.Table().Sites["door"].Only
	gate.Sources.Header = "X-Token"
	gate.Forward[0].Ours("Authorization", "X-Token", "X-Mail")
	for _, header := range []string{"Authorization", "X-Token"} {
		value := map[string]string{"Authorization": "Bearer a.b.c", "X-Token": "a.b.c"}[header]
		got := c.Check(asker, asked("GET", "/ext/", header, value))
		if !got.Allowed || !slices.Contains(got.Remove, header) || got.Set["X-Token"] != nil || got.Set["Authorization"] != nil {
			t.Errorf("%s: got %+v", header, got)
		}
		if scope, mail := got.Set["X-Auth-Scope"], got.Set["X-Mail"]; !slices.Equal(scope, []string{""}) || !slices.Equal(mail, []string{""}) {
			t.Errorf("set %v", got.Set)
		}
	}
}

// What is said of a connection is for one that is not here, and there is no more
// room for those who are asked about than for those who are forwarded.
func TestCheckAnswersForNoConnection(t *testing.T) {
	var told []Outcome
	c := newChecker(t, nil, false, &told)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, r := range map[string]*http.Request{
		"refused": asked("GET", "/ext/a"), "no route": asked("GET", "/other"), "allowed": asked("GET", "/open"),
		"gone": asked("GET", "/ext/a").WithContext(gone), "HTTP/1.0": {Method: "GET", RequestURI: "/other", Host: "a", ProtoMajor: 1, Header: http.Header{}},
	} {
		got := c.Check(netip.Addr{}, r)
		for _, field := range []string{"Connection", "Content-Length"} {
			if got.Header[field] != nil {
				t.Errorf("%s: %s is %q", name, field, got.Header[field])
			}
		}
	}
}

func TestCheckSheds(t *testing.T) {
	var told []Outcome
	c := newChecker(t, nil, false, &told)
	table := *c.options.Switch.Table()
	table.Limits.InFlight = 1
	c.options.Switch.Set(&table)
	leave := c.options.Switch.admit(1)
	if got := c.Check(netip.Addr{}, asked("GET", "/open")); got.Allowed || got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || told[0].Status != got.Status {
		t.Errorf("got %+v, told %+v", got, told)
	}
	leave()
	if got := c.Check(netip.Addr{}, asked("GET", "/open")); !got.Allowed {
		t.Errorf("got %+v", got)
	}
}

func TestCheckWithoutASite(t *testing.T) {
	var told []Outcome
	c := newChecker(t, nil, false, &told)
	c.options.Door = "other"
	if got := c.Check(asker, asked("GET", "/open")); got.Allowed || got.Status != http.StatusServiceUnavailable || told[0].Panic != "" {
		t.Errorf("got %+v, told %+v", got, told)
	}
}

func TestNobodyMayAskBeforeThereIsATable(t *testing.T) {
	var told []Outcome
	c := newChecker(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, false, &told)
	if !c.MayAsk(asker) || c.MayAsk(netip.MustParseAddr("192.0.2.1")) {
		t.Error("peers may ask, and nobody else")
	}
	for name, o := range map[string]CheckerOptions{"no table": {Door: "door", Switch: &Switch{}}, "another door": {Door: "other", Switch: c.options.Switch}} {
		if NewChecker(o).MayAsk(asker) {
			t.Errorf("%s: somebody may ask", name)
		}
	}
}

// An answer to a token that caches do not know by its field is nobody else's.
func TestCheckKeepsPrivate(t *testing.T) {
	var told []Outcome
	c := newChecker(t, nil, false, &told)
	gate := c.options.Switch.Table().Sites["door"].Only
	gate.Sources.Header = "X-Token"
	gate.Validator = validatorFunc(func() (*token.Principal, error) {
		return &token.Principal{Claims: &token.Claims{Subject: "alice"}}, nil
	})
	for header, want := range map[string]string{"X-Token": "private", "Authorization": ""} {
		value := map[string]string{"Authorization": "Bearer a.b.c", "X-Token": "a.b.c"}[header]
		if got := c.Check(netip.Addr{}, asked("GET", "/ext/a", header, value)); !got.Allowed || got.Header.Get("Cache-Control") != want {
			t.Errorf("%s: Cache-Control is %q, want %q", header, got.Header.Get("Cache-Control"), want)
		}
	}
}
