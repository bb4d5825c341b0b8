package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// t0 is the clock of the tables.
var t0 = time.Unix(1_800_000_000, 0)

// from is a sender at an address.
type from string

func (f from) Source() (a netip.Addr) {
	if f != "" {
		a = netip.MustParseAddr(string(f))
	}
	return a
}

// here is a request from where everything is allowed.
var here = &Request{Sender: from("10.1.2.3")}

// heldBy is a verifier that holds for every signature.
type heldBy struct{}

func (heldBy) Verify(string, string, []byte) error { return nil }

// callerOf is who a token with these claims, written as JSON members, makes.
func callerOf(t testing.TB, members string) *token.Principal {
	t.Helper()
	return callerWith(t, `{"iss":"https://as.example.com","iat":1800000000`+strings.TrimSuffix(","+members, ",")+`}`)
}

// callerWith is who a token with this payload makes.
func callerWith(t testing.TB, payload string) *token.Principal {
	t.Helper()
	p, ok := tryCaller(payload)
	if !ok {
		t.Fatalf("no token says %s", payload)
	}
	return p
}

func tryCaller(payload string) (*token.Principal, bool) {
	part := base64.RawURLEncoding.EncodeToString
	u, err := token.ParseJWT(part([]byte(`{"alg":"ES256"}`))+"."+part([]byte(payload))+".AAAA", 1<<20)
	if err != nil {
		return nil, false
	}
	c, err := u.Open(heldBy{})
	if err != nil {
		return nil, false
	}
	p := &token.Principal{Claims: c, Issuer: "corp"}
	if v, found := c.Lookup("scope"); found {
		text, _ := v.Text()
		p.Scope = token.ParseScopes(text)
	}
	return p, true
}

func routeOf(t testing.TB, o Options, resource Resource) *Route {
	t.Helper()
	o.Path = "/**"
	s, err := Compile([]Options{o}, resource)
	if err != nil {
		t.Fatal(err)
	}
	return s.Route("GET", "", "/")
}

// answerOf writes a refusal in one line; "" is none.
func answerOf(e *token.Error) string {
	if e == nil {
		return ""
	}
	text := fmt.Sprint(e.Code, " ", e.Reason)
	if len(e.ACR) > 0 {
		text += fmt.Sprint(" acr=", e.ACR)
	}
	if e.MaxAge > 0 {
		text += fmt.Sprint(" max_age=", e.MaxAge)
	}
	if len(e.Scope) > 0 {
		text += fmt.Sprint(" scope=", e.Scope)
	}
	return text
}

func wantAnswer(t *testing.T, r *Route, members, want string) {
	t.Helper()
	if got := answerOf(r.Authorize(here, callerOf(t, members), t0)); got != want {
		t.Errorf("{%s}: got %q, want %q", members, got, want)
	}
}

const (
	noClient  = "forbidden client"
	noSubject = "forbidden subject"
	noActor   = "forbidden actor"
	noRule    = "forbidden claim_rule"
)

func TestClient(t *testing.T) {
	r := routeOf(t, Options{Clients: []string{"shop", "caf\u00e9"}}, Resource{})
	for members, want := range map[string]string{
		`"client_id":"shop"`:         "",
		`"client_id":"caf\u00e9"`:    "",
		`"client_id":"cafe\u0301"`:   noClient,
		`"client_id":"Shop"`:         noClient,
		`"client_id":"shop "`:        noClient,
		`"client_id":"sho"`:          noClient,
		`"sub":"shop"`:               noClient,
		`"azp":"shop"`:               noClient,
		`"client_id":"\uff53hop"`:    noClient,
		`"client_id":"shop\u0000"`:   noClient,
		``:                           noClient,
		`"act":{"client_id":"shop"}`: noClient,
	} {
		wantAnswer(t, r, members, want)
	}
}

func TestSubject(t *testing.T) {
	const alice, own = `"sub":"alice","client_id":"app"`, `"sub":"alice","client_id":"alice"`
	named := Options{Subjects: []string{"alice"}}
	for _, row := range []struct {
		name    string
		options Options
		members string
		want    string
	}{
		{"named", named, alice, ""},
		{"client of that name, kind not asked", named, own, ""},
		{"another", named, `"sub":"Alice","client_id":"app"`, noSubject},
		{"nobody", named, `"client_id":"alice"`, noSubject},
		{"actor of that name", named, `"sub":"bob","client_id":"app","act":{"sub":"alice"}`, noSubject},
		{"user", Options{SubjectType: "user"}, alice, ""},
		{"client for user", Options{SubjectType: "user"}, own, noSubject},
		{"no subject for user", Options{SubjectType: "user"}, `"client_id":"app"`, noSubject},
		{"client", Options{SubjectType: "client"}, own, ""},
		{"no subject for client", Options{SubjectType: "client"}, `"client_id":"app"`, ""},
		{"user for client", Options{SubjectType: "client"}, alice, noSubject},
		{"named user", Options{Subjects: []string{"alice"}, SubjectType: "user"}, alice, ""},
		{"client that took the name", Options{Subjects: []string{"alice"}, SubjectType: "user"}, own, noSubject},
	} {
		t.Run(row.name, func(t *testing.T) { wantAnswer(t, routeOf(t, row.options, Resource{}), row.members, row.want) })
	}
}

func TestActor(t *testing.T) {
	r := routeOf(t, Options{Actors: []string{"svc77", "svc78"}}, Resource{})
	for members, want := range map[string]string{
		`"act":{"sub":"svc77"}`:                                                        "",
		`"act":{"sub":"svc78","act":{"sub":"svc16"}}`:                                  "",
		`"act":{"sub":"svc77","exp":1,"nbf":9999999999,"aud":"https://other.example"}`: "",
		`"act":{"sub":"svc77","exp":"x","aud":7}`:                                      "",
		`"act":{"sub":"svc77","iss":"https://as.example.com"}`:                         "",
		`"act":{"act":{"sub":"svc77"},"sub":"svc78","client_id":"x"}`:                  "",
		`"act":{"sub":"svc16","act":{"sub":"svc77"}}`:                                  noActor,
		`"act":{"act":{"sub":"svc77"}}`:                                                noActor,
		`"act":{"sub":"svc77","iss":"https://as2.example.net"}`:                        noActor,
		`"act":{"sub":"svc77","iss":1}`:                                                noActor,
		`"act":{"sub":"SVC77"}`:                                                        noActor,
		`"act":{"client_id":"svc77"}`:                                                  noActor,
		`"act":{"sub":["svc77"]}`:                                                      noActor,
		`"act":{"sub":77}`:                                                             noActor,
		`"act":"svc77"`:                                                                noActor,
		`"act":["svc77"]`:                                                              noActor,
		`"act":[{"sub":"svc77"}]`:                                                      noActor,
		`"act":null`:                                                                   noActor,
		`"act":{}`:                                                                     noActor,
		`"act.sub":"svc77"`:                                                            noActor,
		`"may_act":{"sub":"svc77"}`:                                                    noActor,
		`"may_act":{"sub":"svc77"},"act":{"sub":"svc16"}`:                              noActor,
		`"sub":"svc77","client_id":"svc77"`:                                            noActor,
		``:                                                                             noActor,
	} {
		wantAnswer(t, r, members, want)
	}
	wantAnswer(t, routeOf(t, Options{Subjects: []string{"u"}}, Resource{}), `"sub":"u","act":"malformed"`, "")
	empty := routeOf(t, Options{Actors: []string{""}}, Resource{}) // who is not named has no empty name
	for _, members := range []string{``, `"act":{}`, `"act":{"sub":1}`} {
		wantAnswer(t, empty, members, noActor)
	}
}

func TestRules(t *testing.T) {
	type anyOf = map[string][]string
	ops := anyOf{"groups": {"ops", "dev", "7", "true", "caf\u00e9", "null", "1e2"}}
	for _, row := range []struct {
		claims  anyOf
		members string
		want    string
	}{
		{ops, `"groups":"ops"`, ""},
		{ops, `"groups":["x","dev"]`, ""},
		{ops, `"groups":[{"value":"ops"}]`, ""},
		{ops, `"groups":[{"value":"x","display":"ops"},{"$ref":"/x","value":"dev"}]`, ""},
		{ops, `"groups":[1,null,{},[],"ops"]`, ""},
		{ops, `"groups":7`, ""},
		{ops, `"groups":[7]`, ""},
		{ops, `"groups":[{"value":7}]`, ""},
		{ops, `"groups":true`, ""},
		{ops, `"groups":"true"`, ""},
		{ops, `"groups":"\u006fps"`, ""},
		{ops, `"groups":"caf\u00e9"`, ""},
		{ops, `"groups":1e2`, ""},
		{ops, `"groups":"cafe\u0301"`, noRule},
		{ops, `"groups":7.0`, noRule},
		{ops, `"groups":7e0`, noRule},
		{ops, `"groups":100`, noRule},
		{ops, `"groups":false`, noRule},
		{ops, `"groups":null`, noRule},
		{ops, `"groups":[null]`, noRule},
		{ops, `"groups":"ops,dev"`, noRule},
		{ops, `"groups":"ops dev"`, noRule},
		{ops, `"groups":" ops"`, noRule},
		{ops, `"groups":"OPS"`, noRule},
		{ops, `"groups":"operations"`, noRule},
		{ops, `"groups":[]`, noRule},
		{ops, `"groups":{"ops":true}`, noRule},
		{ops, `"groups":{"value":"ops"}`, noRule},
		{ops, `"groups":[["ops"]]`, noRule},
		{ops, `"groups":[{"Value":"ops"}]`, noRule},
		{ops, `"groups":[{"value":["ops"]}]`, noRule},
		{ops, `"groups":[{"value":{"value":"ops"}}]`, noRule},
		{ops, `"groups":[{"display":"ops"}]`, noRule},
		{ops, `"Groups":"ops"`, noRule},
		{ops, `"roles":"ops"`, noRule},
		{ops, ``, noRule},
		{anyOf{"realm_access.roles": {"admin"}}, `"realm_access":{"roles":["user","admin"]}`, ""},
		{anyOf{"realm_access.roles": {"admin"}}, `"realm_access.roles":["admin"]`, ""},
		{anyOf{"realm_access.roles": {"admin"}}, `"realm_access":{"roles":["user"]},"roles":["admin"]`, noRule},
		{anyOf{"realm_access.roles": {"admin"}}, `"realm_access":[{"roles":["admin"]}]`, noRule},
		{anyOf{"a": {"1"}, "b": {"2"}}, `"a":1,"b":2`, ""},
		{anyOf{"a": {"1"}, "b": {"2"}}, `"a":1,"b":1`, noRule},
		{anyOf{"a": {"1"}, "b": {"2"}}, `"a":1`, noRule},
		{anyOf{"a": {"1"}, "b": {"2"}}, `"b":2`, noRule},
		{anyOf{"iss": {"https://as.example.com"}}, ``, ""},
		{anyOf{"iss": {"https://as.example.com/"}}, ``, noRule},
	} {
		rules := make(map[string]ClaimRule)
		for path, values := range row.claims {
			rules[path] = ClaimRule{AnyOf: values}
		}
		wantAnswer(t, routeOf(t, Options{Claims: rules}, Resource{}), row.members, row.want)
	}
}

// What nobody asks for is not looked at, however malformed.
func TestNothingAsked(t *testing.T) {
	r := routeOf(t, Options{}, Resource{Implies: map[string][]string{"a": {"b"}}})
	wantAnswer(t, r, `"act":1,"acr":1,"amr":1,"auth_time":"x","authorization_details":"x","groups":1`, "")
	if len(r.demands.asked) != 0 {
		t.Errorf("%d checks for a route that asks for nothing", len(r.demands.asked))
	}
}

// everything asks for all there is; enough is a caller who has it.
var everything = Options{
	All: token.Scopes{"read"}, Any: token.Scopes{"a", "b"}, ACR: []string{"gold"}, AMR: []string{"otp"}, MaxAge: 5 * time.Minute,
	Clients: []string{"app"}, Subjects: []string{"alice"}, SubjectType: "user", Actors: []string{"desk"},
	Claims:   map[string]ClaimRule{"groups": {AnyOf: []string{"ops"}}, "realm.roles": {Contains: []string{"admin"}}},
	Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, MaxTokenAge: time.Minute,
	When:    "token.subject == 'alice' && !has(claims.suspended)",
	Details: []Detail{{Type: "other"}, {Type: "payment", Actions: []string{"initiate"}, Identifier: "1"}},
}

var enough = []string{
	`"scope":"write b"`, `"acr":"gold"`, `"amr":["pwd","otp"]`, `"auth_time":1799999800`, `"client_id":"app"`, `"sub":"alice"`, `"act":{"sub":"desk"}`,
	`"groups":[{"value":"ops"}]`, `"realm":{"roles":["user","admin"]}`,
	`"authorization_details":[{"type":"x"},{"type":"payment","actions":["read","initiate"],"identifier":"1","locations":["https://rs.example.com"]}]`,
}

var hierarchy = Resource{Identifiers: []string{"https://rs.example.com"}, Implies: map[string][]string{"write": {"read"}}}

// less is enough without the members that begin so, and with others instead.
func less(without []string, instead ...string) string {
	list := instead
	for _, m := range enough {
		keep := true
		for _, name := range without {
			keep = keep && !strings.HasPrefix(m, `"`+name+`"`)
		}
		if keep {
			list = append(list, m)
		}
	}
	return strings.Join(list, ",")
}

// The order of the answers: what no new token would mend, then login and scope
// in one.
func TestOneAnswer(t *testing.T) {
	r := routeOf(t, everything, hierarchy)
	const auth = "insufficient_user_authentication"
	for _, row := range []struct {
		without []string
		instead []string
		want    string
	}{
		{nil, nil, ""},
		{[]string{"scope"}, nil, "insufficient_scope scope scope=read a"},
		{[]string{"scope"}, []string{`"scope":"b"`}, "insufficient_scope scope scope=read b"},
		{[]string{"acr"}, nil, auth + " acr acr=[gold]"},
		{[]string{"amr"}, nil, auth + " amr acr=[gold]"},
		{[]string{"auth_time"}, nil, auth + " auth_time max_age=5m0s"},
		{[]string{"acr", "auth_time"}, nil, auth + " acr acr=[gold] max_age=5m0s"},
		{[]string{"amr", "auth_time"}, nil, auth + " amr acr=[gold] max_age=5m0s"},
		{[]string{"acr", "scope"}, nil, auth + " acr acr=[gold] scope=read a"},
		{[]string{"auth_time", "scope"}, nil, auth + " auth_time max_age=5m0s scope=read a"},
		{[]string{"acr", "amr", "auth_time", "scope"}, nil, auth + " acr acr=[gold] max_age=5m0s scope=read a"},
		{[]string{"client_id", "scope", "acr"}, nil, noClient},
		{[]string{"client_id", "sub", "act"}, nil, noClient},
		{[]string{"sub", "scope"}, nil, noSubject},
		{[]string{"act", "acr"}, nil, noActor},
		{[]string{"groups", "auth_time", "scope"}, nil, noRule},
		{[]string{"realm"}, nil, noRule},
		{[]string{"authorization_details", "acr", "scope"}, nil, noDetails},
		{[]string{"authorization_details", "acr"}, []string{`"authorization_details":{}`}, badDetails},
	} {
		wantAnswer(t, r, less(row.without, row.instead...), row.want)
	}
	if r.All.String() != "read" || fmt.Sprint(r.ACR) != "[gold]" || r.MaxAge != 5*time.Minute {
		t.Error("the route changed")
	}
}

func TestAuthorizeAllocatesNothing(t *testing.T) {
	free := everything
	free.When = ""
	for name, r := range map[string]*Route{"everything but an expression": routeOf(t, free, hierarchy), "nothing": routeOf(t, Options{}, hierarchy)} {
		p, req := callerOf(t, less(nil)), here
		allocations := testing.AllocsPerRun(100, func() {
			r.Note(nil, req, p, t0)
			if e := r.Authorize(req, p, t0); e != nil {
				t.Error(e)
			}
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

// Note shows each check's value in the order of the checks, absent ones too,
// and what would have done.
func TestNote(t *testing.T) {
	all := everything
	all.Binding = BoundBinding
	r := routeOf(t, all, hierarchy)
	noted := func(members string) string {
		trace := &token.Trace{}
		r.Note(trace, here, callerOf(t, members), t0)
		var text strings.Builder
		for _, step := range trace.Steps {
			fmt.Fprintf(&text, "%s: %s (%s)\n", step.Reason, step.Seen, step.Want)
		}
		return text.String()
	}
	const want = `network: 10.1.2.3 (10.0.0.0/8)
binding: none (dpop mtls)
token_age: 2027-01-15T08:00:00Z, 0s ago (at most 1m0s ago)
client: app (app)
subject: user alice (user alice)
actor: {"sub":"desk"} (desk)
claim_rule: groups [{"value":"ops"}] (ops)
claim_rule: realm.roles absent (all of admin)
when: true (token.subject == 'alice' && !has(claims.suspended))
authorization_details: absent (other payment)
acr: absent (gold)
amr: ["pwd","otp"] (otp)
auth_time: 2027-01-15T07:56:40Z, 3m20s ago (at most 5m0s ago)
scope: write b (read b)
`
	if got := noted(less([]string{"realm", "acr", "authorization_details"})); got != want {
		t.Errorf("got\n%s", got)
	}
	odd := noted(less([]string{"groups", "auth_time", "authorization_details"}, `"auth_time":"x"`, `"authorization_details":{}`))
	for _, line := range []string{"claim_rule: groups absent (ops)\n", "claim: {} (other payment)\n", "auth_time: \"x\" (at most 5m0s ago)\n"} {
		if !strings.Contains(odd, line) {
			t.Errorf("no %q in\n%s", line, odd)
		}
	}
	if strings.Contains(odd, "realm.roles") {
		t.Errorf("a rule after the one that failed is noted in\n%s", odd)
	}
	at := 0
	for _, reason := range token.Reasons {
		for at < len(r.demands.asked) && r.demands.asked[at].reason == reason.Reason {
			at++
		}
	}
	if at != len(requirements) {
		t.Error("the reasons are not in the order of the checks")
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for name, o := range map[string]Options{"everything": everything, "nothing": {}} {
		b.Run(name, func(b *testing.B) {
			r, p, req := routeOf(b, o, hierarchy), callerOf(b, less(nil)), here
			b.ReportAllocs()
			for b.Loop() {
				if e := r.Authorize(req, p, t0); e != nil {
					b.Fatal(e)
				}
			}
		})
	}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}
