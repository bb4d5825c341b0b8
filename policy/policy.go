// Package policy finds the route that governs a request and holds the caller
// against it. It knows paths, methods and what a verified principal must
// bring; it reads no token and no HTTP message.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/policy/expr"
	"github.com/wicketgate/wicketgate/token"
)

// A Binding says how a token must be bound to its sender on a route.
type Binding uint8

// The bindings a route can ask for.
const (
	AnyBinding   Binding = iota // bearer tokens and bound tokens
	DPoPBinding                 // only DPoP-bound tokens, RFC 9449
	MTLSBinding                 // only certificate-bound tokens, RFC 8705
	BoundBinding                // only tokens bound in either way
)

// A Detail is an authorization_details object that a token must hold the like
// of (RFC 9396 section 2). Each list that is not empty wants all of its values
// in the same object of the token.
type Detail struct {
	Type       string
	Actions    []string
	Locations  []string
	DataTypes  []string
	Privileges []string
	Identifier string
}

// A Resource is what the routes of one resource share.
type Resource struct {
	Identifiers []string            // by which tokens name it: its audiences
	Implies     map[string][]string // scopes that a scope stands for as well
}

// A Request is what a route may look at beside the caller. It is as the client
// sent it, and not to be changed.
type Request struct {
	Method string
	Host   string // normalised, with a port other than 80 and 443
	Path   string // canonical and decoded, as given to Set.Route
	Header map[string][]string
	Sender Sender // nil where nobody knows
}

// A Sender says where a request came from. It is asked by routes only that want
// to know.
type Sender interface {
	// Source is the client's address, as far as trusted proxies tell it; the zero
	// Addr when that is not known.
	Source() netip.Addr
}

// Options describes one route.
type Options struct {
	Name     string
	Hosts    []string // as Request.Host has them, or "*.example.com" for all below one; none: every host
	Path     string   // literal segments, "*" or "{name}" for one segment, "**" at the end for the rest
	Methods  []string // none: every method; GET includes HEAD
	Public   bool     // no token is asked for or looked at
	Optional bool     // without a token the request passes as anonymous; a bad token is refused
	Binding  Binding
	Hide     bool // who is refused for want of a right is not to know of the route

	Nonce bool // proofs must carry a nonce of ours, RFC 9449 section 9

	All token.Scopes // every one is needed
	Any token.Scopes // one of them is needed

	ACR    []string      // one of these classes, the best first; RFC 9470 section 3
	AMR    []string      // all of these methods, RFC 8176
	MaxAge time.Duration // how long ago the user may have authenticated; 0 for any time

	Clients     []string             // one of these, by client_id
	Subjects    []string             // one of these, by sub
	SubjectType string               // "user" or "client", as Principal.SubjectType has it; empty for both
	Actors      []string             // one of these must act for the subject, by sub of the outermost act; RFC 8693 section 4.1
	Claims      map[string]ClaimRule // by dotted path
	Details     []Detail             // one of these, RFC 9396

	MaxTokenAge time.Duration  // how long ago the token may have been issued; 0 for any time
	Networks    []netip.Prefix // the client's address is in one of these
	When        string         // an expression that must hold, see package expr

	StripPrefix string // removed from the path the upstream sees

	Allow           Oddities // borne in paths that lead here however they are read
	CaseInsensitive bool     // the letters of Path are compared without case, ASCII only

	WebSocket   bool // handshakes are let through, RFC 6455
	KeepStreams bool // streams outlive the token they began with
}

// Error is a complaint about one route.
type Error struct {
	Index   int    // of the route in the list given to Compile
	Field   string // the route's key
	Offset  int    // of the place in its text, in code points
	Message string
	Hint    string // what to write instead; may be empty
	Other   *Route // the one it conflicts with, or nil
}

func (e *Error) Error() string { return fmt.Sprintf("routes[%d].%s: %s", e.Index, e.Field, e.Message) }

// A Route is what governs a request.
type Route struct {
	Options

	index    int
	pattern  []string // the segments of Path
	schemes  token.Scheme
	captures []capture
	demands  demands
	when     *expr.Program // nil for none
}

// Matched reports whether this is a configured route. What nothing matches is
// governed by a route that is not, and is refused.
func (r *Route) Matched() bool { return r.index >= 0 }

// Index is the place of the route in the configuration, or -1.
func (r *Route) Index() int { return r.index }

// Schemes is what a token may come with on this route.
func (r *Route) Schemes() token.Scheme { return r.schemes }

// UpstreamPath is the path the upstream is asked for, given the path as the
// client sent it: the same octets, less the prefix to strip.
func (r *Route) UpstreamPath(raw string) string {
	if r.StripPrefix == "" {
		return raw
	}
	return cutPrefix(raw, r.StripPrefix)
}

// Authorize holds a request of a verified caller against the route as of now. A nil error
// allows. Where several things are amiss, the answer is the one that spares the
// client a vain attempt: policy, then login and scope together.
func (r *Route) Authorize(req *Request, p *token.Principal, now time.Time) *token.Error {
	refusal := r.require(req, p, now)
	if refusal != nil && r.Hide {
		return r.forbid(req, p, now, refusal)
	}
	return refusal
}

// A Set is the compiled routes of one resource. It is immutable.
type Set struct {
	hosts   hosts
	routes  []*Route
	nowhere *Route
	folds   bool // a route is compared without case
	hides   bool // a route is hidden
}

// node is one segment in the tree of patterns. At each segment a literal is
// tried before any one segment, and that before the rest.
type node struct {
	literals map[string]*node
	folded   map[string]*node // in lower case, of routes that are compared without case
	one      *node
	rest     []*Route
	here     []*Route
}

// Compile builds the Set of one resource. With no routes everything needs a valid token and
// nothing more. The error joins an *Error for each complaint.
func Compile(options []Options, resource Resource) (*Set, error) {
	s := &Set{nowhere: &Route{Options: Options{Name: "none"}, index: -1}}
	if len(options) == 0 {
		options = []Options{{Name: "default", Path: "/**"}}
	}
	var problems []error
	trees := make(map[string]*node)
	var expressions expr.Compiler
	for i, o := range options {
		r := &Route{Options: o, index: i, schemes: token.Bearer | token.DPoP, demands: compileDemands(&o, resource)}
		if o.Binding == DPoPBinding {
			r.schemes = token.DPoP
		}
		if err := s.add(trees, r); err != nil {
			problems = append(problems, err)
		}
		problems = append(problems, r.compileWhen(&expressions)...)
		s.routes = append(s.routes, r)
	}
	s.hosts = newHosts(trees)
	problems = append(problems, s.spellings()...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return s, nil
}

// Routes lists the routes in the order of the configuration.
func (s *Set) Routes() []*Route { return s.routes }

// Hides reports whether some route is hidden: what is done for its sake is done on every
// path of the resource, or it would tell.
func (s *Set) Hides() bool { return s.hides }

func (s *Set) add(trees map[string]*node, r *Route) error {
	complain := func(field, format string, args ...any) error {
		return &Error{Index: r.index, Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if !strings.HasPrefix(r.Path, "/") {
		return complain("path", "must begin with a slash")
	}
	segments := segmentsOf(r.Path)
	r.pattern = segments
	for i, seg := range segments {
		if err := checkSegment(seg, i == len(segments)-1); err != "" {
			return complain("path", "%s", err)
		}
	}
	r.captures = capturesOf(segments)
	if twice := repeated(r.Captures()); twice != "" {
		return complain("path", "captures {%s} twice", twice)
	}
	if r.StripPrefix != "" && !isLiteralPrefix(segments, r.StripPrefix) {
		return complain("strip_prefix", "must be whole literal segments at the front of path, like /ext of /ext/**")
	}
	if field, message := checkAllowed(r, segments); message != "" {
		return &Error{Index: r.index, Field: field, Message: message, Hint: "change the path, or remove " + field}
	}
	for _, host := range r.Hosts {
		if err := checkHost(host); err != "" {
			return complain("hosts", "%s", err)
		}
	}
	s.folds = s.folds || r.CaseInsensitive
	s.hides = s.hides || r.Hide
	for _, host := range hostsOf(r) {
		if trees[host] == nil {
			trees[host] = &node{}
		}
		if err := trees[host].plant(r, segments); err != nil {
			return err
		}
	}
	return nil
}

// plant puts a route where its path leads, beside those with other methods.
func (n *node) plant(r *Route, segments []string) error {
	leaf := n.leaf(segments, r.CaseInsensitive)
	for _, other := range *leaf {
		if other.Allow != r.Allow {
			return &Error{Index: r.index, Field: "allow", Message: fmt.Sprintf("must be the same as that of routes[%d], which has the same path", other.index), Hint: "", Other: other}
		}
		if overlap(r.Methods, other.Methods) {
			return &Error{Index: r.index, Field: "path", Message: fmt.Sprintf("governs the same requests as routes[%d]", other.index), Hint: "list different methods in each, or remove one", Other: other}
		}
	}
	*leaf = append(*leaf, r)
	return nil
}

// segmentsOf splits a path. A slash at the end does not count: /a and /a/ are
// governed by the same route, since many servers treat them as one resource.
func segmentsOf(path string) []string {
	if path == "" || path == "/" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(path[1:], "/"), "/")
}

func checkSegment(seg string, last bool) string {
	switch {
	case seg == "**" && !last:
		return "** may only be the last segment"
	case seg == "**" || seg == "*":
		return ""
	case isCapture(seg):
		return ""
	case strings.ContainsAny(seg, "*{}"):
		return "a segment is a literal, *, {name} or **: " + seg + " mixes them"
	case seg == "":
		return "an empty segment matches no request"
	case strings.ContainsAny(seg, "?#;%\\") || isBadSegment(seg):
		return "the segment " + seg + " matches no request: paths are compared decoded and in canonical form"
	case strings.HasSuffix(seg, ".") || strings.Trim(seg, " ") != seg:
		return "the segment " + seg + " matches no request: some servers drop spaces around a segment and dots at its end"
	}
	return ""
}

func isCapture(seg string) bool {
	return len(seg) > 2 && seg[0] == '{' && seg[len(seg)-1] == '}' && !strings.ContainsAny(seg[1:len(seg)-1], "*{}")
}

func isLiteralPrefix(segments []string, prefix string) bool {
	if !strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") {
		return false
	}
	cut := strings.Split(prefix[1:], "/")
	if len(cut) > len(segments) {
		return false
	}
	for i, seg := range cut {
		if seg != segments[i] || seg == "*" || seg == "**" || isCapture(seg) {
			return false
		}
	}
	return true
}

// overlap tells whether two routes with one path could both claim a method. A
// route that lists methods goes before one that takes them all.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) })
}

func (n *node) leaf(segments []string, fold bool) *[]*Route {
	for _, seg := range segments {
		switch {
		case seg == "**":
			return &n.rest
		case seg == "*" || isCapture(seg):
			if n.one == nil {
				n.one = &node{}
			}
			n = n.one
		case fold && hasLetters(seg):
			n = child(&n.folded, lower(seg, false))
		default:
			n = child(&n.literals, seg)
		}
	}
	return &n.here
}

func child(of *map[string]*node, name string) *node {
	if *of == nil {
		*of = make(map[string]*node)
	}
	if (*of)[name] == nil {
		(*of)[name] = &node{}
	}
	return (*of)[name]
}

// Route returns the route that governs a request: of those for the most
// specific host that have its path, the one with the most specific path,
// compared segment by segment from the left. path is what Scan returned. A method that this path does not list finds no route,
// not a wider one: what is not spelled out is refused. Nor does a method that
// some servers would take for one with another route, as get for GET. It never
// returns nil.
func (s *Set) Route(method, host, path string) *Route {
	candidates := find(s.hosts.trees(host), path, reading{})
	r := s.choose(candidates, method)
	if upper := strings.ToUpper(method); upper != method && s.choose(candidates, upper) != r {
		return s.nowhere
	}
	return r
}

// choose finds the route for a method among those of one pattern.
func (s *Set) choose(candidates []*Route, method string) *Route {
	for _, r := range candidates {
		if slices.Contains(r.Methods, method) {
			return r
		}
	}
	if method == "HEAD" {
		for _, r := range candidates {
			if slices.Contains(r.Methods, "GET") {
				return r
			}
		}
	}
	for _, r := range candidates {
		if len(r.Methods) == 0 {
			return r
		}
	}
	return s.nowhere
}

// find returns the routes of the most specific pattern that matches rest, the
// part of the path not consumed yet.
func (n *node) find(rest string, how reading) []*Route {
	segment, after, ok := how.next(rest)
	if !ok {
		if len(n.here) > 0 {
			return n.here
		}
		return n.rest
	}
	if child := n.literals[segment]; child != nil {
		if found := child.find(after, how); found != nil {
			return found
		}
	}
	if n.folded != nil {
		if child := n.folded[lower(segment, how.wide)]; child != nil {
			if found := child.find(after, how); found != nil {
				return found
			}
		}
	}
	if n.one != nil {
		if found := n.one.find(after, how); found != nil {
			return found
		}
	}
	return n.rest
}
