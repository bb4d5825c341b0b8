package config

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
)

// DecisionLog says what is recorded of each decision, and where.
type DecisionLog struct {
	File    string   `yaml:"file" doc:"File that the lines are added to, made with mode 0600 where there is none and opened again at each reload; - is standard output."`
	Share   int      `yaml:"share" default:"100" min:"1" max:"100" doc:"Of how many in a hundred requests there is a line, taken at random; default 100."`
	Claims  []string `yaml:"claims" doc:"Claims of verified tokens to record beside those that the rules look at, by dotted path; default none."`
	Headers []string `yaml:"headers" doc:"Request headers to record, those that conditions look at among them if these are to be judged again; default none."`
}

// On reports whether decisions are recorded.
func (d DecisionLog) On() bool { return d.File != "" }

// Standard reports whether lines go to standard output.
func (d DecisionLog) Standard() bool { return d.File == "-" }

// decisionLog keeps credentials out of it.
func (c *checker) decisionLog() {
	d := &c.DecisionLog
	if c.has("decision_log") && !d.On() {
		c.bad("decision_log.file", "is missing", "a path, or - for standard output")
	}
	for i, claim := range d.Claims {
		at := fmt.Sprintf("decision_log.claims[%d]", i)
		switch {
		case !isClaimPath(claim):
			c.bad(at, "is no claim path", claimPathHint)
		case claim == "jti":
			c.bad(at, "is recorded as a hash only, always", "remove it")
		}
	}
	for i, name := range d.Headers {
		at, normal := fmt.Sprintf("decision_log.headers[%d]", i), normalName(name)
		switch {
		case !headerName.MatchString(name):
			c.bad(at, "is no header name", "letters, digits and hyphens")
		case slices.Contains(secretHeaders, normal), c.carriesToken(normal):
			c.bad(at, "may carry a token, a proof or a certificate, which are never logged", "remove it")
		}
		d.Headers[i] = http.CanonicalHeaderKey(name)
	}
}

// secretHeaders, in the form of normalName, prove something about who sends them.
var secretHeaders = []string{
	"authorization", "proxy-authorization", "dpop", "cookie", "set-cookie", "sec-websocket-protocol", "x-api-key", "x-auth-token", "x-amz-security-token",
	"client-cert", "client-cert-chain", "x-forwarded-client-cert", "x-client-cert", "x-ssl-client-cert", "ssl-client-cert", "x-forwarded-access-token",
}

// carriesToken reports whether some resource takes tokens, or the gate takes
// certificates, from the header of that name, which is never empty.
func (c *checker) carriesToken(normal string) bool {
	return normalName(c.MTLS.Name) == normal || slices.ContainsFunc(c.Resources, func(r Resource) bool {
		return normalName(r.TokenSources.Header) == normal
	})
}

// resolve makes the name of the file one from the folder of the configuration.
func (d *DecisionLog) resolve(folder string) {
	if d.On() && !d.Standard() && !filepath.IsAbs(d.File) {
		d.File = filepath.Join(folder, d.File)
	}
}
