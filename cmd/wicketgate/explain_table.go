package main

import "github.com/wicketgate/wicketgate/token"

// A rule is what explain says of the check behind a reason: its name, where it
// is written, and the setting that governs it.
type rule struct{ check, spec, setting string }

// rules has every reason a check can refuse with.
var rules = map[token.Reason]rule{
	token.ReasonOverload:      {"requests in flight", "", "limits.max_inflight"},
	token.ReasonVersion:       {"HTTP version", "RFC 9110 section 15.6.6", ""},
	token.ReasonMethod:        {"method", "RFC 9110 section 9.3.8", ""},
	token.ReasonTarget:        {"request target", "RFC 9112 section 3.2", "limits.target"},
	token.ReasonPath:          {"canonical path", "RFC 3986 section 6.2.2", "routes[].allow"},
	token.ReasonHost:          {"host", "RFC 9110 section 7.2", "resources[].hosts"},
	token.ReasonHeaderSection: {"header section", "RFC 9110 section 5.4", "limits.header_section, limits.header_fields"},
	token.ReasonLoop:          {"circle", "RFC 9110 section 7.6.3", "via"},
	token.ReasonEarlyData:     {"early data", "RFC 8470 section 5.2", "trusted_proxies"},
	token.ReasonAsker:         {"who asks", "", "forward_auth.peers, ext_authz.peers"},
	token.ReasonQuestion:      {"question", "", "forward_auth.form"},
	token.ReasonReserved:      {"reserved headers", "RFC 9110 section 7.6.1", "forward_auth"},
	token.ReasonNoRoute:       {"route", "", "resources[].routes[]"},
	token.ReasonBody:          {"form body", "RFC 6750 section 2.2", "resources[].token_sources.body"},
	token.ReasonOrigin:        {"origin", "Fetch, CORS protocol", "resources[].cors"},
	token.ReasonCrossSite:     {"same site", "RFC 6265 section 8.2", "resources[].token_sources.cookie"},

	token.ReasonMissing:    {"token present", "RFC 6750 section 3", "routes[].binding, routes[].public, routes[].optional, resources[].token_sources"},
	token.ReasonTwoMethods: {"one credential", "RFC 6750 section 2", "resources[].token_sources"},
	token.ReasonMalformed:  {"token form", "RFC 7515 section 7.1", ""},
	token.ReasonTooLong:    {"token length", "", "limits.token"},
	token.ReasonCritical:   {"extensions", "RFC 7515 section 4.1.11", ""},
	token.ReasonAlgorithm:  {"algorithm", "RFC 8725 section 3.1", "issuers[].algorithms"},
	token.ReasonType:       {"type", "RFC 9068 section 4", "issuers[].profile"},
	token.ReasonIssuer:     {"issuer", "RFC 9068 section 4", "issuers[].issuer"},
	token.ReasonUnknownKey: {"key", "RFC 7515 section 4.1.4", "issuers[].jwks_uri, issuers[].refetch_interval"},
	token.ReasonFailures:   {"failures of the sender", "RFC 6585 section 4", "verification.failures, trusted_proxies"},
	token.ReasonBusy:       {"verifications at once", "", "verification.at_once, verification.wait"},
	token.ReasonSignature:  {"signature", "RFC 7515 section 5.2", ""},
	token.ReasonClaim:      {"required claims", "RFC 9068 section 2.2", "issuers[].profile"},
	token.ReasonExpired:    {"expiry", "RFC 7519 section 4.1.4", "issuers[].leeway"},
	token.ReasonNotYet:     {"not before", "RFC 7519 section 4.1.5", "issuers[].leeway"},
	token.ReasonIssuedAt:   {"issued at", "RFC 7519 section 4.1.6", "issuers[].leeway"},
	token.ReasonLifetime:   {"lifetime", "RFC 9449 section 11.2", "issuers[].max_lifetime"},
	token.ReasonKind:       {"kind of token", "RFC 8725 section 3.11", "issuers[].profile"},
	token.ReasonAudience:   {"audience", "RFC 9068 section 4", "resources[].audiences"},

	token.ReasonIssuerClient: {"client of the issuer", "RFC 9068 section 2.2", "issuers[].clients, issuers[].client_id_claim"},

	token.ReasonInactive: {"asked of the issuer", "RFC 7662 section 2.2", "issuers[].introspection"},
	token.ReasonRevoked:  {"deny rules", "", "revocation"},

	token.ReasonStatusReference: {"status claim", "Token Status List section 6.2", "issuers[].status_list.allow"},
	token.ReasonStatusRevoked:   {"status list", "Token Status List section 7.1", "issuers[].status_list.accept"},

	token.ReasonConfirmation:  {"confirmation", "RFC 7800 section 3.1", ""},
	token.ReasonMTLSBinding:   {"client certificate", "RFC 8705 section 3", "tls.client_auth, mtls"},
	token.ReasonDPoPBinding:   {"proof key", "RFC 9449 section 7.1", ""},
	token.ReasonDPoPMissing:   {"one proof", "RFC 9449 section 4.3, check 1", ""},
	token.ReasonDPoPMalformed: {"proof form", "RFC 9449 section 4.3, checks 2 and 3", "limits.proof"},
	token.ReasonDPoPType:      {"proof type", "RFC 9449 section 4.3, check 4", ""},
	token.ReasonDPoPAlgorithm: {"proof algorithm", "RFC 9449 section 4.3, check 5", "dpop.algorithms"},
	token.ReasonDPoPKey:       {"proof key form", "RFC 9449 section 4.3, check 7", ""},
	token.ReasonDPoPMethod:    {"proof method", "RFC 9449 section 4.3, check 8", ""},
	token.ReasonDPoPTarget:    {"proof target", "RFC 9449 section 4.3, check 9", "resources[].public_origins"},
	token.ReasonDPoPNonce:     {"proof nonce", "RFC 9449 section 4.3, check 10", "dpop.nonce, routes[].nonce"},
	token.ReasonDPoPTime:      {"proof time", "RFC 9449 section 4.3, check 11", "dpop.max_age, dpop.future"},
	token.ReasonDPoPToken:     {"proof token hash", "RFC 9449 section 4.3, check 12", ""},
	token.ReasonDPoPSignature: {"proof signature", "RFC 9449 section 4.3, check 6", ""},
	token.ReasonDPoPReplay:    {"proof used once", "RFC 9449 section 11.1", "dpop.replay"},

	token.ReasonBinding: {"bound token", "RFC 9449 section 6, RFC 8705 section 3", "routes[].binding"},
	token.ReasonNetwork: {"network", "", "routes[].networks, trusted_proxies"},

	token.ReasonTokenAge: {"age of the token", "RFC 7519 section 4.1.6", "routes[].max_token_age"},

	token.ReasonACR:     {"authentication class", "RFC 9470 section 3", "routes[].acr"},
	token.ReasonAMR:     {"authentication methods", "RFC 8176 section 1", "routes[].amr"},
	token.ReasonMaxAge:  {"authentication time", "RFC 9470 section 3", "routes[].max_age"},
	token.ReasonScope:   {"scope", "RFC 6750 section 3.1", "routes[].scopes, resources[].scope_hierarchy"},
	token.ReasonClient:  {"client", "RFC 9068 section 2.2", "routes[].clients"},
	token.ReasonSubject: {"subject", "RFC 9068 section 2.2", "routes[].subjects, routes[].subject_type"},
	token.ReasonActor:   {"actor", "RFC 8693 section 4.1", "routes[].actor"},
	token.ReasonRule:    {"claims", "RFC 9068 section 2.2.3", "routes[].claims"},
	token.ReasonWhen:    {"when", "", "routes[].when"},
	token.ReasonDetails: {"authorization details", "RFC 9396 section 9", "routes[].authorization_details"},
	token.ReasonClaims:  {"size of the claims", "", "resources[].forward.headers"},

	token.ReasonBodySize: {"size of the body", "RFC 9110 section 15.5.14", "routes[].max_body"},

	token.ReasonHandshake:        {"WebSocket handshake", "RFC 6455 section 4.2.1", "routes[].websocket"},
	token.ReasonHandshakeVersion: {"WebSocket version", "RFC 6455 section 4.4", "routes[].websocket"},
	token.ReasonTunnels:          {"WebSocket connections", "", "limits.websockets"},
	token.ReasonUpstreamBusy:     {"places at the upstream", "", "limits.upstream_connections"},

	token.ReasonKeysUnavailable:   {"keys of the issuer", "RFC 7517 section 5", "issuers[].jwks_uri"},
	token.ReasonReplayUnavailable: {"memory of proofs", "RFC 9449 section 11.1", "dpop.replay"},

	token.ReasonIntrospectionUnavailable: {"asked of the issuer", "RFC 7662 section 2.2", "issuers[].introspection"},
	token.ReasonRevocationUnavailable:    {"deny rules", "", "revocation"},

	token.ReasonStatusUnavailable: {"status list", "Token Status List section 8.3", "issuers[].status_list"},

	token.ReasonInternal: {"a fault of the gate", "", ""},
}
