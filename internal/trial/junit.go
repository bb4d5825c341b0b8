package trial

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of a JUnit report that readers of it have in common.
type (
	suitesElement struct {
		XMLName  xml.Name       `xml:"testsuites"`
		Name     string         `xml:"name,attr"`
		Tests    int            `xml:"tests,attr"`
		Failures int            `xml:"failures,attr"`
		Errors   int            `xml:"errors,attr"`
		Suites   []suiteElement `xml:"testsuite"`
	}
	suiteElement struct {
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Skipped  int           `xml:"skipped,attr"`
		Cases    []caseElement `xml:"testcase"`
	}
	caseElement struct {
		Name    string          `xml:"name,attr"`
		Class   string          `xml:"classname,attr"`
		File    string          `xml:"file,attr"`
		Line    int             `xml:"line,attr,omitempty"`
		Failure *failureElement `xml:"failure"`
	}
	failureElement struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the report as systems of continuous integration read it: a test
// suite for each file, a test case for each case. Cases that were left out are
// not in it. Where short is not empty coverage fell short, and short says by how
// much: that is a test case of its own, which failed.
func (r *Report) JUnit(w io.Writer, short string) error {
	all := suitesElement{Name: "wicketgate test"}
	for i := range r.Results {
		one := &r.Results[i]
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != one.File {
			all.Suites = append(all.Suites, suiteElement{Name: one.File})
		}
		all.Suites[len(all.Suites)-1].add(one.element())
	}
	if short != "" {
		suite := suiteElement{Name: "coverage"}
		failure := &failureElement{Message: short, Type: "coverage", Text: strings.Join(r.Coverage.Missing(), "\n")}
		suite.add(caseElement{Name: "coverage", Class: "coverage", Failure: failure})
		all.Suites = append(all.Suites, suite)
	}
	for i := range all.Suites {
		all.Tests += all.Suites[i].Tests
		all.Failures += all.Suites[i].Failures
	}
	text, err := xml.MarshalIndent(&all, "", "  ")
	if err != nil {
		return fmt.Errorf("JUnit report: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	return err
}

func (s *suiteElement) add(c caseElement) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
}

func (r *Result) element() caseElement {
	e := caseElement{Name: r.Name, Class: r.File, File: r.File, Line: r.Line}
	if r.Passed() {
		return e
	}
	var said []string
	for _, d := range r.Differences {
		said = append(said, fmt.Sprintf("%s: wanted %s, got %s", d.What, d.Want, d.Got))
	}
	e.Failure = &failureElement{Message: strings.Join(said, "; "), Type: "difference", Text: strings.Join(r.details(), "\n")}
	return e
}
