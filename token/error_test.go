package token

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// constants reads the constants of a type out of a source file of this
// package: name and value.
func constants(t *testing.T, file, typeName string) map[string]string {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	ast.Inspect(syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typeName {
			return true
		}
		for i, name := range spec.Names {
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no literal", name.Name)
			}
			if found[name.Name], err = strconv.Unquote(literal.Value); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("no constant of type %s in %s", typeName, file)
	}
	return found
}

func TestReasonsAreComplete(t *testing.T) {
	declared := constants(t, "error.go", "Reason")
	delete(declared, "ReasonNone")
	listed := make(map[string]int)
	for _, r := range Reasons {
		listed[string(r.Reason)]++
		if r.Description == "" || r.Description != Refuse(InvalidToken, r.Reason).Description() {
			t.Errorf("%s is described as %q", r.Reason, r.Description)
		}
		if r.Description != strings.ToLower(r.Description[:1])+r.Description[1:] || strings.HasSuffix(r.Description, ".") {
			t.Errorf("%s is described in another style: %q", r.Reason, r.Description)
		}
		for _, c := range []byte(string(r.Reason)) {
			if (c < 'a' || c > 'z') && c != '_' {
				t.Errorf("%s is no label", r.Reason)
			}
		}
	}
	values := make(map[string]string)
	for name, value := range declared {
		if other, twice := values[value]; twice {
			t.Errorf("%s and %s are one reason", name, other)
		}
		values[value] = name
		if listed[value] != 1 {
			t.Errorf("%s is listed %d times", name, listed[value])
		}
		delete(listed, value)
	}
	for value := range listed {
		t.Errorf("%q is listed and no constant", value)
	}
	if Refuse(InvalidToken, ReasonNone).Description() != "" {
		t.Error("no reason has a description")
	}
}

// CHAL-06: what would help to find out which issuers and keys are known reads
// the same.
func TestDescriptionsTellNoIssuerFromKey(t *testing.T) {
	want := Refuse(InvalidToken, ReasonSignature).Description()
	for _, r := range []Reason{ReasonIssuer, ReasonUnknownKey} {
		if got := Refuse(InvalidToken, r).Description(); got != want {
			t.Errorf("%s reads %q", r, got)
		}
	}
}

// The table of answers in RFC 6750 section 3.1, RFC 9449 section 7.1 and the
// manual. A new Code must be put in here.
func TestCodes(t *testing.T) {
	want := map[Code]struct {
		status    int
		challenge bool
	}{
		"invalid_request": {400, true}, "invalid_token": {401, true}, "insufficient_scope": {403, true}, "invalid_dpop_proof": {401, true},
		"use_dpop_nonce": {401, true}, "insufficient_user_authentication": {401, true}, "credential_required": {401, true},
		"forbidden": {403, false}, "not_found": {404, false}, "method_not_allowed": {405, false}, "misdirected_request": {421, false},
		"header_too_large": {431, false}, "uri_too_long": {414, false},
		"content_too_large": {413, false}, "too_early": {425, false}, "too_many_requests": {429, false}, "http_version_not_supported": {505, false}, "loop_detected": {508, false},
	}
	declared := constants(t, "error.go", "Code")
	if len(declared) != len(want) {
		t.Errorf("%d codes are declared, %d known here", len(declared), len(want))
	}
	for name, value := range declared {
		code := Code(value)
		row, known := want[code]
		if !known || code.Status() != row.status || code.OnChallenge() != row.challenge {
			t.Errorf("%s: status %d, on a challenge %v", name, code.Status(), code.OnChallenge())
		}
	}
	if got := Code("unknown").Status(); got != 401 {
		t.Errorf("an unknown code is answered with %d", got)
	}
}

func TestErrorChain(t *testing.T) {
	cause := fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
	e := Refuse(InvalidToken, ReasonMalformed)
	wrapped := fmt.Errorf("deciding: %w", e.Because(cause).Using(DPoP))
	if !errors.Is(wrapped, InvalidToken) || errors.Is(wrapped, InvalidRequest) {
		t.Error("the code is not in the chain, or another is")
	}
	if !errors.Is(wrapped, io.ErrUnexpectedEOF) {
		t.Error("the cause is not in the chain")
	}
	found, ok := errors.AsType[*Error](wrapped)
	if !ok || found.Schemes != DPoP || found.Reason != ReasonMalformed || found.Error() != "invalid_token: malformed: reading: unexpected EOF" {
		t.Errorf("got %v", found)
	}
	if code, ok := errors.AsType[Code](wrapped); !ok || code != InvalidToken {
		t.Errorf("got %v", code)
	}
	if e.Schemes != 0 || errors.Is(e, io.ErrUnexpectedEOF) || e.Error() != "invalid_token: malformed" {
		t.Error("Because or Using changed the original")
	}
	if _, ok := errors.AsType[*Fault](wrapped); ok {
		t.Error("a refusal is a fault")
	}
}

func TestFault(t *testing.T) {
	f := &Fault{Reason: ReasonKeysUnavailable, RetryAfter: time.Second, Cause: io.ErrUnexpectedEOF}
	if f.Error() != "jwks_unavailable: unexpected EOF" || !errors.Is(f, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", f)
	}
	if _, ok := errors.AsType[*Error](error(f)); ok {
		t.Error("a fault is a refusal")
	}
	if got := (&Fault{Reason: ReasonInternal}).Error(); got != "internal" {
		t.Errorf("got %s", got)
	}
}
