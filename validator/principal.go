package validator

import "github.com/wicketgate/wicketgate/token"

// introduce makes the principal that all requests with this token share. Its
// binding is the one that such a token's sender must prove.
func (t *verified) introduce() {
	t.principal = token.Principal{
		Claims: t.Claims, Scope: t.scope, Binding: provable(t.Confirm), Issuer: t.issuer.Name, Machine: t.machine, Told: t.told, Until: t.until(),
	}
}

func provable(cnf token.Confirmation) (b token.Binding) {
	if cnf.JKT != "" {
		b |= token.BoundDPoP
	}
	if cnf.X5T != "" {
		b |= token.BoundMTLS
	}
	return b
}

// shown is p for one request: with what its sender proved, and a nonce for the
// next proof. Whatever is of this request only goes into a copy.
func shown(p *token.Principal, proved token.Binding, nonce string) *token.Principal {
	if p.Binding == proved && nonce == "" {
		return p
	}
	own := *p
	own.Binding, own.Nonce = proved, nonce
	return &own
}

// narrowed is p with the scope that is left for one request.
func narrowed(p *token.Principal, scope token.Scopes) *token.Principal {
	own := *p
	own.Scope = scope
	return &own
}
