package fieldvalue

import (
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// A Projection picks claims out of a token, each under the names it has there,
// those that it is nested in included.
type Projection struct{ wanted []wish }

// A wish is one dotted path, as the ways in which it can be meant.
type wish []way

// A way is one reading of a path: its steps, and a path that is read so only.
type way struct {
	steps []string
	path  string
}

// NewProjection compiles dotted claim paths as token.Object.Lookup reads them.
func NewProjection(paths []string) *Projection {
	p := &Projection{}
	for _, path := range paths {
		p.wanted = append(p.wanted, ways(path))
	}
	return p
}

// ways lists the readings of path in the order in which they are tried: a name
// with dots in it wins over a step.
func ways(path string) wish {
	if strings.IndexByte(path, '\\') >= 0 {
		return wish{{token.Steps(path), path}}
	}
	var list wish
	var steps []string
	for rest, more := path, true; more; {
		all := append(steps[:len(steps):len(steps)], rest)
		list = append(list, way{all, exact(all)})
		var name string
		if name, rest, more = strings.Cut(rest, "."); more {
			steps = append(steps, name)
		}
	}
	return list
}

// exact writes steps as a path that has no second reading, unless the one
// without a name with a dot in it, which is tried last.
func exact(steps []string) string {
	escaped := make([]string, len(steps))
	for i, s := range steps {
		escaped[i] = strings.ReplaceAll(s, ".", `\.`)
	}
	return strings.Join(escaped, ".")
}

// A branch is a member of the object that is made.
type branch struct {
	name  string
	value token.Value // empty where there are branches
	below []*branch
}

// Append writes the picked claims of c as a JSON object in ASCII; null is as good
// as absent. Where
// c has none of them nothing is written, and it is not ok.
func (p *Projection) Append(out []byte, c *token.Claims) (written []byte, ok bool) {
	root := &branch{}
	for _, w := range p.wanted {
		for _, way := range w {
			if v, found := c.Lookup(way.path); found {
				if !v.IsNull() {
					root.grow(way.steps, v)
				}
				break
			}
		}
	}
	if len(root.below) == 0 {
		return out, false
	}
	return root.append(out), true
}

// grow puts v at the end of steps. What stands above another claim holds it
// already.
func (b *branch) grow(steps []string, v token.Value) {
	for _, name := range steps {
		next := b.child(name)
		if next == nil {
			next = &branch{name: name}
			b.below = append(b.below, next)
		} else if next.value != "" {
			return
		}
		b = next
	}
	b.value, b.below = v, nil
}

func (b *branch) child(name string) *branch {
	for _, one := range b.below {
		if one.name == name {
			return one
		}
	}
	return nil
}

func (b *branch) append(out []byte) []byte {
	if b.value != "" {
		return appendValue(out, b.value)
	}
	for i, one := range b.below {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		out = append(AppendText(append(out, separator), one.name), ':')
		out = one.append(out)
	}
	return append(out, '}')
}
