package rivals

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// A Trial is a request whose right answer is known.
type Trial struct {
	Name string
	Kind Kind
	Good bool // it has to be let through
	// Essential trials decide whether a peer is set up at all: it is an error
	// when one ends otherwise than it should.
	Essential bool

	make  func(m *Minter) (http.Header, error)
	again bool // it is sent twice, and the second answer counts
	crowd int  // how many good ones of others come in between
}

// A Minter makes what trials send.
type Minter struct {
	Issuer *devissuer.Issuer
	Client *devissuer.ClientKey // whom bound tokens are bound to
	Origin string               // scheme and host that htu begins with; also the audience
}

// trialPath is what trials ask for.
const trialPath = "/read"

func bearer(token string, err error) (http.Header, error) {
	return http.Header{"Authorization": {"Bearer " + token}}, err
}

// claimed is a trial of a token with claims laid over the good ones.
func claimed(name string, good, essential bool, claims map[string]any) Trial {
	return Trial{Name: name, Kind: JWT, Good: good, Essential: essential, make: func(m *Minter) (http.Header, error) {
		return bearer(m.Issuer.Mint(devissuer.Token{Claims: claims}))
	}}
}

// answered is the same of a token that the issuer is asked about.
func answered(name string, good, essential bool, claims map[string]any) Trial {
	return Trial{Name: name, Kind: Opaque, Good: good, Essential: essential, make: func(m *Minter) (http.Header, error) {
		return bearer(m.Issuer.Opaque("op_", devissuer.Token{Claims: claims}))
	}}
}

// told is a trial of a token of which the issuer says something odd.
func told(name string, odd map[string]any) Trial {
	return Trial{Name: name, Kind: Opaque, make: func(m *Minter) (http.Header, error) {
		token := "op_" + rand.Text()
		members := map[string]any{
			"active": true, "iss": m.Issuer.Identifier(), "sub": "user-1", "client_id": "client-1", "aud": m.Origin, "scope": "read",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		}
		maps.Copy(members, odd)
		body, err := json.Marshal(members)
		m.Issuer.Say(token, body)
		return bearer(token, err)
	}}
}

// proven is a trial of a good bound token with a proof that may differ.
func proven(name string, good bool, alter func(m *Minter, p *devissuer.Proof)) Trial {
	return Trial{Name: name, Kind: DPoP, Good: good, make: func(m *Minter) (http.Header, error) {
		return m.Proven(alter)
	}}
}

// Bound makes a token that is bound to the client's key.
func (m *Minter) Bound() (string, error) {
	return m.Issuer.Mint(devissuer.Token{Claims: map[string]any{"cnf": m.confirmation()}})
}

// amongOthers names the audience in an array (RFC 7519 section 4.1.3).
func (m *Minter) amongOthers() map[string]any {
	return map[string]any{"aud": []string{"https://other.example.com", m.Origin}}
}

func (m *Minter) confirmation() map[string]any {
	return map[string]any{"jkt": m.Client.Thumbprint()}
}

// Proven makes the header of a request with a bound token and a fresh proof.
func (m *Minter) Proven(alter func(m *Minter, p *devissuer.Proof)) (http.Header, error) {
	token, err := m.Bound()
	if err != nil {
		return nil, err
	}
	p := devissuer.Proof{Method: http.MethodGet, URL: m.Origin + trialPath, AccessToken: token}
	if alter != nil {
		alter(m, &p)
	}
	proof, err := m.Client.Proof(p)
	return http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}, err
}

// Trials are all of them.
func Trials() []Trial {
	return append(append(trialsOfJWTs(), trialsOfProofs()...), trialsOfOpaque()...)
}

func trialsOfJWTs() []Trial {
	hour := time.Now().Add(time.Hour).Unix()
	return append([]Trial{
		claimed("a good token", true, true, nil),
		{Name: "a good RS256 token", Kind: JWT, Good: true, Essential: true, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Mint(devissuer.Token{Alg: "RS256"}))
		}},
		{Name: "aud as an array", Kind: JWT, Good: true, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Mint(devissuer.Token{Claims: m.amongOthers()}))
		}},
		{Name: "no token", Kind: JWT, Essential: true, make: func(*Minter) (http.Header, error) { return http.Header{}, nil }},
		{Name: "garbage", Kind: JWT, Essential: true, make: func(*Minter) (http.Header, error) { return bearer(rand.Text(), nil) }},
		damaged("a damaged ES256 signature", "ES256"),
		damaged("a damaged RS256 signature", "RS256"),
		{Name: "changed claims under a good signature", Kind: JWT, Essential: true, make: reworded},
		claimed("an expired token", false, true, map[string]any{"exp": hour - 7200, "iat": hour - 7800}),
		claimed("another audience", false, true, map[string]any{"aud": "https://other.example.com"}),
		claimed("other audiences in an array", false, false, map[string]any{"aud": []string{"https://other.example.com", "https://third.example.com"}}),
		claimed("no aud", false, false, map[string]any{"aud": nil}),
		claimed("another issuer", false, false, map[string]any{"iss": "https://other.example.com"}),
		claimed("no iss", false, false, map[string]any{"iss": nil}),
		claimed("nbf in the future", false, false, map[string]any{"nbf": hour}),
		claimed("no exp", false, false, map[string]any{"exp": nil}),
	}, trialsOfForgeries()...)
}

func trialsOfForgeries() []Trial {
	return []Trial{
		{Name: "alg none", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Mint(devissuer.Token{Alg: devissuer.None}))
		}},
		{Name: "HS256 with the public key as the secret", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			keys, err := publicKeys(m.Issuer.JWKS())
			if err != nil {
				return nil, err
			}
			for key, secret := range keys {
				if key.Algorithm == "RS256" {
					return bearer(m.Issuer.Mint(devissuer.Token{Alg: "HS256", Secret: secret, KeyID: key.KeyID}))
				}
			}
			return nil, errors.New("the issuer has no RS256 key")
		}},
		{Name: "an unknown key", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			stranger, err := devissuer.New(devissuer.Options{Identifier: m.Issuer.Identifier(), Keys: []devissuer.Key{{ID: "stranger", Algorithm: "ES256"}}})
			if err != nil {
				return nil, err
			}
			return bearer(stranger.Mint(devissuer.Token{}))
		}},
		{Name: "a kid that no key has", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Mint(devissuer.Token{Header: map[string]any{"kid": "nobody-has-it"}}))
		}},
		{Name: "an ID token (typ JWT)", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Mint(devissuer.Token{Header: map[string]any{"typ": "JWT"}}))
		}},
		{Name: "a token bound to a key, without proof", Kind: JWT, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Bound())
		}},
	}
}

// damaged flips one bit of a signature.
func damaged(name, alg string) Trial {
	return Trial{Name: name, Kind: JWT, Essential: true, make: func(m *Minter) (http.Header, error) {
		token, err := m.Issuer.Mint(devissuer.Token{Alg: alg})
		if err != nil {
			return nil, err
		}
		return bearer(Damage(token))
	}}
}

// Damage flips one bit in the middle of a compact JWS's signature.
func Damage(token string) (string, error) {
	at := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[at:])
	if err != nil || len(signature) == 0 {
		return "", fmt.Errorf("reading a signature to damage: %w", err)
	}
	signature[len(signature)/2] ^= 1
	return token[:at] + base64.RawURLEncoding.EncodeToString(signature), nil
}

func reworded(m *Minter) (http.Header, error) {
	token, err := m.Issuer.Mint(devissuer.Token{})
	if err != nil {
		return nil, err
	}
	other, err := m.Issuer.Mint(devissuer.Token{Claims: map[string]any{"sub": "somebody-else"}})
	if err != nil {
		return nil, err
	}
	parts, others := strings.Split(token, "."), strings.Split(other, ".")
	return bearer(parts[0]+"."+others[1]+"."+parts[2], nil)
}

func trialsOfProofs() []Trial {
	good := proven("a good proof", true, nil)
	good.Essential = true
	replayed := proven("the same proof twice", false, nil)
	replayed.again = true
	later := proven("the same proof twice, 1,500 others in between", false, nil)
	later.again, later.crowd = true, 1500
	return []Trial{
		good,
		{Name: "no proof", Kind: DPoP, Essential: true, make: func(m *Minter) (http.Header, error) {
			h, err := m.Proven(nil)
			h.Del("DPoP")
			return h, err
		}},
		replayed,
		later,
		proven("htu with the port of https", true, func(m *Minter, p *devissuer.Proof) { p.URL = m.Origin + ":443" + trialPath }),
		proven("htu of another path", false, func(m *Minter, p *devissuer.Proof) { p.URL = m.Origin + "/other" }),
		proven("htu of another host", false, func(_ *Minter, p *devissuer.Proof) { p.URL = "https://other.example.com" + trialPath }),
		proven("htm of another method", false, func(_ *Minter, p *devissuer.Proof) { p.Method = http.MethodPost }),
		proven("ath of another token", false, func(_ *Minter, p *devissuer.Proof) { p.AccessToken = "another" }),
		proven("no ath", false, func(_ *Minter, p *devissuer.Proof) { p.AccessToken = "" }),
		proven("no jti", false, func(_ *Minter, p *devissuer.Proof) { p.Claims = map[string]any{"jti": nil} }),
		proven("iat ten minutes ago", false, func(_ *Minter, p *devissuer.Proof) { p.IssuedAt = time.Now().Add(-10 * time.Minute) }),
		proven("iat in ten minutes", false, func(_ *Minter, p *devissuer.Proof) { p.IssuedAt = time.Now().Add(10 * time.Minute) }),
		proven("another typ", false, func(_ *Minter, p *devissuer.Proof) { p.Header = map[string]any{"typ": "JWT"} }),
		proven("a jwk with a private member", false, func(m *Minter, p *devissuer.Proof) { p.Header = map[string]any{"jwk": m.private()} }),
		{Name: "a damaged proof", Kind: DPoP, Essential: true, make: func(m *Minter) (http.Header, error) {
			h, err := m.Proven(nil)
			if err != nil {
				return nil, err
			}
			proof, err := Damage(h.Get("DPoP"))
			h.Set("DPoP", proof)
			return h, err
		}},
		{Name: "another key's proof", Kind: DPoP, Essential: true, make: strangers},
		{Name: "two proofs", Kind: DPoP, make: func(m *Minter) (http.Header, error) {
			h, err := m.Proven(nil)
			h.Add("DPoP", h.Get("DPoP"))
			return h, err
		}},
		{Name: "a token bound to no key", Kind: DPoP, make: unbound},
	}
}

// private is the client's key with a member that only private keys have (RFC
// 7518 section 6.2.2).
func (m *Minter) private() map[string]any {
	members := map[string]any{}
	_ = json.Unmarshal(m.Client.PublicJWK(), &members) // it is one
	members["d"] = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	return members
}

// strangers is a good token with a proof by a key that it is not bound to.
func strangers(m *Minter) (http.Header, error) {
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		return nil, err
	}
	token, err := m.Bound()
	if err != nil {
		return nil, err
	}
	proof, err := key.Proof(devissuer.Proof{Method: http.MethodGet, URL: m.Origin + trialPath, AccessToken: token})
	return http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}, err
}

func unbound(m *Minter) (http.Header, error) {
	token, err := m.Issuer.Mint(devissuer.Token{})
	if err != nil {
		return nil, err
	}
	proof, err := m.Client.Proof(devissuer.Proof{Method: http.MethodGet, URL: m.Origin + trialPath, AccessToken: token})
	return http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}, err
}

func trialsOfOpaque() []Trial {
	hour := time.Now().Add(time.Hour).Unix()
	return []Trial{
		answered("a good token", true, true, nil),
		{Name: "a token that is not active", Kind: Opaque, Essential: true, make: func(*Minter) (http.Header, error) {
			return bearer("op_"+rand.Text(), nil)
		}},
		{Name: "aud as an array", Kind: Opaque, Good: true, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Opaque("op_", devissuer.Token{Claims: m.amongOthers()}))
		}},
		answered("another audience", false, true, map[string]any{"aud": "https://other.example.com"}),
		told("another issuer", map[string]any{"iss": "https://other.example.com"}),
		told("active, but expired", map[string]any{"exp": hour - 7200, "iat": hour - 7800}),
		answered("active, but nbf in the future", false, false, map[string]any{"nbf": hour}),
		{Name: "a token bound to a key, without proof", Kind: Opaque, make: func(m *Minter) (http.Header, error) {
			return bearer(m.Issuer.Opaque("op_", devissuer.Token{Claims: map[string]any{"cnf": m.confirmation()}}))
		}},
	}
}
