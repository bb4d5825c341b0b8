package zitadel

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

var errAbsent = errors.New("there is none")

// storage is what the server remembers. Methods that no run reaches are left to
// the nil interface.
type storage struct {
	op.Storage
	issuer string

	mu      sync.Mutex // guards all below
	clients map[string]*client
	grants  map[string]*grant // access tokens by their identifier
	refresh map[string]*grant // by the token itself
	signIns map[string]*signIn
	key     *key // the only one
	serial  int
	asked   int // about tokens
}

func newStorage() *storage {
	s := &storage{clients: map[string]*client{}, grants: map[string]*grant{}, refresh: map[string]*grant{}, signIns: map[string]*signIn{}}
	s.rotate()
	return s
}

// rotate withdraws all keys and signs with a new one.
func (s *storage) rotate() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	s.key = &key{id: "k" + strconv.Itoa(s.serial), private: private}
}

func (s *storage) setSecret(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id].secret = secret
}

// know makes a client one that proves itself by this key.
func (s *storage) know(id string, k *jose.JSONWebKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id].key = k
}

func (s *storage) GetKeyByIDAndClientID(_ context.Context, kid, id string) (*jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c != nil && c.key != nil && c.key.KeyID == kid {
		return c.key, nil
	}
	return nil, errAbsent
}

func (s *storage) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// grant is what one token allows.
type grant struct {
	id, subject, client string
	audience, scopes    []string
	issued, ends        time.Time
}

func (g *grant) GetSubject() string          { return g.subject }
func (g *grant) GetClientID() string         { return g.client }
func (g *grant) GetAudience() []string       { return g.audience }
func (g *grant) GetScopes() []string         { return g.scopes }
func (g *grant) GetAMR() []string            { return []string{"pwd"} }
func (g *grant) GetAuthTime() time.Time      { return g.issued }
func (g *grant) SetCurrentScopes(s []string) { g.scopes = s }

func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grant(r)
	s.grants[g.id] = g
	return g.id, g.ends, nil
}

func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, again := s.grant(r), rand.Text()
	delete(s.refresh, current)
	s.grants[g.id], s.refresh[again] = g, g
	return g.id, again, g.ends, nil
}

// grant is called with s.mu held.
func (s *storage) grant(r op.TokenRequest) *grant {
	id := r.(interface{ GetClientID() string }).GetClientID()
	now := time.Now()
	return &grant{
		id: rand.Text(), subject: r.GetSubject(), client: id, audience: r.GetAudience(), scopes: r.GetScopes(),
		issued: now, ends: now.Add(s.clients[id].life),
	}
}

func (s *storage) TokenRequestByRefreshToken(_ context.Context, raw string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.refresh[raw]; g != nil {
		return g, nil
	}
	return nil, op.ErrInvalidRefreshToken
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _, raw string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.refresh[raw]; g != nil {
		return g.subject, raw, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

func (s *storage) RevokeToken(_ context.Context, id, _, client string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.grants[id]; g != nil && g.client != client {
		return oidc.ErrInvalidClient()
	}
	delete(s.grants, id)
	delete(s.refresh, id)
	return nil
}

func (s *storage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, subject, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	g := s.grants[id]
	if g == nil || g.subject != subject || time.Now().After(g.ends) {
		return errAbsent
	}
	answer.Issuer, answer.Subject, answer.ClientID, answer.JWTID = s.issuer, g.subject, g.client, g.id
	answer.Audience, answer.Scope, answer.TokenType = g.audience, g.scopes, oidc.BearerToken
	answer.IssuedAt, answer.Expiration = oidc.FromTime(g.issued), oidc.FromTime(g.ends)
	return nil
}

// GetPrivateClaimsFromScopes adds the scope, which the library leaves out.
func (s *storage) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": oidc.SpaceDelimitedArray(scopes)}, nil
}

func (s *storage) SetUserinfoFromScopes(_ context.Context, about *oidc.UserInfo, subject, _ string, _ []string) error {
	about.Subject = subject
	return nil
}

func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &grant{subject: id, client: id, audience: []string{identifier}, scopes: scopes}, nil
}

func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c == nil || subtle.ConstantTimeCompare([]byte(c.secret), []byte(secret)) != 1 {
		return errAbsent
	}
	return nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c != nil {
		return c, nil
	}
	return nil, errAbsent
}

// signIn is a user on the way to a code.
type signIn struct {
	grant
	request *oidc.AuthRequest
	code    string
	done    bool
}

func (r *signIn) GetID() string                         { return r.id }
func (r *signIn) GetACR() string                        { return "" }
func (r *signIn) GetCodeChallenge() *oidc.CodeChallenge { return nil }
func (r *signIn) GetNonce() string                      { return r.request.Nonce }
func (r *signIn) GetRedirectURI() string                { return r.request.RedirectURI }
func (r *signIn) GetResponseType() oidc.ResponseType    { return r.request.ResponseType }
func (r *signIn) GetResponseMode() oidc.ResponseMode    { return r.request.ResponseMode }
func (r *signIn) GetState() string                      { return r.request.State }
func (r *signIn) Done() bool                            { return r.done }

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The resource is an audience of the ID token too, as with a project at ZITADEL.
	one := &signIn{request: r, grant: grant{
		id: rand.Text(), subject: "alice", client: r.ClientID, audience: []string{identifier}, scopes: slices.Clone(r.Scopes), issued: time.Now(),
	}}
	s.signIns[one.id] = one
	return one, nil
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.signIns[id]; r != nil {
		return r, nil
	}
	return nil, errAbsent
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.signIns {
		if r.done && r.code == code {
			return r, nil
		}
	}
	return nil, errAbsent
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signIns[id].code = code
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.signIns, id)
	return nil
}

// signIn notes that the user signed in.
func (s *storage) signIn(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.signIns[id]; r != nil {
		r.done = true
	}
}

// key signs, and its public half is published.
type key struct {
	id      string
	private *ecdsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k *key) Key() any                                    { return k.private }

type publicKey struct{ *key }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.private.Public() }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []op.Key{publicKey{s.key}}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}
