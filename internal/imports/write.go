package imports

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// blankMark begins what is still to be filled in. Package config refuses it.
const blankMark = "<fill in: "

func blank(what string) string { return blankMark + what + ">" }

func isBlank(text string) bool { return strings.HasPrefix(text, blankMark) }

// writer writes YAML with the place that each thing came from beside it.
type writer struct {
	text   strings.Builder
	blanks []string
}

// noteColumn is where the places stand.
const noteColumn = 48

// line writes one line, indented by levels of two spaces.
func (w *writer) line(level int, text, note string) {
	text = strings.Repeat("  ", level) + text
	if note != "" {
		text = fmt.Sprintf("%-*s  # %s", noteColumn, text, OneLine(note))
	}
	w.text.WriteString(strings.TrimRight(text, " ") + "\n")
}

// pair writes key: value, and nothing for an empty value.
func (w *writer) pair(level int, key, text, note string) {
	if text != "" {
		w.line(level, key+": "+w.scalar(text), note)
	}
}

// list writes key: [values], and nothing for none.
func (w *writer) list(level int, key string, values []string, note string) {
	if len(values) == 0 {
		return
	}
	var out []string
	for _, v := range merged(nil, values) {
		out = append(out, w.scalar(v))
	}
	w.line(level, key+": ["+strings.Join(out, ", ")+"]", note)
}

// plainText needs no quotes anywhere in YAML.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@+-]*(://[A-Za-z0-9_./@+:-]*[A-Za-z0-9_/])?$`)

// scalar is text as it stands in the file.
func (w *writer) scalar(text string) string {
	if isBlank(text) && !slices.Contains(w.blanks, text) {
		w.blanks = append(w.blanks, text)
	}
	if !isBlank(text) {
		text = strings.ReplaceAll(text, "$", "$$")
	}
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plainText.MatchString(text) {
			return text
		}
	}
	return quoted(text)
}

// quoted writes text in double quotes. What the file must not hold cannot be
// escaped either, since it would reach a header or a comparison unseen.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range OneLine(text) {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String() + `"`
}

// write writes the file.
func (d *draft) write() (string, []string) {
	w := &writer{}
	var files []string
	for _, f := range d.files {
		files = append(files, OneLine(f))
	}
	w.line(0, "# Made by wicketgate import "+d.format+" from "+strings.Join(files, ", ")+".", "")
	w.line(0, "# What stands behind a # is the line that a setting came from. Try the file with", "")
	w.line(0, "# wicketgate check --config FILE before it serves.", "")
	w.line(0, "version: 1", "")
	w.pair(0, "listen", d.listen, "")
	if d.tls[0] != "" {
		w.line(0, "tls:", "")
		w.pair(1, "cert_file", d.tls[0], "")
		w.pair(1, "key_file", d.tls[1], "")
	}
	w.line(0, "issuers:", "")
	names := make(map[string]int)
	for _, i := range d.issuers {
		w.issuer(i, names)
	}
	w.line(0, "resources:", "")
	for _, r := range d.resources {
		w.resource(r)
	}
	return w.text.String(), w.blanks
}

func (w *writer) issuer(i *issuer, names map[string]int) {
	w.line(1, "- issuer: "+w.scalar(i.issuer), i.at.String())
	if names[i.name()]++; names[i.name()] > 1 || i.named {
		w.pair(2, "name", i.label(names), "")
	}
	w.pair(2, "provider", i.provider, "")
	if i.provider == "" && i.introspect == "" {
		w.line(2, "# profile: jwt", "if its tokens are older than RFC 9068 (typ is not at+jwt)")
	}
	w.list(2, "algorithms", i.algorithms, "")
	w.pair(2, "audience_claim", i.audience, "")
	w.pair(2, "discovery_url", i.discovery, "")
	w.pair(2, "jwks_uri", i.keys, "")
	if i.blankKeys != "" {
		w.pair(2, "jwks_file", blank(i.blankKeys), "")
	}
	if i.introspect != "" {
		w.line(2, "introspection:", "")
		w.pair(3, "endpoint", i.introspect, "")
		w.pair(3, "client_id", blank("who the gate is to the issuer"), "")
		w.pair(3, "client_secret_file", blank("a file with its secret"), "")
	}
}

// label is the name of an issuer, with a number if others on its host have the
// name already.
func (i *issuer) label(names map[string]int) string {
	if n := names[i.name()]; n > 1 {
		return fmt.Sprintf("%s-%d", i.name(), n)
	}
	return i.name()
}

func (w *writer) resource(r *resource) {
	w.line(1, "- identifier: "+w.scalar(r.identifier), "what tokens must name as audience")
	w.pair(2, "name", r.name, "")
	w.list(2, "audiences", r.audiences, "")
	if len(r.perIssuer) > 0 {
		w.line(2, "audiences_by_issuer:", "")
		var lines []string
		for i, list := range r.perIssuer {
			part := &writer{}
			part.list(3, part.scalar(i.name()), list, i.at.String())
			lines = append(lines, part.text.String())
		}
		slices.Sort(lines)
		w.text.WriteString(strings.Join(lines, ""))
	}
	w.list(2, "public_origins", r.origins, "")
	w.list(2, "hosts", r.hosts, "")
	w.pair(2, "upstream", r.upstream, "")
	if r.preflight != "" {
		w.line(2, "cors: {preflight: "+r.preflight+"}", "")
	}
	w.sources(r)
	w.forward(2, r.headers, r.token)
	if len(r.routes) == 0 {
		w.line(2, "# without routes every request needs a valid token", "")
		return
	}
	w.line(2, "routes:", "")
	used := make(map[string]bool)
	for _, o := range r.routes {
		w.route(o, used)
	}
}

func (w *writer) sources(r *resource) {
	if r.cookie == "" && r.tokenHeader == "" && !r.query {
		return
	}
	w.line(2, "token_sources:", "")
	w.pair(3, "cookie", r.cookie, "")
	w.pair(3, "header", r.tokenHeader, "")
	if r.query {
		w.line(3, "query: true", "")
	}
}

func (w *writer) forward(level int, headers []header, token bool) {
	if len(headers) == 0 && !token {
		return
	}
	w.line(level, "forward:", "")
	if len(headers) > 0 {
		w.line(level+1, "headers:", "")
		for _, h := range headers {
			w.pair(level+2, w.scalar(h.name), h.claim, "")
		}
	}
	if token {
		w.line(level+1, "token: true", "")
	}
}

func (w *writer) route(o *route, used map[string]bool) {
	if o.closed {
		w.line(3, "- path: "+w.scalar(o.path.String()), o.at.String()+": closed")
		w.line(4, "methods: [CLOSED]", "any other finds no route here")
		w.line(4, "claims: {closed: [nobody]}", "and nobody may use this one")
		return
	}
	name := routeName(o.name, used)
	if name != "" {
		w.line(3, "- name: "+w.scalar(name), o.at.String())
		w.pair(4, "path", o.path.String(), "")
	} else {
		w.line(3, "- path: "+w.scalar(o.path.String()), o.at.String())
	}
	w.list(4, "methods", o.methods, "")
	switch {
	case o.public:
		w.line(4, "public: true", "needs no token")
	case o.optional:
		w.line(4, "optional: true", "a token may be missing, but not bad")
	}
	w.needs(o.needs)
	w.pair(4, "strip_prefix", o.strip, "")
	w.forward(4, o.headers, false)
}

func (w *writer) needs(n needs) {
	if len(n.any) == 0 {
		w.list(4, "scopes", n.all, "")
	} else {
		w.line(4, "scopes:", "")
		w.list(5, "all", n.all, "")
		w.list(5, "any", n.any, "one of them")
	}
	w.list(4, "subjects", n.subjects, "")
	if len(n.claims) > 0 {
		w.line(4, "claims:", "")
		for _, c := range n.claims {
			w.list(5, w.scalar(c.path), c.values, "")
		}
	}
}

var badName = regexp.MustCompile(`[^A-Za-z0-9._:/@-]+`)

// routeName makes a name fit, and different from those before it.
func routeName(name string, used map[string]bool) string {
	name = strings.TrimLeft(badName.ReplaceAllString(name, "-"), "._:/@-")
	if len(name) > 120 {
		name = name[:120]
	}
	base := name
	for n := 2; used[name] && base != ""; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	used[name] = true
	return name
}
