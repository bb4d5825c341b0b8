package introspect

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/token"
)

// The parts of authentication.k8s.io/v1 that a review is made of.
type reviewRequest struct {
	Version string     `json:"apiVersion"`
	Kind    string     `json:"kind"`
	Spec    reviewSpec `json:"spec"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences"`
}

// reviewed is a review as an answer of RFC 7662, and judged like one.
type reviewed struct {
	Active   bool     `json:"active"`
	Subject  string   `json:"sub,omitempty"`
	Audience []string `json:"aud,omitempty"`
}

var errReview = errors.New("the answer is no TokenReview that names the user and the audience")

// review asks an API server of Kubernetes whether a token is good still, which
// that of a deleted pod or account is not. What it says is turned into the form
// of RFC 7662.
func (s *server) review(ctx context.Context, raw string) (*fetch.Body, error) {
	question, err := json.Marshal(reviewRequest{"authentication.k8s.io/v1", "TokenReview", reviewSpec{raw, s.Audiences}})
	if err != nil {
		return nil, err
	}
	body, err := s.client.PostJSON(ctx, s.Endpoint, question)
	if err != nil {
		return nil, err
	}
	told, err := readReview(body)
	if err != nil {
		return nil, err
	}
	body.Bytes, err = json.Marshal(told)
	return body, err
}

// readReview wants a server that has looked at the audiences: one that knows of
// none would vouch for tokens made for others.
func readReview(body *fetch.Body) (told reviewed, err error) {
	o, err := token.ParseObject(trim(string(body.Bytes)))
	if err != nil {
		return told, err
	}
	v, _ := o.Get("status")
	status, ok := v.Object()
	if !ok {
		return told, errReview
	}
	if authenticated, _ := status.Get("authenticated"); authenticated != "true" {
		return told, nil
	}
	v, _ = status.Get("user")
	user, ok := v.Object()
	if !ok {
		return told, errReview
	}
	v, _ = status.Get("audiences")
	told.Audience, _ = v.Texts()
	told.Subject = member(user, "username")
	if told.Subject == "" || len(told.Audience) == 0 {
		return told, errReview
	}
	told.Active = true
	return told, nil
}

func member(o *token.Object, name string) string {
	v, _ := o.Get(name)
	text, _ := v.Text()
	return text
}
