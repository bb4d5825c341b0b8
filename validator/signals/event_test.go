package signals

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

func (r *rig) told(t *testing.T, name, raw string, status int, code string) {
	t.Helper()
	w := r.push(raw)
	if w.Code != status || !strings.Contains(w.Body.String(), code) {
		t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, status, code)
	}
}

// about are the claims of an event that takes tokens of a subject back.
func about(subject string) map[string]any {
	return map[string]any{
		"events": map[string]any{sessionRevoked: map[string]any{}},
		"sub_id": map[string]any{"format": "iss_sub", "iss": "https://as.example.com", "sub": subject},
	}
}

// TestUnknownKeys: an event is told that its key is wrong as soon as that is
// known, and one under no algorithm there is makes nobody fetch keys.
func TestUnknownKeys(t *testing.T) {
	r := newRig(t)
	claims := about("alice")
	claims["iat"] = time.Now().Unix() - 30
	mint := func(header map[string]any) string {
		header["typ"] = "secevent+jwt"
		raw, err := r.from.Mint(devissuer.Token{Header: header, Claims: r.claims(claims)})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, alg := range []string{"none", "HS256", "ES256K", "es256", "x"} {
		r.told(t, alg, mint(map[string]any{"alg": alg, "kid": nil}), http.StatusBadRequest, `"invalid_key"`)
	}
	if r.loads != 0 {
		t.Errorf("keys were loaded %d times", r.loads)
	}
	for range 3 {
		r.told(t, "unknown kid", mint(map[string]any{"kid": "another"}), http.StatusBadRequest, `"invalid_key"`)
	}
	r.told(t, "good", mint(map[string]any{}), http.StatusAccepted, "")
	if r.loads > 2 {
		t.Errorf("keys were loaded %d times", r.loads)
	}
}

// TestKeyUnderAnOldName: a transmitter that puts a new key under the name of the
// old one loses no event.
func TestKeyUnderAnOldName(t *testing.T) {
	r := newRig(t)
	r.told(t, "before", r.mint(t, about("alice")), http.StatusAccepted, "")
	forger, err := devissuer.New(devissuer.Options{Identifier: r.from.Identifier(), Algorithms: []string{"ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	own := r.from
	if _, err := own.Add(devissuer.Key{ID: "es256-1", Algorithm: "ES256"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.keys, own.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.told(t, "after", r.mint(t, about("bob")), http.StatusAccepted, "")
	r.from = forger
	loads := r.loads
	for range 3 {
		r.told(t, "forged", r.mint(t, about("carol")), http.StatusBadRequest, `"invalid_key"`)
	}
	if len(r.denied) != 2 || r.loads != loads {
		t.Errorf("%v; forged events loaded keys %d times", r.denied, r.loads-loads)
	}
}

// FuzzReceive holds that whatever is pushed gets one of four answers, and that
// no rule comes from what is not signed.
func FuzzReceive(f *testing.F) {
	r := newRig(f)
	f.Add(r.mint(f, map[string]any{"events": map[string]any{sessionRevoked: map[string]any{}}}))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, body string) {
		r.denied, r.results = nil, nil
		w := r.push(body)
		var said struct{ Err, Description string }
		switch w.Code {
		case http.StatusAccepted:
		case http.StatusServiceUnavailable: // an unknown key, and the set may not be fetched again yet
			if w.Header().Get("Retry-After") == "" {
				t.Fatal("nobody says when to try again")
			}
		case http.StatusBadRequest:
			if json.Unmarshal(w.Body.Bytes(), &said) != nil || said.Err == "" || said.Description == "" {
				t.Fatalf("%s", w.Body)
			}
		default:
			t.Fatalf("%d", w.Code)
		}
		if len(r.denied) > 0 {
			t.Fatal("an event nobody signed denies something")
		}
	})
}

// FuzzEvent holds that whatever a transmitter signs makes rules about issuers it
// may speak for only, that end, and that let pass tokens of a time to come.
func FuzzEvent(f *testing.F) {
	r := newRig(f)
	const head = `{"iss":"https://as.example.com","aud":"` + us + `","jti":"j","iat":1769860800,`
	for _, rest := range []string{
		`"sub_id":{"format":"iss_sub","iss":"https://other.example.com","sub":"a"},"events":{"` + sessionRevoked + `":{"event_timestamp":1769860800}}}`,
		`"sub_id":{"format":"email","email":"a@example.com"},"toe":1769860800.5,"events":{"` + risc + `account-disabled":{"event_timestamp":"x"}}}`,
		`"events":{"` + caep + `credential-change":{"subject":{"format":"complex","user":{"format":"opaque","id":"a"},"session":{"format":"jwt_id","iss":"https://as.example.com","jti":"x"}}}}}`,
	} {
		f.Add(head + rest)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		raw, err := r.from.Mint(devissuer.Token{Header: map[string]any{"typ": "secevent+jwt"}, RawPayload: []byte(payload)})
		if err != nil {
			return
		}
		r.denied, r.results = nil, nil
		clear(r.receiver.seen)
		r.receiver.ring, r.receiver.next = nil, 0
		if w := r.push(raw); w.Code != http.StatusAccepted && w.Code != http.StatusBadRequest {
			t.Fatalf("%d", w.Code)
		}
		if applied := slices.Equal(r.results, []string{Applied}); applied != (len(r.denied) > 0) {
			t.Fatalf("%v %v", r.results, r.denied)
		}
		now := time.Now()
		for _, rule := range r.denied {
			later := revoke.Token{Issuer: rule.Issuer, Subject: rule.Subject, Client: rule.Client, Session: rule.Session, Email: rule.Email, IssuedAt: now.Add(2 * ahead)}
			rules := revoke.New("one")
			if err := rules.Set("one", revoke.NewSet(rule)); err != nil {
				t.Fatal(err)
			}
			_, denied := rules.Denies(later, now)
			known := rule.Issuer == "https://as.example.com" || rule.Issuer == "https://other.example.com"
			if rule.Valid() != nil || !known || denied || rule.Until.IsZero() || rule.Until.After(now.Add(time.Hour)) {
				t.Fatalf("%s", rule)
			}
		}
	})
}

// TestCredential: one field with the scheme and the token, and nothing near that.
func TestCredential(t *testing.T) {
	r := newRig(t)
	raw := r.mint(t, about("alice"))
	for name, c := range map[string]struct {
		fields []string
		status int
	}{
		"good": {[]string{"Bearer " + secret}, http.StatusAccepted}, "lower case": {[]string{"bearer " + secret}, http.StatusAccepted},
		"twice": {[]string{"Bearer " + secret, "Bearer " + secret}, http.StatusUnauthorized}, "beside another": {[]string{"Bearer " + secret, "Basic eA=="}, http.StatusUnauthorized},
		"other scheme": {[]string{"Token " + secret}, http.StatusUnauthorized}, "two spaces": {[]string{"Bearer  " + secret}, http.StatusUnauthorized},
		"tab": {[]string{"Bearer\t" + secret}, http.StatusUnauthorized}, "more": {[]string{"Bearer " + secret + " x"}, http.StatusUnauthorized}, "none": {nil, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(raw))
			req.Header.Set("Content-Type", contentType)
			req.Header["Authorization"] = c.fields
			w := httptest.NewRecorder()
			if r.receiver.ServeHTTP(w, req); w.Code != c.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}

// TestKept: what an event denied ends after Keep, and is dated to the next second.
func TestKept(t *testing.T) {
	r := newRig(t)
	claims := about("alice")
	claims["toe"] = 1769860800.5
	r.told(t, "event", r.mint(t, claims), http.StatusAccepted, "")
	if len(r.denied) != 1 {
		t.Fatalf("%v", r.denied)
	}
	rule, now := r.denied[0], time.Now()
	if rule.IssuedBefore.Unix() != 1769860801 || rule.Until.After(now.Add(time.Hour)) || rule.Until.Before(now.Add(59*time.Minute)) {
		t.Errorf("%s", rule)
	}
}
