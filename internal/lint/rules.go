package lint

// A Rule is something that check doubts. Its ID never changes, since files
// name it in comments.
type Rule struct {
	ID    string
	What  string        // what it finds
	check func(*linter) // nil for what is found while the file is read and built
}

// rules is every rule. docs/guide/check.md has an example of each.
var rules = []Rule{
	{"shadowed-route", "a route that no request reaches", shadowed},
	{"lost-methods", "a path that refuses methods which a wider route takes", lostMethods},
	{"open-fallback", "a ** that asks for nothing, around routes that ask for something", fallback},
	{"open-wildcard", "a * that asks for nothing, beside literal paths that ask for something", wildcard},
	{"opened-by-host", "a route of a host that opens what wider hosts ask more for", openedByHost},
	{"public-private-path", "no token needed where operators look, like /admin", privatePath},
	{"public-everything", "no token needed for what no other route names", everything},
	{"public-unsafe", "everybody may change something", unsafe},
	{"public-among-scoped", "no token needed in the midst of what asks for more", amongScoped},
	{"unused-scope", "a scope in scope_hierarchy that no route asks for", unusedScopes},
	{"shared-audience", "two resources that take each other's tokens", sharedAudience},
	{"wide-proxies", "a large part of the internet among trusted_proxies", wideProxies},
	{"folded-header", "a header name that servers drop or take for another", foldedHeader},
	{"header-twins", "two header names that some servers read as one", headerTwins},
	{"spoken-header", "a header name with a meaning of its own", spokenHeader},

	{"trust-all-proxies", "everybody is a trusted proxy", nil},
	{"trust-all-certificates", "everybody may name a client certificate", nil},
	{"anybody-asks", "everybody may ask where only proxies should", nil},
	{"preflight-not-relayed", "preflights that a proxy takes for leave to forward", nil},
	{"plain-listener", "clients send tokens in plain text", nil},
	{"plain-redis", "Redis is asked in plain text", nil},
	{"plain-signals", "transmitters send their token in plain text", nil},
	{"http-issuer", "an issuer whose keys can be forged on the path", nil},
	{"insecure-http", "an issuer that may be asked over http", nil},
	{"any-audience", "an issuer whose tokens for others are taken", nil},
	{"optional-audience", "opaque tokens that name no audience", nil},
	{"slash-twins", "two issuers or resources that differ by a slash at the end", nil},
	{"provider-issuer", "an issuer that no token of its provider names", nil},
	{"names-of-any-issuer", "names that two issuers may give to two parties", nil},
	{"optional-scopes", "scopes on a route that lets requests without a token pass", nil},
	{"optional-when", "a condition on a route that lets requests without a token pass", nil},
	{"client-login", "a login asked of clients that never log in", nil},
	{"case-differs", "a route compared with case among others that are not", nil},
	{"mixed-nonces", "proofs without a nonce beside routes that want one", nil},
	{"unused-nonce-secret", "a secret for nonces that no route wants", nil},
	{"unused-token-sources", "places for bearer tokens where no route takes one", nil},
	{"query-tokens", "tokens in addresses", nil},
	{"body-tokens", "tokens in forms", nil},
	{"null-origin", "scripts of nobody in particular", nil},
	{"http-origin", "scripts that were loaded over http", nil},
	{"metadata-origin", "metadata where no client looks for it", nil},
	{"metadata-path", "metadata that clients refuse for some paths", nil},
	{"offline-access", "a scope that is none of the resource's business", nil},
	{"status-capitals", "an address of status lists that no token may name", nil},
	{"denied-strangers", "deny rules about issuers that are not there", nil},
	{"all-networks", "a route that every address may call", nil},
	{"proxies-in-networks", "networks of clients that hold proxies", nil},
	{"report-only", "refusals that are counted and not held to", nil},
	{"open-key-file", "a private key that everybody on the machine can read", nil},
	{"fapi-all-public", "preset: fapi on a resource that asks for no token", nil},

	{"unused-allow", "a comment that allows what was not found", nil},
}

// Rules lists every rule.
func Rules() []Rule { return rules }
