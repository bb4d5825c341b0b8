package introspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// signedType is the media type of a signed answer, and less "application/" its
// typ (RFC 9701 sections 4 and 5).
const signedType = "application/token-introspection+jwt"

// maxSkew is how far iat of a signed answer may be from our time: an answer is
// made when it is asked for.
const maxSkew = time.Minute

var (
	errUnsigned  = errors.New("the answer's content type is not " + signedType)
	errJWT       = errors.New("the answer is no strict compact JWS; an encrypted one cannot be read here")
	errTyp       = errors.New("the answer's typ is not token-introspection+jwt")
	errAlgorithm = errors.New("the answer's algorithm is not among issuers[].algorithms")
	errSignature = errors.New("the answer is not signed by a key of the issuer")
	errClaims    = errors.New("a claim of the answer has the wrong type")
	errIssuer    = errors.New("iss of the answer is not the issuer")
	errAudience  = errors.New("aud of the answer is not our client_id")
	errIssuedAt  = errors.New("iat of the answer is missing or not now")
	errMember    = errors.New("the answer has no token_introspection object")
)

// accept is what is asked for. A server that must sign is offered nothing else.
func (s *server) accept() string {
	if s.Signed {
		return signedType
	}
	return "application/json"
}

// read reads an answer of the one form that counts: whoever could send the other
// one instead would need no signature.
func (s *server) read(ctx context.Context, body *fetch.Body) (*answer, error) {
	if !s.Signed {
		return readAnswer(body)
	}
	if body.ContentType != signedType {
		return nil, errUnsigned
	}
	claims, err := s.open(ctx, trim(string(body.Bytes)))
	if err != nil {
		return nil, err
	}
	switch {
	case claims.Issuer != s.Issuer:
		return nil, errIssuer
	case !slices.Contains(claims.Audience, s.ClientID):
		return nil, errAudience
	case claims.IssuedAt.IsZero() || time.Since(claims.IssuedAt).Abs() > maxSkew:
		return nil, errIssuedAt
	}
	members, found := claims.Lookup("token_introspection")
	if _, isObject := members.Object(); !found || !isObject {
		return nil, errMember
	}
	return readMembers(string(members))
}

// open checks who signed the answer. No error of it is a *token.Error: what is
// wrong with an answer says nothing about the token.
func (s *server) open(ctx context.Context, raw string) (*token.Claims, error) {
	u, err := token.ParseJWT(raw, maxBody)
	switch {
	case err != nil:
		return nil, errJWT
	case u.Type != "token-introspection+jwt":
		return nil, errTyp
	case s.Algorithms != nil && !slices.ContainsFunc(s.Algorithms, func(a string) bool { return jwks.Canonical(a) == jwks.Canonical(u.Algorithm) }):
		return nil, errAlgorithm
	}
	claims, err := s.keys.Open(ctx, s.Name, u)
	_, refused := errors.AsType[*token.Error](err)
	switch {
	case refused:
		return nil, errClaims
	case errors.Is(err, jwks.ErrNoKey):
		return nil, errSignature
	case err != nil:
		return nil, fmt.Errorf("keys of the issuer: %w", err)
	}
	return claims, nil
}
