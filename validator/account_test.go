package validator

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// A subject that is no service account's is none either when the token says the
// same of itself elsewhere.
func TestServiceAccounts(t *testing.T) {
	w := newWorld(t, Options{Profile: Kubernetes, Leeway: 30 * time.Second}, 0)
	for _, row := range []struct {
		name, subject, namespace, account string
		want                              token.Reason
	}{
		{"good", "system:serviceaccount:shop:cart", "shop", "cart", ""},
		{"a user", "shop:cart", "shop", "cart", token.ReasonClaim},
		{"no name", "system:serviceaccount:shop", "shop", "", token.ReasonClaim},
		{"empty name", "system:serviceaccount:shop:", "shop", "", token.ReasonClaim},
		{"empty namespace", "system:serviceaccount::cart", "", "cart", token.ReasonClaim},
		{"more parts", "system:serviceaccount:shop:cart:x", "shop", "cart:x", token.ReasonClaim},
		{"another namespace", "system:serviceaccount:shop:cart", "bank", "cart", token.ReasonClaim},
		{"another account", "system:serviceaccount:shop:cart", "shop", "till", token.ReasonClaim},
	} {
		raw := w.mint(devissuer.Token{Header: map[string]any{"typ": nil}, Claims: map[string]any{
			"sub": row.subject, "client_id": nil, "scope": nil,
			"kubernetes.io": map[string]any{"namespace": row.namespace, "serviceaccount": map[string]any{"name": row.account}},
		}})
		if got := w.judge(raw); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
