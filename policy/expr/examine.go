package expr

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// examiner walks over an expression that type-checks.
type examiner struct {
	program *Program
	asks    bool           // something was named that differs from request to request
	named   map[int64]bool // uses of request.headers and claims that name what they read
	errs    []error
}

func (x *examiner) complain(e ast.Expr, message string) {
	info := x.program.checked.NativeRep().SourceInfo()
	x.errs = append(x.errs, &Error{Offset: offsetOf(x.program.source, info.GetStartLocation(e.ID())), Message: message})
}

func (x *examiner) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		if isClaims(e) && !x.named[e.ID()] {
			x.program.allClaims = true
		}
		x.asks = x.asks || slices.Contains([]string{"claims", "token", "request", "path", "now"}, e.AsIdent())
	case ast.StructKind:
		x.complain(e, "makes a message, which nothing here takes")
	case ast.CallKind:
		x.call(e, e.AsCall())
	case ast.UnspecifiedExprKind, ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind:
	case ast.SelectKind:
		switch s := e.AsSelect(); {
		case isClaims(s.Operand()):
			x.claim(s.Operand(), s.FieldName())
		case isHeaders(s.Operand()):
			x.header(e, s.Operand(), s.FieldName())
		case s.FieldName() == "host" && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "request":
			x.program.readsHost = true
		case isHeaders(e) && !x.named[e.ID()]:
			x.complain(e, `wants the name of a field, like request.headers["x-tenant"]`)
		}
	}
}

func (x *examiner) call(e ast.Expr, call ast.CallExpr) {
	args := call.Args()
	switch name := call.FunctionName(); {
	case name == "matches":
		pattern, constant := text(args[len(args)-1])
		switch {
		case !constant:
			x.complain(e, "matches wants a constant pattern, which is compiled once")
		case len(pattern) > MaxPattern:
			x.complain(e, "a pattern of matches may be "+strconv.Itoa(MaxPattern)+" octets long")
		}
	case strings.HasPrefix(name, "get") && call.IsMemberFunction() && len(args) > 0:
		x.complain(e, name+" reads UTC here: leave the time zone out")
	case name == operators.Index && isClaims(args[0]):
		if claim, constant := text(args[1]); constant {
			x.claim(args[0], claim)
		}
	case name == operators.In && isClaims(args[1]):
		if claim, constant := text(args[0]); constant {
			x.claim(args[1], claim)
		}
	case name == operators.Index && isHeaders(args[0]):
		if field, constant := text(args[1]); constant {
			x.header(e, args[0], field)
		}
	case name == operators.In && isHeaders(args[1]):
		if field, constant := text(args[0]); constant {
			x.header(e, args[1], field)
		}
	}
}

// claim notes a claim that the expression reads.
func (x *examiner) claim(claims ast.Expr, name string) {
	x.named[claims.ID()] = true
	if !slices.Contains(x.program.claims, name) {
		x.program.claims = append(x.program.claims, name)
	}
}

// header notes a field of the request that the expression reads.
func (x *examiner) header(e, headers ast.Expr, name string) {
	x.named[headers.ID()] = true
	switch {
	case name != strings.ToLower(name) || !isFieldName(name):
		x.complain(e, "a field's name is written in lower case, like x-tenant")
	case slices.Contains([]string{"authorization", "proxy-authorization", "cookie", "dpop"}, name):
		x.complain(e, name+" is a credential; what it proved is in token and claims")
	case strings.HasPrefix(name, "x-auth-"):
		x.complain(e, "what a client says of itself in "+name+" is not believed; use token")
	case name == "host":
		x.complain(e, "write request.host")
	default:
		x.program.headers = append(x.program.headers, header{name, textproto.CanonicalMIMEHeaderKey(name)})
	}
}

func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func isClaims(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "claims" }

// isHeaders tells whether e is request.headers.
func isHeaders(e ast.Expr) bool {
	if e.Kind() != ast.SelectKind || e.AsSelect().FieldName() != "headers" {
		return false
	}
	of := e.AsSelect().Operand()
	return of.Kind() == ast.IdentKind && of.AsIdent() == "request"
}

// text is a constant string.
func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
