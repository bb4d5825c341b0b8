package proxy

import (
	"net/http"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// Explained is a decision with what it was made from.
type Explained struct {
	Gate     *Gate        // nil when the request did not get as far
	Door     *token.Error // the refusal at the door
	Decision Decision
	Request  *policy.Request // what the route saw; nil with Door
	Trace    *token.Trace
	Query    string   // of the request, less what may be a token
	Upstream string   // where the request would go; empty where another proxy forwards it
	Fields   []string // what the upstream would be told of the caller, "Name: value"

	Percent int // of such refusals that report-only lets through; with Decision.Would
}

// Reason says which check refused or failed, also one that report-only does not
// hold to; empty for none.
func (e *Explained) Reason() token.Reason {
	switch {
	case e.Door != nil:
		return e.Door.Reason
	case e.Decision.Would != nil:
		return e.Decision.Would.Reason()
	}
	return e.Decision.Reason()
}

// Hidden reports whether the client is told that there is no such route, also where
// report-only does not hold to it.
func (e *Explained) Hidden() bool {
	return e.Decision.Hidden() || e.Decision.Would != nil && e.Decision.Would.Hidden()
}

// Cause is what the log would say of a refusal or a fault; it is not for the
// client.
func (e *Explained) Cause() string {
	var err error
	switch {
	case e.Door != nil:
		err = e.Door
	case e.Decision.Refusal != nil:
		err = e.Decision.Refusal
	case e.Decision.Fault != nil:
		err = e.Decision.Fault
	case e.Decision.Would != nil:
		return (&Explained{Decision: *e.Decision.Would}).Cause()
	default:
		return ""
	}
	return err.Error()
}

// Explain decides about r as the listener at the address listen would, by the
// same code, and notes what every check looked at. What is not allowed, or only
// by report-only, is answered to w; nothing is forwarded.
func (t *Table) Explain(w http.ResponseWriter, listen string, r *http.Request) *Explained {
	ex, rec := begin(t, w, r)
	ex.trace = &token.Trace{}
	allowed := ex.decide(rec, r, t.Sites[listen])
	told := &Explained{Gate: ex.gate, Door: ex.outcome.Door, Decision: ex.decision, Trace: ex.trace, Query: withoutToken(r.URL.RawQuery)}
	if ex.outcome.Gate != nil {
		told.Request = &ex.request.Request
	}
	if !allowed {
		return told
	}
	if up := ex.gate.Upstream; up != nil {
		told.Upstream = up.Name + up.base + ex.decision.Route.UpstreamPath(ex.request.RawPath)
	}
	for _, f := range ex.fields {
		told.Fields = append(told.Fields, f.name+": "+ex.forward.shown(f))
	}
	if would := ex.decision.Would; would != nil {
		told.Percent = ex.gate.Report.Percent(would.Route.Index(), would.vouched)
		ex.gate.Answer(rec, would)
	}
	return told
}
