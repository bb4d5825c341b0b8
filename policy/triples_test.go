package policy

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A world makes policies, requests for them, and claims that fit them, or
// nearly. Each of its choices is a draw of a number below n.
type world struct {
	draw func(n int) int
}

func (w world) one(in int) bool         { return w.draw(in) == 0 }
func (w world) of(list []string) string { return list[w.draw(len(list))] }
func (w world) some(list []string, most int) []string {
	var out []string
	for range 1 + w.draw(most) {
		if s := w.of(list); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// The words are near each other.
var (
	someSegments = []string{"orders", "Orders", "order", "items", "42", "café", "x.y", "a b", "pkg.Orders"}
	someMethods  = []string{"GET", "HEAD", "POST", "PUT", "get", "Post"}
	someHosts    = []string{"api.example.com", "*.example.com", "*.eu.example.com", "a.eu.example.com", "api.example.com:8443", "*.example.com:8443"}
	otherHosts   = []string{"", "example.com", "xexample.com", "eu.example.com", "a.b.eu.example.com", "b.example.com:8443", "api.example.com.org", "[::1]"}
	someScopes   = []string{"read", "write", "admin", "readonly", "READ", "read:all"}
	someNames    = []string{"app", "App", "app2", "alice", "alic", "desk"}
	someClasses  = []string{"gold", "Gold", "silver"}
	someFactors  = []string{"otp", "pwd", "otp2"}
	someSources  = []string{"10.1.2.3", "10.2.0.1", "11.0.0.0", "::ffff:10.1.2.3", "2001:db8::1", "2001:db9::1", ""}
	somePrefixes = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "::/0", "0.0.0.0/0"}
	someClaims   = []string{"groups", "realm.roles", "level", "email"}
	someValues   = []string{"ops", "Ops", "op", "opsx", "eu-ops", "7", "true", "70"}
	someActions  = []string{"read", "pay", "Pay"}
	somePlaces   = []string{"https://rs.example.com", "https://rs.example.com/", "urn:api", "https://other.example.com"}
	someAges     = []string{"60", "300"}
)

func (w world) resource() Resource {
	r := Resource{Identifiers: []string{"https://rs.example.com", "urn:api"}, Implies: map[string][]string{}}
	for range w.draw(4) {
		r.Implies[w.of(someScopes)] = w.some(someScopes, 2)
	}
	return r
}

// policy makes up to eight routes, of which few conflict.
func (w world) policy() (options []Options) {
	folded := w.one(8)
	for i := range 1 + w.draw(8) {
		o := Options{Name: "r" + strconv.Itoa(i), CaseInsensitive: folded, Path: w.pattern(options)}
		if folded {
			o.Path = strings.ReplaceAll(o.Path, "é", "e")
		}
		if w.one(2) {
			o.Hosts = w.some(someHosts, 2)
		}
		if w.one(2) {
			o.Methods = w.some(someMethods[:4], 2)
		}
		if o.Public = w.one(12); !o.Public {
			w.ask(&o)
		}
		if options = append(options, o); conflict(options) && !w.one(4) {
			options = options[:len(options)-1]
		}
	}
	return options
}

// pattern is often one that is there already, or a step from it.
func (w world) pattern(options []Options) string {
	var segments []string
	if len(options) > 0 && w.one(2) {
		segments = strings.Split(strings.Trim(options[w.draw(len(options))].Path, "/"), "/")
	}
	if n := len(segments); n > 0 && (segments[n-1] == "**" || segments[n-1] == "") {
		segments = segments[:n-1]
	}
	if len(segments) > 0 && w.one(2) {
		segments[w.draw(len(segments))] = w.of(someSegments)
	}
	for range w.draw(3) {
		segments = append(segments, w.of(someSegments))
	}
	for i := range segments {
		switch w.draw(8) {
		case 0:
			segments[i] = "*"
		case 1:
			segments[i] = "{n" + strconv.Itoa(i) + "}"
		}
	}
	if w.one(3) {
		segments = append(segments, "**")
	}
	path := "/" + strings.Join(segments, "/")
	if w.one(8) && path != "/" {
		path += "/"
	}
	return path
}

// ask adds what a route asks for, each thing seldom.
func (w world) ask(o *Options) {
	for what := range 12 {
		if !w.one(6) {
			continue
		}
		switch what {
		case 0:
			o.All = w.some(someScopes, 2)
		case 1:
			o.Any = w.some(someScopes, 3)
		case 2:
			o.ACR = w.some(someClasses, 2)
		case 3:
			o.AMR = w.some(someFactors, 2)
		case 4:
			o.MaxAge = seconds(w.of(someAges))
		case 5:
			o.MaxTokenAge = seconds(w.of(someAges))
		case 6:
			o.Clients = w.some(someNames, 3)
		case 7:
			if o.Subjects = w.some(someNames, 3); w.one(2) {
				o.SubjectType = w.of([]string{"user", "client"})
			}
		case 8:
			o.Actors = w.some(someNames, 3)
		case 9:
			o.Networks = prefixes(w.some(somePrefixes, 2)...)
		case 10:
			o.Claims = w.claimRules()
		case 11:
			o.Details = w.detailRules()
		}
	}
	if w.one(6) {
		o.Binding = Binding(w.draw(4))
	}
}

func seconds(text string) time.Duration {
	d, _ := time.ParseDuration(text + "s")
	return d
}

func (w world) claimRules() map[string]ClaimRule {
	rules := make(map[string]ClaimRule)
	for _, path := range w.some(someClaims, 2) {
		var r ClaimRule
		switch w.draw(8) {
		case 0:
			r.Equals = w.of(someValues)
		case 1:
			r.Contains = w.some(someValues, 2)
		case 2:
			r.Prefix = w.of([]string{"op", "ops", "eu-", "7", "t"})
		case 3:
			r.Suffix = w.of([]string{"ops", "-ops", "s", "0", "e"})
		case 4:
			r.Present = true
		case 5:
			r.Absent = true
		case 6:
			r = ClaimRule{AnyOf: w.some(someValues, 3), Prefix: "op", Contains: []string{"7"}}
		default:
			r.AnyOf = w.some(someValues, 3)
		}
		rules[path] = r
	}
	return rules
}

func (w world) detailRules() (list []Detail) {
	for range 1 + w.draw(2) {
		d := Detail{Type: w.of([]string{"payment", "account"})}
		if w.one(2) {
			d.Actions = w.some(someActions, 2)
		}
		if w.one(4) {
			d.Locations = w.some(somePlaces, 2)
		}
		if w.one(4) {
			d.Privileges, d.DataTypes = w.some(someActions, 1), w.some(someActions, 1)
		}
		if w.one(4) {
			d.Identifier = w.of(someNames)
		}
		list = append(list, d)
	}
	return list
}

// request asks for a route of the policy, or for what is a step off it.
func (w world) request(x *triple) *Options {
	o := &x.options[w.draw(len(x.options))]
	if x.method = w.of(someMethods); len(o.Methods) > 0 && !w.one(8) {
		x.method = w.of(o.Methods)
	}
	if x.host = w.of(otherHosts); len(o.Hosts) > 0 && !w.one(8) {
		x.host = strings.Replace(w.of(o.Hosts), "*", w.of([]string{"a", "api", "a.b", "b.eu"}), 1)
	}
	var segments []string
	for _, p := range strings.Split(strings.Trim(o.Path, "/"), "/") {
		switch {
		case p == "**":
			for range w.draw(3) {
				segments = append(segments, w.of(someSegments))
			}
		case p == "*", strings.HasPrefix(p, "{"):
			segments = append(segments, w.of(someSegments))
		case p != "":
			segments = append(segments, p)
		}
	}
	if n := len(segments); n > 0 && w.one(6) {
		switch at := w.draw(n); w.draw(3) {
		case 0:
			segments[at] = w.of(someSegments)
		case 1:
			segments = slices.Delete(segments, at, at+1)
		case 2:
			segments = slices.Insert(segments, at, w.of(someSegments))
		}
	}
	for i, s := range segments {
		if segments[i] = url.PathEscape(s); w.one(8) {
			segments[i] = strings.Replace(segments[i], "o", "%6F", 1)
		}
	}
	if x.raw = "/" + strings.Join(segments, "/"); w.one(8) && x.raw != "/" {
		x.raw += "/"
	}
	x.source, x.binding = w.of(someSources), token.Binding(w.draw(4))
	if len(o.Networks) > 0 && !w.one(3) {
		x.source = o.Networks[0].Addr().String()
	}
	return o
}

// caller writes claims that suffice for o, or nearly.
func (w world) caller(x *triple, o *Options) {
	members := []string{`"iss":"https://as.example.com"`}
	add := func(name, value string) { members = append(members, strconv.Quote(name)+":"+value) }
	if !w.one(12) {
		add("iat", w.date(o.MaxTokenAge))
	}
	if len(o.Clients) > 0 || w.one(2) {
		add("client_id", w.text(w.fit(o.Clients, someNames)))
	}
	if len(o.Subjects) > 0 || w.one(2) {
		add("sub", w.text(w.fit(o.Subjects, someNames)))
	}
	if len(o.Actors) > 0 || w.one(4) {
		add("act", w.actor(o))
	}
	if w.one(2) || len(o.All)+len(o.Any) > 0 {
		add("scope", w.text(strings.Join(w.scopes(o), " ")))
	}
	if len(o.ACR) > 0 || w.one(4) {
		add("acr", w.odd(w.text(w.fit(o.ACR, someClasses))))
	}
	if len(o.AMR) > 0 || w.one(4) {
		add("amr", w.odd(w.list(w.all(o.AMR, someFactors), false)))
	}
	if o.MaxAge > 0 || w.one(4) {
		add("auth_time", w.odd(w.date(o.MaxAge)))
	}
	for _, path := range someClaims {
		rule, asked := o.Claims[path]
		if !asked && !w.one(4) || rule.Absent && !w.one(4) {
			continue
		}
		value := w.claim(rule)
		if first, rest, dotted := strings.Cut(path, "."); dotted && !w.one(4) {
			path, value = first, "{"+strconv.Quote(rest)+":"+value+"}"
		}
		add(path, value)
	}
	if len(o.Details) > 0 || w.one(8) {
		add("authorization_details", w.odd(w.details(o.Details)))
	}
	x.payload = "{" + strings.Join(members, ",") + "}"
}

// fit is one of want, or seldom another of all.
func (w world) fit(want, all []string) string {
	if len(want) == 0 || w.one(8) {
		return w.of(all)
	}
	return w.of(want)
}

// all is want and more, seldom less.
func (w world) all(want, all []string) []string {
	list := slices.Concat(want, w.some(all, 2))
	if len(list) > 1 && w.one(8) {
		return list[1:]
	}
	return list
}

func (w world) scopes(o *Options) []string {
	list := w.all(o.All, someScopes)
	if len(o.Any) > 0 && !w.one(6) {
		list = append(list, w.of(o.Any))
	}
	return list
}

// date is about as long ago as is allowed.
func (w world) date(most time.Duration) string {
	ago := int(cmp.Or(most, 60*time.Second).Seconds()) + []int{-60, -1, 0, 1, 60, -80, -70}[w.draw(7)]
	text := strconv.FormatInt(t0.Unix()-int64(ago), 10)
	if w.one(8) {
		text += ".5"
	}
	return text
}

// text writes a JSON string, sometimes with an escape.
func (w world) text(s string) string {
	quoted := strconv.Quote(s)
	if w.one(8) {
		return fmt.Sprintf(`"\u%04x%s`, s[0], quoted[2:])
	}
	return quoted
}

// odd is seldom something else than value.
func (w world) odd(value string) string {
	if !w.one(16) {
		return value
	}
	return w.of([]string{"null", "7", "[]", "{}", `""`, `[["otp"]]`, `["otp",7]`, "true", `[{"type":7}]`, `"1800000000"`})
}

func (w world) list(values []string, objects bool) string {
	var parts []string
	for _, v := range values {
		part := w.text(v)
		if objects && (v == "7" || v == "true") && w.one(2) {
			part = v
		}
		if objects && w.one(4) {
			part = w.of([]string{`{"value":`, `{"display":"x","value":`, `{"Value":`, `{"value":[],"x":`}) + part + "}"
		}
		parts = append(parts, part)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (w world) claim(r ClaimRule) string {
	values := w.all(r.Contains, someValues)
	if len(r.AnyOf) > 0 {
		values = append(values, w.of(r.AnyOf))
	}
	if r.Prefix+r.Suffix != "" {
		values = append(values, r.Prefix+w.of([]string{"", "x", "-"})+r.Suffix)
	}
	if r.Equals != "" && !w.one(4) {
		values = []string{r.Equals}
	}
	if v := values[len(values)-1]; len(r.Contains) < 2 && w.one(2) || r.Equals != "" && !w.one(4) {
		if (v == "7" || v == "true") && w.one(2) {
			return v
		}
		return w.text(v)
	}
	return w.odd(w.list(values, true))
}

func (w world) actor(o *Options) string {
	who := w.text(w.fit(o.Actors, someNames))
	return w.odd([]string{
		`{"sub":` + who + `}`, `{"sub":` + who + `,"act":{"sub":"x"}}`, `{"iss":"https://as.example.com","sub":` + who + `}`,
		`{"iss":"https://as2.example.com","sub":` + who + `}`, `{"act":{"sub":` + who + `}}`, `{"sub":` + who + `,"exp":1}`, `[{"sub":` + who + `}]`,
	}[w.draw(7)])
}

func (w world) details(want []Detail) string {
	var elements []string
	for range 1 + w.draw(2) {
		d := Detail{Type: "payment"}
		if len(want) > 0 {
			d = want[w.draw(len(want))]
		}
		members := []string{`"type":` + w.text(w.fit([]string{d.Type}, []string{"payment", "account", "Payment"}))}
		for i, list := range [][]string{d.Actions, d.Privileges, d.DataTypes} {
			if len(list) > 0 || w.one(2) {
				name := []string{`"actions":`, `"privileges":`, `"datatypes":`}[i]
				members = append(members, name+w.odd(w.list(w.all(list, someActions), false)))
			}
		}
		if len(d.Locations) > 0 || w.one(4) {
			members = append(members, `"locations":`+w.odd(w.list(w.all(d.Locations, somePlaces), false)))
		}
		if d.Identifier != "" || w.one(4) {
			members = append(members, `"identifier":`+w.text(w.fit([]string{cmp.Or(d.Identifier, "app")}, someNames)))
		}
		elements = append(elements, "{"+strings.Join(members, ",")+"}")
	}
	return "[" + strings.Join(elements, ",") + "]"
}

// outcome is what the compiled policy says of a triple, as expected writes it.
// ok is false where the token of the triple could not be read at all.
func outcome(s *Set, x *triple) (text string, ok bool) {
	path, canonical := Canonical(x.raw)
	if !canonical {
		return "no canonical path", true
	}
	r := s.Route(x.method, x.host, path)
	switch {
	case !r.Matched():
		return "none", true
	case r.Public:
		return r.Name + ": public", true
	}
	p, ok := tryCaller(x.payload)
	if !ok {
		return "", false
	}
	p.Binding = x.binding
	req := &Request{Method: x.method, Host: x.host, Path: path}
	if x.source != "" {
		req.Sender = address(netip.MustParseAddr(x.source))
	}
	trace := &token.Trace{}
	r.Note(trace, req, p, t0)
	answer := r.Name + ": " + answerOf(r.Authorize(req, p, t0))
	for _, name := range r.Captures() {
		segment, _ := r.Capture(path, name)
		answer += " {" + name + "}=" + segment
	}
	return answer, true
}

type address netip.Addr

func (a address) Source() netip.Addr { return netip.Addr(a) }

// triples are made by one policy: some requests, each with claims.
const perPolicy = 10

// agree holds the policy that w makes, and what is asked of it, against the
// evaluator. It counts what came of each, and returns how many that were.
func agree(w world, seen map[string]int, t interface{ Errorf(string, ...any) }) uint64 {
	x := &triple{options: w.policy(), resource: w.resource()}
	s, err := Compile(x.options, x.resource)
	if clash := len(x.options) == 0 || conflict(x.options); clash || err != nil {
		if seen["conflict"]++; clash == (err == nil) && len(x.options) > 0 {
			t.Errorf("%+v\nconflict: %v, Compile says %v", x.options, clash, err)
		}
		return 0
	}
	for range perPolicy {
		w.caller(x, w.request(x))
		got, ok := outcome(s, x)
		if !ok {
			seen["unreadable"]++
			continue
		}
		seen[kindOf(got)]++
		if want := x.expected(); got != want {
			t.Errorf("%s %s%s from %q, binding %d, %s\nby %+v\nimplies %v\ngot  %s\nwant %s", x.method, x.host, x.raw, x.source, x.binding, x.payload, x.options, x.resource.Implies, got, want)
			break
		}
	}
	return perPolicy
}

// kindOf cuts an outcome down to its code and reason.
func kindOf(outcome string) string {
	_, answer, found := strings.Cut(outcome, ": ")
	answer, _, _ = strings.Cut(answer, "{")
	words := append(strings.Fields(answer), "", "")
	switch kind := strings.TrimSpace(words[0] + " " + words[1]); {
	case !found:
		return outcome
	case kind == "":
		return "allowed"
	default:
		return kind
	}
}

// TestReference: the compiled policy and the evaluator agree on WICKETGATE_TRIPLES
// triples (30,000), made from WICKETGATE_SEED.
func TestReference(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return n
		}
		return otherwise
	}
	seed, triples := number("WICKETGATE_SEED", rand.Uint64()), number("WICKETGATE_TRIPLES", 30_000)
	t.Logf("WICKETGATE_SEED=%d WICKETGATE_TRIPLES=%d", seed, triples)
	workers := uint64(runtime.GOMAXPROCS(0))
	counts := make([]map[string]int, workers)
	var wait sync.WaitGroup
	for worker := range workers {
		counts[worker] = make(map[string]int)
		wait.Go(func() {
			judged := uint64(0)
			for n := worker; judged*workers < triples && !t.Failed(); n += workers {
				judged += agree(world{rand.New(rand.NewPCG(seed, n)).IntN}, counts[worker], t)
			}
		})
	}
	wait.Wait()
	total := 0
	for _, reason := range []string{
		"allowed", "none", "public", "conflict", "forbidden network", "invalid_token binding", "invalid_token token_age", "forbidden client",
		"forbidden subject", "forbidden actor", "forbidden claim_rule", "invalid_token claim", "forbidden authorization_details",
		"insufficient_user_authentication acr", "insufficient_user_authentication amr", "insufficient_user_authentication auth_time", "insufficient_scope scope",
	} {
		count := 0
		for _, c := range counts {
			count += c[reason]
			total += c[reason]
		}
		t.Logf("%7d %s", count, reason)
		if uint64(count) < triples/1000 && !t.Failed() {
			t.Errorf("%s: only %d of %d triples", reason, count, triples)
		}
	}
	for _, c := range counts {
		if c["unreadable"] > 0 {
			t.Errorf("%d tokens could not be read", c["unreadable"])
		}
	}
	t.Logf("%7d in all", total)
}

// FuzzReference: the octets are the choices that make a triple.
func FuzzReference(f *testing.F) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0))
		octets := make([]byte, 400)
		for i := range octets {
			octets[i] = byte(random.IntN(256))
		}
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		at := 0
		agree(world{func(n int) int {
			if at == len(octets) {
				return n - 1
			}
			at++
			return int(octets[at-1]) % n
		}}, make(map[string]int), t)
	})
}
