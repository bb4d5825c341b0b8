package policy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/policy/expr"
	"github.com/wicketgate/wicketgate/token"
)

const (
	whenFalse  = "forbidden when"
	whenAbsent = "forbidden: when: something is absent at "
)

// asked decides about a request by its path as the gate does.
func asked(t testing.TB, s *Set, req Request, members string) *token.Error {
	t.Helper()
	r := s.Route(req.Method, req.Host, req.Path)
	if !r.Matched() {
		t.Fatalf("no route for %s %s", req.Method, req.Path)
	}
	return r.Authorize(&req, callerOf(t, members), t0)
}

func TestWhen(t *testing.T) {
	const everything = PathParameters | EncodedSlashes
	s := compile(t,
		Options{Path: "/t/{tenant}/**", When: "claims.tenant == path.tenant", Allow: everything},
		Options{Path: "/at", When: "request.path == '/at' && request.method == 'GET' && request.host == 'a.example'"},
		Options{Path: "/in/**", When: "request.path.startsWith('/in/x')", Allow: everything},
		Options{Path: "/net", When: "cidr('10.0.0.0/8').containsIP(request.source)"},
		Options{Path: "/head", When: "request.headers['x-tenant'] == claims.tenant"},
		Options{Path: "/both", When: "claims.tenant == 'acme'", Claims: map[string]ClaimRule{"tenant": {AnyOf: []string{"acme"}}}, Any: token.Scopes{"b"}},
	)
	for _, row := range []struct {
		path, members string
		want          string
	}{
		{"/t/acme/x", `"tenant":"acme"`, ""},
		{"/t/acme/x", `"tenant":"other"`, "forbidden: when"},
		{"/t/acme/x", ``, whenAbsent},
		{"/t/acme;v=1/x", `"tenant":"acme"`, whenAbsent},
		{"/t/acme%2fx", `"tenant":"acme"`, whenAbsent},
		{"/t/acme/x;v=1", `"tenant":"acme"`, ""},
		{"/at", ``, ""},
		{"/in/xy", ``, ""},
		{"/in/xy/", ``, ""},
		{"/in/yx", ``, "forbidden: when"},
		{"/in/x;y", ``, whenAbsent},
		{"/in/x%2fy", ``, whenAbsent},
		{"/net", ``, ""},
		{"/head", `"tenant":"acme"`, ""},
		{"/head", `"tenant":"else"`, "forbidden: when"},
		{"/both", `"tenant":"acme","scope":"b"`, ""},
		{"/both", `"tenant":"acme"`, "insufficient_scope: scope"},
		{"/both", `"tenant":"x"`, "forbidden: claim_rule"},
	} {
		path, _, flaw := Scan(row.path)
		if flaw != NoFlaw {
			t.Fatalf("%s: %v", row.path, flaw)
		}
		req := Request{Method: "GET", Host: "a.example", Path: path, Sender: from("10.9.8.7"), Header: map[string][]string{"X-Tenant": {"acme"}}}
		e := asked(t, s, req, row.members)
		if row.want == "" && e != nil || row.want != "" && (e == nil || !strings.HasPrefix(e.Error(), row.want)) {
			t.Errorf("%s by %s: %v, want %q", row.path, row.members, e, row.want)
		}
	}
	if e := asked(t, s, Request{Method: "GET", Path: "/net"}, ""); e == nil || e.Reason != token.ReasonWhen {
		t.Errorf("a source that nobody knows: %v", e)
	}
}

// The cause names a place in the expression, and nothing of the token.
func TestWhenCause(t *testing.T) {
	const secret = "s3cr3t"
	for when, want := range map[string]string{
		"int(claims.tenant) > 1":                         "a value does not fit at 1:4 of the expression",
		"claims.tenant > 1":                              "a value is of another type at 1:15 of the expression",
		"true &&\n claims[claims.tenant] == 'x'":         "something is absent at 2:8 of the expression",
		"claims.tenant.x == 'x'":                         "something is absent at 1:14 of the expression",
		"timestamp(claims.tenant) < now":                 "a value does not fit at 1:10 of the expression",
		"ip(claims.tenant).isLoopback()":                 "a value does not fit at 1:3 of the expression",
		"duration(claims.tenant) < duration('1s')":       "a value does not fit at 1:9 of the expression",
		"claims.list.all(a, claims.list == claims.list)": "costs too much",
	} {
		s := compile(t, Options{Path: "/", When: when})
		e := asked(t, s, Request{Method: "GET", Path: "/"}, `"tenant":"`+secret+`","list":[`+strings.Repeat("[1],", 999)+`1]`)
		failure, ok := errors.AsType[*expr.Failure](e)
		if !ok || failure.Error() != want || strings.Contains(e.Error(), secret) {
			t.Errorf("%s: %v, want %s", when, e, want)
		}
	}
}

func TestWhenComplains(t *testing.T) {
	_, err := Compile([]Options{
		{Path: "/a/{id}", When: "path.id == claims.id"},
		{Path: "/b/{id}", When: "path.it == claims.id && clams.x == 1"},
		{Path: "/c", When: "path.id == claims.id"},
		{Path: "/d", When: "claims.x"},
	}, Resource{})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, e := range joined.Unwrap() {
		if complaint, ok := errors.AsType[*Error](e); ok {
			got = append(got, fmt.Sprintf("%d %s %d %.20s", complaint.Index, complaint.Field, complaint.Offset, complaint.Message))
		}
	}
	want := "1 when 4 undefined field 'it'|1 when 24 undeclared reference|2 when 4 undefined field 'id'|3 when 0 gives a value of any"
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestNoteWhen(t *testing.T) {
	s := compile(t, Options{Path: "/", When: "claims.a == 1 && (claims.b == 2 && claims.c.exists(x, x == 3)) && claims.d == 4"})
	for members, want := range map[string]string{
		`"a":1,"b":2,"c":[3],"d":4`: "true",
		`"a":0,"b":2,"c":[3],"d":4`: "false: claims.a == 1",
		`"a":1,"b":2,"c":[0],"d":4`: "false: claims.c.exists(x, x == 3)",
		`"a":1,"b":2,"c":[3]`:       "something is absent at 1:73 of the expression: claims.d == 4",
	} {
		trace := &token.Trace{}
		s.Routes()[0].Note(trace, &Request{}, callerOf(t, members), t0)
		if len(trace.Steps) != 1 || trace.Steps[0].Seen != want || trace.Steps[0].Want != s.Routes()[0].When {
			t.Errorf("%s: %+v, want %s", members, trace.Steps, want)
		}
	}
}

func TestWhenAtOnce(t *testing.T) {
	s := compile(t, Options{Path: "/t/{tenant}", When: "claims.tenant == path.tenant && claims.groups.exists(g, g == path.tenant)"})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			mine := fmt.Sprint("t", i)
			p := callerOf(t, `"tenant":"`+mine+`","groups":["x","`+mine+`"]`)
			for j := range 200 {
				path := fmt.Sprint("/t/t", j%8)
				e := s.Route("GET", "", path).Authorize(&Request{Method: "GET", Path: path}, p, t0)
				if (e == nil) != (j%8 == i) {
					t.Errorf("%s at %s: %v", mine, path, e)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkDecision finds the route among 1,000 and holds a caller against it.
func BenchmarkDecision(b *testing.B) {
	for _, row := range []struct{ name, when string }{
		{"no expression", ""},
		{"capture", "claims.tenant == path.tenant"},
		{"groups", "claims.tenant == path.tenant && ('ops' in claims.groups || claims.level >= 3)"},
		{"all", "claims.tenant == path.tenant && request.method in ['GET', 'HEAD'] && claims.groups.exists(g, g.startsWith('op')) && token.expires_at > now"},
	} {
		options := make([]Options, 1000)
		for i := range options {
			options[i] = Options{Path: fmt.Sprintf("/service-%d/{tenant}/orders/**", i), Methods: []string{"GET"}, Any: token.Scopes{"read"}}
		}
		options[500].When = row.when
		s := compile(b, options...)
		p := callerOf(b, `"exp":1900000000,"scope":"read","tenant":"acme","level":2,"sub":"alice","client_id":"app","groups":["dev","sre","ops"]`)
		req := &Request{Method: "GET", Host: "api.example.com", Path: "/service-500/acme/orders/7"}
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if e := s.Route(req.Method, req.Host, req.Path).Authorize(req, p, t0); e != nil {
					b.Fatal(e)
				}
			}
		})
	}
}
