package validator

import (
	"context"
	"errors"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/status"
)

// statuses is a list in memory that notes what it is asked.
type statuses struct {
	value uint8
	err   error
	asked int
}

func (s *statuses) Value(_ context.Context, name string, at status.Reference) (uint8, error) {
	s.asked++
	if name != "as" || at.URI != "https://as.example.com/status/1" || at.Index != 7 {
		return 0, errors.New("another list")
	}
	return s.value, s.err
}

// TestStatusOfRememberedTokens: that a token was good says nothing of its status
// now.
func TestStatusOfRememberedTokens(t *testing.T) {
	list, w := &statuses{}, newWorld(t, Options{}, 0)
	var err error
	w.validator, err = New(Parts{
		Issuers: []Options{{Name: "as", Issuer: issuerName, Status: status.NewRules([]string{"https://as.example.com/status/"}, []uint8{9})}},
		Keys:    w.keys, Statuses: list, CacheSize: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	raw := w.mint(devissuer.Token{Claims: map[string]any{
		"status": map[string]any{"status_list": map[string]any{"idx": 7, "uri": "https://as.example.com/status/1"}},
	}})
	down := &token.Fault{Reason: token.ReasonStatusUnavailable}
	for i, c := range []struct {
		value  uint8
		err    error
		reason token.Reason
	}{
		{0, nil, ""}, {1, nil, token.ReasonStatusRevoked}, {0, nil, ""}, {2, nil, token.ReasonStatusRevoked}, {3, nil, token.ReasonStatusRevoked},
		{9, nil, ""}, {0, down, token.ReasonStatusUnavailable}, {0, token.Refuse(token.InvalidToken, token.ReasonStatusReference), token.ReasonStatusReference},
	} {
		list.value, list.err = c.value, c.err
		if got := w.judge(raw); got != c.reason || list.asked != i+1 || w.validator.Remembered() != 1 {
			t.Errorf("status %d: %q, want %q; asked %d times", c.value, got, c.reason, list.asked)
		}
	}
	if got := w.judge(raw, "other"); got != token.ReasonAudience || list.asked != 8 {
		t.Errorf("a token for others: %q, asked %d times", got, list.asked)
	}
}

func TestNobodyLooksAtLists(t *testing.T) {
	_, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName, Status: status.NewRules(nil, nil)}}, Keys: jwks.NewCache(jwks.Options{})})
	if err == nil {
		t.Error("an issuer's lists are to be looked at, and nobody can")
	}
}
