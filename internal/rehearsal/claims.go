package rehearsal

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

// lifetime is how long a token is good that does not say it, unless its issuer's
// may not be so long.
const lifetime = 5 * time.Minute

// Claims are the claims of a token as JSON, by name.
type Claims map[string]json.RawMessage

// text is a claim that is a string, or "".
func (c Claims) text(name string) string {
	text, _ := token.Value(c[name]).Text()
	return text
}

// dates are the claims that may be written as times.
var dates = []string{"exp", "iat", "nbf", "auth_time", "updated_at"}

// dated returns c with the dates in it as numbers: a duration is from now, and
// an RFC 3339 text a moment. What is neither stays as it is.
func (c Claims) dated(now time.Time) Claims {
	c = maps.Clone(c)
	for _, name := range dates {
		text := c.text(name)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			var by time.Duration
			if by, err = time.ParseDuration(text); err == nil {
				at = now.Add(by)
			}
		}
		if err == nil {
			c[name] = number(at)
		}
	}
	return c
}

func number(at time.Time) json.RawMessage {
	text, _ := json.Marshal(at.Unix()) // a number always marshals
	return text
}

// completed lays said over what a good token of the issuer has for one of
// audiences. A claim that is null is taken out.
func completed(said Claims, o validator.Options, audiences []string, now time.Time) Claims {
	ends, client := lifetime, "some-client"
	if len(o.Clients) > 0 {
		client = o.Clients[0]
	}
	if o.MaxLifetime > 0 {
		ends = min(ends, o.MaxLifetime)
	}
	all := Claims{
		"iss": quoted(o.Issuer), "sub": quoted("somebody"), "client_id": quoted(client), "jti": quoted(rand.Text()),
		"iat": number(now), "exp": number(now.Add(ends)),
	}
	if o.Profile == validator.Kubernetes {
		account(all, said)
	}
	if o.Tenant != "" {
		all["tid"] = quoted(o.Tenant)
	}
	delete(all, o.AudienceClaim)
	if len(audiences) > 0 {
		fill(all, said, cmp.Or(o.AudienceClaim, "aud"), audiences[0])
	}
	if o.ClientIDClaim != "" && all[o.ClientIDClaim] == nil {
		fill(all, said, o.ClientIDClaim, client)
	}
	for path, values := range o.Required {
		value := values[0]
		if value == validator.AnyValue {
			value = "any"
		}
		fill(all, said, path, value)
	}
	maps.Copy(all, said.dated(now))
	maps.DeleteFunc(all, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	return all
}

// account makes the claims of a service account of Kubernetes.
func account(all, said Claims) {
	all["sub"] = quoted("system:serviceaccount:default:somebody")
	delete(all, "client_id")
	sub := cmp.Or(said.text("sub"), all.text("sub"))
	namespace, name, _ := strings.Cut(strings.TrimPrefix(sub, "system:serviceaccount:"), ":")
	about, _ := json.Marshal(map[string]any{"namespace": namespace, "serviceaccount": map[string]string{"name": name}})
	all["kubernetes.io"] = about
}

// fill sets the claim at a path, unless what is said touches the claim that the
// path begins with. A whole path does as a name: it goes before a step.
func fill(all, said Claims, path, value string) {
	first, _, _ := strings.Cut(path, ".")
	if strings.IndexByte(path, '\\') >= 0 {
		path = strings.NewReplacer(`\\`, `\`, `\.`, `.`).Replace(path)
		first = path
	}
	for _, name := range []string{first, path} {
		if _, touched := said[name]; touched {
			return
		}
	}
	if o, err := token.ParseObject(string(encoded(all))); err == nil {
		if v, found := o.Lookup(path); found && slices.Contains([]string{value, "any"}, textOf(v)) {
			return
		}
	}
	all[path] = quoted(value)
}

func textOf(v token.Value) string {
	text, _ := v.Text()
	return text
}

func quoted(text string) json.RawMessage {
	out, _ := json.Marshal(text) // a string always marshals
	return out
}

// encoded is c as an object.
func encoded(c Claims) []byte {
	out, _ := json.Marshal(c) // what was read as JSON is JSON
	return out
}
