package imports

import (
	"regexp"
	"slices"
	"strings"
)

var headerName = regexp.MustCompile("^[A-Za-z0-9-]{1,64}$")

// forwardable says why a claim cannot be told in a header, or "".
func forwardable(name string) string {
	normal := strings.ToLower(name)
	switch {
	case !headerName.MatchString(name):
		return "it is no header name"
	case slices.Contains(strings.Fields("x-auth-subject x-auth-subject-type x-auth-issuer x-auth-client-id x-auth-scope x-auth-binding"), normal):
		return "it is set for every request already"
	case strings.HasPrefix(normal, "x-forwarded-") || strings.HasPrefix(normal, "grpc-") || strings.HasSuffix(normal, "-bin") ||
		slices.Contains(strings.Fields("host authorization proxy-authorization dpop cookie set-cookie connection keep-alive proxy proxy-connection te trailer "+
			"transfer-encoding upgrade content-length content-type content-encoding expect via forwarded x-real-ip http2-settings "+
			"x-http-method x-http-method-override x-method-override client-cert client-cert-chain www-authenticate"), normal):
		return "it has a meaning of its own; take another name, like X-Auth-Email"
	}
	return ""
}

// addHeader adds a header with a claim, if it may be.
func (d *draft) addHeader(list []header, at Place, name, claim string) []header {
	why := forwardable(name)
	switch same := slices.IndexFunc(list, func(h header) bool { return strings.EqualFold(h.name, name) }); {
	case why != "":
	case !isClaimPath(claim):
		why = "its claim is no path"
	case same >= 0 && list[same].claim != claim:
		why = "it holds another claim already"
	case same >= 0:
		return list
	default:
		return append(list, header{name, claim})
	}
	d.leave(at, "the header "+name, why)
	return list
}

// isClaimPath reports whether text is a path as routes have it.
func isClaimPath(text string) bool {
	if len(text) > 256 || text == "" || strings.ContainsAny(text, `\`) && !strings.Contains(text, `\.`) {
		return false
	}
	return !strings.HasPrefix(text, ".") && !strings.HasSuffix(text, ".") && !strings.Contains(text, "..") && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' })
}

// claimName is the path of one claim whose name may hold dots.
func claimName(name string) string { return strings.NewReplacer(`\`, `\\`, ".", `\.`).Replace(name) }

// ruleClaim says why a route can ask nothing of a claim, or "".
func ruleClaim(path string) string {
	first, _, _ := strings.Cut(path, ".")
	switch {
	case !isClaimPath(path):
		return "it is no claim path"
	case path == "scope":
		return "scope is one text with all scopes; write scopes"
	case first == "act" || first == "may_act":
		return "who acts for whom is for actor"
	}
	return ""
}
