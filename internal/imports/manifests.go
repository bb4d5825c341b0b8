package imports

import (
	"slices"
	"strings"
)

// manifest is a Kubernetes object.
type manifest struct {
	value
	kind, namespace, label string // label is the name
}

// manifests reads all objects of all files, lists taken apart.
func manifests(sources []Source) ([]manifest, error) {
	var out []manifest
	for _, s := range sources {
		docs, err := documents(s)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			list := []value{doc}
			if strings.HasSuffix(doc.get("kind").text(), "List") {
				list = doc.get("items").items()
			}
			for _, v := range list {
				m := manifest{value: v, kind: v.get("kind").text(), label: v.get("metadata", "name").text(), namespace: v.get("metadata", "namespace").text()}
				if m.kind == "" {
					v.fail("is no Kubernetes object: it has no kind")
				}
				out = append(out, m)
			}
			if err := doc.err(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// firstErr is the first mistake of objects.
func firstErr(all []manifest) error {
	for _, m := range all {
		if err := m.err(); err != nil {
			return err
		}
	}
	return nil
}

func (m manifest) String() string { return m.kind + " " + m.label }

// labels are key=value, sorted.
func labels(v value) (out []string) {
	for k, inner := range v.fields() {
		out = append(out, k.node.Value+"="+inner.text())
	}
	slices.Sort(out)
	return out
}

// jwks notes where keys come from.
func (d *draft) jwks(i *issuer, at Place, uri string, inline bool) {
	if uri != "" {
		d.keysAt(i, at, uri)
	} else if inline {
		i.blankKeys = "a file with the keys in " + at.String()
		d.leave(at, "inline keys", "they belong in a file of their own")
	}
}

// extract is one place where tokens come from.
func (d *draft) extract(r *resource, at Place, kind, name, prefix string) {
	what := "the token from " + kind + " " + name
	switch {
	case kind == "header" && strings.EqualFold(name, "authorization") && strings.EqualFold(strings.TrimSpace(prefix), "bearer"):
	case kind == "header" && prefix != "":
		d.leave(at, what, "token_sources.header is for a bare token, without "+strings.TrimSpace(prefix))
	case kind == "header" && r.tokenHeader == "" && forwardable(name) == "":
		r.tokenHeader = name
	case kind == "cookie" && r.cookie == "":
		r.cookie = name
	case kind == "parameter" && name == "access_token":
		r.query = true
	case kind == "parameter":
		d.leave(at, what, "the parameter is access_token here (RFC 6750 section 2.3)")
	default:
		d.leave(at, what, "a resource has one such place, and not this one")
	}
}
