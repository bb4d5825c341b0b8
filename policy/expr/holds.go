package expr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"

	"github.com/wicketgate/wicketgate/token"
)

// Input is what an expression is held against. Nothing in it is changed.
type Input struct {
	Method    string
	Host      string
	Path      string // canonical and decoded
	Header    map[string][]string
	Sender    Sender // nil where nobody knows
	Route     Route
	Principal *token.Principal // verified
	Now       time.Time
}

// A Sender says where a request came from; the zero Addr when that is not known.
type Sender interface{ Source() netip.Addr }

// A Route knows how its path is read.
type Route interface {
	Capture(path, name string) (segment string, ok bool)
	Plain(path string) bool // everybody reads it alike
}

// A Program is a compiled expression. It is immutable and safe for concurrent
// use.
type Program struct {
	source  string
	env     *cel.Env
	checked *cel.Ast
	plan    cel.Program
	traced  func() (cel.Program, error)
	headers []header

	claims    []string  // those it names
	allClaims bool      // it looks at claims in another way as well
	readsHost bool      // it looks at request.host
	idle      sync.Pool // of *evaluation
}

// String is the text of the expression.
func (p *Program) String() string { return p.source }

// Claims lists the claims that the expression names. It is not ok where it may look
// at any others.
func (p *Program) Claims() (names []string, ok bool) { return p.claims, !p.allClaims }

// ReadsHost reports whether the expression looks at the request's host.
func (p *Program) ReadsHost() bool { return p.readsHost }

// Headers lists the fields of the request that it reads, as
// http.CanonicalHeaderKey writes them.
func (p *Program) Headers() (names []string) {
	for _, h := range p.headers {
		names = append(names, h.canonical)
	}
	return names
}

// Failure is why an expression gave neither true nor false. It names no value
// of the request or the token.
type Failure struct {
	Line, Column int // in the expression, from 1, the column in code points; 0 when it is the whole
	Message      string
}

func (f *Failure) Error() string {
	if f.Line == 0 {
		return f.Message
	}
	return fmt.Sprintf("%s at %d:%d of the expression", f.Message, f.Line, f.Column)
}

// Holds evaluates the expression. The error is a *Failure, and then it does not
// hold.
func (p *Program) Holds(in *Input) (bool, error) {
	e, ok := p.idle.Get().(*evaluation)
	if !ok {
		e = newEvaluation(p)
	}
	e.begin(in)
	out, _, failed := p.plan.Eval(e)
	// A comparison that fails inside another is no comparison that found a
	// difference, which is what cel-go makes of it in != and in package sets.
	switch {
	case failed != nil:
	case e.work < 0:
		failed = errWork
	case e.unsure:
		failed = errUnsure
	}
	e.end()
	p.idle.Put(e)
	if failed != nil {
		return false, p.failure(failed)
	}
	return out == types.True, nil
}

// Part is what of the expression kept it from holding: of terms that must all
// hold the first that does not. It is for explaining, and slow.
func (p *Program) Part(in *Input) string {
	plan, err := p.traced()
	if err != nil {
		return p.source
	}
	e := newEvaluation(p)
	e.begin(in)
	_, details, _ := plan.Eval(e)
	state, part := details.State(), p.checked.NativeRep().Expr()
	for part.Kind() == ast.CallKind && part.AsCall().FunctionName() == operators.LogicalAnd {
		i := slices.IndexFunc(part.AsCall().Args(), func(term ast.Expr) bool {
			v, seen := state.Value(term.ID())
			return seen && v != types.True
		})
		if i < 0 {
			break
		}
		part = part.AsCall().Args()[i]
	}
	text, err := parser.Unparse(part, p.checked.NativeRep().SourceInfo())
	if err != nil {
		return p.source
	}
	return text
}

// failure tells errors apart by what cel-go calls them, since their texts hold
// values.
func (p *Program) failure(err error) *Failure {
	f := &Failure{Message: "a value does not fit"}
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded || errors.Is(err, errWork) {
		f.Message = "costs too much"
		return f
	}
	for _, known := range []struct{ text, message string }{
		{"no such key", "something is absent"}, {"no such attribute", "something is absent"}, {"no such field", "something is absent"},
		{"index out of bounds", "something is absent"}, {"no such overload", "a value is of another type"}, {"no matching overload", "a value is of another type"},
		{"unsupported conversion", "a value is of another type"}, {"unsupported index type", "a value is of another type"}, {"internal error", "fails inside"},
	} {
		if strings.HasPrefix(err.Error(), known.text) {
			f.Message = known.message
			break
		}
	}
	if e, ok := errors.AsType[*types.Err](err); ok && e.NodeID() != 0 {
		at := p.checked.NativeRep().SourceInfo().GetStartLocation(e.NodeID())
		f.Line, f.Column = at.Line(), at.Column()+1
	}
	return f
}

// evaluation is one run of a program, and all that it reads.
type evaluation struct {
	program *Program
	in      Input
	work    int  // comparisons of claims left, see charge
	unsure  bool // a comparison could not be made
	claims  object
	headers map[string]string // by the names that the expression gives them, see fields

	request, token, route record
}

// maxWork is how many members and elements of claims are compared in one
// evaluation. What cel-go counts knows nothing of what is inside them.
const (
	maxWork = MaxCost
	perUnit = 64 // octets of a string that are compared for a unit
)

var (
	errWork   = errors.New("too many comparisons")
	errUnsure = errors.New("a comparison that cannot be made")
)

func newEvaluation(p *Program) *evaluation {
	e := &evaluation{program: p}
	e.claims.of = e
	e.request, e.token, e.route = record{e, requestRecord}, record{e, tokenRecord}, record{e, pathRecord}
	return e
}

func (e *evaluation) begin(in *Input) {
	e.in, e.work, e.unsure = *in, maxWork, false
	e.claims.members = in.Principal.AppendMembers(e.claims.members[:0])
}

// end forgets the caller.
func (e *evaluation) end() {
	e.in = Input{}
	clear(e.claims.members)
	e.claims.members = e.claims.members[:0]
	clear(e.headers)
	clear(e.claims.made)
	e.claims.made = e.claims.made[:0]
}

// ResolveName implements cel.Activation.
func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case "claims":
		return &e.claims, true
	case requestRecord:
		return &e.request, true
	case tokenRecord:
		return &e.token, true
	case pathRecord:
		return &e.route, true
	case "now":
		return types.Timestamp{Time: e.in.Now}, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (e *evaluation) Parent() cel.Activation { return nil }

// charge counts comparisons and is false when there were too many.
func (e *evaluation) charge(n int) bool {
	e.work -= n
	return e.work >= 0
}

// path is there only where everybody reads it alike.
func (e *evaluation) path() (any, bool) {
	if e.in.Route == nil || !e.in.Route.Plain(e.in.Path) {
		return nil, false
	}
	return e.in.Path, true
}

func (e *evaluation) capture(name string) (any, bool) {
	if e.in.Route == nil {
		return nil, false
	}
	segment, ok := e.in.Route.Capture(e.in.Path, name)
	return segment, ok
}

func (e *evaluation) source() (any, bool) {
	if e.in.Sender == nil {
		return nil, false
	}
	source := e.in.Sender.Source()
	return source.Unmap().WithZone("").String(), source.IsValid()
}

// header is a field that an expression names.
type header struct{ name, canonical string }

// maxField is how many octets of a field an expression looks at.
const maxField = 4 << 10

// fields are those fields of the request that the expression names. Several
// lines are one value (RFC 9110 section 5.3). Absent is what the upstream does not
// get, as Connection names it, what it may read otherwise, as another spelling of
// the name comes with it, and what is too long to be searched.
func (e *evaluation) fields() (any, bool) {
	if len(e.headers) > 0 {
		return e.headers, true
	}
	if e.headers == nil {
		e.headers = make(map[string]string, len(e.program.headers))
	}
	for _, h := range e.program.headers {
		lines := e.in.Header[h.canonical]
		if len(lines) == 0 || hopByHop(e.in.Header["Connection"], h.name) || e.spelledTwice(h) {
			continue
		}
		if value := strings.Join(lines, ", "); len(value) <= maxField {
			e.headers[h.name] = value
		}
	}
	return e.headers, true
}

// hopByHop tells whether the lines of Connection name a field, which ends here then
// (RFC 9110 section 7.6.1).
func hopByHop(connection []string, name string) bool {
	for _, line := range connection {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), name) {
				return true
			}
		}
	}
	return false
}

// spelledTwice tells whether a server that takes x_tenant for x-tenant would find
// the field more than once.
func (e *evaluation) spelledTwice(h header) bool {
	for other := range e.in.Header {
		if other != h.canonical && len(other) == len(h.name) && folded(other) == folded(h.name) {
			return true
		}
	}
	return false
}

func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

func date(at time.Time) (any, bool) { return types.Timestamp{Time: at}, !at.IsZero() }

// record is request, token or path, whose fields schema reads.
type record struct {
	of   *evaluation
	kind string
}

var _ ref.Val = (*record)(nil)
