package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// A mutant is one source file with one check taken out.
type mutant struct {
	file     string // relative to the module's root, with slashes
	line     int
	function string // F, or (T).F for a method
	check    string // the text of the condition on one line, its initialiser included
	dropped  string // the operand taken out; empty when the whole check is
	nth      int    // counts the mutants of one function that read alike, from 1
	source   string // the line it is on

	from, to int // what of the file is switched
	form     form
}

// A form says how a check is switched off.
type form int

const (
	never  form = iota // the condition never holds
	always             // the condition always holds
	undone             // the statement is not carried out
)

// around is what goes before and after the checked text. A condition is
// evaluated first, so that out is asked only where it makes a difference.
func (f form) around(id int) (before, after string) {
	out := fmt.Sprintf("%s(%d)", switchName, id)
	switch f {
	case never:
		return "((", ") && !" + out + ")"
	case always:
		return "((", ") || " + out + ")"
	case undone:
	}
	return "if !" + out + " { ", " }"
}

// key names a mutant in explained.txt. Lines move; what a check says does not
// as long as it is the same check.
func (m mutant) key() string {
	key := m.file + " " + m.function + ": " + m.check
	if m.dropped != "" {
		key += " | without " + m.dropped
	}
	if m.nth > 1 {
		key += fmt.Sprintf(" | number %d", m.nth)
	}
	return key
}

// find lists the mutants of one file in the order of its text.
//
// A return refuses when its function ends in an error (error, or a pointer to a
// type called …Error or …Fault) and what it returns there is not nil, or when
// one of its results is the word false. A return that hands on all results of
// one call does neither. It allows when its last result is nil or true.
//
// A call complains when it is a statement and its name is one of complaints, and
// it strips when it is delete or a method Del: both count as refusals, where a
// body ends in them.
//
// Taken out, one at a time:
//   - the condition of an if whose body ends in a refusal;
//   - the condition of an if that allows, in a function that ends in a refusal;
//   - a case of a switch without a tag that ends in a refusal, and a default of
//     any switch that does, where the function can go on without it;
//   - each operand of an || in such a condition;
//   - each operand of an && in the condition of an if or a case that allows;
//   - each operand of an && that is returned or assigned;
//   - a call that is a statement, unless it is one of unmissed.
//
// What is taken out is switched off rather than deleted, so that no variable
// becomes unused.
func find(name string, source []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &finder{file: name, source: source, fset: fset, guarded: make(map[ast.Stmt]bool), seen: make(map[string]int)}
	for _, d := range syntax.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
			f.function = functionName(d)
			f.body(d.Type, d.Body)
		}
	}
	return f.found, nil
}

type finder struct {
	file     string
	source   []byte
	fset     *token.FileSet
	function string
	refuses  bool              // the function that is walked ends in a refusal
	guarded  map[ast.Stmt]bool // goes with its condition
	seen     map[string]int
	found    []mutant
}

// body walks a function's body. A function literal in it has results of its
// own and is walked by itself.
func (f *finder) body(signature *ast.FuncType, body *ast.BlockStmt) {
	outer := f.refuses
	defer func() { f.refuses = outer }()
	f.refuses = refuses(signature, body.List)
	var last ast.Stmt
	if len(body.List) > 0 {
		last = body.List[len(body.List)-1]
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.body(n.Type, n.Body)
			return false
		case *ast.IfStmt:
			f.condition(signature, n.Init, n.Cond, n.Body.List)
		case *ast.SwitchStmt:
			f.clauses(signature, n, n == last)
		case *ast.ReturnStmt:
			f.conjunctions(n.Results)
		case *ast.AssignStmt:
			f.conjunctions(n.Rhs)
		case *ast.BlockStmt:
			f.calls(n.List)
		case *ast.CaseClause:
			f.calls(n.Body)
		case *ast.CommClause:
			f.calls(n.Body)
		}
		return true
	})
}

func (f *finder) clauses(signature *ast.FuncType, s *ast.SwitchStmt, last bool) {
	for _, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		if s.Tag == nil {
			for _, cond := range c.List {
				f.condition(signature, nil, cond, c.Body)
			}
		}
		if c.List == nil && !last && refuses(signature, c.Body) {
			refusal := c.Body[len(c.Body)-1]
			f.add(refusal, "default: "+f.text(refusal), "", undone)
		}
	}
}

// condition mutates a condition and what guards body by it.
func (f *finder) condition(signature *ast.FuncType, init ast.Stmt, cond ast.Expr, body []ast.Stmt) {
	check := f.text(cond)
	if init != nil {
		check = f.text(init) + "; " + check
	}
	switch {
	case refuses(signature, body) || objects(body):
		f.guarded[body[len(body)-1]] = true
		f.add(cond, check, "", never)
		for _, operand := range alternatives(cond) {
			f.add(operand, check, f.text(operand), never)
		}
	case allows(body):
		if f.refuses {
			f.add(cond, check, "", always)
		}
		f.without(check, operands(cond, token.LAND))
	}
}

// complaints are what reports a fault and goes on.
var complaints = []string{"bad", "badKey", "report", "warn"}

// unmissed are calls whose absence is no check's: locks make tests hang or tell
// nothing, and what explain is shown decides nothing.
var unmissed = []string{
	"panic", "Lock", "Unlock", "RLock", "RUnlock", "Wait", "Text", "Texts", "Count", "Time", "Value", "Want", "Note",
	"Add", "Store", "WriteString", "WriteByte", "Fprintf", "Fprintln",
	"", // a function literal
}

func (f *finder) calls(list []ast.Stmt) {
	for _, s := range list {
		call, ok := statementCall(s)
		if ok && !f.guarded[s] && !slices.Contains(unmissed, called(call)) {
			f.add(s, f.text(s), "", undone)
		}
	}
}

func statementCall(s ast.Stmt) (*ast.CallExpr, bool) {
	if s, ok := s.(*ast.ExprStmt); ok {
		call, ok := s.X.(*ast.CallExpr)
		return call, ok
	}
	return nil, false
}

// called is the name of what is called, without what it belongs to; empty for a
// function literal.
func called(call *ast.CallExpr) string {
	switch of := call.Fun.(type) {
	case *ast.Ident:
		return of.Name
	case *ast.SelectorExpr:
		return of.Sel.Name
	}
	return ""
}

// objects reports whether body ends in a call that complains or strips.
func objects(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	call, ok := statementCall(body[len(body)-1])
	if !ok {
		return false
	}
	name := called(call)
	return name == "delete" || name == "Del" || slices.Contains(complaints, name)
}

func (f *finder) conjunctions(list []ast.Expr) {
	for _, e := range list {
		f.without(f.text(e), operands(e, token.LAND))
	}
}

// without lets each of the operands of an && hold always.
func (f *finder) without(check string, operands []ast.Expr) {
	if len(operands) < 2 {
		return
	}
	for _, operand := range operands {
		f.add(operand, check, f.text(operand), always)
	}
}

func (f *finder) add(at ast.Node, check, dropped string, how form) {
	position := f.fset.Position(at.Pos())
	m := mutant{
		file: f.file, line: position.Line, function: f.function, check: oneLine(check), dropped: oneLine(dropped),
		source: f.line(position.Offset),
		from:   position.Offset, to: f.fset.Position(at.End()).Offset, form: how,
	}
	key := m.key()
	f.seen[key]++
	m.nth = f.seen[key]
	f.found = append(f.found, m)
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset])
}

func (f *finder) line(offset int) string {
	from := strings.LastIndexByte(string(f.source[:offset]), '\n') + 1
	line, _, _ := strings.Cut(string(f.source[from:]), "\n")
	return strings.TrimSpace(line)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// alternatives are the operands of every || below cond that no negation and no
// call stands above.
func alternatives(cond ast.Expr) []ast.Expr {
	var out []ast.Expr
	for _, part := range operands(cond, token.LAND) {
		either := operands(part, token.LOR)
		if len(either) < 2 {
			continue
		}
		for _, operand := range either {
			out = append(out, operand)
			out = append(out, alternatives(operand)...)
		}
	}
	return out
}

// operands flattens a chain of one operator; an expression that is none is its
// only operand.
func operands(e ast.Expr, operator token.Token) []ast.Expr {
	switch inner := ast.Unparen(e).(type) {
	case *ast.BinaryExpr:
		if inner.Op == operator {
			return append(operands(inner.X, operator), operands(inner.Y, operator)...)
		}
	}
	return []ast.Expr{e}
}

func refuses(signature *ast.FuncType, body []ast.Stmt) bool {
	results := returned(body)
	if slices.ContainsFunc(results, isWord("false")) {
		return true
	}
	types := resultTypes(signature)
	if len(results) == 0 || len(results) != len(types) || !isErrorType(types[len(types)-1]) {
		return false
	}
	return !isWord("nil")(results[len(results)-1])
}

func allows(body []ast.Stmt) bool {
	results := returned(body)
	if len(results) == 0 {
		return false
	}
	last := results[len(results)-1]
	return isWord("nil")(last) || isWord("true")(last)
}

// returned is what body returns at its end; nothing if it does not.
func returned(body []ast.Stmt) []ast.Expr {
	if len(body) == 0 {
		return nil
	}
	if r, ok := body[len(body)-1].(*ast.ReturnStmt); ok {
		return r.Results
	}
	return nil
}

func isWord(word string) func(ast.Expr) bool {
	return func(e ast.Expr) bool {
		name, ok := e.(*ast.Ident)
		return ok && name.Name == word
	}
}

// resultTypes lists the type of each result, also where one type has several
// names.
func resultTypes(signature *ast.FuncType) []ast.Expr {
	var types []ast.Expr
	if signature.Results == nil {
		return nil
	}
	for _, field := range signature.Results.List {
		for range max(len(field.Names), 1) {
			types = append(types, field.Type)
		}
	}
	return types
}

func isErrorType(e ast.Expr) bool {
	if isWord("error")(e) {
		return true
	}
	pointer, ok := e.(*ast.StarExpr)
	if !ok {
		return false
	}
	name := ""
	switch to := pointer.X.(type) {
	case *ast.Ident:
		name = to.Name
	case *ast.SelectorExpr:
		name = to.Sel.Name
	}
	return strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "Fault")
}

// functionName is F for a function and (T).F for a method, pointer or not.
func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return "(" + name.Name + ")." + d.Name.Name
	}
	return d.Name.Name
}
