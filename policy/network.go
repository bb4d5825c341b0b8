package policy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// sourceOf is where a request came from, or the zero Addr where nobody knows.
func sourceOf(req *Request) netip.Addr {
	if req.Sender == nil {
		return netip.Addr{}
	}
	return req.Sender.Source().Unmap().WithZone("")
}

// checkNetwork wants the client's address in one of the route's networks. An
// address that is not known is in none.
func checkNetwork(r *Route, req *Request, _ *token.Principal, _ time.Time) *token.Error {
	source := sourceOf(req)
	if slices.ContainsFunc(r.Networks, func(n netip.Prefix) bool { return n.Contains(source) }) {
		return nil
	}
	return forbid(token.ReasonNetwork)
}

func noteNetwork(trace *token.Trace, r *Route, req *Request, _ *token.Principal, _ time.Time) {
	seen := "unknown"
	if source := sourceOf(req); source.IsValid() {
		seen = source.String()
	}
	trace.Text(token.ReasonNetwork, seen)
	want := make([]string, len(r.Networks))
	for i, n := range r.Networks {
		want[i] = n.String()
	}
	trace.Want(want)
}

// checkTokenAge gives no leeway to the past: it would only be another limit
// than the operator wrote. How far iat may be ahead is the issuer's rule. It is
// the token that is too old, so the answer is invalid_token: a new one does.
func checkTokenAge(r *Route, _ *Request, p *token.Principal, now time.Time) *token.Error {
	if !p.IssuedAt.IsZero() && now.Sub(p.IssuedAt) <= r.MaxTokenAge {
		return nil
	}
	return token.Refuse(token.InvalidToken, token.ReasonTokenAge)
}

func noteTokenAge(trace *token.Trace, r *Route, _ *Request, p *token.Principal, now time.Time) {
	trace.Time(token.ReasonTokenAge, p.IssuedAt, now)
	trace.Want([]string{"at most", r.MaxTokenAge.String(), "ago"})
}
