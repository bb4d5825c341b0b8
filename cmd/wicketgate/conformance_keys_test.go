package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

var keyRows = []conformanceRow{
	{"JWK-01", rowJWK01}, {"JWK-02", rowJWK02}, {"JWK-03", rowJWK03}, {"JWK-05", rowJWK05}, {"JWK-06", rowJWK06},
	{"TP-01", rowTP01}, {"TP-02", rowTP02}, {"TP-03", rowTP03},
	{"KEY-01", rowKEY01}, {"KEY-02", rowKEY02}, {"KEY-03", rowKEY03}, {"KEY-04", rowKEY04}, {"KEY-05", rowKEY05},
	{"KEY-06", rowKEY06}, {"KEY-07", rowKEY07}, {"KEY-08", rowKEY08}, {"KEY-09", rowKEY09}, {"KEY-10", rowKEY10}, {"KEY-10", faultWithdrawn},
	{"KEY-11", rowKEY11}, {"KEY-13", rowKEY13}, {"KEY-14", faultEmptySet}, {"KEY-16", rowKEY16},
}

// newFixtureOf is newFixture with an issuer A that was made ready before the
// gate could ask it anything.
func newFixtureOf(t *testing.T, o devissuer.Options, prepare func(*devissuer.Running), edit func(string) string) *fixture {
	t.Helper()
	o.Audience = testIdentifier
	own, err := devissuer.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	if prepare != nil {
		prepare(own)
	}
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "%[3]s", own.Identifier())
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	f.a = own
	return f
}

// strayed mints a token of issuer A, dated a minute ago, whose kid nobody has.
func (f *fixture) strayed(kid string) string {
	f.t.Helper()
	return f.mint(f.a, devissuer.Token{Header: changes{"kid": kid}, Claims: changes{"iat": time.Now().Unix() - 60}})
}

// jwkOf is the published form of a client key, with some members changed.
func jwkOf(t *testing.T, key *devissuer.ClientKey, with changes) json.RawMessage {
	t.Helper()
	members := changes{}
	if err := json.Unmarshal(key.PublicJWK(), &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range with {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func rowJWK01(t *testing.T) {
	good := newClientKey(t, "ES256")
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		for _, text := range []string{
			`{"kty":"AKP","alg":"ML-DSA-44","kid":"pq","pub":"AAAA"}`, `{"kty":"EC","crv":"P-256","kid":"broken","x":"AAAA","y":"AAAA"}`,
			`{"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA"}`, `{"kty":"RSA","kid":"no n"}`, `{}`, `[]`, `null`, `"text"`, `{"kty":1}`,
		} {
			is.Publish(json.RawMessage(text))
		}
		is.Publish(jwkOf(t, good, changes{"kid": "good", "x-unknown": []int{1}}))
	}, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	wantPassed(t, f.sendToken(f.foreign(good.Signer, "ES256", "good")))
	f.wantTokensRefused(t, map[string]string{"key that was skipped": f.foreign(good.Signer, "ES256", "broken")})
}

func rowJWK02(t *testing.T) {
	key := newClientKey(t, "ES256")
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		is.Publish(jwkOf(t, key, changes{"kid": "enc", "use": "enc"}))
		is.Publish(jwkOf(t, key, changes{"kid": "sign", "key_ops": []string{"sign"}}))
		is.Publish(jwkOf(t, key, changes{"kid": "none", "key_ops": []string{}}))
		is.Publish(jwkOf(t, key, changes{"kid": "verify", "use": "sig", "key_ops": []string{"verify"}}))
	}, nil)
	wantPassed(t, f.sendToken(f.foreign(key.Signer, "ES256", "verify")))
	f.wantTokensRefused(t, map[string]string{
		"use": f.foreign(key.Signer, "ES256", "enc"), "key_ops": f.foreign(key.Signer, "ES256", "sign"), "empty key_ops": f.foreign(key.Signer, "ES256", "none"),
	})
}

func rowJWK03(t *testing.T) {
	secret := []byte("a secret of thirty-two octets!!!")
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		is.Publish(json.RawMessage(`{"kty":"oct","kid":"mac","alg":"HS256","k":"` + base64url(secret) + `"}`))
	}, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{"HS256": f.mint(f.a, devissuer.Token{Alg: "HS256", Secret: secret, Header: changes{"kid": "mac"}})})
}

func rowJWK05(t *testing.T) {
	curve, okp, other := newClientKey(t, "ES256"), newClientKey(t, "EdDSA"), newClientKey(t, "ES256")
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		for _, key := range []*devissuer.ClientKey{curve, okp, other} {
			is.Publish(jwkOf(t, key, changes{"kid": "twin"}))
		}
	}, nil)
	f.wantTokensPass(t, map[string]string{
		"ES256": f.foreign(curve.Signer, "ES256", "twin"), "EdDSA": f.foreign(okp.Signer, "EdDSA", "twin"), "second of one kind": f.foreign(other.Signer, "ES256", "twin"),
	})
	f.wantTokensRefused(t, map[string]string{"third": f.foreign(newClientKey(t, "ES256").Signer, "ES256", "twin")})
}

func rowJWK06(t *testing.T) {
	key := newClientKey(t, "ES256")
	var point struct{ X, Y string }
	if err := json.Unmarshal(key.PublicJWK(), &point); err != nil {
		t.Fatal(err)
	}
	y := octets(t, point.Y)
	y[31] ^= 1
	plain := string(jwkOf(t, key, changes{"kid": "twice"}))
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		is.Publish(jwkOf(t, key, changes{"kid": "off", "y": base64url(y)}))
		is.Publish(jwkOf(t, key, changes{"kid": "padded", "x": point.X + "="}))
		is.Publish(jwkOf(t, key, changes{"kid": "long", "x": base64url(append([]byte{0}, octets(t, point.X)...))}))
		is.Publish(json.RawMessage(instead(t, plain, `"kty":"EC"`, `"kty":"EC","kty":"EC"`)))
		is.Publish(jwkOf(t, key, changes{"kid": "good"}))
	}, nil)
	wantPassed(t, f.sendToken(f.foreign(key.Signer, "ES256", "good")))
	tokens := map[string]string{}
	for _, kid := range []string{"off", "padded", "long", "twice"} {
		tokens[kid] = f.foreign(key.Signer, "ES256", kid)
	}
	f.wantTokensRefused(t, tokens)
}

// wantThumbprintBinds wants a token bound by thumbprint to pass with a proof by
// that key, whatever else its JWK says, and not with another's.
func wantThumbprintBinds(t *testing.T, alg string) {
	f := newFixture(t, nil)
	key := newClientKey(t, alg)
	raw := f.bound(key, nil)
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{}))
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Header: changes{"jwk": jwkOf(t, key, changes{"kid": "k", "use": "sig", "alg": alg, "x5t": "AAAA"})}}))
	before := f.upstream.count()
	f.wantError(t, f.sendBound(newClientKey(t, alg), raw, devissuer.Proof{}), before, http.StatusUnauthorized, "DPoP", "invalid_token")
}

func rowTP01(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) { wantThumbprintBinds(t, alg) })
	}
}

func rowTP02(t *testing.T) { wantThumbprintBinds(t, "EdDSA") }

func rowTP03(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "RS256")
	raw := f.bound(key, nil)
	var members struct{ N string }
	if err := json.Unmarshal(key.PublicJWK(), &members); err != nil {
		t.Fatal(err)
	}
	zero := base64url(append([]byte{0}, octets(t, members.N)...))
	before := f.upstream.count()
	for _, with := range []changes{{"n": zero}, {"e": "AAEAAQ"}, {"e": "AQAB="}} {
		r := f.sendBound(key, raw, devissuer.Proof{Header: changes{"jwk": jwkOf(t, key, with)}})
		f.wantError(t, r, before, http.StatusUnauthorized, "DPoP", "invalid_dpop_proof")
	}
}

func rowKEY01(t *testing.T) {
	for text, word := range map[string]string{
		"http://login.example.com/": "https", "https://login.example.com/?x": "query", "\"https://login.example.com/#x\"": "fragment", "login.example.com": "URL",
	} {
		wantConfigError(t, instead(t, config.Smallest(), "https://login.example.com/", text), word)
	}
	switched := instead(t, config.Smallest(), "https://login.example.com/\n", "http://login.example.com/\n    insecure_http: true\n")
	if _, err := config.Parse("config.yaml", []byte(switched), func(string) (string, bool) { return "", false }); err != nil {
		t.Errorf("with the switch: %v", err)
	}
}

func rowKEY02(t *testing.T) {
	order := []string{"GET /.well-known/oauth-authorization-server/t1", "GET /.well-known/openid-configuration/t1", "GET /t1/.well-known/openid-configuration"}
	for asked, place := range map[int]devissuer.Metadata{1: devissuer.OAuth | devissuer.OIDC, 2: devissuer.OIDCInserted | devissuer.OIDC, 3: devissuer.OIDC} {
		f := newFixtureOf(t, devissuer.Options{Identifier: "/t1", Metadata: place}, nil, nil)
		wantPassed(t, f.sendToken(f.AT(nil)))
		if got, want := f.a.Requests(), append(slices.Clone(order[:asked]), "GET /t1/jwks"); !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
}

func rowKEY03(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"slash": func(id string) string { return id + "/" }, "case": strings.ToUpper, "none": func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
				said, _ := json.Marshal(change(is.Identifier()))
				is.Change(func(o *devissuer.Options) { o.Members = map[string]json.RawMessage{"issuer": said} })
			}, nil)
			before := f.upstream.count()
			f.wantUndecided(t, f.sendToken(f.AT(nil)), before)
			if f.a.Hits("/jwks") != 0 {
				t.Error("used the document nevertheless")
			}
			if got := f.readiness(); got != http.StatusServiceUnavailable {
				t.Errorf("readyz %d", got)
			}
		})
	}
}

// readiness is the status of readyz.
func (f *fixture) readiness() int { return f.probe("/readyz") }

func (f *fixture) probe(path string) int {
	f.t.Helper()
	resp, err := http.Get(f.admin + path)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func rowKEY04(t *testing.T) {
	t.Run("unknown authority", func(t *testing.T) {
		f := newFixtureOf(t, devissuer.Options{TLS: true}, nil, nil)
		f.wantUndecided(t, f.sendToken(f.AT(nil)), 0)
		if len(f.a.Requests()) != 0 {
			t.Error("talked to a server that nobody vouches for")
		}
	})
	t.Run("ca_file", func(t *testing.T) {
		var path string
		f := newFixtureOf(t, devissuer.Options{TLS: true}, func(is *devissuer.Running) {
			var err error
			if path, err = is.CAFile(t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}, func(text string) string {
			return instead(t, text, "{name: a, ", "{name: a, ca_file: \""+path+"\", ")
		})
		wantPassed(t, f.sendToken(f.AT(nil)))
	})
	t.Run("plain jwks_uri", func(t *testing.T) {
		var path string
		f := newFixtureOf(t, devissuer.Options{TLS: true, Members: map[string]json.RawMessage{"jwks_uri": json.RawMessage(`"http://127.0.0.1:9/jwks"`)}}, func(is *devissuer.Running) {
			var err error
			if path, err = is.CAFile(t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}, func(text string) string {
			return instead(t, text, "{name: a, ", "{name: a, ca_file: \""+path+"\", ")
		})
		f.wantUndecided(t, f.sendToken(f.AT(nil)), 0)
	})
}

func rowKEY05(t *testing.T) {
	many := `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 100) + `{}]}`
	elsewhere := startIssuer(t)
	for name, fault := range map[string]devissuer.Fault{
		"too large": {Body: []byte(`{"keys":[],"x":"` + strings.Repeat("x", 600<<10) + `"}`)}, "redirect": {Redirect: elsewhere.URL + "/jwks"},
		"redirect to metadata": {Redirect: "http://169.254.169.254/"}, "too many keys": {Body: []byte(many)}, "no JSON": {ContentType: "text/html"},
		"cut": {Truncate: 10}, "status": {Status: 500}, "reset": {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			wantPassed(t, f.sendToken(f.AT(nil)))
			fetched := f.a.Hits("/jwks")
			fault.Path = "/jwks"
			f.a.Fail(fault)
			before := f.upstream.count()
			f.wantRefusal(t, f.sendToken(f.strayed("x")), http.StatusUnauthorized, before)
			if f.a.Hits("/jwks") == fetched {
				t.Error("nothing was fetched")
			}
			wantPassed(t, f.sendToken(f.AT(nil)))
		})
	}
	if asked := elsewhere.Requests(); len(asked) != 0 {
		t.Errorf("followed a redirect: %v", asked)
	}
	for _, kind := range []string{"application/json", "application/jwk-set+json"} {
		f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { is.Fail(devissuer.Fault{Path: "/jwks", ContentType: kind}) }, nil)
		wantPassed(t, f.sendToken(f.AT(nil)))
	}
}

func rowKEY06(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	wantPassed(t, f.sendToken(f.mint(f.b, devissuer.Token{})))
	tokens := map[string]string{}
	for _, alg := range []string{"ES256", "EdDSA"} {
		tokens["B's key under A's name, "+alg] = f.mint(f.b, devissuer.Token{Alg: alg, Claims: changes{"iss": f.a.Identifier()}})
		tokens["A's key under B's name, "+alg] = f.mint(f.a, devissuer.Token{Alg: alg, Claims: changes{"iss": f.b.Identifier()}})
	}
	tokens["without kid"] = f.mint(f.b, devissuer.Token{Header: changes{"kid": nil}, Claims: changes{"iss": f.a.Identifier()}})
	f.wantTokensRefused(t, tokens)
}

func rowKEY07(t *testing.T) {
	f, c := newFixture(t, nil), startIssuer(t)
	wantPassed(t, f.sendToken(f.AT(nil)))
	wantPassed(t, f.sendToken(f.mint(f.b, devissuer.Token{})))
	before := len(f.a.Requests()) + len(f.b.Requests())
	f.wantTokensRefused(t, map[string]string{"unknown issuer": f.mint(c, devissuer.Token{}), "closed port": f.AT(changes{"iss": "http://127.0.0.1:9/"})})
	if asked := c.Requests(); len(asked) != 0 {
		t.Errorf("asked the unknown issuer for %v", asked)
	}
	if after := len(f.a.Requests()) + len(f.b.Requests()); after != before {
		t.Error("asked a known issuer about a token of an unknown one")
	}
}

func rowKEY08(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	seen, fetched, began := f.upstream.count(), f.a.Hits("/jwks"), time.Now()
	var wait sync.WaitGroup
	for worker := range 20 {
		tokens := make([]string, 40)
		for i := range tokens {
			tokens[i] = f.strayed("flood-" + strconv.Itoa(worker) + "-" + strconv.Itoa(i))
		}
		wait.Go(func() {
			for _, raw := range tokens {
				req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/any/x", nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+raw)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	wait.Wait()
	if n, most := f.a.Hits("/jwks")-fetched, 1+int(time.Since(began)/time.Second); n < 1 || n > most {
		t.Errorf("%d fetches in %s", n, time.Since(began))
	}
	if n := f.upstream.count() - seen; n != 0 {
		t.Errorf("the upstream saw %d of them", n)
	}
	wantPassed(t, f.sendToken(f.AT(nil)))
}

func rowKEY09(t *testing.T) {
	f := newFixture(t, nil)
	wantPassed(t, f.sendToken(f.AT(nil)))
	before := f.a.Hits("/jwks")
	if _, err := f.a.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, f.sendToken(f.AT(nil)))
	wantPassed(t, f.sendToken(f.AT(nil)))
	if n := f.a.Hits("/jwks") - before; n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func rowKEY10(t *testing.T) {
	f := newFixture(t, nil)
	past := changes{"iat": time.Now().Unix() - 60}
	old, alone := f.AT(past), f.mint(f.a, devissuer.Token{Claims: past, Header: changes{"kid": nil}})
	f.wantTokensPass(t, map[string]string{"before": old, "before, without kid": alone})
	if _, err := f.a.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, f.sendToken(old)) // nobody has told the gate yet
	wantPassed(t, f.sendToken(f.AT(nil)))
	f.wantTokensRefused(t, map[string]string{"after": old, "after, without kid": alone, "never seen": f.mint(f.a, devissuer.Token{Claims: past, KeyID: "es256-1"})})
}

func rowKEY11(t *testing.T) {
	f := newFixture(t, nil)
	good := f.AT(nil)
	wantPassed(t, f.sendToken(good))
	release := make(chan struct{})
	fetched := f.a.Hits("/jwks")
	f.a.Fail(devissuer.Fault{Path: "/jwks", Until: release})
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/any/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.strayed("x"))
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	eventually(t, "the fetch to be on its way", func() bool { return f.a.Hits("/jwks") > fetched })
	wantPassed(t, f.sendToken(good))
	wantPassed(t, f.sendToken(f.AT(nil)))
	select {
	case status := <-answered:
		t.Errorf("the unknown key was answered with %d before the keys came", status)
	default:
	}
	close(release)
	if status := <-answered; status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
}

func rowKEY13(t *testing.T) {
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) { _ = is.Close() }, nil)
	before := f.upstream.count()
	f.wantUndecided(t, f.sendToken(f.AT(nil)), before)
	wantPassed(t, f.sendToken(f.mint(f.b, devissuer.Token{})))
	f.wantUndecided(t, f.sendToken(f.AT(nil)), before+1)
	if ready, live := f.readiness(), f.probe("/livez"); ready != http.StatusServiceUnavailable || live != http.StatusOK {
		t.Errorf("readyz %d, livez %d", ready, live)
	}
}
