package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// soften lets a request through that d does not allow, where report-only says so.
// What it would have been stays in Decision.Would; nobody is the caller. What is
// decided ahead of any route stays as it is: it asks for no token.
func (g *Gate) soften(req *Request, d *Decision) {
	if g.Report == nil || d.ahead || d.Route == nil || d.Verdict != Refused && d.Verdict != Failed {
		return
	}
	if g.Sources.Body && req.Content && req.Form == "" && isForm(req.Header) { // a token in it would go on with it
		return
	}
	// Explain is told of the share: what falls into it, another process knows.
	route, told := d.Route.Index(), req.Trace != nil
	if told && g.Report.Percent(route, d.vouched) == 0 || !told && !g.Report.Lets(route, d.vouched, d.credential.Raw, req.source()) {
		return
	}
	would := *d
	*d = Decision{Verdict: Allowed, Route: d.Route, Would: &would}
}

// isForm tells whether some server could take a body for a form, which may hold a
// token (RFC 6750 section 2.2).
func isForm(h map[string][]string) bool {
	return slices.ContainsFunc(h["Content-Type"], func(line string) bool {
		return strings.Contains(strings.ToLower(line), "x-www-form-urlencoded")
	})
}

// vouch notes the issuer that answers for the token, also where its refusal is
// err.
func (d *Decision) vouch(p *token.Principal, err error) {
	if p != nil {
		d.vouched = p.Issuer
		return
	}
	d.vouched = token.Voucher(err)
}

// source is the client's address, as far as that is known.
func (r *Request) source() netip.Addr {
	if r.Sender == nil {
		return netip.Addr{}
	}
	return r.Sender.Source()
}

// forwardOf is what the upstream is told on the route of the decision.
func (ex *exchange) forwardOf() *Forward {
	if r := ex.decision.Route; r.Matched() {
		return ex.gate.Forward[r.Index()]
	}
	return ex.gate.Unmatched // only report-only forwards what no route matches
}

// reported tells a request that is forwarded though it is refused.
func (ex *exchange) reported() bool { return ex.decision.Would != nil }

// Panicked is the place of a panic while deciding, of a decision that was not
// held to too; empty for none.
func (d *Decision) Panicked() string {
	if d.Would != nil {
		d = d.Would
	}
	if at, inside := errors.AsType[panicError](d.Fault); inside {
		return string(at)
	}
	return ""
}
