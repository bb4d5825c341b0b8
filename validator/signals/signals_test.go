package signals

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

const (
	us     = "https://gate.example.com"
	secret = "the token of transmitters"
)

// rig is a receiver and a transmitter, and what the one made of the other.
type rig struct {
	receiver *Receiver
	from     *devissuer.Issuer
	keys     string // the file of its key set
	loads    int    // of that
	denied   []revoke.Rule
	fails    error
	results  []string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	from, err := devissuer.New(devissuer.Options{Identifier: "https://as.example.com", Algorithms: []string{"ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/keys.json"
	if err := os.WriteFile(file, from.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &rig{from: from, keys: file}
	keys := jwks.NewCache(jwks.Options{OnLoad: func(string, jwks.Load) { r.loads++ }})
	keys.Configure([]jwks.Source{{Name: from.Identifier(), Issuer: from.Identifier(), File: file}})
	r.receiver = New(Options{
		Transmitters: []Transmitter{{Issuer: from.Identifier(), Audience: us, SubjectIssuers: []string{from.Identifier(), "https://other.example.com"}}},
		Keys:         keys, Keep: time.Hour,
		Deny: func(_ context.Context, rules []revoke.Rule) error {
			r.denied = append(r.denied, rules...)
			return r.fails
		},
		OnReceived: func(result string, _ error) { r.results = append(r.results, result) },
	})
	r.receiver.Expect(secret)
	return r
}

// claims are those of a good event, with some changed.
func (r *rig) claims(changed map[string]any) map[string]any {
	all := map[string]any{"aud": []string{"x", us}, "sub": nil, "exp": nil, "client_id": nil, "scope": nil}
	maps.Copy(all, changed)
	return all
}

func (r *rig) mint(t testing.TB, claims map[string]any) string {
	t.Helper()
	raw, err := r.from.Mint(devissuer.Token{Header: map[string]any{"typ": "application/secevent+jwt"}, Claims: r.claims(claims)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (r *rig) push(body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	r.receiver.ServeHTTP(w, req)
	return w
}

func TestNobodyMayPushBeforeExpect(t *testing.T) {
	r := New(Options{})
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	if r.ServeHTTP(w, req); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
}

// TestFailedIsTriedAgain wants an event that was not kept to be no repeat.
func TestFailedIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.fails = errors.New("full")
	raw := r.mint(t, map[string]any{"events": map[string]any{sessionRevoked: map[string]any{}}, "sub_id": map[string]any{"format": "opaque", "id": "a"}})
	if w := r.push(raw); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || w.Body.Len() != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	r.fails, r.denied = nil, nil
	for range 2 {
		if w := r.push(raw); w.Code != http.StatusAccepted {
			t.Errorf("%d", w.Code)
		}
	}
	if strings.Join(r.results, " ") != "failed applied repeated" || len(r.denied) != 4 { // sub and sid, of two issuers
		t.Errorf("%v %v", r.results, r.denied)
	}
	for _, rule := range r.denied {
		if rule.IssuedBefore.IsZero() || rule.Until.IsZero() || rule.Valid() != nil {
			t.Errorf("rule %s", rule)
		}
	}
}

func TestMemoryOfEventsIsBounded(t *testing.T) {
	r := newRig(t).receiver
	var id [32]byte
	for i := range remembered + 5 {
		id[0], id[1] = byte(i), byte(i>>8)
		r.remember(id)
		r.remember(id)
	}
	if len(r.seen) != remembered || len(r.ring) != remembered || !r.repeated(id) || r.repeated([32]byte{}) {
		t.Errorf("%d remembered", len(r.seen))
	}
}

// TestPartsOfTwoIssuers wants no rule where no token could match all parts.
func TestPartsOfTwoIssuers(t *testing.T) {
	from := Transmitter{SubjectIssuers: []string{"a", "b"}}
	for issuer, want := range map[string]int{"a": 1, "b": 0} {
		rules, err := from.subjects(token.Value(`{"format":"complex","user":{"format":"iss_sub","iss":"a","sub":"x"},"session":{"format":"iss_sub","iss":"`+issuer+`","sub":"s"}}`), false)
		if err != nil || len(rules) != want {
			t.Errorf("%s: %v %v", issuer, rules, err)
		}
	}
}

// FuzzSubject holds that a subject of any form makes rules that can be written
// and name an issuer the transmitter may speak for, or none.
func FuzzSubject(f *testing.F) {
	for _, text := range []string{
		`{"format":"iss_sub","iss":"a","sub":"b"}`, `{"format":"opaque","id":"b"}`, `{"format":"email","email":"b"}`, `{"format":"jwt_id","iss":"a","jti":"b"}`,
		`{"format":"complex","user":{"format":"opaque","id":"b"},"session":{"format":"opaque","id":"s"},"application":{"format":"iss_sub","iss":"a","sub":"c"}}`,
	} {
		f.Add(text, true)
	}
	from := Transmitter{SubjectIssuers: []string{"a", "b"}}
	f.Fuzz(func(t *testing.T, text string, session bool) {
		o, err := token.ParseObject(text)
		if err != nil || o == nil {
			return
		}
		rules, err := from.subjects(token.Value(text), session)
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Valid() != nil || r.Issuer != "a" && r.Issuer != "b" {
				t.Fatalf("%s", r)
			}
			if again, err := revoke.ParseRule(r.String()); err != nil || !bytes.Equal([]byte(again.String()), []byte(r.String())) {
				t.Fatalf("%s: %v", r, err)
			}
		}
	})
}
