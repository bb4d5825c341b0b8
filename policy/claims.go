package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A ClaimRule is what a claim must hold. All that is set must hold. The values
// of a claim are the claim itself, each element where it is a list, and the
// value member of an element that is an object, which is how SCIM writes
// groups, roles and entitlements (RFC 7643 section 4.1.2). A string is compared
// by its characters, a number and a boolean by their text; nothing else is a
// value.
type ClaimRule struct {
	AnyOf    []string // one of its values is one of these
	Contains []string // all of these are among its values
	Equals   string   // it is this value, and no list
	Prefix   string   // the value that is one of AnyOf, or any, is a string that begins so
	Suffix   string   // the same value is a string that ends so
	Present  bool     // it is there, and not null
	Absent   bool     // it is not there; null is
}

// A rule is a ClaimRule for the claim at a dotted path.
type rule struct {
	path string
	ClaimRule
}

func compileRules(claims map[string]ClaimRule) []rule {
	rules := make([]rule, 0, len(claims))
	for path, r := range claims {
		rules = append(rules, rule{path, r})
	}
	slices.SortFunc(rules, func(a, b rule) int { return strings.Compare(a.path, b.path) })
	return rules
}

func checkRules(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	for i := range r.demands.rules {
		rule := &r.demands.rules[i]
		if v, found := p.Lookup(rule.path); !rule.holds(v, found) {
			return forbid(token.ReasonRule)
		}
	}
	return nil
}

// noteRules goes no further than the rule that fails.
func noteRules(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	for i := range r.demands.rules {
		rule := &r.demands.rules[i]
		v, found := p.Lookup(rule.path)
		trace.Text(token.ReasonRule, rule.path+" "+string(cmp.Or(v, "absent")))
		trace.Want(rule.words())
		if !rule.holds(v, found) {
			return
		}
	}
}

func (q *ClaimRule) holds(v token.Value, found bool) bool {
	switch {
	case q.Absent && found, q.Present && (!found || v.IsNull()):
		return false
	case q.Equals != "" && !is(v, q.Equals):
		return false
	case q.picks() && !q.picksOne(v):
		return false
	}
	for _, want := range q.Contains {
		if !has(v, want) {
			return false
		}
	}
	return true
}

// picks tells whether one value is looked for.
func (q *ClaimRule) picks() bool { return len(q.AnyOf) > 0 || q.Prefix != "" || q.Suffix != "" }

func (q *ClaimRule) picksOne(v token.Value) bool {
	if q.takes(v) {
		return true
	}
	for element := range v.Each() {
		if inner, isObject := element.Member("value"); q.takes(element) || isObject && q.takes(inner) {
			return true
		}
	}
	return false
}

func (q *ClaimRule) takes(v token.Value) bool {
	text, isText := v.Text()
	if !isText {
		if text = plain(v); text == "" || q.Prefix != "" || q.Suffix != "" {
			return false
		}
	}
	return (len(q.AnyOf) == 0 || slices.Contains(q.AnyOf, text)) && strings.HasPrefix(text, q.Prefix) && strings.HasSuffix(text, q.Suffix)
}

// has tells whether want is among the values of v.
func has(v token.Value, want string) bool {
	if is(v, want) {
		return true
	}
	for element := range v.Each() {
		if inner, isObject := element.Member("value"); is(element, want) || isObject && is(inner, want) {
			return true
		}
	}
	return false
}

// is tells whether v is the value want.
func is(v token.Value, want string) bool {
	if text, ok := v.Text(); ok {
		return text == want
	}
	text := plain(v)
	return text != "" && text == want
}

// plain is the text of a number or a boolean, or "".
func plain(v token.Value) string {
	if _, number := v.Number(); number || v == "true" || v == "false" {
		return string(v)
	}
	return ""
}

// words say what would do. A list alone is one of which one does.
func (q *ClaimRule) words() (list []string) {
	list = append(list, q.AnyOf...)
	for _, form := range []struct{ word, text string }{
		{"with prefix", q.Prefix}, {"with suffix", q.Suffix}, {"equal to", q.Equals}, {"all of", strings.Join(q.Contains, " ")},
	} {
		if form.text != "" {
			list = append(list, form.word, form.text)
		}
	}
	switch {
	case q.Present:
		list = append(list, "present")
	case q.Absent:
		list = append(list, "absent")
	}
	return list
}
