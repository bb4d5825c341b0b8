package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// revocationRows are the rows about tokens that are refused before their end.
var revocationRows = []conformanceRow{
	{"JWT-15", rowJWT15}, {"SSF-01", rowSSF01}, {"SSF-02", rowSSF02}, {"SSF-03", rowSSF03}, {"SSF-04", rowSSF04}, {"SSF-05", rowSSF05}, {"SSF-06", rowSSF06},
}

func rowJWT15(t *testing.T) {
	d := newDenying(t, inFile, nil)
	kid := headerOf(t, d.AT(nil))["kid"].(string)
	rotated, err := d.a.Add(devissuer.Key{Algorithm: "ES384"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	type one struct{ name, rule, denied, other string }
	// Rules of a step do not touch what the others of it let through, and each
	// step takes the time in which a gate notices a change of the file.
	steps := [][]one{
		{
			{"jti", `"jti":"one"`, d.AT(changes{"jti": "one"}), d.AT(changes{"jti": "two"})},
			{"sub before a time", `"sub":"alice","issued_before":` + strconv.FormatInt(now-5, 10), d.AT(changes{"sub": "alice", "iat": now - 6}), d.AT(changes{"sub": "alice", "iat": now - 5})},
			{"client", `"client":"bad"`, d.AT(changes{"client_id": "bad"}), d.AT(changes{"client_id": "good"})},
			{"sid", `"sid":"s1"`, d.AT(changes{"sid": "s1"}), d.AT(changes{"sid": "s2"})},
			{"email", `"email":"Mallory@example.com"`, d.AT(changes{"email": "mallory@Example.com"}), d.AT(changes{"email": "alice@example.com"})},
			{"several", `"sub":"carol","client":"careless"`, d.AT(changes{"sub": "carol", "client_id": "careless"}), d.AT(changes{"sub": "carol"})},
			{"of another issuer", `"sub":"bob"`, d.AT(changes{"sub": "bob"}), d.mint(d.b, devissuer.Token{Claims: changes{"sub": "bob"}})},
		},
		{{"kid", `"kid":"` + kid + `"`, d.AT(changes{"iat": now - 60}), d.mint(d.a, devissuer.Token{KeyID: rotated, Claims: changes{"iat": now - 60}})}},
		{{"all before a time", `"issued_before":` + strconv.FormatInt(now-5, 10), d.AT(changes{"iat": now - 6}), d.AT(nil)}},
	}
	for range 2 { // the second time from the cache
		for _, step := range steps {
			for _, c := range step {
				d.passes(t, d.sendToken(c.denied))
				d.passes(t, d.sendToken(c.other))
			}
		}
	}
	for _, step := range steps {
		var rules strings.Builder
		for _, c := range step {
			rules.WriteString(d.rule(c.rule))
		}
		d.enforce(t, rules.String())
		for _, c := range step {
			t.Run(c.name, func(t *testing.T) {
				d.denied(t, c.denied)
				d.denied(t, c.denied)
				d.passes(t, d.sendToken(c.other))
			})
		}
	}
	t.Run("lifted", func(t *testing.T) {
		const everybody = ""
		d.enforce(t, everybody)
		for _, step := range steps {
			for _, c := range step {
				d.passes(t, d.sendToken(c.denied))
			}
		}
	})
	t.Run("without a reload", func(t *testing.T) {
		if got := d.series(`config_reloads_total{result="ok"}`); got != "1" {
			t.Errorf("%s reloads", got)
		}
	})
	t.Run("opaque", func(t *testing.T) {
		secret := []devissuer.Client{{ID: "gate", Secret: gateSecret}}
		rules := t.TempDir() + "/denied.jsonl"
		d := &denying{rules: rules}
		d.write(t, "\n")
		a := newAskingOf(t, devissuer.Options{Clients: secret}, "", func(text string) string { return text + `revocation: {file: "` + rules + `"}` + "\n" })
		d.siege = a.siege
		raw := a.opaque(changes{"sub": "alice", "iat": nil})
		d.passes(t, d.sendToken(raw))
		d.enforce(t, d.rule(`"sub":"alice","issued_before":1`))
		d.denied(t, raw)
	})
}

func headerOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	var header map[string]any
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatal("no header")
	}
	return header
}

// receiving is a fixture to which issuer A pushes events.
type receiving struct {
	*denying
	url string
}

const (
	pushToken = "a token of transmitters"
	ourName   = "https://gate.example.com"
)

func newReceiving(t *testing.T, settings string) *receiving {
	t.Helper()
	return newReceivingWith(t, "", settings)
}

// newReceivingWith has more settings of revocation in front.
func newReceivingWith(t *testing.T, front, settings string) *receiving {
	t.Helper()
	r := &receiving{}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/push", []byte(pushToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.denying = newDenying(t, front+`signals: {listen: "127.0.0.1:0", token_file: "`+dir+`/push", transmitters: [{issuer: "%[3]s", audience: "`+ourName+`"}]`+settings+`}`, nil)
	eventually(t, "the receiver to listen", func() bool { return strings.Contains(r.log.String(), `"signals":"`) })
	_, said, _ := strings.Cut(r.log.String(), `"signals":"`)
	address, _, _ := strings.Cut(said, `"`)
	r.url = "http://" + address + signalsPath
	return r
}

// event mints a security event about subject, with some claims changed.
func (r *receiving) event(name string, detail, claims changes) string {
	r.t.Helper()
	return r.mint(r.a, r.eventOf(name, detail, claims))
}

func (r *receiving) eventOf(name string, detail, claims changes) devissuer.Token {
	all := changes{
		"aud": ourName, "events": changes{name: detail},
		"sub": nil, "exp": nil, "client_id": nil, "scope": nil,
	}
	for name, value := range claims {
		all[name] = value
	}
	return devissuer.Token{Header: changes{"typ": "secevent+jwt"}, Claims: all}
}

// push sends a body as a transmitter does. header is name, value; an empty
// value removes one.
func (r *receiving) push(body string, header ...string) *reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Authorization", "Bearer "+pushToken)
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return r.send(req)
}

func (r *receiving) accepted(t *testing.T, got *reply) {
	t.Helper()
	if got.StatusCode != http.StatusAccepted || got.body != "" {
		t.Errorf("%d %s, want an empty 202", got.StatusCode, got.body)
	}
}

func (r *receiving) rejected(t *testing.T, got *reply, code string) {
	t.Helper()
	if got.StatusCode != http.StatusBadRequest || got.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.body, `{"err":"`+code+`","description":"`) {
		t.Errorf("%d %s, want 400 %s", got.StatusCode, got.body, code)
	}
}

// The events by their names.
const (
	caepEvents        = "https://schemas.openid.net/secevent/caep/event-type/"
	riscEvents        = "https://schemas.openid.net/secevent/risc/event-type/"
	accountDisabled   = riscEvents + "account-disabled"
	sessionHasRevoked = caepEvents + "session-revoked"
)

func (r *receiving) about(sub string) changes {
	return changes{"format": "iss_sub", "iss": r.a.Identifier(), "sub": sub}
}

func rowSSF01(t *testing.T) {
	r := newReceiving(t, "")
	stranger := newClientKey(t, "ES256").Signer
	victim := r.AT(changes{"sub": "alice"})
	about := changes{"sub_id": r.about("alice")}
	good := r.eventOf(accountDisabled, changes{}, about)
	with := func(change func(*devissuer.Token)) string {
		tok := r.eventOf(accountDisabled, changes{}, about)
		change(&tok)
		return r.mint(r.a, tok)
	}
	for _, c := range []struct{ name, body, code string }{
		{"no typ", with(func(k *devissuer.Token) { k.Header["typ"] = nil }), "invalid_request"},
		{"typ of a token", with(func(k *devissuer.Token) { k.Header["typ"] = "at+jwt" }), "invalid_request"},
		{"typ JWT", with(func(k *devissuer.Token) { k.Header["typ"] = "JWT" }), "invalid_request"},
		{"another transmitter", r.mint(r.b, good), "invalid_issuer"},
		{"iss of nobody", with(func(k *devissuer.Token) { k.Claims["iss"] = r.a.Identifier() + "/" }), "invalid_issuer"},
		{"aud of another", with(func(k *devissuer.Token) { k.Claims["aud"] = "https://other.example.com" }), "invalid_audience"},
		{"aud of the API", with(func(k *devissuer.Token) { k.Claims["aud"] = testIdentifier }), "invalid_audience"},
		{"no aud", with(func(k *devissuer.Token) { k.Claims["aud"] = nil }), "invalid_audience"},
		{"key of another", with(func(k *devissuer.Token) { k.Key = stranger }), "invalid_key"},
		{"alg none", with(func(k *devissuer.Token) { k.Alg = devissuer.None }) + "AA", "invalid_key"},
		{"unsigned", with(func(k *devissuer.Token) { k.Alg = devissuer.None }), "invalid_request"},
		{"no iat", with(func(k *devissuer.Token) { k.Claims["iat"] = nil }), "invalid_request"},
		{"iat ahead", with(func(k *devissuer.Token) { k.Claims["iat"] = time.Now().Unix() + 300 }), "invalid_request"},
		{"iat text", with(func(k *devissuer.Token) { k.Claims["iat"] = "now" }), "invalid_request"},
		{"no jti", with(func(k *devissuer.Token) { k.Claims["jti"] = nil }), "invalid_request"},
		{"no events", with(func(k *devissuer.Token) { k.Claims["events"] = nil }), "invalid_request"},
		{"events empty", with(func(k *devissuer.Token) { k.Claims["events"] = changes{} }), "invalid_request"},
		{"events a list", with(func(k *devissuer.Token) { k.Claims["events"] = []string{accountDisabled} }), "invalid_request"},
		{"an event that is text", with(func(k *devissuer.Token) { k.Claims["events"] = changes{accountDisabled: "x"} }), "invalid_request"},
		{"no subject", with(func(k *devissuer.Token) { k.Claims["sub_id"] = nil }), "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) { r.rejected(t, r.push(c.body), c.code) })
	}
	r.passes(t, r.sendToken(victim))
	r.accepted(t, r.push(r.mint(r.a, good)))
	r.denied(t, victim)
	if r.series(`signals_received_total{result="applied"}`) != "1" || r.series(`signals_received_total{result="rejected"}`) != "20" {
		t.Error("not counted")
	}
}

func rowSSF02(t *testing.T) {
	r := newReceiving(t, "")
	victim := r.AT(changes{"sub": "alice"})
	for name, claims := range map[string]changes{
		"sub": {"sub": "alice"}, "exp": {"exp": time.Now().Unix() + 600}, "both": {"sub": "alice", "exp": time.Now().Unix() + 600}, "exp null": {"exp": json.RawMessage("null")},
	} {
		t.Run(name, func(t *testing.T) {
			claims["sub_id"] = r.about("alice")
			r.rejected(t, r.push(r.event(accountDisabled, changes{}, claims)), "invalid_request")
		})
	}
	r.passes(t, r.sendToken(victim))
}

func rowSSF03(t *testing.T) {
	r := newReceiving(t, "")
	good := r.event(accountDisabled, changes{}, changes{"sub_id": r.about("alice")})
	for name, body := range map[string]string{"empty": "", "JSON": `{"iss":"x"}`, "garbage": "a.b.c", "two": good + "." + good, "line end": good + "\n", "too long": strings.Repeat("A", 64<<10) + good} {
		t.Run(name, func(t *testing.T) { r.rejected(t, r.push(body), "invalid_request") })
	}
	for name, kind := range map[string]string{"JWT": "application/jwt", "JSON": "application/json", "form": "application/x-www-form-urlencoded", "none": "", "garbage": "secevent+jwt; ="} {
		t.Run("as "+name, func(t *testing.T) { r.rejected(t, r.push(good, "Content-Type", kind), "invalid_request") })
	}
	broken := good[:len(good)-8] + strings.Repeat("A", 6) + "AA"
	r.rejected(t, r.push(broken), "invalid_key")
	r.accepted(t, r.push(good, "Content-Type", "Application/SecEvent+JWT; charset=utf-8"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.send(req); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", got.StatusCode, got.Header)
	}
	r.a.SetJWKS([]byte("gone"))
	for _, name := range []string{"verification", "stream-updated"} {
		r.accepted(t, r.push(r.event("https://schemas.openid.net/secevent/ssf/event-type/"+name, changes{"state": "x"}, changes{"sub_id": changes{"format": "opaque", "id": "stream"}})))
	}
}

func rowSSF04(t *testing.T) {
	now := time.Now().Unix()
	for _, name := range []string{
		sessionHasRevoked, caepEvents + "credential-change", caepEvents + "token-claims-change",
		accountDisabled, riscEvents + "account-purged", riscEvents + "sessions-revoked",
	} {
		for dated, claims := range map[string][2]changes{
			"by its own date": {{"event_timestamp": now - 10}, {}},
			"by toe":          {{}, {"toe": now - 10}},
			"by iat":          {{"event_timestamp": (now - 10) * 1000}, {"iat": now - 10}},
		} {
			t.Run(name[strings.LastIndexByte(name, '/')+1:]+" "+dated, func(t *testing.T) {
				r := newReceiving(t, "")
				old, same := r.AT(changes{"sub": "alice", "iat": now - 20}), r.AT(changes{"sub": "alice", "iat": now - 10})
				fresh, other := r.AT(changes{"sub": "alice", "iat": now - 9}), r.AT(changes{"sub": "bob", "iat": now - 20})
				for range 2 {
					r.passes(t, r.sendToken(old))
				}
				about := claims[1]
				about["sub_id"] = r.about("alice")
				r.accepted(t, r.push(r.event(name, claims[0], about)))
				r.denied(t, old)
				r.denied(t, same)
				r.passes(t, r.sendToken(fresh))
				r.passes(t, r.sendToken(other))
			})
		}
	}
	t.Run("dated ahead", func(t *testing.T) {
		r := newReceiving(t, "")
		r.accepted(t, r.push(r.event(accountDisabled, changes{"event_timestamp": now + 86400}, changes{"sub_id": r.about("alice")})))
		if rules := r.gateway.stores.denials.Rules(); rules.Len() != 1 {
			t.Fatalf("%d rules", rules.Len())
		}
		raw := r.mint(r.a, devissuer.Token{Claims: changes{"sub": "alice", "iat": time.Now().Unix() + 25}})
		r.denied(t, raw)
		later := revoke.Token{Issuer: r.a.Identifier(), Subject: "alice", IssuedAt: time.Now().Add(2 * time.Minute)}
		if _, denied := r.gateway.stores.denials.Rules().Denies(later, time.Now()); denied {
			t.Error("tokens are denied that are not made yet")
		}
	})
	t.Run("no such event", func(t *testing.T) {
		r := newReceiving(t, "")
		raw := r.AT(changes{"sub": "alice"})
		r.accepted(t, r.push(r.event(riscEvents+"account-enabled", changes{}, changes{"sub_id": r.about("alice")})))
		r.passes(t, r.sendToken(raw))
	})
}

func rowSSF05(t *testing.T) {
	now := time.Now().Unix()
	for _, c := range []struct {
		name    string
		subject func(iss string) changes
		denied  changes
		others  []changes
	}{
		{"iss_sub", func(iss string) changes { return changes{"format": "iss_sub", "iss": iss, "sub": "alice"} }, changes{"sub": "alice"}, []changes{{"sub": "bob"}}},
		{"opaque", func(string) changes { return changes{"format": "opaque", "id": "alice"} }, changes{"sub": "alice"}, []changes{{"sub": "bob"}}},
		{"opaque session", func(string) changes { return changes{"format": "opaque", "id": "s-1"} }, changes{"sid": "s-1"}, []changes{{"sid": "s-2"}}},
		{"email", func(string) changes { return changes{"format": "email", "email": "Alice@example.com"} }, changes{"email": "alice@Example.com"}, []changes{{"email": "bob@example.com"}, {}}},
		{"jwt_id", func(iss string) changes { return changes{"format": "jwt_id", "iss": iss, "jti": "one"} }, changes{"jti": "one"}, []changes{{"jti": "two"}}},
		{"complex", func(iss string) changes {
			return changes{"format": "complex", "user": changes{"format": "iss_sub", "iss": iss, "sub": "alice"}, "session": changes{"format": "opaque", "id": "s-1"}, "application": changes{"format": "opaque", "id": "shop"}}
		}, changes{"sub": "alice", "sid": "s-1", "client_id": "shop"}, []changes{{"sub": "alice", "client_id": "shop"}, {"sub": "alice", "sid": "s-2", "client_id": "shop"}, {"sub": "bob", "sid": "s-1", "client_id": "shop"}, {"sub": "alice", "sid": "s-1"}}},
		{"complex session", func(string) changes {
			return changes{"format": "complex", "session": changes{"format": "opaque", "id": "s-1"}}
		}, changes{"sid": "s-1"}, []changes{{"sub": "s-1"}, {"sid": "s-2"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiving(t, "")
			c.denied["iat"] = now - 20
			denied := r.AT(c.denied)
			r.passes(t, r.sendToken(denied))
			r.accepted(t, r.push(r.event(sessionHasRevoked, changes{}, changes{"sub_id": c.subject(r.a.Identifier())})))
			r.denied(t, denied)
			for _, claims := range c.others {
				claims["iat"] = now - 20
				r.passes(t, r.sendToken(r.AT(claims)))
			}
		})
	}
	r := newReceiving(t, "")
	iss := r.a.Identifier()
	for name, subject := range map[string]changes{
		"unknown format":      {"format": "phone_number", "phone_number": "+12065550100"},
		"account":             {"format": "account", "uri": "acct:alice@example.com"},
		"complex with device": {"format": "complex", "user": changes{"format": "opaque", "id": "alice"}, "device": changes{"format": "opaque", "id": "d"}},
		"complex, unknown":    {"format": "complex", "user": changes{"format": "uri", "uri": "urn:alice"}},
		"complex, two minds":  {"format": "complex", "user": changes{"format": "iss_sub", "iss": iss, "sub": "alice"}, "session": changes{"format": "iss_sub", "iss": r.b.Identifier(), "sub": "s"}},
		"another's iss_sub":   {"format": "iss_sub", "iss": r.b.Identifier(), "sub": "alice"},
		"another's jwt_id":    {"format": "jwt_id", "iss": r.b.Identifier(), "jti": "one"},
	} {
		t.Run(name, func(t *testing.T) {
			r.accepted(t, r.push(r.event(sessionHasRevoked, changes{}, changes{"sub_id": subject})))
			if n := r.gateway.stores.denials.Rules().Len(); n != 0 {
				t.Errorf("%d rules", n)
			}
		})
	}
	for name, subject := range map[string]any{
		"text": "alice", "no format": changes{"id": "alice"}, "no id": changes{"format": "opaque"}, "empty id": changes{"format": "opaque", "id": ""}, "number": changes{"format": "opaque", "id": 1},
		"no iss": changes{"format": "iss_sub", "sub": "alice"}, "bare complex": changes{"format": "complex"}, "complex text": changes{"format": "complex", "user": "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			r.rejected(t, r.push(r.event(sessionHasRevoked, changes{}, changes{"sub_id": subject})), "invalid_request")
		})
	}
	t.Run("subject of the event", func(t *testing.T) { // as before SSF 1.0
		raw := r.AT(changes{"sub": "carol", "iat": now - 20})
		r.accepted(t, r.push(r.event(sessionHasRevoked, changes{"subject": r.about("carol")}, nil)))
		r.denied(t, raw)
	})
}

func rowSSF06(t *testing.T) {
	r := newReceiving(t, "")
	raw := r.AT(changes{"sub": "alice"})
	event := r.event(accountDisabled, changes{}, changes{"sub_id": r.about("alice"), "jti": "event-1"})
	for name, field := range map[string]string{
		"none": "", "wrong": "Bearer " + pushToken + "x", "shorter": "Bearer " + pushToken[1:], "empty": "Bearer ", "bare": pushToken,
		"basic": "Basic " + pushToken, "an access token": "Bearer " + raw,
	} {
		t.Run(name, func(t *testing.T) {
			got := r.push(event, "Authorization", field)
			if got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") != "Bearer" || strings.Contains(got.body, pushToken) {
				t.Errorf("%d %v %s", got.StatusCode, got.Header, got.body)
			}
		})
	}
	r.passes(t, r.sendToken(raw))
	for range 3 {
		r.accepted(t, r.push(event, "Authorization", "bearer "+pushToken))
		r.denied(t, raw)
	}
	if r.series(`signals_received_total{result="repeated"}`) != "2" || r.series(`revocation_rules{source="signals"}`) != "1" {
		t.Error("a repeat is no repeat")
	}
	t.Run("not through the routes", func(t *testing.T) {
		for _, base := range []string{r.fixture.url, r.admin} {
			own := *r
			own.url = base + signalsPath
			if got := own.push(r.event(accountDisabled, changes{}, changes{"sub_id": r.about("bob")})); got.StatusCode == http.StatusAccepted {
				t.Errorf("%s takes events", base)
			}
		}
		other := *r
		other.url = strings.TrimSuffix(r.url, signalsPath) + "/read"
		if got := other.push("", "Authorization", "Bearer "+r.AT(nil)); got.StatusCode != http.StatusNotFound {
			t.Errorf("the receiver's listener answers %d to a request for the API", got.StatusCode)
		}
		wantPassed(t, r.sendToken(r.AT(changes{"sub": "bob"})))
	})
	r.siege = besiege(r.fixture)
	t.Run("an event is no token", func(t *testing.T) { r.repels(t, r.sendToken(event), badToken, token.ReasonType) })
}
