package policy

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A triple is a policy, a request and the claims of its token. What is expected
// of it is found by an evaluator that shares nothing with the one under test:
// it goes through the routes one by one and compares what encoding/json reads.
type triple struct {
	options  []Options
	resource Resource

	method, host, raw string // the path as the client sent it
	source            string // an address, or "" where nobody knows

	payload string // claims, as JSON
	binding token.Binding
}

// expected is the name of the route and the answer, as outcome writes them.
func (x *triple) expected() string {
	segments := expectedSegments(x.raw)
	o := x.expectedRoute(segments)
	switch {
	case o == nil:
		return "none"
	case o.Public:
		return o.Name + ": public"
	}
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(x.payload))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		return "malformed"
	}
	e := &evaluator{o, x, claims}
	return o.Name + ": " + e.answer() + expectedCaptures(o, segments)
}

func expectedSegments(raw string) (segments []string) {
	for _, s := range strings.Split(strings.TrimSuffix(raw[1:], "/"), "/") {
		decoded, _ := url.PathUnescape(s)
		segments = append(segments, decoded)
	}
	if raw == "/" {
		return nil
	}
	return segments
}

func expectedCaptures(o *Options, segments []string) (text string) {
	for i, p := range strings.Split(strings.Trim(o.Path, "/"), "/") {
		if strings.HasPrefix(p, "{") {
			text += " " + p + "=" + segments[i]
		}
	}
	return text
}

// expectedRoute asks the hosts from the most exact on, and of each the routes
// with the best path.
func (x *triple) expectedRoute(segments []string) *Options {
	for _, host := range x.expectedHosts() {
		var best []*Options
		rank := ""
		for i := range x.options {
			o := &x.options[i]
			mine := slices.Contains(o.Hosts, host) || host == "" && len(o.Hosts) == 0
			got, ok := expectedRank(o, segments)
			switch {
			case !mine || !ok || best != nil && got > rank:
			case best != nil && got == rank:
				best = append(best, o)
			default:
				best, rank = []*Options{o}, got
			}
		}
		if best != nil {
			found := expectedMethod(best, x.method)
			if folded := expectedMethod(best, strings.ToUpper(x.method)); folded != found && strings.ToUpper(x.method) != x.method {
				return nil
			}
			return found
		}
	}
	return nil
}

// expectedHosts takes the port away where no route names the host with it.
func (x *triple) expectedHosts() []string {
	list := expectedHosts(x.host)
	for _, o := range x.options {
		for _, host := range o.Hosts {
			if slices.Contains(list, host) {
				return list
			}
		}
	}
	name, _, _ := strings.Cut(x.host, ":")
	return expectedHosts(name)
}

// expectedHosts lists what routes may say for a host, the most exact first.
func expectedHosts(host string) []string {
	list := []string{host}
	labels := strings.Split(host, ".")
	for i := 1; i < len(labels); i++ {
		list = append(list, "*."+strings.Join(labels[i:], "."))
	}
	return append(list, "")
}

// expectedRank orders matches by segment: literal, any, the end, the rest.
func expectedRank(o *Options, segments []string) (rank string, ok bool) {
	var pattern []string
	if p := strings.Trim(o.Path, "/"); p != "" {
		pattern = strings.Split(p, "/")
	}
	for i, p := range pattern {
		if p == "**" {
			return rank + "9", true
		}
		if i >= len(segments) {
			return "", false
		}
		switch s := segments[i]; {
		case p == "*", strings.HasPrefix(p, "{"):
			rank += "2"
		case p == s, o.CaseInsensitive && asciiFold(p, s):
			rank += "1"
		default:
			return "", false
		}
	}
	return rank + "5", len(pattern) == len(segments)
}

func expectedMethod(best []*Options, method string) *Options {
	tries := [][]string{{method}, nil}
	if method == "HEAD" {
		tries = [][]string{{"HEAD"}, {"GET"}, nil}
	}
	for _, try := range tries {
		for _, o := range best {
			if try == nil && len(o.Methods) == 0 || try != nil && slices.Contains(o.Methods, try[0]) {
				return o
			}
		}
	}
	return nil
}

// conflict tells whether two of the options would govern the same request.
func conflict(options []Options) bool {
	shape := func(o Options) string {
		var parts []string
		for _, p := range strings.Split(strings.Trim(o.Path, "/"), "/") {
			switch {
			case strings.HasPrefix(p, "{"):
				p = "*"
			case o.CaseInsensitive:
				p = strings.ToLower(p) // ASCII in these triples
			}
			parts = append(parts, p)
		}
		return strings.Join(parts, "/")
	}
	for i, a := range options {
		for _, b := range options[:i] {
			same := len(a.Hosts)+len(b.Hosts) == 0
			for _, h := range a.Hosts {
				same = same || slices.Contains(b.Hosts, h)
			}
			overlap := len(a.Methods)+len(b.Methods) == 0
			for _, m := range a.Methods {
				overlap = overlap || slices.Contains(b.Methods, m)
			}
			if same && overlap && shape(a) == shape(b) {
				return true
			}
		}
	}
	return false
}

// evaluator holds one caller against one route.
type evaluator struct {
	*Options
	request *triple
	claims  map[string]any
}

func (e *evaluator) text(name string) string { s, _ := e.claims[name].(string); return s }

// answer is as answerOf writes it: "" allows.
func (e *evaluator) answer() string {
	for _, no := range []struct {
		answer string
		holds  bool
	}{
		{"forbidden network", e.network()},
		{"invalid_token binding", e.bound()},
		{"invalid_token token_age", e.MaxTokenAge == 0 || e.within("iat", e.MaxTokenAge)},
		{"forbidden client", len(e.Clients) == 0 || slices.Contains(e.Clients, e.text("client_id"))},
		{"forbidden subject", e.subject()},
		{"forbidden actor", e.actor()},
		{"forbidden claim_rule", e.rules()},
		{"invalid_token claim", len(e.Options.Details) == 0 || e.wellFormedDetails()},
		{"forbidden authorization_details", len(e.Options.Details) == 0 || e.details()},
	} {
		if !no.holds {
			return no.answer
		}
	}
	return e.mendable()
}

// mendable is what another login or another scope would mend.
func (e *evaluator) mendable() string {
	class, login, old, scope := e.class(), e.methods(), e.login(), e.scope()
	answer := ""
	switch {
	case !class:
		answer = "insufficient_user_authentication acr"
	case !login:
		answer = "insufficient_user_authentication amr"
	case !old:
		answer = "insufficient_user_authentication auth_time"
	case !scope:
		answer = "insufficient_scope scope"
	}
	if (!class || !login) && len(e.ACR) > 0 {
		answer += fmt.Sprint(" acr=", e.ACR)
	}
	if !old {
		answer += fmt.Sprint(" max_age=", e.Options.MaxAge)
	}
	if !scope {
		answer += " scope=" + strings.Join(e.needed(), " ")
	}
	return answer
}

func (e *evaluator) network() bool {
	ip := net.ParseIP(e.request.source)
	for _, n := range e.Networks {
		_, block, err := net.ParseCIDR(n.String())
		if err == nil && ip != nil && block.Contains(ip) {
			return true
		}
	}
	return len(e.Networks) == 0
}

func (e *evaluator) bound() bool {
	b := e.request.binding
	switch e.Binding {
	case AnyBinding:
	case DPoPBinding:
		return b == token.BoundDPoP || b == token.BoundDPoP|token.BoundMTLS
	case MTLSBinding:
		return b == token.BoundMTLS || b == token.BoundDPoP|token.BoundMTLS
	case BoundBinding:
		return b != token.Unbound
	}
	return true
}

// seconds is a claim's date; it is not ok for what is no positive number.
func (e *evaluator) seconds(name string) (at float64, ok bool) {
	n, isNumber := e.claims[name].(json.Number)
	if !isNumber {
		return 0, false
	}
	at, err := n.Float64()
	return at, err == nil && at >= 0
}

func (e *evaluator) within(name string, most time.Duration) bool {
	at, ok := e.seconds(name)
	return ok && float64(t0.Unix())-at <= most.Seconds()
}

func (e *evaluator) login() bool {
	if e.Options.MaxAge == 0 {
		return true
	}
	at, ok := e.seconds("auth_time")
	issued, _ := e.seconds("iat")
	return ok && e.within("auth_time", e.Options.MaxAge) && (at <= float64(t0.Unix()) || at <= issued)
}

func (e *evaluator) subject() bool {
	sub, kind := e.text("sub"), "user"
	if sub == "" || sub == e.text("client_id") {
		kind = "client"
	}
	return (len(e.Subjects) == 0 || slices.Contains(e.Subjects, sub)) && (e.SubjectType == "" || e.SubjectType == kind)
}

func (e *evaluator) actor() bool {
	if len(e.Actors) == 0 {
		return true
	}
	act, _ := e.claims["act"].(map[string]any)
	sub, named := act["sub"].(string)
	iss, told := act["iss"]
	return named && slices.Contains(e.Actors, sub) && (!told || iss == e.claims["iss"])
}

func (e *evaluator) class() bool {
	acr, _ := e.claims["acr"].(string)
	return len(e.ACR) == 0 || acr != "" && slices.Contains(e.ACR, acr)
}

// strings reads a list of nothing but strings.
func stringsOf(v any) (list []string) {
	elements, _ := v.([]any)
	for _, one := range elements {
		s, ok := one.(string)
		if !ok {
			return nil
		}
		list = append(list, s)
	}
	return list
}

func (e *evaluator) methods() bool {
	for _, want := range e.AMR {
		if !slices.Contains(stringsOf(e.claims["amr"]), want) {
			return false
		}
	}
	return true
}

func (e *evaluator) rules() bool {
	for path, rule := range e.Claims {
		v, found := dig(e.claims, path)
		values := valuesOf(v)
		picked := len(rule.AnyOf) == 0 && rule.Prefix == "" && rule.Suffix == ""
		for _, one := range values {
			s, isString := one.(string)
			if !isString {
				s = fmt.Sprint(one)
			}
			ok := len(rule.AnyOf) == 0 || slices.Contains(rule.AnyOf, s)
			ok = ok && (rule.Prefix == "" || isString && strings.HasPrefix(s, rule.Prefix))
			picked = picked || ok && (rule.Suffix == "" || isString && strings.HasSuffix(s, rule.Suffix))
		}
		for _, want := range rule.Contains {
			if !slices.ContainsFunc(values, func(one any) bool { return fmt.Sprint(one) == want }) {
				return false
			}
		}
		_, isList := v.([]any)
		single := !isList && len(values) == 1 && fmt.Sprint(values[0]) == rule.Equals
		if !picked || rule.Equals != "" && !single || rule.Present && (!found || v == nil) || rule.Absent && found {
			return false
		}
	}
	return true
}

// dig follows a dotted path; a name with the dots in it comes first.
func dig(o map[string]any, path string) (any, bool) {
	if v, found := o[path]; found {
		return v, true
	}
	first, rest, dotted := strings.Cut(path, ".")
	inner, isObject := o[first].(map[string]any)
	if !dotted || !isObject {
		return nil, false
	}
	return dig(inner, rest)
}

// valuesOf lists the strings, numbers and booleans that a claim is or holds.
func valuesOf(v any) (list []any) {
	plain := func(v any) {
		switch v.(type) {
		case string, json.Number, bool:
			list = append(list, v)
		}
	}
	plain(v)
	elements, _ := v.([]any)
	for _, one := range elements {
		plain(one)
		if o, isObject := one.(map[string]any); isObject {
			plain(o["value"])
		}
	}
	return list
}

func (e *evaluator) wellFormedDetails() bool {
	v, found := e.claims["authorization_details"]
	list, isList := v.([]any)
	for _, one := range list {
		o, _ := one.(map[string]any)
		if _, typed := o["type"].(string); !typed {
			return false
		}
	}
	return !found || isList
}

func (e *evaluator) details() bool {
	list, _ := e.claims["authorization_details"].([]any)
	for _, one := range list {
		o, _ := one.(map[string]any)
		lists := func(name string, all []string) bool {
			for _, want := range all {
				if !slices.Contains(stringsOf(o[name]), want) {
					return false
				}
			}
			return true
		}
		for _, d := range e.Options.Details {
			_, placed := o["locations"]
			here := !placed || len(d.Locations) > 0
			for _, identifier := range e.request.resource.Identifiers {
				here = here || slices.Contains(stringsOf(o["locations"]), identifier)
			}
			if o["type"] == d.Type && (d.Identifier == "" || o["identifier"] == d.Identifier) && here &&
				lists("actions", d.Actions) && lists("locations", d.Locations) && lists("datatypes", d.DataTypes) && lists("privileges", d.Privileges) {
				return true
			}
		}
	}
	return false
}

func (e *evaluator) scopes() []string { return strings.Fields(e.text("scope")) }

// grants tells whether the token's scopes stand for want, at any remove.
func (e *evaluator) grants(want string) bool {
	reached := e.scopes()
	for i := 0; i < len(reached); i++ {
		for _, more := range e.request.resource.Implies[reached[i]] {
			if !slices.Contains(reached, more) {
				reached = append(reached, more)
			}
		}
	}
	return slices.Contains(reached, want)
}

func (e *evaluator) scope() bool {
	for _, want := range e.All {
		if !e.grants(want) {
			return false
		}
	}
	return len(e.Any) == 0 || slices.ContainsFunc(e.Any, e.grants)
}

// needed is all, and one of any: the first that the token names, or the first.
func (e *evaluator) needed() (list []string) {
	list = append(list, e.All...)
	if len(e.Any) == 0 {
		return list
	}
	one := e.Any[0]
	for _, s := range slices.Backward(e.Any) {
		if slices.Contains(e.scopes(), s) {
			one = s
		}
	}
	if !slices.Contains(list, one) {
		list = append(list, one)
	}
	return list
}
