package validator

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

var (
	errTenant  = errors.New("tid is not the tenant of iss, which issuers[].tenants asks for")
	errDemand  = errors.New("a claim is missing or has another value than issuers[].required_claims asks for")
	errAccount = errors.New("profile kubernetes takes tokens of service accounts only, with an audience and a kubernetes.io claim about the same account as sub")
)

// AnyValue stands for any value but null in Options.Required and
// Options.Machine.
const AnyValue = "*"

// A demand wants a claim to hold one of values, or any when there are none.
type demand struct {
	path   string
	values []string
}

func compileDemands(claims map[string][]string) []demand {
	demands := make([]demand, 0, len(claims))
	for path, values := range claims {
		if slices.Contains(values, AnyValue) {
			values = nil
		}
		demands = append(demands, demand{path, values})
	}
	slices.SortFunc(demands, func(a, b demand) int { return strings.Compare(a.path, b.path) })
	return demands
}

func (d demand) holds(c *token.Claims) bool {
	v, found := c.Lookup(d.path)
	if d.values == nil {
		return found && !v.IsNull()
	}
	if d.names(v) {
		return true
	}
	for element := range v.Each() {
		if d.names(element) {
			return true
		}
	}
	return false
}

// names compares a string by its characters, a number and a boolean by their
// text. Nothing else can be named.
func (d demand) names(v token.Value) bool {
	if text, ok := v.Text(); ok {
		return slices.Contains(d.values, text)
	}
	_, number := v.Number()
	return (number || v == "true" || v == "false") && slices.Contains(d.values, string(v))
}

// isMachine tells a client that acts for itself by the issuer's own sign. A
// service account always does.
func (i *issuer) isMachine(c *token.Claims) bool {
	return i.Profile == Kubernetes || slices.ContainsFunc(i.machine, func(d demand) bool { return d.holds(c) })
}

// checkTenant keeps one tenant of an issuer from speaking for another: the two
// claims by which a token says where it is from must agree.
func checkTenant(_ *Resource, t *verified, _ time.Time) *token.Error {
	if t.issuer.Tenant == "" {
		return nil
	}
	v, found := t.Lookup("tid")
	if !found && t.beside != nil {
		return nil // the JWT said it
	}
	if text, ok := v.Text(); !ok || text != t.issuer.Tenant {
		return refuse(token.ReasonIssuer).Because(errTenant)
	}
	return nil
}

func noteTenant(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	if t.issuer.Tenant != "" {
		v, _ := t.Lookup("tid")
		l.Text(token.ReasonIssuer, "tid "+string(v))
		l.Want([]string{t.issuer.Tenant})
	}
}

func checkDemands(_ *Resource, t *verified, _ time.Time) *token.Error {
	for _, d := range t.issuer.required {
		if _, found := t.Lookup(d.path); !found && t.beside != nil {
			continue // the JWT said it
		}
		if !d.holds(t.Claims) {
			return refuse(token.ReasonClaim).Because(errDemand)
		}
	}
	return nil
}

// checkClient wants the token to be of a client that is listed, and so to name
// one. Who it is of is what the rules of routes and the upstream are told.
func checkClient(_ *Resource, t *verified, _ time.Time) *token.Error {
	if len(t.issuer.Clients) == 0 || t.ClientID == "" && t.beside != nil { // the JWT said it
		return nil
	}
	if !slices.Contains(t.issuer.Clients, t.ClientID) { // where no name is empty
		return refuse(token.ReasonIssuerClient)
	}
	return nil
}

func noteClient(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	if len(t.issuer.Clients) > 0 {
		l.Text(token.ReasonIssuerClient, cmp.Or(t.ClientID, "absent"))
		l.Want(t.issuer.Clients)
	}
}

// noteDemands goes no further than the demand that fails.
func noteDemands(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	for _, d := range t.issuer.required {
		v, found := t.Lookup(d.path)
		if !found {
			v = "absent"
		}
		l.Text(token.ReasonClaim, d.path+" "+string(v))
		l.Want(d.values)
		if !d.holds(t.Claims) {
			return
		}
	}
}

// checkServiceAccount wants what the API server puts into a token that it made
// for a pod or on request: an audience, the subject of a service account, and
// the kubernetes.io claim about the same one. The tokens that used to be kept in
// secrets have neither that claim nor an end.
func checkServiceAccount(t *verified) *token.Error {
	account, isAccount := strings.CutPrefix(t.Subject, "system:serviceaccount:")
	namespace, name, _ := strings.Cut(account, ":")
	if !isAccount || namespace == "" || name == "" || strings.Contains(name, ":") || len(t.Audience) == 0 {
		return refuse(token.ReasonClaim).Because(errAccount)
	}
	about, _ := t.Lookup(`kubernetes\.io`)
	inside, _ := about.Member("namespace")
	owner, _ := about.Member("serviceaccount")
	owned, _ := owner.Member("name")
	if !says(inside, namespace) || !says(owned, name) {
		return refuse(token.ReasonClaim).Because(errAccount)
	}
	return nil
}

func says(v token.Value, want string) bool {
	text, ok := v.Text()
	return ok && text == want
}
