package zitadel

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/wicketgate/wicketgate/internal/process"
)

// redirectURI is where users come back to; nobody listens there.
const redirectURI = "http://127.0.0.1:1/callback"

// client is one of the server's, with what it asks for and gets.
type client struct {
	id, secret string
	form       op.AccessTokenType
	life       time.Duration // of its access tokens
	grantTypes []oidc.GrantType
	key        *jose.JSONWebKey // of its assertions; may be nil
}

func (c *client) GetID() string                       { return c.id }
func (c *client) RedirectURIs() []string              { return []string{redirectURI} }
func (c *client) PostLogoutRedirectURIs() []string    { return nil }
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) GrantTypes() []oidc.GrantType        { return c.grantTypes }
func (c *client) LoginURL(id string) string           { return "/login?id=" + url.QueryEscape(id) }
func (c *client) AccessTokenType() op.AccessTokenType { return c.form }
func (c *client) IDTokenLifetime() time.Duration      { return time.Hour }
func (c *client) DevMode() bool                       { return true } // callbacks without TLS
func (c *client) IsScopeAllowed(string) bool          { return true }
func (c *client) IDTokenUserinfoClaimsAssertion() bool {
	return false
}
func (c *client) ClockSkew() time.Duration { return 0 }
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}

// secret needs every escape of RFC 6749 section 2.3.1.
const secret = "a:b%c d+é"

// clients are those of every server. The gate is one, which gets no tokens.
func clients() map[string]*client {
	machine := []oidc.GrantType{oidc.GrantTypeClientCredentials}
	user := []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
	all := map[string]*client{}
	for _, c := range []*client{
		{id: "gate"},
		{id: "jwt", form: op.AccessTokenTypeJWT, life: time.Hour, grantTypes: machine},
		{id: "jwt-ended", form: op.AccessTokenTypeJWT, life: -time.Minute, grantTypes: machine},
		{id: "opaque", life: time.Hour, grantTypes: machine},
		{id: "opaque-ended", life: -time.Minute, grantTypes: machine},
		{id: "app-jwt", form: op.AccessTokenTypeJWT, life: time.Hour, grantTypes: user},
		{id: "app-opaque", life: time.Hour, grantTypes: user},
	} {
		c.secret = secret
		all[c.id] = c
	}
	return all
}

// server is the authorization server. It can stop, and start again at the same
// address with all it remembers.
type server struct {
	*storage
	t       *testing.T
	handler http.Handler
	running *http.Server
}

func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{storage: newStorage(), t: t}
	s.storage.clients = clients()
	s.storage.issuer = "http://" + process.Free(t)
	provider, err := op.NewProvider(
		&op.Config{CryptoKey: [32]byte{1}, GrantTypeRefreshToken: true, AuthMethodPrivateKeyJWT: true}, s.storage, op.StaticIssuer(s.issuer),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		s.signIn(id)
		http.Redirect(w, r, op.AuthCallbackURL(provider)(op.ContextWithIssuer(r.Context(), s.issuer), id), http.StatusFound)
	})
	s.handler = mux
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", strings.TrimPrefix(s.issuer, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.running.Serve(l) }()
}

func (s *server) stop() { _ = s.running.Close() }

// tokens is what the token endpoint gave.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// token gets an access token by client_credentials.
func (s *server) token(id string) string {
	s.t.Helper()
	return s.exchange(id, url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}).Access
}

// user signs one in and gets all three kinds of token.
func (s *server) user(id string) tokens {
	s.t.Helper()
	at := s.issuer + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {redirectURI}, "scope": {"openid offline_access orders.read"},
		"state": {"s"}, "nonce": {"n"},
	}.Encode()
	for !strings.HasPrefix(at, redirectURI) {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, at, http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			s.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		next, err := resp.Location()
		if err != nil {
			s.t.Fatalf("%s: %d %s", at, resp.StatusCode, body)
		}
		at = next.String()
	}
	back, err := url.Parse(at)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.exchange(id, url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirectURI}})
}

// again gets new tokens for a refresh token.
func (s *server) again(id string, old tokens) tokens {
	s.t.Helper()
	return s.exchange(id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
}

func (s *server) revoke(id, raw string) {
	s.t.Helper()
	s.post("/revoke", id, url.Values{"token": {raw}})
}

func (s *server) exchange(id string, form url.Values) (got tokens) {
	s.t.Helper()
	if err := json.Unmarshal(s.post("/oauth/token", id, form), &got); err != nil || got.Access == "" {
		s.t.Fatalf("no token: %v", err)
	}
	return got
}

func (s *server) post(path, id string, form url.Values) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s, %v", path, resp.StatusCode, body, err)
	}
	return body
}
