package policy

import (
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// checkDetails wants one element of authorization_details that is what one of
// the route's details asks for (RFC 9396 section 2). A token whose claim is
// malformed is no good token (section 9.1); one without it, or with elements
// of other types only, is a good one that does not suffice.
func checkDetails(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	v, found := p.Lookup("authorization_details")
	if found && !areDetails(v) {
		return token.Refuse(token.InvalidToken, token.ReasonClaim)
	}
	for element := range v.Each() {
		for i := range r.Details {
			if r.Details[i].matches(element, r.demands.identifiers) {
				return nil
			}
		}
	}
	return forbid(token.ReasonDetails)
}

func noteDetails(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	v, found := p.Lookup("authorization_details")
	reason := token.ReasonDetails
	if found && !areDetails(v) {
		reason = token.ReasonClaim
	}
	trace.Value(reason, v)
	var types []string
	for _, d := range r.Details {
		types = append(types, d.Type)
	}
	trace.Want(types)
}

// areDetails tells whether v is a list of objects that each have a type.
func areDetails(v token.Value) bool {
	if v[0] != '[' {
		return false
	}
	for element := range v.Each() {
		kind, _ := element.Member("type")
		if _, ok := kind.Text(); !ok {
			return false
		}
	}
	return true
}

// matches tells whether all that d asks for is in this one element: what is
// granted in one says nothing about another (RFC 9396 section 2.2). Members
// that d does not ask for are not looked at, but for locations.
func (d *Detail) matches(element token.Value, identifiers []string) bool {
	return hasText(element, "type", d.Type) &&
		(d.Identifier == "" || hasText(element, "identifier", d.Identifier)) &&
		hasTexts(element, "actions", d.Actions) &&
		hasTexts(element, "datatypes", d.DataTypes) &&
		hasTexts(element, "privileges", d.Privileges) &&
		hasTexts(element, "locations", d.Locations) &&
		d.isHere(element, identifiers)
}

// isHere keeps an element with locations to the resources it names (RFC 9396
// section 12). A location that d lists is one of ours by the operator's word,
// and was found already.
func (d *Detail) isHere(element token.Value, identifiers []string) bool {
	locations, found := element.Member("locations")
	if !found || len(d.Locations) > 0 {
		return true
	}
	for _, identifier := range identifiers {
		if lists(locations, identifier) {
			return true
		}
	}
	return false
}

// hasText compares with text that is not empty.
func hasText(element token.Value, name, want string) bool {
	v, _ := element.Member(name)
	text, _ := v.Text()
	return text == want
}

// hasTexts tells whether all of want are in the list called name.
func hasTexts(element token.Value, name string, want []string) bool {
	if len(want) == 0 {
		return true
	}
	v, _ := element.Member(name)
	for _, text := range want {
		if !lists(v, text) {
			return false
		}
	}
	return true
}
