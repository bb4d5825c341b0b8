// Package proxy decides about requests and forwards the ones it allows. Every
// front door reads its request into a Request, asks Gate.Decide and answers by
// the Decision; there is no other way in.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/report"
	"github.com/wicketgate/wicketgate/token"
)

// A Validator says who presents a credential. A *token.Error refuses; any
// other error means that nobody can tell.
type Validator interface {
	Validate(ctx context.Context, cred token.Credential) (*token.Principal, error)
}

// A Gate decides for one resource. It is compiled from one configuration,
// immutable, owns no goroutine and has nothing to close.
type Gate struct {
	Name      string
	Validator Validator
	Policy    *policy.Set
	Realm     token.Realm
	Origins   []string // the origins the resource is known by, as dpop.Origin writes them
	BehindTLS bool     // a terminator stands in front: the client spoke https
	Sources   Sources  // where a token may be beside the Authorization field
	Upstream  *Upstream
	Forward   []*Forward // what the upstream is told, by Route.Index
	MaxBody   []int64    // octets of body, by Route.Index; 0 or nothing for any number
	Metadata  *Metadata  // published, or nil
	CORS      *CORS      // nil: nothing is said of other origins

	// HeaderTimeouts is how long the upstream's response header may take, by
	// Route.Index; 0 or nothing for what the upstream was opened with.
	HeaderTimeouts []time.Duration

	Now       func() time.Time // the clock that routes are judged by; nil for time.Now
	Report    *report.Only     // what is refused and passes all the same; nil for nothing
	Unmatched *Forward         // with Report: for what no route matches

	book challengeBook
}

// Request is what a decision is made from. It is read from the client's
// message only, never from what the client says about itself.
type Request struct {
	policy.Request
	RawPath       string   // as the client sent it
	RawQuery      string   // as the client sent it
	Authorization []string // the field lines
	Proofs        []string // the DPoP field lines

	Certificate string // x5t#S256 of the client's certificate, or empty (RFC 8705 section 3.1)

	CertificateFault error // why a field that should name the certificate is not believed, or nil

	Content bool // a body comes with it, perhaps an empty one whose length was not told

	Payer token.Sender // who pays for a credential that is bad; nil where nobody knows
	Trace *token.Trace // notes what the checks look at; nil but in explain
	Form  string       // the body, when Sources.Body is on and it is a form that may hold a token; else empty

	astray *policy.PathError // others would read the path as one of another route, which is not to be told; or nil
}

// Verdict is the outcome of a decision. The zero Verdict refuses.
type Verdict uint8

// The verdicts.
const (
	Refused Verdict = iota // the client is at fault
	Failed                 // nobody can tell: 503
	Allowed
	Answered // nothing is forwarded: Reply is all there is to say
)

// Decision is the answer to a Request. The zero Decision refuses.
type Decision struct {
	Verdict   Verdict
	Route     *policy.Route
	Principal *token.Principal // nil on public routes and for anonymous callers
	Refusal   *token.Error     // with Refused
	Fault     error            // with Failed
	Reply     *Reply           // with Answered

	// Would is what report-only did not hold to: a refusal or a fault. With it the
	// Verdict is Allowed and there is no Principal; who counts refusals counts it.
	Would *Decision

	credential token.Credential // with a Principal: to be judged again while a stream lasts
	vouched    string           // the issuer that answers for the token, where report-only asks
	ahead      bool             // decided ahead of any route
	astray     bool             // refused for its path, and nobody is to learn of it
}

// Reason says which check refused or failed; empty for Allowed.
func (d *Decision) Reason() token.Reason {
	if d.Verdict == Allowed || d.Verdict == Answered {
		return token.ReasonNone
	}
	if d.Refusal != nil {
		return d.Refusal.Reason
	}
	if fault, ok := errors.AsType[*token.Fault](d.Fault); ok {
		return fault.Reason
	}
	return token.ReasonInternal
}

// RetryAfter is how long a client should wait after Failed.
func (d *Decision) RetryAfter() time.Duration {
	if fault, ok := errors.AsType[*token.Fault](d.Fault); ok && fault.RetryAfter > time.Second {
		return fault.RetryAfter
	}
	return time.Second
}

// Decide is the straight line every request takes, whatever the front door. A
// panic in any check is a failure to decide, and so lets nobody in, but for
// report-only.
func (g *Gate) Decide(ctx context.Context, req *Request) Decision {
	d := g.judge(ctx, req)
	g.soften(req, &d)
	d.stray(req.astray)
	return d
}

func (g *Gate) judge(ctx context.Context, req *Request) (d Decision) {
	defer func() {
		if recover() != nil {
			d = Decision{Verdict: Failed, Route: d.Route, Fault: panicError(placeOfPanic()), ahead: d.ahead, credential: d.credential}
		}
	}()
	d.Route = g.Policy.Route(req.Method, req.Host, req.Path)
	d.ahead = true
	if g.ahead(req, &d) {
		return d
	}
	d.ahead = false
	req.Trace.Text(token.ReasonNoRoute, cmp.Or(d.Route.Path, "none"))
	switch {
	case !d.Route.Matched():
		d.Refusal = unknownRoute
		return d
	case d.Route.Public:
		d.Verdict = Allowed
		return d
	}
	cred, refusal := g.credential(req, d.Route)
	if d.credential = cred; refusal != nil {
		d.Refusal = refusal
		return d
	}
	if d.Route.Optional && !cred.Present() {
		d.Verdict = Allowed
		return d
	}
	p, err := g.Validator.Validate(ctx, cred)
	if err == nil {
		now := g.clock()
		d.Route.Note(req.Trace, &req.Request, p, now)
		err = asError(d.Route.Authorize(&req.Request, p, now))
	}
	if err != nil && g.Report != nil {
		d.vouch(p, err)
	}
	d.settle(p, req.blame(err), cred.Scheme)
	return d
}

func (g *Gate) clock() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

// asError keeps a nil *token.Error from becoming an error that is not nil.
func asError(e *token.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func (d *Decision) settle(p *token.Principal, err error, used token.Scheme) {
	refusal, refused := errors.AsType[*token.Error](err)
	switch {
	case err == nil:
		d.Verdict, d.Principal = Allowed, p
	case refused:
		if refusal.Schemes != used {
			refusal = refusal.Using(used)
		}
		d.Principal, d.Refusal = p, refusal
	default:
		d.Verdict, d.Fault = Failed, err
	}
}

// credential reads what the request presents on a route that looks at it. A
// scheme the route does not serve counts as nothing presented, but is never
// taken for an anonymous request.
func (g *Gate) credential(req *Request, route *policy.Route) (token.Credential, *token.Error) {
	cred, refusal := token.ReadAuthorization(req.Authorization)
	if refusal == nil && g.Sources.on() {
		cred, refusal = g.Sources.choose(req, cred)
	}
	if refusal != nil {
		req.Trace.Text(token.ReasonMissing, schemeSeen(cred.Scheme))
		req.Trace.Text(refusal.Reason, seenOf[refusal.Reason])
		return cred, refusal
	}
	req.Trace.Text(token.ReasonMissing, schemeSeen(cred.Scheme))
	req.Trace.Want(servedSchemes(req.Trace, route))
	switch {
	case !cred.Present():
		return cred, nil
	case cred.Scheme&route.Schemes() == 0:
		return cred, token.Refuse(token.CredentialRequired, token.ReasonMissing)
	case !g.Sources.Query && hasQueryToken(req.RawQuery):
		return cred, token.Refuse(token.InvalidRequest, token.ReasonTwoMethods).Using(cred.Scheme)
	}
	cred.Proofs, cred.Method, cred.Path, cred.Origins = req.Proofs, req.Method, req.RawPath, g.Origins
	cred.NonceNeeded, cred.Certificate, cred.Trace = route.Nonce, req.Certificate, req.Trace
	cred.Sender = req.Payer
	return cred, nil
}

// hasQueryToken reports whether a query names access_token, however a server
// might split it. A token there is never used; beside another credential it is
// a second method (RFC 6750 section 2), and one an upstream might believe.
func hasQueryToken(query string) bool {
	for _, piece := range pieces(query, parameterSeparators) {
		if isTokenParameter(piece) {
			return true
		}
	}
	return false
}

// seenOf says what is wrong with credentials that cannot even be read.
var seenOf = map[token.Reason]string{
	token.ReasonMalformed: "characters that no credential has", token.ReasonTwoMethods: "several",
}

// servedSchemes lists what a token may come with on a route, when somebody asks.
func servedSchemes(trace *token.Trace, route *policy.Route) (list []string) {
	if trace == nil {
		return nil
	}
	for _, s := range []token.Scheme{token.Bearer, token.DPoP} {
		if s&route.Schemes() != 0 {
			list = append(list, s.String())
		}
	}
	return list
}

// schemeSeen says what a credential came as.
func schemeSeen(s token.Scheme) string {
	switch s {
	case token.Bearer:
		return "scheme Bearer"
	case token.DPoP:
		return "scheme DPoP"
	}
	return "none"
}
