// Package trial tries a policy on cases that somebody wrote down: it has each
// decided as serve would, compares what came of it with what was expected, and
// tells which routes and requirements no case has shown at work. It decides
// nothing itself, and reads no file.
package trial

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// A Suite is one file of cases.
type Suite struct {
	File   string
	Cases  *config.Cases
	Tokens []string // the text of each case's token_file, by its place; may be shorter
}

// A Trial tries suites.
type Trial struct {
	Rehearsal *rehearsal.Rehearsal
	Only      *regexp.Regexp // names of cases; nil for all

	// Setting names the key that governs a check, like routes[].scopes; may be nil.
	Setting func(token.Reason) string
	// Why tells of a check of a case that came out otherwise, in lines; may be nil.
	Why func(*rehearsal.Told) []string
}

// A Result is how one case came out.
type Result struct {
	File, Name  string
	Line        int
	Request     string // method and URL
	Route       string // that governed it; empty where it did not get as far
	Differences []Difference
	Why         []string // of a case with Differences
}

// Passed reports whether everything was as expected.
func (r *Result) Passed() bool { return len(r.Differences) == 0 }

// A Difference is one thing that is not as expected.
type Difference struct{ What, Want, Got string }

// A Report is how all cases came out.
type Report struct {
	Results  []Result
	Left     int // cases that Only leaves out
	Reported int // refused by the policy, and let through by report-only
	Coverage Coverage
}

// Failed counts the cases that did not pass.
func (r *Report) Failed() int {
	failed := 0
	for i := range r.Results {
		if !r.Results[i].Passed() {
			failed++
		}
	}
	return failed
}

// Run tries all cases of all suites. It fails with an error that has its place in
// the file on a case that cannot be tried.
func (t *Trial) Run(ctx context.Context, suites []Suite) (*Report, error) {
	report := &Report{Coverage: t.uncovered()}
	for _, suite := range suites {
		for i := range suite.Cases.Cases {
			one := &suite.Cases.Cases[i]
			if t.Only != nil && !t.Only.MatchString(one.Name) {
				report.Left++
				continue
			}
			told, err := t.Rehearsal.Decide(ctx, suite.scene(i))
			if err != nil {
				return nil, suite.Cases.ErrorAt(fmt.Sprintf("cases[%d].request", i), "cannot be tried: "+err.Error(), "")
			}
			result := t.result(one, told)
			result.File = suite.File
			report.Results = append(report.Results, result)
			report.Coverage.see(told)
			if told.Reported {
				report.Reported++
			}
		}
	}
	return report, nil
}

// scene is the case at index, as it is to be played.
func (s *Suite) scene(index int) *rehearsal.Scene {
	c := &s.Cases.Cases[index]
	scene := &rehearsal.Scene{
		Resource: c.Resource, Method: c.Request.Method, URL: c.Request.Target(), Host: c.Request.Host, Header: http.Header{},
		At: c.Now.Time, Token: c.Token, Claims: rehearsal.Claims(c.Claims), Issuer: c.Issuer, Binding: c.Binding, Revoked: c.Revoked,
	}
	if index < len(s.Tokens) && s.Tokens[index] != "" {
		scene.Token = s.Tokens[index]
	}
	for name, value := range c.Request.Headers {
		scene.Header.Set(name, value)
	}
	scene.Source, _ = netip.ParseAddr(c.Request.Source) // that it is one was checked
	return scene
}

func (t *Trial) result(c *config.Case, told *rehearsal.Told) Result {
	r := Result{Name: c.Name, Line: c.Line, Request: c.Request.Method + " " + shown(told)}
	if d := told.Judged; d.Route != nil {
		r.Route = d.Route.Name
	}
	r.Differences = compare(&c.Expect, told)
	if !r.Passed() && t.Why != nil {
		r.Why = t.Why(told)
	}
	return r
}

// shown is the URL, less what may be a token.
func shown(told *rehearsal.Told) string {
	at := *told.URL
	at.User, at.RawQuery = nil, told.Query
	return at.String()
}

// decided is the word for what became of a request.
func decided(told *rehearsal.Told) string {
	d := told.Judged
	switch {
	case told.Door != nil:
		return config.DecidedDeny
	case d.Verdict == proxy.Allowed && d.Principal == nil:
		return config.DecidedAnonymous
	case d.Verdict == proxy.Allowed:
		return config.DecidedAllow
	case d.Verdict == proxy.Answered:
		return config.DecidedAnswer
	case d.Verdict == proxy.Failed:
		return config.DecidedFail
	}
	return config.DecidedDeny
}

// reason is why a request is not let through.
func reason(told *rehearsal.Told) string {
	if told.Door != nil {
		return string(told.Door.Reason)
	}
	return string(told.Judged.Reason())
}

// hidden keeps tokens out of what is printed.
func hidden(text string) string {
	if token.ResemblesJWT(strings.TrimPrefix(strings.TrimPrefix(text, "Bearer "), "DPoP ")) {
		return "(a token)"
	}
	return text
}
