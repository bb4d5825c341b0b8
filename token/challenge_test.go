package token

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// challenge is one challenge as another reader takes it apart.
type challenge struct {
	scheme     string
	names      []string
	attributes map[string]string
}

// readChallenge reads a field line that holds exactly one challenge by RFC 9110
// section 11.6.1 and appendix A: auth-scheme [ 1*SP auth-param *( OWS "," OWS
// auth-param ) ], each value a quoted-string.
func readChallenge(line string) (challenge, error) {
	c := challenge{attributes: make(map[string]string)}
	c.scheme, line, _ = strings.Cut(line, " ")
	if c.scheme == "" || strings.ContainsAny(c.scheme, `="`+",\t") {
		return c, fmt.Errorf("no scheme")
	}
	for line != "" {
		name, rest, found := strings.Cut(line, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t\",") {
			return c, fmt.Errorf("no name in %q", line)
		}
		if !strings.HasPrefix(rest, `"`) {
			return c, fmt.Errorf("value of %s is not quoted", name)
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return c, fmt.Errorf("value of %s does not end", name)
		}
		if _, twice := c.attributes[name]; twice {
			return c, fmt.Errorf("%s appears twice", name)
		}
		c.names = append(c.names, name)
		c.attributes[name] = rest[1 : end+1]
		line = rest[end+2:]
		if line == "" {
			return c, nil
		}
		if line, found = strings.CutPrefix(line, ", "); !found || line == "" {
			return c, fmt.Errorf("no separator before %q", line)
		}
	}
	return c, nil
}

// checkChallenge reads line and holds it against RFC 6749 appendix A.7 to A.9
// and the sets of conformance CHAL-05.
func checkChallenge(t *testing.T, line string) challenge {
	t.Helper()
	c, err := readChallenge(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for name, value := range c.attributes {
		for _, octet := range []byte(value) {
			if octet < 0x20 || octet > 0x7e || octet == '"' || octet == '\\' {
				t.Errorf("%s: octet %#x in %s", line, octet, name)
			}
		}
	}
	for _, scope := range strings.Split(c.attributes["scope"], " ") {
		if _, told := c.attributes["scope"]; told && scope == "" {
			t.Errorf("%s: an empty scope value", line)
		}
	}
	return c
}

var realm = Realm{Algorithms: []string{"ES256", "PS256"}}

// The answers of RFC 9449 section 7.1 and 7.2, with our own descriptions and
// one line for each scheme.
func TestChallengesOfRFC9449(t *testing.T) {
	const algs = `algs="ES256 PS256"`
	both := Bearer | DPoP
	for _, row := range []struct {
		name     string
		refusal  *Error
		accepted Scheme
		want     []string
	}{
		{"Figure 15: nothing presented, DPoP only", Refuse(CredentialRequired, ReasonMissing), DPoP, []string{"DPoP " + algs}},
		{"Figure 16: key binding", Refuse(InvalidToken, ReasonDPoPBinding).Using(DPoP), DPoP,
			[]string{`DPoP error="invalid_token", error_description="the access token and the DPoP key do not belong together", ` + algs}},
		{"Figure 17: nothing presented", Refuse(CredentialRequired, ReasonMissing), both, []string{"Bearer", "DPoP " + algs}},
		{"Figure 18: a bad bearer token", Refuse(InvalidToken, ReasonSignature).Using(Bearer), both,
			[]string{`Bearer error="invalid_token", error_description="the access token could not be verified"`, "DPoP " + algs}},
		{"Figure 19: two methods", Refuse(InvalidRequest, ReasonTwoMethods).Using(both), both,
			[]string{
				`Bearer error="invalid_request", error_description="the request carries more than one credential"`,
				`DPoP error="invalid_request", error_description="the request carries more than one credential", ` + algs,
			}},
		{"CHAL-03: a bad DPoP token", Refuse(InvalidToken, ReasonExpired).Using(DPoP), both,
			[]string{"Bearer", `DPoP error="invalid_token", error_description="the access token has expired", ` + algs}},
		{"CRED-03: malformed", Refuse(InvalidRequest, ReasonMalformed).Using(Bearer), both,
			[]string{`Bearer error="invalid_request", error_description="the credential is malformed"`, "DPoP " + algs}},
		{"CRED-04: nothing presented, whatever the scheme", Refuse(CredentialRequired, ReasonMissing).Using(Bearer), both, []string{"Bearer", "DPoP " + algs}},
		{"CHAL-08: malformed under a scheme not served", Refuse(InvalidRequest, ReasonMalformed).Using(Bearer), DPoP,
			[]string{`DPoP error="invalid_request", error_description="the credential is malformed", ` + algs}},
		{"two lines of other schemes", Refuse(InvalidRequest, ReasonTwoMethods), both,
			[]string{
				`Bearer error="invalid_request", error_description="the request carries more than one credential"`,
				`DPoP error="invalid_request", error_description="the request carries more than one credential", ` + algs,
			}},
		{"DPOP-38: no proof", Refuse(InvalidDPoPProof, ReasonDPoPMissing).Using(DPoP), both,
			[]string{"Bearer", `DPoP error="invalid_dpop_proof", error_description="a single DPoP proof is required", ` + algs}},
		{"bearer only", Refuse(CredentialRequired, ReasonMissing), Bearer, []string{"Bearer"}},
		{"none accepted", Refuse(CredentialRequired, ReasonMissing), 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := realm.Challenges(row.refusal, row.accepted)
			if !slices.Equal(got, row.want) {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}

// CHAL-10: the scopes a request needs, on the scheme the client used.
func TestChallengeScope(t *testing.T) {
	refusal := Refuse(InsufficientScope, ReasonScope).Using(DPoP)
	refusal.Scope = Scopes{"read", "write:own"}
	lines := Realm{Name: "orders api", Algorithms: []string{"ES256"}}.Challenges(refusal, Bearer|DPoP)
	want := []string{
		`Bearer realm="orders api"`,
		`DPoP realm="orders api", error="insufficient_scope", error_description="the access token's scope does not suffice", scope="read write:own", algs="ES256"`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
}

// CHAL-11: where nothing was presented, what to ask the issuer for, on every
// scheme and without an error. PRM-06: where to find the issuer.
func TestChallengeOfMetadata(t *testing.T) {
	realm := Realm{Algorithms: []string{"ES256"}, Metadata: "https://rs.example.com/.well-known/oauth-protected-resource"}
	const at = `resource_metadata="https://rs.example.com/.well-known/oauth-protected-resource"`
	nothing := Refuse(CredentialRequired, ReasonMissing)
	nothing.Scope = Scopes{"read", "write"}
	for _, row := range []struct {
		refusal *Error
		want    []string
	}{
		{nothing, []string{`Bearer scope="read write", ` + at, `DPoP scope="read write", algs="ES256", ` + at}},
		{Refuse(CredentialRequired, ReasonMissing), []string{"Bearer " + at, `DPoP algs="ES256", ` + at}},
		{Refuse(InvalidToken, ReasonExpired).Using(Bearer), []string{
			`Bearer error="invalid_token", error_description="the access token has expired", ` + at, `DPoP algs="ES256", ` + at,
		}},
	} {
		if got := realm.Challenges(row.refusal, Bearer|DPoP); !slices.Equal(got, row.want) {
			t.Errorf("got  %q\nwant %q", got, row.want)
		}
	}
}

// CHAL-04, CHAL-05, CHAL-07 to CHAL-09: every challenge that can be made.
func TestEveryChallenge(t *testing.T) {
	codes := []Code{InvalidRequest, InvalidToken, InsufficientScope, InvalidDPoPProof, UseDPoPNonce, InsufficientAuthn, CredentialRequired}
	for _, code := range codes {
		for _, one := range Reasons {
			for used := Scheme(0); used < 4; used++ {
				refusal := Refuse(code, one.Reason).Using(used).Because(fmt.Errorf("s3cret\r\n\"\\"))
				refusal.Scope = Scopes{"read", "write"}
				for accepted := Scheme(1); accepted < 4; accepted++ {
					for _, name := range []string{"", "api"} {
						checkLines(t, Realm{Name: name, Algorithms: []string{"ES256", "EdDSA"}}, refusal, accepted)
					}
				}
			}
		}
	}
}

func checkLines(t *testing.T, r Realm, refusal *Error, accepted Scheme) {
	t.Helper()
	lines := r.Challenges(refusal, accepted)
	var served []string
	for _, line := range lines {
		c := checkChallenge(t, line)
		served = append(served, c.scheme)
		if c.attributes["realm"] != r.Name || slices.Contains(c.names, "realm") != (r.Name != "") {
			t.Errorf("%s: realm %q", line, c.attributes["realm"])
		}
		if got := c.attributes["algs"]; (c.scheme == "DPoP") != (got == "ES256 EdDSA") || c.scheme != "DPoP" && slices.Contains(c.names, "algs") {
			t.Errorf("%s: algs %q", line, got)
		}
		if told := c.attributes["error"]; told != "" && (told != string(refusal.Code) || c.attributes["error_description"] != refusal.Description() || c.attributes["scope"] != "read write") {
			t.Errorf("%s: answers %v", line, refusal)
		}
		if refusal.Code == CredentialRequired && (len(c.attributes) > 3 || c.attributes["scope"] != "read write" || slices.Contains(c.names, "error") || slices.Contains(c.names, "error_description")) {
			t.Errorf("%s: tells an error where nothing was presented", line)
		}
		if strings.Contains(line, "s3cret") || strings.Contains(line, "credential_required") {
			t.Errorf("%s: tells too much", line)
		}
	}
	if got := strings.Join(served, " "); got != accepted.String() {
		t.Errorf("schemes %q for %s", got, accepted)
	}
}

func TestReadChallengeIsStrict(t *testing.T) {
	for _, line := range []string{
		"", " ", `a="b"`, `X a`, `X a=`, `X a=b`, `X a="b`, `X a="b",`, `X a="b" c="d"`, `X a="b",c="d"`, `X a="b", a="c"`, `X  a="b"`, `X ="b"`,
	} {
		if c, err := readChallenge(line); err == nil {
			t.Errorf("%q reads as %v", line, c)
		}
	}
	if c, err := readChallenge(`X a="b, c=d", e="="`); err != nil || c.attributes["a"] != "b, c=d" || c.attributes["e"] != "=" {
		t.Errorf("got %v, %v", c, err)
	}
}

// RFC 9470 section 3: acr_values in order of preference, max_age in seconds,
// and scope where it is short as well, on the scheme the client used.
func TestChallengeStepUp(t *testing.T) {
	const told = `error="insufficient_user_authentication", error_description="a stronger authentication of the user is required"`
	for _, row := range []struct {
		name    string
		refusal Error
		want    string
	}{
		{"class", Error{ACR: []string{"gold", "silver"}}, `, acr_values="gold silver"`},
		{"age", Error{MaxAge: 300 * time.Second}, `, max_age="300"`},
		{"age of minutes and a half", Error{MaxAge: 90*time.Second + time.Second/2}, `, max_age="90"`},
		{"all", Error{ACR: []string{"gold"}, MaxAge: time.Minute, Scope: Scopes{"read", "pay"}}, `, scope="read pay", acr_values="gold", max_age="60"`},
		{"neither", Error{}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.refusal.Code, row.refusal.Reason = InsufficientAuthn, ReasonACR
			for used, want := range map[Scheme][]string{
				Bearer: {"Bearer " + told + row.want, `DPoP algs="ES256 PS256"`},
				DPoP:   {"Bearer", "DPoP " + told + row.want + `, algs="ES256 PS256"`},
			} {
				got := realm.Challenges(row.refusal.Using(used), Bearer|DPoP)
				if !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				for _, line := range got {
					checkChallenge(t, line)
				}
			}
		})
	}
}
