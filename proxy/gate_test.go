package proxy

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// validatorFunc injects faults where a validator stands.
type validatorFunc func() (*token.Principal, error)

func (f validatorFunc) Validate(context.Context, token.Credential) (*token.Principal, error) {
	return f()
}

// DPOP-40, OPS-01: whatever goes wrong in a check, nobody is let in.
func TestConformance(t *testing.T) {
	set, err := policy.Compile(nil, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]validatorFunc{
		"panic":     func() (*token.Principal, error) { panic("broken check") },
		"nil panic": func() (*token.Principal, error) { var p *token.Principal; return p, errors.New(p.Subject) },
		"error":     func() (*token.Principal, error) { return nil, errors.New("disk on fire") },
		"fault":     func() (*token.Principal, error) { return nil, &token.Fault{Reason: token.ReasonReplayUnavailable} },
	}
	t.Run("DPOP-40", func(t *testing.T) {
		for name, fault := range faults {
			t.Run(name, func(t *testing.T) {
				g := &Gate{Validator: fault, Policy: set}
				d := g.Decide(t.Context(), &Request{Request: policy.Request{Method: "GET", Path: "/x"}, RawPath: "/x", Authorization: []string{"Bearer x"}})
				if d.Verdict != Failed {
					t.Fatalf("verdict %d, want Failed", d.Verdict)
				}
				w := httptest.NewRecorder()
				g.Answer(w, &d)
				if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
					t.Errorf("answered %d %v, want 503 with Retry-After and no challenge", w.Code, w.Header())
				}
			})
		}
	})
	t.Run("OPS-01", func(t *testing.T) {
		if (&Decision{}).Verdict != Refused {
			t.Error("the zero decision does not refuse")
		}
	})
}
