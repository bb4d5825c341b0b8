package validator

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/introspect"
	"github.com/wicketgate/wicketgate/validator/status"
)

// telling gives one answer about every token.
type telling struct{ err error }

func (a telling) Introspect(context.Context, string, string, [32]byte) (*token.Claims, error) {
	return &token.Claims{Issuer: issuerName, Audience: []string{"https://rs.example.com"}}, a.err
}

// TestRecheckOfTheRemoved: once the issuer of a token is not configured any more,
// who has been let in with it is in no longer. A request that is under way then is
// not the client's fault, and an issuer that cannot be asked for now is still one.
func TestRecheckOfTheRemoved(t *testing.T) {
	gone := introspect.New(introspect.Options{}) // it knows no issuer
	t.Cleanup(gone.Close)
	noLists := status.New(status.Options{})
	t.Cleanup(noLists.Close)
	later := &token.Fault{Reason: token.ReasonStatusUnavailable, Cause: errors.New("no answer")}
	listed := devissuer.Token{Claims: map[string]any{
		"status": map[string]any{"status_list": map[string]any{"idx": 7, "uri": "https://as.example.com/status/1"}},
	}}
	lists := status.NewRules([]string{"https://as.example.com/status/"}, nil)
	for name, row := range map[string]struct {
		options Options
		parts   Parts
		token   devissuer.Token
		opaque  bool
		noKeys  bool
		fault   token.Reason // of a request
		again   token.Reason
	}{
		"all there":         {},
		"no issuer":         {noKeys: true, fault: token.ReasonKeysUnavailable, again: token.ReasonIssuer},
		"nobody to ask":     {options: Options{Introspection: Introspection{Opaque: true}}, parts: Parts{Introspector: gone}, opaque: true, fault: token.ReasonIntrospectionUnavailable, again: token.ReasonIssuer},
		"answers":           {options: Options{Introspection: Introspection{Opaque: true}}, parts: Parts{Introspector: telling{}}, opaque: true},
		"no answer":         {options: Options{Introspection: Introspection{Opaque: true}}, parts: Parts{Introspector: telling{later}}, opaque: true, fault: token.ReasonStatusUnavailable, again: token.ReasonStatusUnavailable},
		"nobody has a list": {options: Options{Status: lists}, parts: Parts{Statuses: noLists}, token: listed, fault: token.ReasonStatusUnavailable, again: token.ReasonIssuer},
		"a list is late":    {options: Options{Status: lists}, parts: Parts{Statuses: &statuses{err: later}}, token: listed, fault: token.ReasonStatusUnavailable, again: token.ReasonStatusUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{}, 0)
			o := row.options
			o.Name, o.Issuer = "as", issuerName
			row.parts.Issuers, row.parts.Keys, row.parts.CacheSize = []Options{o}, w.keys, 10
			v, err := New(row.parts)
			if err != nil {
				t.Fatal(err)
			}
			if row.noKeys {
				w.keys.Configure([]jwks.Source{})
			}
			r, cred := v.For(Audience{Any: []string{"https://rs.example.com"}}), token.Credential{Scheme: token.Bearer, Raw: "opaque"}
			if !row.opaque {
				cred.Raw = w.mint(row.token)
			}
			_, err = r.Validate(t.Context(), cred)
			wantFault(t, "a request", err, row.fault)
			err = r.Recheck(t.Context(), cred)
			if row.again != token.ReasonIssuer {
				wantFault(t, "a stream", err, row.again)
				return
			}
			if refusal, refused := errors.AsType[*token.Error](err); !refused || refusal.Reason != row.again || refusal.Code != token.InvalidToken {
				t.Errorf("a stream: %v", err)
			}
		})
	}
}

func wantFault(t *testing.T, what string, err error, reason token.Reason) {
	t.Helper()
	fault, faulty := errors.AsType[*token.Fault](err)
	if got := fmt.Sprint(err); faulty && fault.Reason != reason || !faulty && (err != nil || reason != "") {
		t.Errorf("%s: %s, want %q", what, got, reason)
	}
}
