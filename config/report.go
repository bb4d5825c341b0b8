package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Share is how many of the refusals are reported only, in hundredths, plus one.
// It is written as true, false or a whole percentage: 25%. The zero Share says
// nothing.
type Share int

const (
	noShare   Share = 1
	fullShare Share = 101
)

// Said reports whether the file says anything.
func (s Share) Said() bool { return s != 0 }

// Percent is 0 to 100, and 0 where nothing is said.
func (s Share) Percent() int { return int(max(s, noShare) - noShare) }

// shareForm is how a Share is written.
const shareForm = "true, false or a share like 25%"

var errNoShare = errors.New("is no share")

func (s *Share) parse(text string) error {
	switch text {
	case "true":
		*s = fullShare
		return nil
	case "false":
		*s = noShare
		return nil
	}
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || strconv.Itoa(n) != digits || n < 0 || n > 100 {
		return errNoShare
	}
	*s = noShare + Share(n)
	return nil
}

// String writes the share as the file does.
func (s Share) String() string {
	switch {
	case s == fullShare:
		return "true"
	case s.Percent() == 0:
		return "false"
	}
	return strconv.Itoa(s.Percent()) + "%"
}

// reports warns of every place where refusals are reported only, and refuses those
// where it would mean nothing, or what the preset forbids.
func (c *checker) reports() {
	c.reportsOf("report_only", c.ReportOnly, "every resource that says nothing else")
	for i := range c.Issuers {
		c.reportsOf(fmt.Sprintf("issuers[%d].report_only", i), c.Issuers[i].ReportOnly, "every token that this issuer signed, where neither route nor resource says anything else")
	}
	for i := range c.Resources {
		r, at := &c.Resources[i], fmt.Sprintf("resources[%d]", i)
		c.reportsOf(at+".report_only", r.ReportOnly, "the resource, what no route matches included")
		for j := range r.Routes {
			route, at := &r.Routes[j], fmt.Sprintf("%s.routes[%d].report_only", at, j)
			if route.Public && route.ReportOnly.Said() {
				c.bad(at, "means nothing on a public route", "remove it, or public")
				continue
			}
			c.reportsOf(at, route.ReportOnly, "the route")
		}
	}
}

func (c *checker) reportsOf(at string, s Share, where string) {
	switch {
	case s.Percent() == 0:
	case c.FAPI():
		c.bad(at, "is not for preset: fapi", "who has no good token must be refused (FAPI 2.0 section 5.3.4)")
	case s == fullShare:
		c.warn(at, "refuses nobody: requests that would be refused are forwarded without identity, at "+where)
	default:
		c.warn(at, fmt.Sprintf("forwards %s of the requests that would be refused, without identity, at %s; whoever tries other tokens finds one that falls into it", s, where))
	}
}

// reportsOnly tells whether anything that would be refused passes.
func (f *File) reportsOnly() bool {
	if f.ReportOnly.Percent() > 0 {
		return true
	}
	for _, i := range f.Issuers {
		if i.ReportOnly.Percent() > 0 {
			return true
		}
	}
	for _, r := range f.Resources {
		if r.ReportOnly.Percent() > 0 {
			return true
		}
		for _, route := range r.Routes {
			if route.ReportOnly.Percent() > 0 {
				return true
			}
		}
	}
	return false
}
