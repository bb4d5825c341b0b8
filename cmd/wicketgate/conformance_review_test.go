package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

var reviewRows = []conformanceRow{{"K8S-08", rowK8S08}}

// reviewer is a cluster whose API server reviews tokens.
type reviewer struct {
	*cluster
	mu      sync.Mutex // guards all below
	answer  string     // instead of the honest one
	status  int
	deleted map[string]bool // tokens of pods that are gone
	asked   []reviewQuestion
}

type reviewQuestion struct {
	APIVersion, Kind string
	Spec             struct {
		Token     string
		Audiences []string
	}
}

func newReviewer(t *testing.T) *reviewer {
	r := &reviewer{cluster: newCluster(t), status: http.StatusCreated, deleted: map[string]bool{}}
	api := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || req.Header.Get("Authorization") != "Bearer own-token-1" {
			api.ServeHTTP(w, req)
			return
		}
		r.review(w, req)
	})
	return r
}

// review answers as an API server does: with the question, and its status.
func (r *reviewer) review(w http.ResponseWriter, req *http.Request) {
	var q reviewQuestion
	text, _ := io.ReadAll(req.Body)
	if json.Unmarshal(text, &q) != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q)
	answer := r.answer
	switch {
	case answer != "":
	case r.deleted[q.Spec.Token] || !strings.HasPrefix(q.Spec.Token, "ey"):
		answer = `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"user":{},"error":"[invalid bearer token, service account token has been invalidated]"}}`
	default:
		answer = `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:shop","uid":"u3","groups":["system:serviceaccounts"],"extra":{"authentication.kubernetes.io/pod-name":["shop-7f9c"]}},"audiences":["orders"]}}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, answer)
}

func (r *reviewer) change(alter func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	alter()
}

func (r *reviewer) questions() []reviewQuestion {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// rowK8S08: the token of a deleted pod is refused though everything about it is
// good; only good tokens are asked about; no answer is no refusal.
func rowK8S08(t *testing.T) {
	c := newReviewer(t)
	s := besiege(c.guard(t, c.discovered()+`, token_review: true, required_claims: {kubernetes\.io.namespace: [prod]}`, nil))
	serial := 0
	fresh := func() string { // tokens differ by their jti
		serial++
		return s.projected(nil, changes{"jti": fmt.Sprint("t", serial)})
	}
	good := fresh()
	s.passes(t, s.sendToken(good))
	s.passes(t, s.sendToken(good))
	asked := c.questions()
	if len(asked) != 1 || asked[0].Kind != "TokenReview" || asked[0].APIVersion != "authentication.k8s.io/v1" || asked[0].Spec.Token != good || !slices.Equal(asked[0].Spec.Audiences, []string{"orders"}) {
		t.Errorf("asked %+v", asked)
	}
	gone := fresh()
	c.change(func() { c.deleted[gone] = true })
	s.repels(t, s.sendToken(gone), badToken, token.ReasonInactive)
	before := len(c.questions())
	s.tokensFor(t, token.ReasonSignature, map[string]string{"forged": gone[:len(gone)-8] + "AAAAAAAA"})
	s.tokensFor(t, token.ReasonAudience, map[string]string{"for others": s.projected(nil, changes{"aud": []string{"k3s"}})})
	if now := len(c.questions()); now != before {
		t.Errorf("%d questions about tokens that are bad by themselves", now-before)
	}
	for name, answer := range map[string]string{
		"no status": `{"kind":"TokenReview"}`, "no user": `{"status":{"authenticated":true,"audiences":["orders"]}}`, "no JSON": "x",
		"no audiences": `{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:shop"}}}`,
		"no name":      `{"status":{"authenticated":true,"user":{"username":""},"audiences":["orders"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c.change(func() { c.answer = answer })
			s.wantUndecided(t, s.sendToken(fresh()), s.reached)
			s.moved(t, token.ReasonIntrospectionUnavailable)
		})
	}
	for name, of := range map[string]struct {
		answer string
		reason token.Reason
	}{
		"in words":    {`{"status":{"authenticated":"true","user":{"username":"system:serviceaccount:prod:shop"},"audiences":["orders"]}}`, token.ReasonInactive},
		"of another":  {`{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:other"},"audiences":["orders"]}}`, token.ReasonClaim},
		"for another": {`{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:shop"},"audiences":["k3s"]}}`, token.ReasonAudience},
	} {
		t.Run(name, func(t *testing.T) {
			c.change(func() { c.answer = of.answer })
			s.repels(t, s.sendToken(fresh()), badToken, of.reason)
		})
	}
	c.change(func() { c.answer, c.status = "", http.StatusInternalServerError })
	s.wantUndecided(t, s.sendToken(fresh()), s.reached)
	s.moved(t, token.ReasonIntrospectionUnavailable)
	c.change(func() { c.status = http.StatusOK })
	s.passes(t, s.sendToken(fresh()))
}
