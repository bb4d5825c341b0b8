package token

import (
	"strconv"
	"strings"
	"time"
)

// Realm renders challenges for one resource.
type Realm struct {
	Name       string   // realm, or empty for none (RFC 9110 section 11.5)
	Algorithms []string // proof algorithms: algs of every DPoP challenge, RFC 9449 section 7.1
	Metadata   string   // resource_metadata of every challenge, an absolute URL, or empty (RFC 9728 section 5.1)
}

// Challenges renders the WWW-Authenticate lines that answer e: one line a
// scheme, Bearer first, only the accepted schemes. The error attributes go on
// the schemes the client used (RFC 9449 section 7.2); where it used none of
// the accepted ones, a malformed request is told on all of them.
func (r Realm) Challenges(e *Error, accepted Scheme) []string {
	told := e.Schemes & accepted
	if told == 0 && e.Code == InvalidRequest {
		told = accepted
	}
	if e.Code == CredentialRequired {
		told = 0
	}
	lines := make([]string, 0, len(schemes))
	for _, s := range schemes {
		if accepted&s.scheme != 0 {
			lines = append(lines, r.challenge(s.name, s.scheme, e, told&s.scheme != 0))
		}
	}
	return lines
}

func (r Realm) challenge(name string, scheme Scheme, e *Error, told bool) string {
	var b strings.Builder
	b.WriteString(name)
	separator := " "
	attribute := func(key, value string) {
		b.WriteString(separator)
		b.WriteString(key)
		b.WriteString(`="`)
		b.WriteString(value)
		b.WriteString(`"`)
		separator = ", "
	}
	if r.Name != "" {
		attribute("realm", r.Name)
	}
	if told {
		attribute("error", string(e.Code))
		attribute("error_description", e.Description())
		if len(e.Scope) > 0 {
			attribute("scope", e.Scope.String())
		}
		if len(e.ACR) > 0 {
			attribute("acr_values", strings.Join(e.ACR, " "))
		}
		if e.MaxAge > 0 {
			attribute("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
	} else if e.Code == CredentialRequired && len(e.Scope) > 0 {
		attribute("scope", e.Scope.String())
	}
	if scheme == DPoP && len(r.Algorithms) > 0 {
		attribute("algs", strings.Join(r.Algorithms, " "))
	}
	if r.Metadata != "" {
		attribute("resource_metadata", r.Metadata)
	}
	return b.String()
}
