package imports

import (
	"fmt"
	"slices"
	"strings"
)

// settle makes of the rules of other programs, where several may fit a request,
// routes of which the most specific governs.
func (d *draft) settle(r *resource) {
	if len(r.routes) == 0 && len(r.refused) > 0 && r.open {
		r.routes = append(r.routes, &route{at: r.at, path: everything()})
	}
	d.unite(r)
	if r.union {
		r.silence()
		d.spread(r)
		r.routes = slices.DeleteFunc(r.routes, func(o *route) bool { return o.weak && len(r.on(o.path)) > 1 })
	}
	for i := range r.refused {
		d.carve(r, &r.refused[i])
	}
	r.routes = slices.DeleteFunc(r.routes, func(o *route) bool { return o.closed && r.governing(o.path, o) == "" })
	if len(r.routes) == 0 && (!r.open || len(r.refused) > 0) {
		r.routes = append(r.routes, &route{at: r.at, path: everything(), closed: true})
	}
}

// on lists the routes that match exactly the paths of p.
func (r *resource) on(p pattern) (out []*route) {
	shape := p.shape()
	for _, o := range r.routes {
		if o.path.shape() == shape {
			out = append(out, o)
		}
	}
	return out
}

// shapes lists the different patterns of the routes that are not closed.
func (r *resource) shapes() (out []pattern) {
	seen := make(map[string]bool)
	for _, o := range r.routes {
		if shape := o.path.shape(); !seen[shape] && !o.closed {
			seen[shape] = true
			out = append(out, o.path)
		}
	}
	return out
}

// governing is the shape that governs the paths of p, all of which it matches,
// but for one route; "" if there is none.
func (r *resource) governing(p pattern, but *route) string {
	var best pattern
	for _, o := range r.routes {
		if o != but && o.path.covers(p) && (best == nil || o.path.before(best)) {
			best = o.path
		}
	}
	if best == nil {
		return ""
	}
	return best.shape()
}

// unite leaves one route for each pattern and method.
func (d *draft) unite(r *resource) {
	shapes := make(map[*route]string)
	for _, o := range r.routes {
		shapes[o] = o.path.shape()
	}
	for i := 0; i < len(r.routes); i++ {
		for j := i + 1; j < len(r.routes); j++ {
			a, b := r.routes[i], r.routes[j]
			if shapes[a] != shapes[b] {
				continue
			}
			if !meet(a.methods, b.methods) {
				if r.union {
					d.shadowed(a, b)
				}
				continue
			}
			if d.join(r, a, b) {
				r.routes = slices.Delete(r.routes, j, j+1)
				j--
			}
		}
	}
	r.routes = slices.DeleteFunc(r.routes, func(o *route) bool { return o.closed && !o.weak })
}

// join makes one of two routes that claim the same requests, or gives these to
// the first, or to nobody. It tells whether the second is to go.
func (d *draft) join(r *resource, a, b *route) (gone bool) {
	same := a.public == b.public && a.optional == b.optional && a.strip == b.strip && slices.Equal(a.headers, b.headers) && len(a.except)+len(b.except) == 0
	if same && a.needs.equal(&b.needs) && (len(a.methods) == 0) == (len(b.methods) == 0) {
		a.methods = merged(a.methods, b.methods)
		return true
	}
	if r.union {
		if sum, ok := a.needs.either(&b.needs); ok && same && slices.Equal(a.methods, b.methods) {
			a.needs = sum
			return true
		}
		d.leave(b.at, ruleName(b), "the rule of "+a.at.String()+" is for the same requests, and a route cannot say \"one or the other\"; that one is kept")
		if len(b.methods) == 0 {
			return true
		}
		b.methods = without(b.methods, a.methods)
		return len(b.methods) == 0
	}
	why := "it is for requests that another rule is for as well"
	d.leave(b.at, ruleName(b), why+", that of "+a.at.String()+"; nobody passes")
	d.leave(a.at, ruleName(a), why+", that of "+b.at.String()+"; nobody passes")
	common := within(a.methods, b.methods)
	r.refused = append(r.refused, region{at: b.at, pattern: b.path.plain(), methods: common})
	if len(common) == 0 {
		a.closed = true
		return true
	}
	a.methods, b.methods = without(a.methods, common), without(b.methods, common)
	a.closed = len(a.methods) == 0
	return len(b.methods) == 0
}

// shadowed notes that of two rules of a union the one with methods governs.
func (d *draft) shadowed(a, b *route) {
	if len(a.methods) == 0 {
		a, b = b, a
	}
	if len(b.methods) == 0 && a.at != b.at && !a.needs.none() && !a.needs.equal(&b.needs) {
		d.leave(b.at, ruleName(b), fmt.Sprintf("for %s of %s the rule of %s governs", strings.Join(a.methods, ", "), a.path, a.at))
	}
}

func ruleName(o *route) string {
	name := o.path.String()
	if len(o.methods) > 0 {
		name = strings.Join(o.methods, ",") + " " + name
	}
	return name
}

// silence closes what rules of a union leave out, unless another rule fits.
func (r *resource) silence() {
	for _, o := range slices.Clone(r.routes) {
		for _, g := range o.except {
			inner, ok := intersect(g.pattern, o.path)
			if !ok || !g.touches(o.path) {
				continue
			}
			if inner.shape() == o.path.shape() {
				o.closed, o.weak = true, true
			} else if len(r.on(inner)) == 0 {
				r.routes = append(r.routes, &route{at: g.at, path: inner, closed: true, weak: true})
			}
		}
	}
}

// spread gives the methods that a narrow route of a union does not list the
// rules of wider routes, as the most specific route governs alone.
func (d *draft) spread(r *resource) {
	wide := slices.Clone(r.routes)
	slices.SortStableFunc(wide, func(a, b *route) int {
		switch {
		case a.path.before(b.path):
			return -1
		case b.path.before(a.path):
			return 1
		}
		return 0
	})
	var narrow []pattern
	for _, o := range wide {
		if !slices.ContainsFunc(narrow, func(p pattern) bool { return p.shape() == o.path.shape() }) {
			narrow = append(narrow, o.path)
		}
	}
	for _, p := range narrow {
		for _, w := range wide {
			if w.closed || w.path.shape() == p.shape() || !w.path.covers(p) || slices.ContainsFunc(w.except, func(g region) bool { return g.touches(p) }) {
				continue
			}
			d.lend(r, w, p)
		}
	}
}

// lend adds a route for p with the rule of w, for what nothing claims there yet.
func (d *draft) lend(r *resource, w *route, p pattern) {
	var taken []string
	all := false
	for _, o := range r.on(p) {
		if o.closed {
			continue
		}
		all = all || len(o.methods) == 0
		taken = append(taken, o.methods...)
		claimed := len(o.methods) == 0 || len(w.methods) == 0 || len(within(w.methods, o.methods)) > 0
		if claimed && o.at != w.at && !o.public && !o.needs.none() && !o.needs.equal(&w.needs) {
			d.leave(w.at, ruleName(w), "who satisfies it may do there what "+o.at.String()+" is about; here only the rule of "+ruleName(o)+" counts")
		}
	}
	if all {
		return
	}
	methods := w.methods
	if len(methods) > 0 && len(taken) > 0 {
		if methods = without(methods, taken); len(methods) == 0 {
			return
		}
	}
	lent := *w
	lent.path, lent.methods, lent.name, lent.except = p.plain(), methods, "", nil
	r.routes = append(r.routes, &lent)
}

// carve takes what is refused out of all routes.
func (d *draft) carve(r *resource, g *region) {
	for _, p := range r.shapes() {
		inner, ok := intersect(g.pattern, p)
		if !ok || !g.touches(p) {
			continue
		}
		group := r.on(p)
		if inner.shape() == p.shape() {
			rest := g.amend(group, nil)
			for _, o := range group {
				if !g.exact && g.change == nil && g.at != o.at && !o.closed && (len(o.methods)+len(g.methods) == 0 || len(within(o.methods, g.methods)) > 0) {
					d.leave(o.at, ruleName(o), "its requests may be those that "+g.at.String()+" is about; nobody passes there")
				}
			}
			if len(rest) == 0 {
				rest = []*route{{at: g.at, path: p.plain(), closed: true}}
			}
			r.routes = slices.DeleteFunc(r.routes, func(o *route) bool { return slices.Contains(group, o) })
			r.routes = append(r.routes, rest...)
			continue
		}
		if len(r.on(inner)) > 0 || r.governing(inner, nil) != p.shape() {
			continue
		}
		rest := g.amend(group, inner)
		if len(rest) == 0 {
			rest = []*route{{at: g.at, path: inner, closed: true}}
		}
		r.routes = append(r.routes, rest...)
	}
}

// amend is what the region leaves of routes, at another pattern if there is one.
func (g *region) amend(group []*route, at pattern) (out []*route) {
	var listed []string // by routes that go before the one for all methods
	for _, o := range group {
		listed = append(listed, o.methods...)
	}
	for _, o := range group {
		rest, hit := *o, *o
		if at != nil {
			rest.path, hit.path, rest.name, hit.name = at, at, "", ""
			if strings.HasPrefix(o.path.String(), o.strip+"/") && o.strip != "" {
				rest.strip, hit.strip = o.strip, o.strip
			}
		}
		if len(g.methods) > 0 {
			rest.methods = o.unlisted(without(o.methods, g.methods), listed)
			if len(rest.methods) > 0 {
				out = append(out, &rest)
			}
		}
		hit.methods = o.unlisted(within(o.methods, g.methods), listed)
		if len(hit.methods) == 0 && len(o.methods)+len(g.methods) > 0 || g.change == nil {
			continue
		}
		if len(rest.methods) > 0 && len(g.methods) > 0 {
			hit.name = ""
		}
		if g.change(&hit) {
			out = append(out, &hit)
		}
	}
	return out
}

// unlisted are the methods that no other route of the pattern lists, if this one
// lists none.
func (o *route) unlisted(methods, listed []string) []string {
	if len(o.methods) > 0 {
		return methods
	}
	return slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return slices.Contains(listed, m) })
}
