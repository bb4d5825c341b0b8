package policy

import (
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A requirement is one thing a route may ask of a caller whose token proved
// valid.
type requirement struct {
	reason token.Reason // of its refusal
	asked  func(*Options) bool
	run    func(*Route, *Request, *token.Principal, time.Time) *token.Error
	note   func(*token.Trace, *Route, *Request, *token.Principal, time.Time)
}

// requirements are in the order a client can do least about them. Where a call
// comes from no token mends, and a token of another kind or a new one is the
// least that must be had. Where the policy says no to who is calling, neither another scope nor another login
// would help, so nothing else is said. A login that must be renewed comes
// before a scope that is missing, and one answer names both (RFC 9470
// section 3).
var requirements = []requirement{
	{token.ReasonNetwork, func(o *Options) bool { return len(o.Networks) > 0 }, checkNetwork, noteNetwork},
	{token.ReasonBinding, func(o *Options) bool { return o.Binding != AnyBinding }, checkBinding, noteBinding},
	{token.ReasonTokenAge, func(o *Options) bool { return o.MaxTokenAge > 0 }, checkTokenAge, noteTokenAge},
	{token.ReasonClient, func(o *Options) bool { return len(o.Clients) > 0 }, checkClient, noteClient},
	{token.ReasonSubject, func(o *Options) bool { return len(o.Subjects) > 0 || o.SubjectType != "" }, checkSubject, noteSubject},
	{token.ReasonActor, func(o *Options) bool { return len(o.Actors) > 0 }, checkActor, noteActor},
	{token.ReasonRule, func(o *Options) bool { return len(o.Claims) > 0 }, checkRules, noteRules},
	{token.ReasonWhen, func(o *Options) bool { return o.When != "" }, checkWhen, noteWhen},
	{token.ReasonDetails, func(o *Options) bool { return len(o.Details) > 0 }, checkDetails, noteDetails},
	{token.ReasonACR, func(o *Options) bool { return len(o.ACR) > 0 }, checkACR, noteACR},
	{token.ReasonAMR, func(o *Options) bool { return len(o.AMR) > 0 }, checkAMR, noteAMR},
	{token.ReasonMaxAge, func(o *Options) bool { return o.MaxAge > 0 }, checkMaxAge, noteMaxAge},
	{token.ReasonScope, func(o *Options) bool { return len(o.All)+len(o.Any) > 0 }, checkScope, noteScope},
}

// demands is what a route asks for, compiled.
type demands struct {
	asked       []requirement
	allOf       []token.Scopes // for each scope of Options.All, those that stand for it
	anyOf       token.Scopes   // those that stand for one of Options.Any
	rules       []rule
	identifiers []string
}

func compileDemands(o *Options, resource Resource) demands {
	d := demands{identifiers: resource.Identifiers, rules: compileRules(o.Claims)}
	wider := invert(resource.Implies)
	for _, s := range o.All {
		d.allOf = append(d.allOf, closure(s, wider))
	}
	for _, s := range o.Any {
		d.anyOf = append(d.anyOf, closure(s, wider)...)
	}
	for _, q := range requirements {
		if q.asked(o) {
			d.asked = append(d.asked, q)
		}
	}
	return d
}

// require runs all that the route asks for. What a new token could mend is
// gathered into one answer.
func (r *Route) require(req *Request, p *token.Principal, now time.Time) *token.Error {
	var short *token.Error
	for i := range r.demands.asked {
		refusal := r.demands.asked[i].run(r, req, p, now)
		switch {
		case refusal == nil:
		case refusal.Code != token.InsufficientAuthn && refusal.Code != token.InsufficientScope:
			return refusal
		case short == nil:
			short = refusal
		default:
			short.Scope = refusal.Scope
			short.MaxAge = max(short.MaxAge, refusal.MaxAge)
			if len(short.ACR) == 0 {
				short.ACR = refusal.ACR
			}
		}
	}
	return short
}

// forbid is what a hidden route refuses for: a right that the caller lacks goes before
// what a token of another kind or another login would mend, which only those are
// told who have every right.
func (r *Route) forbid(req *Request, p *token.Principal, now time.Time, mendable *token.Error) *token.Error {
	for i := range r.demands.asked {
		if refusal := r.demands.asked[i].run(r, req, p, now); refusal != nil && refusal.Code.Forbids() {
			return refusal
		}
	}
	return mendable
}

// Note writes down what Authorize looks at as of now, in its order.
func (r *Route) Note(trace *token.Trace, req *Request, p *token.Principal, now time.Time) {
	if trace == nil {
		return
	}
	for _, q := range r.demands.asked {
		q.note(trace, r, req, p, now)
	}
}

func forbid(reason token.Reason) *token.Error { return token.Refuse(token.Forbidden, reason) }

func checkClient(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	if !slices.Contains(r.Clients, p.ClientID) {
		return forbid(token.ReasonClient)
	}
	return nil
}

func noteClient(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	trace.Text(token.ReasonClient, p.ClientID)
	trace.Want(r.Clients)
}

// checkSubject also keeps a client that acts for itself from passing for a
// user of the same name (RFC 9700 section 4.15).
func checkSubject(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	if len(r.Subjects) > 0 && !slices.Contains(r.Subjects, p.Subject) || r.SubjectType != "" && r.SubjectType != p.SubjectType() {
		return forbid(token.ReasonSubject)
	}
	return nil
}

func noteSubject(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	trace.Text(token.ReasonSubject, p.SubjectType()+" "+p.Subject)
	want := r.Subjects
	if r.SubjectType != "" {
		want = append([]string{r.SubjectType}, want...)
	}
	trace.Want(want)
}

// checkActor looks at the outermost act only: acts within it are history, and
// of its members none but sub and iss says who acts (RFC 8693 section 4.1). An
// actor of another issuer is somebody else of the same name, and an act that is
// malformed names nobody.
func checkActor(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	act, _ := p.Lookup("act")
	sub, _ := act.Member("sub")
	name, named := sub.Text()
	if !named || !slices.Contains(r.Actors, name) {
		return forbid(token.ReasonActor)
	}
	if iss, found := act.Member("iss"); found {
		if issuer, _ := iss.Text(); issuer != p.Claims.Issuer {
			return forbid(token.ReasonActor)
		}
	}
	return nil
}

func noteActor(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	v, _ := p.Lookup("act")
	trace.Value(token.ReasonActor, v)
	trace.Want(r.Actors)
}
