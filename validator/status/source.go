package status

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// Bounds on what is fetched, and on how long it serves.
const (
	maxBody      = 8 << 20          // octets of a list as it is sent
	loadTimeout  = 10 * time.Second // of a load, the keys included
	minFresh     = 10 * time.Second
	maxFresh     = 24 * time.Hour
	defaultFresh = 5 * time.Minute // where neither the list nor HTTP says
	maxUse       = 24 * time.Hour  // of a list that cannot be had anew, and has not ended
	minLife      = time.Second     // what a list must have before it when it comes
	maxAhead     = time.Minute     // of iat and nbf, for clocks that differ
	atOnce       = 4               // loads of one issuer's lists
)

// mediaType is what a list is asked for as, and must be (section 8.2).
const mediaType = "application/statuslist+jwt"

// Source is one issuer whose lists are looked at.
type Source struct {
	Name         string   // its keys are those of this name in the Cache
	Label        string   // what the hooks are told
	Algorithms   []string // with which its lists may be signed; nil: all that jwks knows
	RootCAs      *x509.CertPool
	InsecureHTTP bool
	CipherSuites []uint16
}

func (s *Source) equal(o *Source) bool {
	plain := s.Name == o.Name && s.Label == o.Label && s.InsecureHTTP == o.InsecureHTTP
	return plain && slices.Equal(s.Algorithms, o.Algorithms) && slices.Equal(s.CipherSuites, o.CipherSuites) && s.RootCAs.Equal(o.RootCAs)
}

// held is a list with how long it may be used.
type held struct {
	list
	loaded time.Time
	fresh  time.Time // until when nobody needs to ask
	end    time.Time // from when it says nothing any more
}

var (
	errType      = errors.New("the content type is not " + mediaType)
	errToken     = errors.New("the list is no strict compact JWS")
	errTyp       = errors.New("typ is not statuslist+jwt")
	errAlgorithm = errors.New("the list's algorithm is not among issuers[].algorithms")
	errKey       = errors.New("the list is not signed by a key of the issuer")
	errClaims    = errors.New("a claim of the list has the wrong type")
	errSubject   = errors.New("sub is not the address of the list")
	errIssuedAt  = errors.New("iat is missing or in the future")
	errNotYet    = errors.New("nbf is in the future")
	errEnded     = errors.New("exp is past")
	errTTL       = errors.New("ttl is no positive number")
)

// source is a Source with what it needs to be asked.
type source struct {
	Source
	client *fetch.Client
	keys   *jwks.Cache
	get    func(ctx context.Context, address, accept string) (*fetch.Body, error)
	turns  chan struct{} // one for each load under way
}

func newSource(s Source, keys *jwks.Cache) *source {
	if s.Algorithms == nil {
		s.Algorithms = jwks.Algorithms()
	}
	client := fetch.NewClient(fetch.ClientOptions{
		Timeout: loadTimeout, MaxBody: maxBody, RootCAs: s.RootCAs, AllowHTTP: s.InsecureHTTP, CipherSuites: s.CipherSuites,
	})
	return &source{Source: s, client: client, keys: keys, get: client.Get, turns: make(chan struct{}, atOnce)}
}

// load fetches the list at uri. No error of it is a *token.Error: what is wrong
// with a list is no client's doing.
func (s *source) load(ctx context.Context, uri string) (*held, error) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	body, err := s.get(ctx, uri, mediaType)
	if err != nil {
		return nil, err
	}
	if body.ContentType != mediaType {
		return nil, errType
	}
	claims, err := s.open(ctx, string(body.Bytes))
	if err != nil {
		return nil, err
	}
	return judge(claims, uri, body, began)
}

// open checks who signed the list (section 5.1).
func (s *source) open(ctx context.Context, raw string) (*token.Claims, error) {
	u, err := token.ParseJWT(raw, maxBody)
	switch {
	case err != nil:
		return nil, errToken
	case u.Type != "statuslist+jwt":
		return nil, errTyp
	case !slices.ContainsFunc(s.Algorithms, func(a string) bool { return jwks.Canonical(a) == jwks.Canonical(u.Algorithm) }):
		return nil, errAlgorithm
	}
	claims, err := s.keys.Open(ctx, s.Name, u)
	_, refused := errors.AsType[*token.Error](err)
	switch {
	case refused:
		return nil, errClaims
	case errors.Is(err, jwks.ErrNoKey):
		return nil, errKey
	case err != nil:
		return nil, err
	}
	return claims, nil
}

// judge holds the claims of a list against sections 5.1 and 8.3, and works out
// how long it serves.
func judge(c *token.Claims, uri string, body *fetch.Body, began time.Time) (*held, error) {
	switch {
	case c.Subject != uri:
		return nil, errSubject
	case c.IssuedAt.IsZero() || c.IssuedAt.Sub(began) > maxAhead:
		return nil, errIssuedAt
	case c.NotBefore.Sub(began) > maxAhead:
		return nil, errNotYet
	case !c.Expiry.IsZero() && c.Expiry.Sub(began) < minLife:
		return nil, errEnded
	}
	fresh, err := freshness(c, body)
	if err != nil {
		return nil, err
	}
	h := &held{loaded: began, fresh: began.Add(fresh)}
	h.end = h.fresh
	if !c.Expiry.IsZero() {
		h.fresh = earlier(h.fresh, c.Expiry)
		h.end = earlier(began.Add(maxUse), c.Expiry)
	}
	v, _ := c.Lookup("status_list")
	h.list, err = readList(v)
	if err != nil {
		return nil, fmt.Errorf("status list: %w", err)
	}
	return h, nil
}

// freshness is how long nobody needs to ask again: by ttl, else by HTTP (section
// 13.7). No list makes us ask all the time, and none never.
func freshness(c *token.Claims, body *fetch.Body) (time.Duration, error) {
	fresh := defaultFresh
	v, said := c.Lookup("ttl")
	switch {
	case said:
		// A ttl has the form of a date, and the same bounds do for it.
		date, ok := token.NumericDate(v)
		if !ok || !date.After(time.Unix(0, 0)) {
			return 0, errTTL
		}
		fresh = time.Duration(min(date.Unix(), int64(maxFresh/time.Second))) * time.Second
	case body.HasMaxAge:
		fresh = body.MaxAge
	}
	return min(max(fresh, minFresh), maxFresh), nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
