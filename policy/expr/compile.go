// Package expr compiles a predicate in the Common Expression Language (CEL) and
// holds it against a verified caller and a request. It is the only door to
// cel-go. An expression reads what it is given and nothing else, ends within
// MaxCost, and holds only if it gives true: whatever goes wrong is no.
package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Bounds of an expression.
const (
	MaxLength  = 4096   // code points of its text
	MaxPattern = 256    // octets of a pattern of matches
	MaxNesting = 3      // all, exists, exists_one, filter and map within and after each other
	MaxCost    = 20_000 // units, each about a comparison: estimated when it is compiled and counted when it runs

	maxNodes   = 1000
	maxDepth   = 64
	maxProgram = 300 // instructions of a pattern, as regexp/syntax compiles it
	maxTold    = 5   // errors of one expression

	assumedEntries = 50  // of a list or an object, while estimating
	assumedLength  = 500 // of a string, while estimating
)

// Error is one thing wrong with an expression.
type Error struct {
	Offset  int // of the place, in code points from the beginning of the text
	Message string
}

func (e *Error) Error() string { return e.Message }

// A Compiler compiles expressions. What they have in common takes milliseconds
// to make, so it is made for the first. It is safe for concurrent use.
type Compiler struct {
	mu       sync.Mutex
	registry *types.Registry
	base     *cel.Env
	byPath   map[string]*cel.Env // by the names of captures
}

// Compile compiles source, which may name captures of the path. The error joins
// an *Error for each complaint.
func (c *Compiler) Compile(source string, captures []string) (*Program, error) {
	env, err := c.env(captures)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, told(source, issues.Errors())
	}
	p := &Program{source: source, env: env, checked: checked}
	if err := p.examine(); err != nil {
		return nil, err
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, err
	}
	if estimate.Max > MaxCost {
		return nil, &Error{Message: fmt.Sprintf("would cost too much: more than %d units with lists of %d entries and strings of %d characters", MaxCost, assumedEntries, assumedLength)}
	}
	if p.plan, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MaxCost)); err != nil {
		return nil, &Error{Message: err.Error()}
	}
	p.traced = sync.OnceValues(func() (cel.Program, error) {
		return env.Program(checked, cel.EvalOptions(cel.OptTrackState), cel.CostLimit(MaxCost))
	})
	return p, nil
}

// env is what an expression of a route with these captures is compiled in.
func (c *Compiler) env(captures []string) (*cel.Env, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base == nil {
		if err := c.begin(); err != nil {
			return nil, err
		}
	}
	key := strings.Join(captures, "/")
	if known := c.byPath[key]; known != nil {
		return known, nil
	}
	env, err := c.base.Extend(cel.CustomTypeProvider(schema{c.registry, slices.Clone(captures)}), cel.Variable(pathRecord, cel.ObjectType(pathRecord)))
	if err != nil {
		return nil, fmt.Errorf("the environment of expressions: %w", err)
	}
	c.byPath[key] = env
	return env, nil
}

// begin declares what all expressions have in common.
func (c *Compiler) begin() (err error) {
	if c.registry, err = types.NewRegistry(); err != nil {
		return err
	}
	c.byPath = make(map[string]*cel.Env)
	c.base, err = cel.NewCustomEnv(
		cel.CustomTypeAdapter(c.registry),
		cel.CustomTypeProvider(schema{c.registry, nil}),
		cel.StdLib(),
		ext.Sets(),
		ext.Network(),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableIdentifierEscapeSyntax(),
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserErrorRecoveryLimit(maxTold),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxProgram),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(), cel.ValidateComprehensionNestingLimit(MaxNesting)),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(requestRecord, cel.ObjectType(requestRecord)),
		cel.Variable(tokenRecord, cel.ObjectType(tokenRecord)),
		cel.Variable("now", cel.TimestampType),
		cel.EagerlyValidateDeclarations(true),
	)
	return err
}

// told turns what cel-go complains of into errors with their places.
func told(source string, complaints []*common.Error) error {
	var all []error
	for _, c := range complaints[:min(len(complaints), maxTold)] {
		message := strings.ReplaceAll(c.Message, " (in container '')", "")
		message, _, _ = strings.Cut(message, " expecting {") // all that might follow
		message = strings.ReplaceAll(message, "mismatched input '<EOF>'", "it ends too early")
		all = append(all, &Error{Offset: offsetOf(source, c.Location), Message: strings.ToLower(message[:1]) + message[1:]})
	}
	return errors.Join(all...)
}

// offsetOf counts the code points before a place.
func offsetOf(source string, at common.Location) int {
	offset := max(0, at.Column())
	for i, line := range strings.SplitAfter(source, "\n") {
		if i+1 >= at.Line() {
			break
		}
		offset += len([]rune(line))
	}
	return min(offset, len([]rune(source)))
}

// sizes tells the estimate how long things of the request and the token may be.
type sizes struct{}

func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	most := uint64(assumedEntries)
	if element.Type().Kind() == types.StringKind {
		most = assumedLength
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

func (sizes) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// examine refuses what the type checker lets pass.
func (p *Program) examine() error {
	kind := p.checked.OutputType()
	if kind.Kind() == types.DynKind {
		return &Error{Message: "gives a value of any type, and must give a bool: compare it, as claims.admin == true does"}
	}
	if kind.Kind() != types.BoolKind {
		return &Error{Message: "gives " + kind.String() + ", and must give a bool, as a comparison does"}
	}
	x := examiner{program: p, named: make(map[int64]bool)}
	ast.PreOrderVisit(ast.NavigateAST(p.checked.NativeRep()), ast.NewExprVisitor(x.visit))
	if !x.asks {
		x.complain(p.checked.NativeRep().Expr(), "is the same for every request: it names nothing of claims, token, request, path or now")
	}
	return errors.Join(x.errs...)
}
