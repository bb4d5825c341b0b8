package telemetry

import (
	"net/http"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

// Label values of more than one metric.
const (
	none    = "none"    // where no route governs, no token came or no reason is
	unknown = "unknown" // the issuer of tokens whose signature did not hold
)

// Decisions about a request.
const (
	allowed = "allowed" // with a token
	public  = "public"  // without one: on a public route, as an anonymous caller, or for a preflight or the metadata
	denied  = "denied"
	failed  = "error"

	reported = "reported" // let through by report-only
)

func decisionOf(o *proxy.Outcome) string {
	switch {
	case o.Panic != "":
		return failed
	case o.Door != nil:
		return denied
	case o.Decision == nil:
		return failed // no configuration is in force
	}
	switch o.Decision.Verdict {
	case proxy.Allowed:
		if o.Decision.Would != nil {
			return reported
		}
		if o.Decision.Principal == nil {
			return public
		}
		return allowed
	case proxy.Answered:
		return public
	case proxy.Refused:
		return denied
	case proxy.Failed:
	}
	return failed
}

// Said is the label of a decision in wicketgate_requests_total, and why the
// request was not let through.
func Said(o *proxy.Outcome) (decision string, reason token.Reason) { return decisionOf(o), reasonOf(o) }

// reasonOf says why a request was not let through.
func reasonOf(o *proxy.Outcome) token.Reason {
	switch {
	case o.Door != nil:
		return o.Door.Reason
	case o.Panic != "", o.Decision == nil:
		return token.ReasonInternal
	}
	return o.Decision.Reason()
}

// exact is the statuses that count by themselves, and classOf the rest.
var (
	exact   = map[int]string{101: "101", 401: "401", 403: "403", 429: "429", 502: "502", 503: "503", 504: "504"}
	classOf = [...]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
)

func codeOf(status int) string {
	if name := exact[status]; name != "" {
		return name
	}
	if status >= 200 && status < 600 {
		return classOf[status/100]
	}
	return "other"
}

// What each decision can be answered with. Other pairs are counted too, but
// have no series before they happen.
var (
	relayed = []string{"2xx", "3xx", "4xx", "5xx", "401", "403", "429", "502", "503", "504"}
	refused = []string{"401", "403", "4xx"}
	lost    = []string{"503", "5xx"}
)

// statusClientClosed is what package proxy notes for a client that has gone.
const statusClientClosed = 499

// What became of a request that was handed to an upstream.
const (
	answered    = "ok"           // with a status below 500
	serverError = "server_error" // answered with 500 or above
	unreachable = "error"        // no answer, or one that is no HTTP
	timedOut    = "timeout"
	canceled    = "canceled" // the client went away before the answer
	cut         = "cut"      // the answer ended before its end
)

var results = []string{answered, serverError, unreachable, timedOut, canceled, cut}

// resultOf is empty when no upstream was asked.
func resultOf(o *proxy.Outcome) string {
	switch {
	case o.Err == nil && o.Upstream == 0:
		return ""
	case o.Err != nil && o.Status < http.StatusInternalServerError: // the client went away, or its body would not do
		return canceled
	case o.Err != nil && o.Status == http.StatusGatewayTimeout:
		return timedOut
	case o.Err != nil:
		return unreachable
	case o.Cut:
		return cut
	case o.Status >= http.StatusInternalServerError:
		return serverError
	}
	return answered
}

// Kinds of token, by the scheme they came with, but for those that only their
// issuer can read.
const (
	kindBearer = "bearer"
	kindDPoP   = "dpop"
	kindOpaque = "opaque"
)

func kindOf(r validator.Result) string {
	if r.Opaque {
		return kindOpaque
	}
	switch r.Scheme {
	case token.Bearer:
		return kindBearer
	case token.DPoP:
		return kindDPoP
	}
	return none
}

// Why a token is refused before its signature held, after it, before its issuer
// told about it, and for its proof. A reason that is in none of these comes from outside the validator.
var (
	earlyReasons = []token.Reason{
		token.ReasonTooLong, token.ReasonMalformed, token.ReasonCritical, token.ReasonAlgorithm, token.ReasonType,
		token.ReasonIssuer, token.ReasonUnknownKey, token.ReasonSignature, token.ReasonClaim, token.ReasonExpired,
		token.ReasonIssuedAt, token.ReasonNotYet, token.ReasonAudience, token.ReasonConfirmation, token.ReasonKeysUnavailable, token.ReasonInternal,
	}
	lateReasons = []token.Reason{
		token.ReasonClaim, token.ReasonKind, token.ReasonExpired, token.ReasonIssuedAt,
		token.ReasonLifetime, token.ReasonAudience, token.ReasonMTLSBinding, token.ReasonDPoPBinding,
		token.ReasonInactive, token.ReasonIntrospectionUnavailable,
		token.ReasonRevoked, token.ReasonRevocationUnavailable, token.ReasonStatusReference, token.ReasonStatusRevoked, token.ReasonStatusUnavailable,
	}
	opaqueReasons = []token.Reason{
		token.ReasonTooLong, token.ReasonClaim, token.ReasonAudience, token.ReasonConfirmation, token.ReasonInactive,
		token.ReasonIntrospectionUnavailable, token.ReasonInternal,
	}
	proofReasons = []token.Reason{
		token.ReasonDPoPMissing, token.ReasonDPoPMalformed, token.ReasonDPoPType, token.ReasonDPoPAlgorithm,
		token.ReasonDPoPKey, token.ReasonDPoPMethod, token.ReasonDPoPTarget, token.ReasonDPoPTime, token.ReasonDPoPNonce, token.ReasonDPoPToken,
		token.ReasonDPoPSignature, token.ReasonDPoPReplay, token.ReasonReplayUnavailable, token.ReasonInternal,
	}
)
