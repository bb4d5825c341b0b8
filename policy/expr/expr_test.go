package expr

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

const sample = `{"iss":"https://as.example","sub":"ann","client_id":"web","jti":"t1","aud":["https://api.example","other"],` +
	`"iat":1790000000,"exp":1790003600,"auth_time":1789999900,"acr":"gold","amr":["pwd","otp"],` +
	`"tenant":"acme","level":3,"big":9007199254740993,"huge":18446744073709551615,"beyond":18446744073709551616,"ratio":0.5,"admin":true,"nothing":null,` +
	`"groups":["ops","dev"],"cognito:groups":["x"],"a.b":"dotted","realm":{"roles":["r1","r2"],"deep":{"n":-1}},` +
	`"entries":[{"name":"a","n":1},{"name":"b","n":2.5}],"mixed":[1,"two",null,true],"email":"Ann@Example.com","line":"x\ny"}`

// now is within the sample's life.
var now = time.Unix(1790000100, 0)

func principal(t testing.TB, claims string) *token.Principal {
	t.Helper()
	o, err := token.ParseObject(claims)
	if err != nil {
		t.Fatal(err)
	}
	c, err := token.ReadClaims(o)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Principal{Claims: c, Issuer: "login", Scope: token.Scopes{"read", "write"}, Binding: token.BoundDPoP}
}

type sender string

func (s sender) Source() netip.Addr { a, _ := netip.ParseAddr(string(s)); return a }

// route captures the second and the fourth segment.
type route struct{}

func (route) Capture(path, name string) (string, bool) {
	at := map[string]int{"tenant": 2, "order-id": 4}[name]
	segments := strings.Split(path, "/")
	if at == 0 || at >= len(segments) || strings.Contains(segments[at], ";") {
		return "", false
	}
	return segments[at], true
}

func (route) Plain(path string) bool { return !strings.Contains(path, ";") }

func input(t testing.TB) *Input {
	return &Input{
		Method: "GET", Host: "api.example", Path: "/t/acme/orders/7", Sender: sender("10.1.2.3"), Route: route{},
		Header:    map[string][]string{"X-Tenant": {"acme"}, "Accept": {"a", "b"}, "Authorization": {"Bearer x"}, "Unnamed": {"1"}},
		Principal: principal(t, sample), Now: now,
	}
}

var captures = []string{"tenant", "order-id"}

func TestHolds(t *testing.T) {
	const yes, no = "true", "false"
	const absent, other, misfit = "something is absent", "a value is of another type", "a value does not fit"
	var c Compiler
	in := input(t)
	for _, row := range []struct{ source, want string }{
		{`claims.tenant == path.tenant`, yes},
		{`claims.tenant != path.tenant`, no},
		{`path.` + "`order-id`" + ` == '7'`, yes},
		{`claims['a.b'] == 'dotted'`, yes},
		{`'a' in claims`, no},
		{`'a.b' in claims && !('a.c' in claims)`, yes},
		{`'x' in claims['cognito:groups']`, yes},
		{`claims.realm.roles.exists(r, r == 'r2')`, yes},
		{`claims.realm.deep.n == -1`, yes},
		{`claims.realm == {'roles': ['r1', 'r2'], 'deep': {'n': -1}}`, yes},
		{`claims.realm == {'roles': ['r1', 'r2'], 'deep': {'n': -2}}`, no},
		{`claims.realm == {'roles': ['r1', 'r2']}`, no},
		{`claims.level >= 3 && claims.level < 3.5`, yes},
		{`claims.big == 9007199254740993 && claims.big != 9007199254740992`, yes},
		{`claims.huge == 18446744073709551615u`, yes},
		{`claims.beyond > 1`, misfit},
		{`claims.ratio == 0.5`, yes},
		{`claims.admin == true`, yes},
		{`claims.admin`, "gives a value of any type"},
		{`claims.nothing == null`, yes},
		{`claims.missing == null`, absent},
		{`has(claims.missing) && claims.missing == 1`, no},
		{`!has(claims.missing) || claims.missing == 1`, yes},
		{`claims.missing == 1 || claims.tenant == 'acme'`, yes},
		{`claims.missing == 1 && claims.tenant == 'x'`, no},
		{`claims.tenant.inner == 'x'`, absent},
		{`claims.tenant > 3`, other},
		{`claims.tenant`, "gives a value of any type"},
		{`'ops' in claims.groups`, yes},
		{`'op' in claims.groups`, no},
		{`1 in claims.mixed && null in claims.mixed && 'two' in claims.mixed`, yes},
		{`claims.groups == ['ops', 'dev']`, yes},
		{`['ops', 'dev'] == claims.groups`, yes},
		{`claims.groups[1] == 'dev'`, yes},
		{`claims.groups[2] == 'dev'`, absent},
		{`size(claims.groups) == 2 && size(claims.realm) == 2`, yes},
		{`(claims.groups + ['x'])[2] == 'x'`, yes},
		{`sets.intersects(claims.groups, ['dev', 'sre'])`, yes},
		{`sets.contains(['dev', 'sre'], claims.groups)`, no},
		{`claims.entries.all(e, e.n >= 1) && claims.entries.exists_one(e, e.name == 'b')`, yes},
		{`claims.entries.filter(e, e.n > 2).map(e, e.name) == ['b']`, yes},
		{`claims.realm.exists(k, k == 'deep')`, yes},
		{`claims.entries[0] == claims.entries[0] && claims.entries[0] != claims.entries[1]`, yes},
		{`claims.email.matches('@[Ee]xample[.]com$')`, yes},
		{`claims.email.endsWith('@example.com')`, no},
		{`claims.line.contains('\n')`, yes},
		{`type(claims.level) == int && type(claims.groups) == list && type(claims.realm) == map`, yes},
		{`int(claims.tenant) > 1`, misfit},
		{`string(claims.level) == '3'`, yes},
		{`request.method == 'GET' && request.host == 'api.example' && request.path == '/t/acme/orders/7'`, yes},
		{`request.headers['x-tenant'] == claims.tenant && request.headers.accept == 'a, b'`, yes},
		{`'x-other' in request.headers`, no},
		{`has(request.headers.accept) && 'x-tenant' in request.headers`, yes},
		{`request.headers['x-other'] == 'a'`, absent},
		{`[request].exists(r, 'unnamed' in r.headers)`, no},
		{`[request].exists(r, r.headers['authorization'] != '')`, absent},
		{`cidr('10.0.0.0/8').containsIP(request.source)`, yes},
		{`cidr('fd00::/8').containsIP(request.source)`, no},
		{`token.issuer_name == 'login' && token.issuer == 'https://as.example' && token.subject == 'ann' && token.subject_type == 'user'`, yes},
		{`token.client_id == 'web' && token.id == 't1' && 'other' in token.audience && 'write' in token.scopes && token.binding == ['dpop']`, yes},
		{`token.acr == 'gold' && 'otp' in token.amr && now - token.auth_time < duration('5m')`, yes},
		{`token.issued_at < now && token.expires_at - now > duration('50m')`, yes},
		{`token.not_before < now`, absent},
		{`has(token.not_before)`, no},
		{`now.getHours() == 14 && now.getDayOfWeek() == 1`, yes},
		{`now < timestamp('2027-01-01T00:00:00Z')`, yes},
		{`token.issued_at < now && dyn(token) == dyn(request)`, other},
		{`claims.entries.map(claims, claims.n).size() == 2`, yes},
		{`claims == claims`, misfit}, // a number in them is not exact
	} {
		t.Run(row.source, func(t *testing.T) {
			p, err := c.Compile(row.source, captures)
			if err != nil {
				if !strings.HasPrefix(err.Error(), row.want) {
					t.Fatalf("%v, want %s", err, row.want)
				}
				return
			}
			for range 2 { // what is idle is used again
				holds, err := p.Holds(in)
				got := fmt.Sprint(holds)
				if failure, failed := errors.AsType[*Failure](err); failed {
					got = failure.Message
				}
				if got != row.want {
					t.Errorf("%s (%v), want %s", got, err, row.want)
				}
			}
		})
	}
}
