package token

import (
	"errors"
	"time"
)

// A Code is an error code as it goes on the wire. A Code is itself an error,
// so errors.Is(err, token.InvalidToken) asks about a whole chain.
type Code string

// The codes of a refusal.
const (
	InvalidRequest     Code = "invalid_request"                  // RFC 6750 section 3.1
	InvalidToken       Code = "invalid_token"                    // RFC 6750 section 3.1
	InsufficientScope  Code = "insufficient_scope"               // RFC 6750 section 3.1
	InvalidDPoPProof   Code = "invalid_dpop_proof"               // RFC 9449 section 7.1
	UseDPoPNonce       Code = "use_dpop_nonce"                   // RFC 9449 section 9
	InsufficientAuthn  Code = "insufficient_user_authentication" // RFC 9470 section 3
	CredentialRequired Code = "credential_required"              // nothing presented: the code never goes on the wire
	Forbidden          Code = "forbidden"                        // policy says no and no scope would help
	NotFound           Code = "not_found"                        // no route
	MethodNotAllowed   Code = "method_not_allowed"               // CONNECT, TRACE
	Misdirected        Code = "misdirected_request"              // no resource has this host
	HeaderTooLarge     Code = "header_too_large"                 // the request's header section, or what its claims would become
	TargetTooLong      Code = "uri_too_long"                     // the request target
	ContentTooLarge    Code = "content_too_large"                // the request's body
	TooEarly           Code = "too_early"                        // RFC 8470 section 5.2
	TooManyRequests    Code = "too_many_requests"                // RFC 6585 section 4
	WrongVersion       Code = "http_version_not_supported"       // RFC 9110 section 15.6.6
	LoopDetected       Code = "loop_detected"                    // RFC 5842 section 7.2
)

// Error is the code.
func (c Code) Error() string { return string(c) }

// Status is the HTTP status a refusal with this code is answered with.
func (c Code) Status() int {
	switch c {
	case InvalidRequest:
		return 400
	case InsufficientScope, Forbidden:
		return 403
	case NotFound:
		return 404
	case MethodNotAllowed:
		return 405
	case ContentTooLarge:
		return 413
	case TargetTooLong:
		return 414
	case Misdirected:
		return 421
	case TooEarly:
		return 425
	case TooManyRequests:
		return 429
	case HeaderTooLarge:
		return 431
	case WrongVersion:
		return 505
	case LoopDetected:
		return 508
	case InvalidToken, InvalidDPoPProof, UseDPoPNonce, InsufficientAuthn, CredentialRequired:
		return 401
	}
	return 401
}

// Forbids reports whether the code is that of a caller who is known and may not.
func (c Code) Forbids() bool { return c == Forbidden || c == InsufficientScope }

// OnChallenge reports whether the code is sent in a WWW-Authenticate challenge
// (for CredentialRequired: the challenge alone).
func (c Code) OnChallenge() bool {
	switch c {
	case InvalidRequest, InvalidToken, InsufficientScope, InvalidDPoPProof, UseDPoPNonce, InsufficientAuthn, CredentialRequired:
		return true
	case Forbidden, NotFound, MethodNotAllowed, Misdirected, HeaderTooLarge, TargetTooLong, ContentTooLarge, TooEarly, TooManyRequests, WrongVersion, LoopDetected:
	}
	return false
}

// A Reason says which check refused or could not decide. The set is closed: a
// reason is a metric label, a log field and a heading in the manual.
type Reason string

// The reasons, in the order the checks run.
const (
	ReasonNone Reason = ""

	ReasonOverload      Reason = "overloaded"
	ReasonVersion       Reason = "http_version"
	ReasonMethod        Reason = "method"
	ReasonTarget        Reason = "target"
	ReasonPath          Reason = "path"
	ReasonHost          Reason = "host"
	ReasonHeaderSection Reason = "header_section"
	ReasonLoop          Reason = "loop"
	ReasonEarlyData     Reason = "early_data"
	ReasonAsker         Reason = "asker"
	ReasonQuestion      Reason = "question"
	ReasonReserved      Reason = "reserved_header"
	ReasonNoRoute       Reason = "no_route"
	ReasonBody          Reason = "body"

	ReasonOrigin    Reason = "origin"
	ReasonCrossSite Reason = "cross_site"

	ReasonMissing    Reason = "missing"
	ReasonTwoMethods Reason = "two_methods"
	ReasonMalformed  Reason = "malformed"
	ReasonTooLong    Reason = "limit"
	ReasonCritical   Reason = "crit"
	ReasonAlgorithm  Reason = "alg"
	ReasonType       Reason = "typ"
	ReasonIssuer     Reason = "issuer"
	ReasonUnknownKey Reason = "unknown_key"
	ReasonFailures   Reason = "failed_verifications"
	ReasonBusy       Reason = "verification_busy"
	ReasonSignature  Reason = "signature"
	ReasonClaim      Reason = "claim"
	ReasonExpired    Reason = "expired"
	ReasonNotYet     Reason = "not_yet"
	ReasonIssuedAt   Reason = "issued_at"
	ReasonLifetime   Reason = "lifetime"
	ReasonKind       Reason = "kind"
	ReasonAudience   Reason = "audience"
	ReasonInactive   Reason = "inactive"
	ReasonRevoked    Reason = "revoked"

	ReasonIssuerClient Reason = "issuer_client"

	ReasonStatusReference Reason = "status_reference"
	ReasonStatusRevoked   Reason = "status_revoked"

	ReasonConfirmation  Reason = "confirmation"
	ReasonMTLSBinding   Reason = "mtls_binding"
	ReasonDPoPBinding   Reason = "dpop_binding"
	ReasonDPoPMissing   Reason = "dpop_missing"
	ReasonDPoPMalformed Reason = "dpop_malformed"
	ReasonDPoPType      Reason = "dpop_typ"
	ReasonDPoPAlgorithm Reason = "dpop_alg"
	ReasonDPoPKey       Reason = "dpop_key"
	ReasonDPoPMethod    Reason = "dpop_htm"
	ReasonDPoPTarget    Reason = "dpop_htu"
	ReasonDPoPTime      Reason = "dpop_iat"
	ReasonDPoPNonce     Reason = "dpop_nonce"
	ReasonDPoPToken     Reason = "dpop_ath"
	ReasonDPoPSignature Reason = "dpop_sig"
	ReasonDPoPReplay    Reason = "dpop_replay"

	ReasonNetwork Reason = "network"
	ReasonBinding Reason = "binding"
	ReasonClient  Reason = "client"
	ReasonSubject Reason = "subject"
	ReasonActor   Reason = "actor"
	ReasonRule    Reason = "claim_rule"
	ReasonWhen    Reason = "when"
	ReasonDetails Reason = "authorization_details"
	ReasonACR     Reason = "acr"
	ReasonAMR     Reason = "amr"
	ReasonMaxAge  Reason = "auth_time"
	ReasonScope   Reason = "scope"
	ReasonClaims  Reason = "claims_too_large"

	ReasonTokenAge Reason = "token_age"

	ReasonBodySize Reason = "max_body"

	ReasonHandshake        Reason = "handshake"
	ReasonHandshakeVersion Reason = "websocket_version"
	ReasonTunnels          Reason = "websockets"
	ReasonUpstreamBusy     Reason = "upstream_busy"

	ReasonKeysUnavailable   Reason = "jwks_unavailable"
	ReasonReplayUnavailable Reason = "replay_unavailable"

	ReasonIntrospectionUnavailable Reason = "introspection_unavailable"
	ReasonStatusUnavailable        Reason = "status_unavailable"
	ReasonRevocationUnavailable    Reason = "revocation_unavailable"

	ReasonInternal Reason = "internal"
)

// Reasons lists every reason with the text a client is shown for it. The
// texts are fixed: nothing of a request is ever in them. Unknown issuer,
// unknown key and bad signature read the same on purpose, so that an answer
// does not help to probe for issuers and keys.
var Reasons = []struct {
	Reason      Reason
	Description string
}{
	{ReasonOverload, "too many requests are in flight"},
	{ReasonVersion, "this version of HTTP is not supported"},
	{ReasonMethod, "this method is not allowed"},
	{ReasonTarget, "the request target is not acceptable"},
	{ReasonPath, "the path is not in canonical form"},
	{ReasonHost, "no resource is served under this host"},
	{ReasonHeaderSection, "the header section is too large"},
	{ReasonLoop, "the request has been here before"},
	{ReasonEarlyData, "this cannot be asked in early data"},
	{ReasonAsker, "this proxy may not ask here"},
	{ReasonQuestion, "the proxy that asks does not say what the client asked for"},
	{ReasonReserved, "the request carries a header field that only the gate may set"},
	{ReasonNoRoute, "no route matches the request"},
	{ReasonBody, "the request's body is malformed"},
	{ReasonOrigin, "requests from this origin are not accepted"},
	{ReasonCrossSite, "a request from another site cannot use this credential"},
	{ReasonMissing, "an access token is required"},
	{ReasonTwoMethods, "the request carries more than one credential"},
	{ReasonMalformed, "the credential is malformed"},
	{ReasonTooLong, "the credential is too long"},
	{ReasonCritical, "the access token uses an extension that is not supported"},
	{ReasonAlgorithm, "the access token's algorithm is not accepted"},
	{ReasonType, "the access token's type is not accepted"},
	{ReasonIssuer, "the access token could not be verified"},
	{ReasonUnknownKey, "the access token could not be verified"},
	{ReasonFailures, "too many credentials from this address could not be verified"},
	{ReasonBusy, "too many access tokens are being verified"},
	{ReasonSignature, "the access token could not be verified"},
	{ReasonClaim, "the access token lacks a claim or has one of the wrong type"},
	{ReasonIssuerClient, "access tokens of this client are not accepted"},
	{ReasonExpired, "the access token has expired"},
	{ReasonNotYet, "the access token is not valid yet"},
	{ReasonIssuedAt, "the access token was issued in the future"},
	{ReasonLifetime, "the access token lives longer than allowed"},
	{ReasonKind, "this kind of token is not an access token"},
	{ReasonAudience, "the access token is not for this resource"},
	{ReasonInactive, "the access token is not active"},
	{ReasonRevoked, "the access token was revoked"},
	{ReasonStatusReference, "the access token's status cannot be followed"},
	{ReasonStatusRevoked, "the access token has been revoked or suspended"},
	{ReasonConfirmation, "the access token is bound in a way that is not supported"},
	{ReasonMTLSBinding, "the access token is bound to another client certificate"},
	{ReasonDPoPBinding, "the access token and the DPoP key do not belong together"},
	{ReasonDPoPMissing, "a single DPoP proof is required"},
	{ReasonDPoPMalformed, "the DPoP proof is malformed"},
	{ReasonDPoPType, "the DPoP proof's type is not accepted"},
	{ReasonDPoPAlgorithm, "the DPoP proof's algorithm is not accepted"},
	{ReasonDPoPKey, "the DPoP proof's key is not acceptable"},
	{ReasonDPoPMethod, "the DPoP proof is for another method"},
	{ReasonDPoPTarget, "the DPoP proof is for another URI"},
	{ReasonDPoPTime, "the DPoP proof is too old or from the future"},
	{ReasonDPoPNonce, "the DPoP proof must carry a nonce of this resource"},
	{ReasonDPoPToken, "the DPoP proof is for another access token"},
	{ReasonDPoPSignature, "the DPoP proof's signature is not valid"},
	{ReasonDPoPReplay, "the DPoP proof was used before"},
	{ReasonNetwork, "requests from this network are not accepted"},
	{ReasonBinding, "the access token must be bound to its sender"},
	{ReasonTokenAge, "the access token was issued too long ago"},
	{ReasonClient, "this client may not do this"},
	{ReasonSubject, "this subject may not do this"},
	{ReasonActor, "this actor may not do this for the subject"},
	{ReasonRule, "the access token's claims do not suffice"},
	{ReasonWhen, "a condition of this route does not hold"},
	{ReasonDetails, "the access token's authorization details do not suffice"},
	{ReasonACR, "a stronger authentication of the user is required"},
	{ReasonAMR, "another method of authentication is required"},
	{ReasonMaxAge, "a more recent authentication of the user is required"},
	{ReasonScope, "the access token's scope does not suffice"},
	{ReasonClaims, "the access token's claims do not fit into header fields"},
	{ReasonBodySize, "the request's body is too large"},
	{ReasonHandshake, "the WebSocket handshake is malformed"},
	{ReasonHandshakeVersion, "the version of the WebSocket protocol is not 13"},
	{ReasonTunnels, "too many WebSocket connections"},
	{ReasonUpstreamBusy, "the upstream has too many requests"},
	{ReasonKeysUnavailable, "the issuer's keys are not available"},
	{ReasonReplayUnavailable, "proofs cannot be checked at the moment"},
	{ReasonIntrospectionUnavailable, "the issuer cannot be asked about the access token"},
	{ReasonStatusUnavailable, "the access token's status is not known at the moment"},
	{ReasonRevocationUnavailable, "it cannot be told whether the access token was revoked"},
	{ReasonInternal, "the request could not be decided"},
}

var descriptions = func() map[Reason]string {
	m := make(map[Reason]string, len(Reasons))
	for _, r := range Reasons {
		m[r.Reason] = r.Description
	}
	return m
}()

// Error refuses a request: the client's doing, never a fault of ours. Code,
// Reason's description, Scope and Schemes may be shown to the client; the
// cause is for the log.
//
// An error that is not an *Error is no refusal: it is answered with 503, never
// with 401, because a client that sees 401 throws its token away.
type Error struct {
	Code    Code
	Reason  Reason
	Schemes Scheme // the schemes the client used; 0 when it used none
	Scope   Scopes // with InsufficientScope and InsufficientAuthn: everything the route needs

	ACR    []string      // with InsufficientAuthn: what would do, the best first (RFC 9470 section 3)
	MaxAge time.Duration // with InsufficientAuthn: how old the authentication may be; 0 for any age
	Wait   time.Duration // with TooManyRequests: when it may be tried again
	Nonce  string        // with UseDPoPNonce, and InvalidDPoPProof where nonces are needed: what the next proof must carry (RFC 9449 section 9)

	cause error
}

// Refuse makes a refusal.
func Refuse(code Code, reason Reason) *Error { return &Error{Code: code, Reason: reason} }

// TooMany refuses a request for what its sender did before; after wait it may be
// sent again.
func TooMany(reason Reason, wait time.Duration) *Error {
	return &Error{Code: TooManyRequests, Reason: reason, Wait: wait}
}

// Because returns a copy of e with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Using returns a copy of e with the schemes the client used.
func (e *Error) Using(s Scheme) *Error {
	c := *e
	c.Schemes = s
	return &c
}

// Description is the fixed text a client is shown.
func (e *Error) Description() string { return descriptions[e.Reason] }

// Error is for the log.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + string(e.Reason)
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap makes errors.Is see the code and errors.As the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// A Fault is a failure to decide: ours or the issuer's, never the client's.
type Fault struct {
	Reason     Reason
	RetryAfter time.Duration // how long a client should wait; at least a second
	Cause      error         // for the log
}

// Error is for the log.
func (f *Fault) Error() string {
	if f.Cause == nil {
		return string(f.Reason)
	}
	return string(f.Reason) + ": " + f.Cause.Error()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// ErrNotConfigured is the cause of a Fault that no waiting mends: who would tell
// was taken out of the configuration.
var ErrNotConfigured = errors.New("not configured any more")
