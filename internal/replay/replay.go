// Package replay judges recorded decisions again, under another configuration:
// how many would change, which, and why. The code that serves decides; only what
// is looked up in the record is taken from there: that a signature held, that a
// proof was good, and what the claims were. What the record does not tell is
// said, never guessed.
package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

// An Issuer is what the configuration says of one beside its rules for tokens.
type Issuer struct {
	Reads   []string // claims that it looks at, by dotted path
	Machine []string // those by which it tells machines
	From    decisions.From
}

// Options describe the configuration to judge by.
type Options struct {
	Table   *proxy.Table              // of a gate that serves nobody: it is changed here
	Listen  map[string]string         // the address of each resource's listener, by the resource's name
	Issuers map[string]Issuer         // by identifier
	Setting func(token.Reason) string // names the setting behind a check; may be nil
	Lenient bool                      // what is no decision is counted and passed over
}

// A Judge judges lines. It is for one goroutine.
type Judge struct {
	options Options
	report  Report
	groups  map[group]*Change
	doubts  map[string]*Doubt
	at      time.Time // of the line under judgement
}

// New makes a Judge of a table, whose gates judge records from now on.
func New(o Options) (*Judge, error) {
	j := &Judge{options: o, groups: make(map[group]*Change), doubts: make(map[string]*Doubt)}
	if o.Setting == nil {
		j.options.Setting = func(token.Reason) string { return "" }
	}
	for _, site := range o.Table.Sites {
		gates := []*proxy.Gate{site.Only}
		for _, gate := range site.Hosts {
			gates = append(gates, gate)
		}
		for _, gate := range gates {
			if gate == nil {
				continue
			}
			gate.Now = func() time.Time { return j.at }
			switch v := gate.Validator.(type) {
			case *validator.Recorded: // of another host
			case *validator.Resource:
				gate.Validator = v.Recorded()
			default:
				return nil, fmt.Errorf("resource %s: its tokens cannot be judged from a record", gate.Name)
			}
		}
	}
	return j, nil
}

// A LineError is about a line that is no decision.
type LineError struct {
	Where string // the line, as in examples
	Err   error
}

func (e *LineError) Error() string { return e.Where + " " + e.Err.Error() }

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

var errLong = fmt.Errorf("is longer than %d KiB", decisions.MaxLine>>10)

// All judges the lines of in to its end. name stands before the numbers of lines;
// empty for none. What in holds beyond one line is never held in memory.
func (j *Judge) All(ctx context.Context, name string, in io.Reader) error {
	lines := bufio.NewReaderSize(in, decisions.MaxLine)
	for n := 1; ctx.Err() == nil; n++ {
		text, err := lines.ReadSlice('\n')
		long := false
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", name, err)
		}
		if long || len(strings.TrimSpace(string(text))) > 0 {
			if problem := j.line(ctx, place{name, n}, text, long); problem != nil {
				return problem
			}
		}
		if err != nil {
			return nil
		}
	}
	return ctx.Err()
}

func (j *Judge) line(ctx context.Context, at place, text []byte, long bool) error {
	l, err := decisions.Parse(text)
	if long {
		err = errLong
	}
	if err != nil && j.options.Lenient {
		j.report.Unread++
		return nil
	}
	if err != nil {
		return &LineError{at.String(), err}
	}
	c := &question{Judge: j, line: l}
	now, why := c.judge(ctx)
	j.count(ctx, at, c, now, why)
	return nil
}

// An outcome is what becomes of a request.
type outcome struct {
	verdict decisions.Verdict
	reason  token.Reason
	route   *policy.Route // nil where none governs
}

// A question is one recorded request, to be decided about again.
type question struct {
	*Judge
	line   *decisions.Line
	listen string
	trace  *token.Trace      // nil unless somebody wants to know why
	record *validator.Record // of the token; nil where none was presented, or nobody looked
	scheme token.Scheme      // it comes with
}

// doubt says why a line cannot be judged, and kept that what was recorded stays
// whatever the configuration says; "" neither.
type doubt string

const (
	kept doubt = "kept"

	noListener doubt = "no listener of the configuration is for it"
	noMethod   doubt = "the method is not in the log"
	cutPath    doubt = "the path is not in the log, or not whole"
	noToken    doubt = "nobody looked at its token, and the route that governs it now does"
	noNonce    doubt = "whether its proof had a nonce is not in the log, and the route wants one"
	badClaims  doubt = "the claims in the log are not those of a token"
)

// judge decides about the line.
func (c *question) judge(ctx context.Context) (outcome, doubt) {
	l := c.line
	c.at = l.Time
	switch l.Verdict {
	case decisions.Answered, decisions.Preflight, decisions.Failed:
		return outcome{}, kept
	case decisions.Refused, decisions.Reported:
		if l.Credential == decisions.Unseen && !slices.Contains(ofDoor, l.Reason) {
			return outcome{}, kept
		}
	case decisions.Allowed, decisions.Anonymous, decisions.Public:
	}
	if c.listen = c.listener(); c.listen == "" {
		return outcome{}, noListener
	}
	if l.Method == decisions.Other {
		return outcome{}, noMethod
	}
	if l.PathCut || l.Path == "" {
		return outcome{}, cutPath
	}
	s := c.options.Table.Screen(c.listen, c.request())
	switch {
	case s.Door != nil:
		return outcome{decisions.Refused, s.Door.Reason, nil}, ""
	case s.Answered:
		return outcome{decisions.Answered, token.ReasonNone, nil}, ""
	case !s.Route.Matched(), s.Route.Public && s.Astray != nil:
		return c.decide(ctx)
	case s.Route.Public:
		return outcome{decisions.Public, token.ReasonNone, s.Route}, ""
	}
	return c.present(ctx, s.Route)
}

// ofDoor are the reasons before any credential that the line tells enough for.
var ofDoor = []token.Reason{token.ReasonMethod, token.ReasonPath, token.ReasonHost, token.ReasonNoRoute, token.ReasonMissing}

// late are those behind all policy, which no configuration of it changes.
var late = []token.Reason{token.ReasonClaims, token.ReasonBodySize, token.ReasonHandshake, token.ReasonHandshakeVersion, token.ReasonTunnels, token.ReasonUpstreamBusy}

// present judges a request for a route that looks at its credential.
func (c *question) present(ctx context.Context, r *policy.Route) (outcome, doubt) {
	switch c.line.Credential {
	case decisions.Rejected:
		// The scheme is not in the log; that of the route finds its way to the token.
		c.scheme = r.Schemes() &^ token.Bearer
		if r.Schemes()&token.Bearer != 0 {
			c.scheme = token.Bearer
		}
		c.record = &validator.Record{Refused: c.line.Reason}
	case decisions.Unseen:
		if c.line.Reason == token.ReasonMissing && r.Schemes() == token.DPoP {
			return c.decide(ctx)
		}
		return outcome{}, noToken
	case decisions.Verified:
		if why := c.lacks(r); why != "" {
			return outcome{}, why
		}
		if c.record = c.recorded(); c.record == nil {
			return outcome{}, badClaims
		}
		c.scheme = token.Bearer
		if c.record.Binding&token.BoundDPoP != 0 {
			c.scheme = token.DPoP
		}
	case decisions.None:
	}
	now, why := c.decide(ctx)
	switch l := c.line; {
	case l.Credential == decisions.Rejected && now.verdict == l.Verdict:
		return outcome{}, kept
	case now.verdict == decisions.Allowed && slices.Contains(late, l.Reason):
		return outcome{}, kept
	}
	return now, why
}

// decide takes the request through the whole gate.
func (c *question) decide(ctx context.Context) (outcome, doubt) {
	if c.record != nil {
		ctx = validator.WithRecord(ctx, c.record)
	}
	d, door := c.options.Table.Judge(ctx, c.listen, c.request(), c.trace)
	if door != nil {
		return outcome{decisions.Refused, door.Reason, nil}, ""
	}
	verdict, reason := decisions.Of(&d)
	if d.Route != nil && !d.Route.Matched() {
		return outcome{verdict, reason, nil}, ""
	}
	return outcome{verdict, reason, d.Route}, ""
}

// listener finds where the request would come in: at the same address, at that of
// its resource, or at the only one.
func (c *question) listener() string {
	sites := c.options.Table.Sites
	if sites[c.line.Listener] != nil {
		return c.line.Listener
	}
	if at := c.options.Listen[c.line.Resource]; at != "" {
		return at
	}
	for at := range sites {
		if len(sites) == 1 {
			return at
		}
	}
	return ""
}

// request is what net/http would make of what is recorded.
func (c *question) request() *http.Request {
	l := c.line
	r := &http.Request{
		Method: l.Method, RequestURI: l.Path, Host: l.Host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	for name, values := range l.Headers {
		if len(values) > 0 {
			r.Header[name] = values
		}
	}
	if l.Source != "" {
		r.RemoteAddr = "[" + l.Source + "]:1"
		if !strings.Contains(l.Source, ":") {
			r.RemoteAddr = l.Source + ":1"
		}
	}
	if c.scheme != 0 { // the text stands for the record
		r.Header["Authorization"] = []string{c.scheme.String() + " recorded"}
	}
	return r
}
