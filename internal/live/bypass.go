package live

import (
	"context"

	"github.com/wicketgate/wicketgate/internal/bypass"
)

// Bypass tries whether the upstream of t, one on loopback, can be reached at
// other addresses of this machine, past the gate. It says nothing where it cannot.
func Bypass(t bypass.Targets) Question {
	return Question{"bypass of " + t.Upstreams[0].Name, func(ctx context.Context, r *report) {
		for _, finding := range bypass.Look(ctx, t) {
			if finding.Open() {
				r.warn("have it listen on loopback only, or shut its port with a NetworkPolicy and switch bypass_check off", ": it accepts connections at %s, past the gate", finding.Address)
			}
		}
	}}
}
