package proxy

import (
	"net/http"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// path decodes the path of a request target for a host, or refuses one that is not the
// same path to everybody who may read it. The cause of the refusal is a
// *policy.PathError. Where some route is hidden, and the cause is where other readings
// lead, that would tell of routes: it is no refusal yet but astray, see Decision.stray.
func (g *Gate) path(host, raw string) (path string, astray *policy.PathError, refusal *token.Error) {
	path, odd, flaw := policy.Scan(raw)
	if flaw != policy.NoFlaw {
		return "", nil, refusePath(&policy.PathError{Flaw: flaw})
	}
	astray = g.Policy.Bears(host, path, odd)
	if astray != nil && (!g.Policy.Hides() || astray.Flaw != policy.OtherRoute && astray.Flaw != policy.BareSlash) {
		return "", nil, refusePath(astray)
	}
	return path, astray, nil
}

func refusePath(cause *policy.PathError) *token.Error {
	return token.Refuse(token.InvalidRequest, token.ReasonPath).Because(cause)
}

// Screened is what becomes of a request before any token is looked at.
type Screened struct {
	Door     *token.Error  // the refusal at the door, or nil
	Route    *policy.Route // else the route that governs it, perhaps one that is not Matched
	Known    bool          // some route has its path, perhaps for other methods
	Answered bool          // the gate answers it by itself: OPTIONS *, metadata

	Astray *policy.PathError // what refuses it though the route allows it, or nil

	Even *policy.PathError // what would refuse the path even where everything is allowed, or nil
}

// Screen takes r through the door of the listener at the address listen as
// serve does, and no further.
func (t *Table) Screen(listen string, r *http.Request) Screened {
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		return Screened{Answered: true}
	}
	ex := &exchange{table: t}
	if refusal := ex.enter(t.Sites[listen], r); refusal != nil {
		s := Screened{Door: refusal}
		if target, ok := splitTarget(r.RequestURI); ok && refusal.Reason == token.ReasonPath {
			if path, odd, flaw := policy.Scan(target.path); flaw == policy.NoFlaw {
				host, _ := NormalHost(r.Host)
				s.Even = ex.gate.Policy.WouldBear(host, path, odd)
			}
		}
		return s
	}
	g, host, path := ex.gate, ex.request.Host, ex.request.Path
	return Screened{
		Route: g.Policy.Route(r.Method, host, path), Known: g.Policy.Governs(host, path),
		Answered: g.Metadata != nil && g.Metadata.asked(&ex.request), Astray: ex.request.astray,
	}
}
