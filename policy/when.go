package policy

import (
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/policy/expr"
	"github.com/wicketgate/wicketgate/token"
)

// compileWhen compiles the route's expression, if it has one.
func (r *Route) compileWhen(c *expr.Compiler) (problems []error) {
	if r.When == "" {
		return nil
	}
	program, err := c.Compile(r.When, r.Captures())
	if err == nil {
		r.when = program
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		e := &Error{Index: r.index, Field: "when", Message: err.Error()}
		if placed, ok := errors.AsType[*expr.Error](err); ok {
			e.Offset = placed.Offset
		}
		problems = append(problems, e)
	}
	return problems
}

// input is what the route's expression is held against.
func (r *Route) input(req *Request, p *token.Principal, now time.Time) expr.Input {
	in := expr.Input{Method: req.Method, Host: req.Host, Path: req.Path, Header: req.Header, Route: r, Principal: p, Now: now}
	if req.Sender != nil {
		in.Sender = req.Sender
	}
	return in
}

// Plain tells whether everybody who reads path finds the same segments in it.
func (r *Route) Plain(path string) bool {
	for path != "" && path != "/" {
		segment, after, ok := (reading{}).next(path)
		if !ok || !isPlain(segment) {
			return false
		}
		path = after
	}
	return true
}

// checkWhen takes whatever goes wrong for no.
func checkWhen(r *Route, req *Request, p *token.Principal, now time.Time) *token.Error {
	in := r.input(req, p, now)
	holds, err := r.when.Holds(&in)
	switch {
	case err != nil:
		return forbid(token.ReasonWhen).Because(err)
	case !holds:
		return forbid(token.ReasonWhen)
	}
	return nil
}

func noteWhen(trace *token.Trace, r *Route, req *Request, p *token.Principal, now time.Time) {
	in := r.input(req, p, now)
	seen := "true"
	if holds, err := r.when.Holds(&in); err != nil {
		seen = err.Error() + ": " + r.when.Part(&in)
	} else if !holds {
		seen = "false: " + r.when.Part(&in)
	}
	trace.Text(token.ReasonWhen, seen)
	trace.Want([]string{r.When})
}
