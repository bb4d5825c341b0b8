package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"net/textproto"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/wicketgate/wicketgate/token"
)

// Cases is a file of requests, each with what should become of it.
type Cases struct {
	Defaults CaseDefaults `yaml:"defaults" doc:"What holds for every case of the file that does not say otherwise."`
	Cases    []Case       `yaml:"cases" required:"true" doc:"The requests; at least one."`

	source *source
}

// CaseDefaults is what cases have in common.
type CaseDefaults struct {
	Resource string            `yaml:"resource" doc:"Name of the resource; default the one whose public origin the URL has, or the first."`
	Issuer   string            `yaml:"issuer" doc:"Name of the issuer that makes tokens; needed where there are several."`
	Claims   Claims            `yaml:"claims" doc:"Claims of every token that is made; a case lays its own over them."`
	Headers  map[string]string `yaml:"headers" doc:"Header fields of every request; a case lays its own over them."`
	Now      Moment            `yaml:"now" doc:"What time it is, as RFC 3339 has it; default the time of the test."`
}

// Case is one request and what should become of it.
type Case struct {
	Name     string      `yaml:"name" required:"true" doc:"What the case shows, in the words of whoever reads a report; no two in a file are the same."`
	Request  CaseRequest `yaml:"request" required:"true" doc:"The request, short like GET /orders/1, or in keys."`
	Resource string      `yaml:"resource" doc:"Name of the resource; default that of the file."`

	Claims    Claims `yaml:"claims" doc:"A token is made with these claims, by name: null takes one out, exp, iat, nbf and auth_time may be durations from now; default no token."`
	Issuer    string `yaml:"issuer" doc:"Name of the issuer that makes it; default that of the file."`
	Binding   string `yaml:"binding" enum:"dpop,mtls" doc:"What the token is bound to, and comes with: dpop is a proof, mtls a client certificate; default a bearer token."`
	Revoked   bool   `yaml:"revoked" doc:"The issuer says that the token is no longer good, where it is asked or keeps a status list; default false."`
	Token     string `yaml:"token" doc:"A token to send as it is, instead of claims; a real one needs jwks_file."`
	TokenFile string `yaml:"token_file" doc:"File with such a token."`
	Now       Moment `yaml:"now" doc:"What time it is, as RFC 3339 has it; default that of the file."`

	Expect Expectation `yaml:"expect" required:"true" doc:"What should become of it, short like allow, or in keys."`
	Line   int         // in the file, from 1
}

// CaseRequest is a request as its client sends it.
type CaseRequest struct {
	Method  string            `yaml:"method" default:"GET" doc:"The method; default GET."`
	URL     string            `yaml:"url" doc:"The URL as the client knows it."`
	Path    string            `yaml:"path" doc:"Or the path, with a query perhaps, at the resource's first public origin."`
	Host    string            `yaml:"host" doc:"The Host field; default the first of the resource's hosts, or that of the URL."`
	Headers map[string]string `yaml:"headers" doc:"Header fields; default none."`
	Source  string            `yaml:"source" doc:"IP address that the connection comes from; default 127.0.0.1."`
}

// Target is the URL, or the path, that the request is for.
func (r *CaseRequest) Target() string { return cmp.Or(r.URL, r.Path) }

// The decisions that can be expected.
const (
	DecidedAllow     = "allow"     // forwarded for the caller that the token names
	DecidedAnonymous = "anonymous" // forwarded for nobody in particular
	DecidedDeny      = "deny"      // refused: 4xx
	DecidedFail      = "fail"      // nobody can tell: 503
	DecidedAnswer    = "answer"    // the gate has an answer of its own: metadata, a preflight
)

// Expectation is what should become of a request. What it does not name is not
// looked at.
type Expectation struct {
	Decision  string            `yaml:"decision" enum:"allow,anonymous,deny,fail,answer" doc:"allow: forwarded for a verified caller; anonymous: forwarded for nobody; deny: 4xx; fail: 503; answer: the gate's own."`
	Reason    string            `yaml:"reason" doc:"Which check refuses, by the name it has in logs and metrics, like scope or expired."`
	Error     string            `yaml:"error" doc:"The code the client is told, like insufficient_scope, or none."`
	Status    int               `yaml:"status" min:"100" max:"599" doc:"Status of the gate's own answer."`
	Route     string            `yaml:"route" doc:"Name of the route that governs it, or none."`
	Challenge Challenge         `yaml:"challenge" doc:"What WWW-Authenticate says: text in one of its lines, or parameters of one, with its scheme as scheme; none for no such line."`
	Headers   map[string]Wanted `yaml:"headers" doc:"Header fields that the upstream is told of the caller: text for exactly that, * for any, null for none."`
	Upstream  string            `yaml:"upstream" doc:"Where the request goes: the URL, or its path."`
}

// Claims are claims as JSON, by name. A claim that is null is to be taken out.
type Claims map[string]json.RawMessage

// Wanted is text that is expected, or its absence.
type Wanted struct {
	Text   string
	Absent bool
}

// Challenge is what is expected of the challenges of an answer.
type Challenge struct {
	Contains   string            // text in one of them
	None       bool              // there is none
	Parameters map[string]Wanted // of one of them
}

// On reports whether anything is expected.
func (c Challenge) On() bool { return c.None || c.Contains != "" || c.Parameters != nil }

// Moment is a time that a file names. The zero Moment is none.
type Moment struct{ time.Time }

// ownForm is what a type does that decodes a value by itself.
type ownForm interface {
	decode(d *decoder, path string, n *yaml.Node)
}

func (m *Moment) decode(d *decoder, path string, n *yaml.Node) {
	at, err := time.Parse(time.RFC3339, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.report(d.values[path], path, "is no time", "write it like 2026-01-31T12:00:00Z")
		return
	}
	m.Time = at
}

func (w *Wanted) decode(d *decoder, path string, n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.wrongKind(path, n, "text, * for any or null for none", "")
	case n.ShortTag() == "!!null":
		w.Absent = true
	default:
		w.Text = n.Value
	}
}

func (c *Challenge) decode(d *decoder, path string, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode:
		d.table(path, n, reflect.ValueOf(&c.Parameters).Elem(), "")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value != "":
		c.Contains, c.None = n.Value, n.Value == "none"
	default:
		d.wrongKind(path, n, "text, parameters or none", "")
	}
}

func (c *Claims) decode(d *decoder, path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.wrongKind(path, n, "claims by name", "write {} for a good token as it is; without claims the request has no token")
		return
	}
	*c = make(Claims)
	d.entries(path, n, func(path, key string, n *yaml.Node) { (*c)[key] = d.json(path, n) })
}

// json writes n as JSON.
func (d *decoder) json(path string, n *yaml.Node) json.RawMessage {
	problem, hint := notPlain(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return json.RawMessage("null")
	case problem != "":
		d.report(markOf(n), path, problem, hint)
	case n.Kind == yaml.MappingNode:
		all := make(map[string]json.RawMessage)
		d.entries(path, n, func(path, key string, n *yaml.Node) { all[key] = d.json(path, n) })
		return marshalled(all)
	case n.Kind == yaml.SequenceNode:
		all := make([]json.RawMessage, len(n.Content))
		for i, item := range n.Content {
			all[i] = d.json(path+"["+strconv.Itoa(i)+"]", item)
		}
		return marshalled(all)
	default:
		return d.scalarJSON(path, n)
	}
	return json.RawMessage("null")
}

func (d *decoder) scalarJSON(path string, n *yaml.Node) json.RawMessage {
	switch n.ShortTag() {
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.RawMessage(n.Value) // to the last digit
		}
		var number float64
		if n.Decode(&number) != nil || math.IsInf(number, 0) || math.IsNaN(number) {
			d.report(markOf(n), path, "is no number that JSON has", "")
			return json.RawMessage("null")
		}
		return marshalled(number)
	case "!!bool":
		return json.RawMessage(strings.ToLower(n.Value))
	}
	return marshalled(n.Value)
}

// marshalled writes what always marshals.
func marshalled[T any](v T) json.RawMessage {
	out, _ := json.Marshal(v)
	return out
}

func (r *CaseRequest) decode(d *decoder, path string, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.object(path, n, reflect.ValueOf(r).Elem(), "a request like GET /orders/1, or keys with values")
		return
	}
	method, target, both := strings.Cut(n.Value, " ")
	if !both {
		method, target = "GET", n.Value
	}
	r.Method = method
	if strings.HasPrefix(target, "/") {
		r.Path = target
	} else {
		r.URL = target
	}
}

func (e *Expectation) decode(d *decoder, path string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		e.Decision = n.Value
		d.enum(path, n.Value, []string{DecidedAllow, DecidedAnonymous, DecidedDeny, DecidedFail, DecidedAnswer})
		return
	}
	d.object(path, n, reflect.ValueOf(e).Elem(), "a decision like allow, or keys with values")
}

// LoadCases reads the file of cases at path strictly. Variables are not expanded
// in it. Names of files in it come out relative to its folder. The error is an
// Errors, or says why the file cannot be read.
func LoadCases(path string) (*Cases, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("file of cases: %w", err)
	}
	return ParseCases(path, text)
}

// ParseCases reads the text of a file called name, as LoadCases does.
func ParseCases(name string, text []byte) (*Cases, error) {
	s := newSource(name, strings.TrimPrefix(string(text), "\uFEFF"))
	c := &Cases{source: s}
	if s.checkText(text) {
		if root := s.document(string(text)); root != nil {
			(&decoder{source: s, literal: true}).value("", root, reflect.ValueOf(c).Elem(), "")
			c.check()
		}
	}
	if len(s.errs) > 0 {
		return nil, s.sorted()
	}
	return c, nil
}

// ErrorAt makes an error about path with its place in the file.
func (c *Cases) ErrorAt(path, message, hint string) *Error {
	return c.source.errorAt(c.source.place(path), path, message, hint)
}

// check completes each case and compares what it says.
func (c *Cases) check() {
	named := make(map[string]int)
	for i := range c.Cases {
		one, at := &c.Cases[i], fmt.Sprintf("cases[%d]", i)
		one.Line = c.source.place(at).line
		if before, twice := named[one.Name]; twice && one.Name != "" {
			c.bad(at+".name", "names another case too", "the one in line "+strconv.Itoa(before))
		}
		named[one.Name] = one.Line
		c.request(at+".request", &one.Request)
		c.credential(at, one)
		c.expectation(at+".expect", &one.Expect)
		if one.TokenFile != "" && !filepath.IsAbs(one.TokenFile) {
			one.TokenFile = filepath.Join(filepath.Dir(c.source.name), one.TokenFile)
		}
		one.Resource = cmp.Or(one.Resource, c.Defaults.Resource)
		one.Issuer = cmp.Or(one.Issuer, c.Defaults.Issuer)
		if one.Now.IsZero() {
			one.Now = c.Defaults.Now
		}
		one.Claims, one.Request.Headers = c.Defaults.under(one.Claims), c.Defaults.beside(one.Request.Headers)
	}
}

func (c *Cases) bad(path, message, hint string) {
	c.source.report(c.source.place(path), path, message, hint)
}

// under lays claims over those of every token, if there are any.
func (d *CaseDefaults) under(claims Claims) Claims {
	if claims == nil {
		return nil
	}
	for name, value := range d.Claims {
		if _, said := claims[name]; !said {
			claims[name] = value
		}
	}
	return claims
}

// beside lays header fields over those of every request.
func (d *CaseDefaults) beside(headers map[string]string) map[string]string {
	all := make(map[string]string)
	for _, from := range []map[string]string{d.Headers, headers} {
		for name, value := range from {
			all[textproto.CanonicalMIMEHeaderKey(name)] = value
		}
	}
	return all
}

func (c *Cases) request(at string, r *CaseRequest) {
	scheme := strings.HasPrefix(r.URL, "https://") || strings.HasPrefix(r.URL, "http://")
	switch {
	case !c.source.has(at) || c.source.faulty[at]:
	case r.URL != "" && r.Path != "":
		c.bad(at+".path", "means nothing beside url", "remove one of them")
	case r.Target() == "":
		c.bad(at, "says no path", "write it like GET /orders/1")
	case r.URL != "" && !scheme:
		c.bad(at+".url", "is no http or https URL and no path", "a path begins with a slash")
	case r.Path != "" && r.Path[0] != '/':
		c.bad(at+".path", "must begin with a slash", "")
	}
	if _, err := netip.ParseAddr(r.Source); r.Source != "" && err != nil {
		c.bad(at+".source", "is no IP address", "")
	}
}

// credential makes sure that a case brings one token, or none.
func (c *Cases) credential(at string, one *Case) {
	ways := 0
	for _, key := range []string{"claims", "token", "token_file"} {
		if !c.source.has(at + "." + key) {
			continue
		}
		if ways++; ways > 1 {
			c.bad(at+"."+key, "is a second token", "a request has claims, token or token_file")
		}
	}
	for _, key := range []string{"issuer", "binding", "revoked"} {
		if c.source.has(at+"."+key) && !c.source.has(at+".claims") {
			c.bad(at+"."+key, "means nothing without claims", "it is about the token made of them; write claims: {} for a good one")
		}
	}
}

func (c *Cases) expectation(at string, e *Expectation) {
	forwarded := e.Decision == DecidedAllow || e.Decision == DecidedAnonymous
	turned := e.Decision != "" && !forwarded || e.Status != 0 || e.Reason+e.Error != "" || e.Challenge.On()
	if e.Reason != "" {
		var known []string
		for _, r := range token.Reasons {
			known = append(known, string(r.Reason))
		}
		if !slices.Contains(known, e.Reason) {
			c.bad(at+".reason", c.source.quote(at, e.Reason)+" is none that a check gives", cmp.Or(didYouMean(e.Reason, known), "what the client is told is error"))
		}
	}
	for key, wrong := range map[string]bool{
		"status": forwarded && e.Status != 0, "reason": (forwarded || e.Decision == DecidedAnswer) && e.Reason != "", "error": forwarded && e.Error != "", "challenge": forwarded && e.Challenge.On(),
	} {
		if wrong {
			c.bad(at+"."+key, "means nothing with decision: "+e.Decision, "the gate refuses nothing then")
		}
	}
	for key, wrong := range map[string]bool{"headers": turned && len(e.Headers) > 0, "upstream": turned && e.Upstream != ""} {
		if wrong {
			c.bad(at+"."+key, "means nothing where the request is not forwarded", "")
		}
	}
	asks := func(key string) bool { return c.source.has(at + "." + key) }
	if e.Decision == "" && c.source.has(at) && !slices.ContainsFunc([]string{"decision", "reason", "error", "status", "route", "challenge", "headers", "upstream"}, asks) {
		c.bad(at, "expects nothing", "name at least a decision")
	}
}

// Fits holds the names in the cases against a configuration. The error is an
// Errors.
func (c *Cases) Fits(f *File) error {
	var issuers, resources, routes []string
	for _, i := range f.Issuers {
		issuers = append(issuers, i.Name)
	}
	for _, r := range f.Resources {
		resources = append(resources, r.Name)
		for _, one := range r.Routes {
			routes = append(routes, one.Name)
		}
		if len(r.Routes) == 0 {
			routes = append(routes, "default")
		}
	}
	routes = append(routes, "none")
	known := func(at, what, name string, names []string) {
		if name != "" && !slices.Contains(names, name) {
			c.bad(at, "the configuration has no "+what+" "+c.source.quote(at, name), didYouMean(name, names))
		}
	}
	known("defaults.resource", "resource", c.Defaults.Resource, resources)
	known("defaults.issuer", "issuer", c.Defaults.Issuer, issuers)
	for i, one := range c.Cases {
		at := fmt.Sprintf("cases[%d]", i)
		if c.source.has(at + ".resource") {
			known(at+".resource", "resource", one.Resource, resources)
		}
		if c.source.has(at + ".issuer") {
			known(at+".issuer", "issuer", one.Issuer, issuers)
		} else if one.Claims != nil && one.Issuer == "" && len(issuers) > 1 {
			c.bad(at+".claims", "does not say whose token it is", "name one of the issuers: "+strings.Join(issuers, ", "))
		}
		known(at+".expect.route", "route", one.Expect.Route, routes)
	}
	if len(c.source.errs) > 0 {
		return c.source.sorted()
	}
	return nil
}
