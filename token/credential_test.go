package token

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestReadAuthorization(t *testing.T) {
	const none = "none"
	for _, row := range []struct {
		row   string
		lines []string
		want  string // the scheme and the token, "none", or the reason with the schemes used
	}{
		{"CRED-01", []string{"Bearer a.b.c"}, "Bearer a.b.c"},
		{"CRED-01", []string{"bearer a.b.c"}, "Bearer a.b.c"},
		{"CRED-01", []string{"BEARER a.b.c"}, "Bearer a.b.c"},
		{"CRED-01", []string{"bEaReR a.b.c"}, "Bearer a.b.c"},
		{"DPOP-02", []string{"DPoP a.b.c"}, "DPoP a.b.c"},
		{"DPOP-02", []string{"dpop a.b.c"}, "DPoP a.b.c"},
		{"DPOP-02", []string{"DPOP a.b.c"}, "DPoP a.b.c"},
		{"CRED-02", []string{"Bearer   a"}, "Bearer a"},
		{"CRED-02", []string{"Bearer\ta"}, "malformed Bearer"},
		{"CRED-02", []string{"Bearer \ta"}, "malformed Bearer"},
		{"CRED-02", []string{"DPoP\ta"}, "malformed DPoP"},
		{"CRED-03", []string{"Bearer AZaz09-._~+/"}, "Bearer AZaz09-._~+/"},
		{"CRED-03", []string{"Bearer abc=="}, "Bearer abc=="},
		{"CRED-03", []string{"Bearer a"}, "Bearer a"},
		{"CRED-03", []string{"Bearer"}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer "}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer   "}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer a b"}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer a "}, "malformed Bearer"},
		{"CRED-03", []string{`Bearer "x"`}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer a,b"}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer a=b"}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer ="}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer =="}, "malformed Bearer"},
		{"CRED-03", []string{`Bearer {"payload":""}`}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer,a"}, "malformed Bearer"},
		{"CRED-03", []string{`Bearer"a"`}, "malformed Bearer"},
		{"CRED-03", []string{"Bearer=a"}, "malformed Bearer"},
		{"CRED-03", []string{"DPoP"}, "malformed DPoP"},
		{"CRED-03", []string{"DPoP a b"}, "malformed DPoP"},
		{"P-06", []string{"Bearer a\r\nb"}, "malformed Bearer"},
		{"P-06", []string{"Bearer a\nb"}, "malformed Bearer"},
		{"P-06", []string{"Bearer a\x00"}, "malformed Bearer"},
		{"P-06", []string{"Bearer a\x7f"}, "malformed Bearer"},
		{"P-06", []string{"Bearer a\x80"}, "malformed Bearer"},
		{"P-06", []string{"Bearer é"}, "malformed Bearer"},
		{"P-07", []string{"Bearer a\r\n b"}, "malformed Bearer"},
		{"CRED-04", nil, none},
		{"CRED-04", []string{}, none},
		{"CRED-05", []string{"Basic dTpw"}, none},
		{"CRED-05", []string{"Negotiate x"}, none},
		{"CRED-05", []string{"Digest a=b, c=d"}, none},
		{"CRED-05", []string{"Bearers a"}, none},
		{"CRED-05", []string{"Bearer-x a"}, none},
		{"CRED-05", []string{"Bear a"}, none},
		{"CRED-05", []string{"DPoPs a"}, none},
		{"CRED-05", []string{"a.b.c"}, none},
		{"CRED-05", []string{"\u0412earer a"}, none}, // a Cyrillic letter
		{"CRED-05", []string{`"Bearer" a`}, none},
		{"CRED-06", []string{""}, none},
		{"CRED-06", []string{" "}, none},
		{"CRED-07", []string{"Bearer a", "Bearer a"}, "two_methods Bearer"},
		{"CRED-07", []string{"Bearer a", "Bearer b"}, "two_methods Bearer"},
		{"CRED-07", []string{"Bearer a, Bearer b"}, "malformed Bearer"},
		{"CRED-07", []string{"Bearer a,Bearer b"}, "malformed Bearer"},
		{"CRED-07", []string{"Bearer a, DPoP b"}, "malformed Bearer"},
		{"CRED-07", []string{"DPoP a", "DPoP a"}, "two_methods DPoP"},
		{"CRED-07", []string{"Bearer a", "Basic dTpw"}, "two_methods Bearer"},
		{"CRED-07", []string{"Basic dTpw", "DPoP a"}, "two_methods DPoP"},
		{"CRED-07", []string{"Basic dTpw", "Basic dTpw"}, "two_methods "},
		{"CRED-07", []string{"", "Bearer a"}, "two_methods Bearer"},
		{"CRED-07", []string{"", ""}, "two_methods "},
		{"CRED-07", []string{"Bearer a", "Bearer a", "DPoP b"}, "two_methods Bearer DPoP"},
		{"CRED-08", []string{"Bearer a", "DPoP a"}, "two_methods Bearer DPoP"},
		{"CRED-08", []string{"DPoP a", "Bearer a"}, "two_methods Bearer DPoP"},
		{"CRED-08", []string{"Bearer", "DPoP"}, "two_methods Bearer DPoP"},
	} {
		cred, refusal := ReadAuthorization(row.lines)
		got := none
		switch {
		case refusal != nil:
			got = string(refusal.Reason) + " " + refusal.Schemes.String()
			if refusal.Code != InvalidRequest || cred.Present() || cred.Raw != "" {
				t.Errorf("%s %q: %v with %s", row.row, row.lines, refusal, cred)
			}
		case cred.Present():
			got = cred.Scheme.String() + " " + cred.Raw
		}
		if got != row.want {
			t.Errorf("%s %q: got %q, want %q", row.row, row.lines, got, row.want)
		}
	}
}

// FuzzReadAuthorization: whatever is presented is one token68 under one known
// scheme, in the one line there was.
func FuzzReadAuthorization(f *testing.F) {
	for _, line := range []string{
		"Bearer a.b.c", "bearer  x==", "DPoP a", "Bearer", "Bearer\ta", "Basic dTpw", "", "Bearer a b", "Bearer a,Bearer b", "Bearer a\x00", " Bearer a",
	} {
		f.Add(line, "", false)
		f.Add(line, "DPoP b", true)
	}
	f.Fuzz(func(t *testing.T, line, other string, two bool) {
		lines := []string{line}
		if two {
			lines = append(lines, other)
		}
		cred, refusal := ReadAuthorization(lines)
		if refusal != nil {
			if refusal.Code != InvalidRequest || refusal.Description() == "" || cred.Present() {
				t.Fatalf("%q: %v", lines, refusal)
			}
			return
		}
		if two {
			t.Fatalf("%q: two lines pass", lines)
		}
		if !cred.Present() {
			if first := strings.ToLower(line); strings.HasPrefix(first, "bearer ") || strings.HasPrefix(first, "dpop ") {
				t.Fatalf("%q presents nothing", line)
			}
			return
		}
		if cred.Scheme != Bearer && cred.Scheme != DPoP {
			t.Fatalf("%q: scheme %d", line, cred.Scheme)
		}
		rest, found := strings.CutSuffix(line, cred.Raw)
		if !found || !strings.EqualFold(strings.TrimRight(rest, " "), cred.Scheme.String()) || !strings.HasSuffix(rest, " ") {
			t.Fatalf("%q: got %s and %q", line, cred.Scheme, cred.Raw)
		}
		if strings.Trim(cred.Raw, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") != "" || strings.Contains(strings.TrimRight(cred.Raw, "="), "=") {
			t.Fatalf("%q is no token68", cred.Raw)
		}
	})
}

// CRED-15: a credential prints as its scheme, whatever the verb and wherever
// it is held.
func TestCredentialPrintsRedacted(t *testing.T) {
	c := Credential{Scheme: DPoP, Raw: "s3cret", Proofs: []string{"s3cret"}, Method: "s3cret", Origins: []string{"s3cret"}, Path: "/s3cret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10v", "%-5.2s", "%t", "%T %v"} {
		args := []any{c}
		if verb == "%T %v" {
			args = []any{c, c}
		}
		for _, arg := range []any{args[0], &c} {
			args[0] = arg
			if got := fmt.Sprintf(verb, args...); strings.Contains(got, "s3cret") || strings.Contains(got, "733363726574") || !strings.Contains(strings.ToLower(got), "credential") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	for _, holder := range []any{[]Credential{c}, map[string]Credential{"a": c}, struct{ C Credential }{c}, fmt.Errorf("about %v", c)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(verb, holder); strings.Contains(got, "s3cret") {
				t.Errorf("%s of %T prints %s", verb, holder, got)
			}
		}
	}
	if got := fmt.Sprint(c); got != "credential(DPoP)" {
		t.Errorf("prints %s", got)
	}
}

func TestCredentialDigest(t *testing.T) {
	c := Credential{Raw: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"}
	if c.Digest() != sha256.Sum256([]byte(c.Raw)) {
		t.Error("the digest is of something else")
	}
	if (Credential{}).Present() {
		t.Error("the zero credential presents something")
	}
}

func TestSchemeString(t *testing.T) {
	for scheme, want := range map[Scheme]string{0: "", Bearer: "Bearer", DPoP: "DPoP", Bearer | DPoP: "Bearer DPoP", 1 << 7: ""} {
		if got := scheme.String(); got != want {
			t.Errorf("%d: got %q", scheme, got)
		}
	}
}
