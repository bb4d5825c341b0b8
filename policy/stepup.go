package policy

import (
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// weak refuses for the sake of how or when the user authenticated (RFC 9470
// section 3).
func weak(reason token.Reason) *token.Error { return token.Refuse(token.InsufficientAuthn, reason) }

// checkACR wants one class the route lists. No order among classes is assumed:
// which one is stronger is between the operator and the issuer.
func checkACR(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	v, _ := p.Lookup("acr")
	if class, ok := v.Text(); ok && slices.Contains(r.ACR, class) {
		return nil
	}
	e := weak(token.ReasonACR)
	e.ACR = r.ACR
	return e
}

func noteACR(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	v, _ := p.Lookup("acr")
	trace.Value(token.ReasonACR, v)
	trace.Want(r.ACR)
}

// checkAMR wants all methods the route lists in a list of nothing but strings.
// A challenge has no parameter for methods. The classes of the route, if it
// has any, are the nearest thing a client can ask its issuer for.
func checkAMR(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	v, _ := p.Lookup("amr")
	for _, method := range r.AMR {
		if !lists(v, method) {
			e := weak(token.ReasonAMR)
			e.ACR = r.ACR
			return e
		}
	}
	return nil
}

func noteAMR(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	v, _ := p.Lookup("amr")
	trace.Value(token.ReasonAMR, v)
	trace.Want(r.AMR)
}

// checkMaxAge gives no leeway to an authentication in the past: it would only
// be another limit than the operator wrote. One that seems to lie ahead of us
// counts as made now if the token was issued no earlier. Then it is the
// issuer's clock that runs ahead, by no more than was forgiven for iat, and to
// send the user back right after a login would not end until the clocks agree.
func checkMaxAge(r *Route, _ *Request, p *token.Principal, now time.Time) *token.Error {
	v, _ := p.Lookup("auth_time")
	at, ok := token.NumericDate(v)
	if ok && now.Sub(at) <= r.MaxAge && (!at.After(now) || !at.After(p.IssuedAt)) {
		return nil
	}
	e := weak(token.ReasonMaxAge)
	e.MaxAge = r.MaxAge
	return e
}

func noteMaxAge(trace *token.Trace, r *Route, _ *Request, p *token.Principal, now time.Time) {
	v, _ := p.Lookup("auth_time")
	if at, ok := token.NumericDate(v); ok {
		trace.Time(token.ReasonMaxAge, at, now)
	} else {
		trace.Value(token.ReasonMaxAge, v)
	}
	trace.Want([]string{"at most", r.MaxAge.String(), "ago"})
}

// lists tells whether v is a list of nothing but strings with text in it.
func lists(v token.Value, text string) (found bool) {
	for element := range v.Each() {
		s, ok := element.Text()
		if !ok {
			return false
		}
		found = found || s == text
	}
	return found
}
