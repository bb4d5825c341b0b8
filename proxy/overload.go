package proxy

import (
	"net/http"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// admit counts a request in, unless there are too many at once. What it
// returns, unless nil, counts it out.
func (s *Switch) admit(most int) (leave func()) {
	if n := s.inFlight.Add(1); most > 0 && n > int64(most) {
		s.inFlight.Add(-1)
		return nil
	}
	return func() { s.inFlight.Add(-1) }
}

// shed answers a request nothing was looked at of: it must cost next to
// nothing, or it would not help.
func (ex *exchange) shed(w http.ResponseWriter) {
	ex.decision = Decision{Verdict: Failed, Fault: &token.Fault{Reason: token.ReasonOverload, RetryAfter: time.Second}}
	ex.outcome.Decision = &ex.decision
	w.Header().Set("Retry-After", "1")
	answer(w, http.StatusServiceUnavailable, "temporarily_unavailable", token.Refuse("", token.ReasonOverload).Description())
}

// fits refuses a body that says it is larger than the route takes.
func (ex *exchange) fits(r *http.Request) bool {
	most := ex.mostOctets()
	if most < 0 || r.ContentLength <= most {
		return true
	}
	ex.decision.Verdict, ex.decision.Refusal = Refused, token.Refuse(token.ContentTooLarge, token.ReasonBodySize)
	return false
}

// mostOctets is the length of body that the route takes; negative for any.
func (ex *exchange) mostOctets() int64 {
	if at := ex.decision.Route.Index(); at >= 0 && at < len(ex.gate.MaxBody) && ex.gate.MaxBody[at] > 0 {
		return ex.gate.MaxBody[at]
	}
	return -1
}
