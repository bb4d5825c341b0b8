package signals

import (
	"slices"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// subjects are the tokens that a subject identifier names (RFC 9493 section 3),
// as rules without dates: none for a format or a part that no token can be held
// against, and none of issuers the transmitter may not speak for.
func (t Transmitter) subjects(v token.Value, session bool) ([]revoke.Rule, error) {
	o, ok := v.Object()
	if !ok {
		return nil, errSubject
	}
	switch format, err := textOf(o, "format"); {
	case err != nil:
		return nil, err
	case format == "complex":
		return t.complex(o)
	case format == "opaque" && session:
		// CAEP 1.0 section 3.1 names a session so as well as a user; which of the
		// two it is does not show.
		users, err := t.simple(o, func(r *revoke.Rule) *string { return &r.Subject })
		sessions, _ := t.simple(o, func(r *revoke.Rule) *string { return &r.Session })
		return append(users, sessions...), err
	}
	return t.simple(o, func(r *revoke.Rule) *string { return &r.Subject })
}

// simple reads an identifier of one thing; of says which member of a rule the
// text of iss_sub and opaque is compared with.
func (t Transmitter) simple(o *token.Object, of func(*revoke.Rule) *string) ([]revoke.Rule, error) {
	format, err := textOf(o, "format")
	if err != nil {
		return nil, err
	}
	names, known := map[string][2]string{ // the issuer's member, and the text's
		"iss_sub": {"iss", "sub"}, "jwt_id": {"iss", "jti"}, "opaque": {"", "id"}, "email": {"", "email"},
	}[format]
	if !known {
		return nil, nil
	}
	text, err := textOf(o, names[1])
	if err != nil {
		return nil, err
	}
	issuers := t.SubjectIssuers
	if names[0] != "" {
		issuer, err := textOf(o, names[0])
		if err != nil {
			return nil, err
		}
		if !slices.Contains(issuers, issuer) {
			return nil, nil
		}
		issuers = []string{issuer}
	}
	switch format {
	case "jwt_id":
		of = func(r *revoke.Rule) *string { return &r.ID }
	case "email":
		of = func(r *revoke.Rule) *string { return &r.Email }
	}
	rules := make([]revoke.Rule, len(issuers))
	for i, issuer := range issuers {
		rules[i].Issuer = issuer
		*of(&rules[i]) = text
	}
	return rules, nil
}

// parts are those of a complex subject that tokens can be held against (SSF 1.0
// section 3.3).
var parts = map[string]func(*revoke.Rule) *string{
	"user":        func(r *revoke.Rule) *string { return &r.Subject },
	"session":     func(r *revoke.Rule) *string { return &r.Session },
	"application": func(r *revoke.Rule) *string { return &r.Client },
}

// complex wants all parts to match. A part that no token tells anything of
// matches none: without it the event would deny more than it is about.
func (t Transmitter) complex(o *token.Object) ([]revoke.Rule, error) {
	var all []revoke.Rule
	first := true
	for _, m := range o.Members() {
		if m.Name == "format" {
			continue
		}
		part, ok := m.Value.Object()
		if !ok {
			return nil, errSubject
		}
		of := parts[m.Name]
		if of == nil {
			return nil, nil
		}
		rules, err := t.simple(part, of)
		if err != nil {
			return nil, err
		}
		if all = both(all, rules); first {
			all, first = rules, false
		}
	}
	if first {
		return nil, errSubject
	}
	return all, nil
}

// both are the rules that say what one of a and one of b say. There is none for
// two that differ about one thing.
func both(a, b []revoke.Rule) []revoke.Rule {
	var all []revoke.Rule
	for _, x := range a {
		for _, y := range b {
			if joined, ok := join(x, y); ok {
				all = append(all, joined)
			}
		}
	}
	return all
}

func join(x, y revoke.Rule) (revoke.Rule, bool) {
	for _, pair := range [...]struct {
		to   *string
		from string
	}{
		{&x.Issuer, y.Issuer}, {&x.ID, y.ID}, {&x.Subject, y.Subject}, {&x.Client, y.Client}, {&x.Session, y.Session}, {&x.Email, y.Email},
	} {
		switch {
		case pair.from == "":
		case *pair.to != "" && *pair.to != pair.from:
			return x, false
		default:
			*pair.to = pair.from
		}
	}
	return x, true
}

func textOf(o *token.Object, name string) (string, error) {
	v, _ := o.Get(name)
	text, ok := v.Text()
	if !ok || text == "" {
		return "", errSubject
	}
	return text, nil
}
