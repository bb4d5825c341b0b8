// Package assertion signs short-lived JWTs that tell an upstream who calls, for
// one that does not trust the network between the gate and itself, and
// publishes the keys that they can be verified with. It decides nothing: who it
// speaks of has been let in already.
package assertion

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/proxy/fieldvalue"
	"github.com/wicketgate/wicketgate/token"
)

// Type is the typ of an assertion (RFC 7515 section 4.1.9, RFC 8725 section
// 3.11). No profile of access tokens takes it, so a gate that gets an assertion
// as a token refuses it.
const Type = "wicketgate-assertion+jwt"

// remembered is how many assertions a Signer keeps for further requests.
const remembered = 4096

// Options are what a Signer is made of.
type Options struct {
	Keys     []*signer.Key // the first one signs, all are published
	Issuer   string        // iss: this gate
	Audience string        // aud: the upstream
	Lifetime time.Duration // from iat to exp; never past the end of the access token
	Claims   []string      // dotted paths of those that go into claims; none for no such member

	// BindRequest signs every request anew, with its method and the hash of its
	// target.
	BindRequest bool
}

// A Signer makes assertions for one audience. It may be used by many goroutines
// at once.
type Signer struct {
	o      Options
	header string // encoded, with its dot
	prefix []byte // of the payload
	claims *fieldvalue.Projection
	made   *lru.Cache[string, made] // by all that an assertion says but its times
}

// made is an assertion that serves further requests for a while.
type made struct {
	text        string
	from, until time.Time
}

var errNoKey = errors.New("no key to sign with")

// New makes a Signer and tries its key.
func New(o Options) (*Signer, error) {
	if len(o.Keys) == 0 {
		return nil, errNoKey
	}
	key := o.Keys[0]
	if _, err := key.Sign(nil); err != nil {
		return nil, fmt.Errorf("the key cannot sign: %w", err)
	}
	header := fmt.Sprintf(`{"alg":"%s","typ":"%s","kid":"%s"}`, key.Algorithm(), Type, key.Thumbprint())
	s := &Signer{o: o, header: base64.RawURLEncoding.EncodeToString([]byte(header)) + "."}
	s.prefix = member(member([]byte("{"), "iss", o.Issuer), "aud", o.Audience)
	if len(o.Claims) > 0 {
		s.claims = fieldvalue.NewProjection(o.Claims)
	}
	var err error
	s.made, err = lru.New[string, made](remembered)
	return s, err
}

// Keys are those to publish.
func (s *Signer) Keys() []*signer.Key { return s.o.Keys }

// Request is what a bound assertion is for.
type Request struct {
	Method string
	Target string // path and query, octet for octet as the upstream gets them
}

// Assert returns an assertion about p, who was allowed r at the time now. One
// that was made before is used again during the first half of its life, unless
// it is bound to a request.
func (s *Signer) Assert(p *token.Principal, r Request, now time.Time) (string, error) {
	body := s.body(p)
	if s.o.BindRequest {
		body = bind(body, r)
		return s.sign(body, s.end(p, now), now)
	}
	key := string(strconv.AppendInt(append(body, '|'), p.Expiry.Unix(), 10))
	if before, found := s.made.Get(key); found && !now.Before(before.from) && now.Before(before.until) {
		return before.text, nil
	}
	end := s.end(p, now)
	text, err := s.sign(body, end, now)
	if err == nil {
		s.made.Add(key, made{text, now, now.Add(end.Sub(now) / 2)})
	}
	return text, err
}

// end is when an assertion made now ends. None outlives the token that it
// speaks of, or, where that is good for its leeway only, the leeway.
func (s *Signer) end(p *token.Principal, now time.Time) time.Time {
	end, last := now.Add(s.o.Lifetime), p.Expiry
	if !last.After(now) {
		last = p.Until
	}
	if last.After(now) && last.Before(end) {
		return last
	}
	return end
}

// body is the payload up to its times: what was verified of the caller under
// names that the token has no say in, and what was asked for of its own claims
// in a member apart, where they pass for nothing else.
func (s *Signer) body(p *token.Principal) []byte {
	out := make([]byte, len(s.prefix), 512)
	copy(out, s.prefix)
	out = member(out, "sub", p.Subject)
	out = member(out, "sub_type", p.SubjectType())
	out = member(out, "client_id", p.ClientID)
	out = member(out, "scope", p.Scope.String())
	out = member(out, "token_iss", p.Claims.Issuer)
	out = member(out, "binding", p.Binding.String())
	if s.claims != nil {
		before := len(out)
		var ok bool
		if out, ok = s.claims.Append(append(out, `,"claims":`...), p.Claims); !ok {
			out = out[:before]
		}
	}
	return out
}

// member writes a member of the payload, where there is anything to say.
func member(out []byte, name, text string) []byte {
	if text == "" {
		return out
	}
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(append(append(out, '"'), name...), `":`...)
	return fieldvalue.AppendText(out, text)
}

// bind names the one request that the assertion is for. The target goes in as
// its SHA-256: as long as it may be, the assertion still fits into a field.
func bind(out []byte, r Request) []byte {
	sum := sha256.Sum256([]byte(r.Target))
	out = member(member(out, "htm", r.Method), "target_sha256", base64.RawURLEncoding.EncodeToString(sum[:]))
	return member(out, "jti", rand.Text())
}

func (s *Signer) sign(body []byte, end, now time.Time) (string, error) {
	payload := append(slices.Clip(body), `,"iat":`...)
	payload = append(strconv.AppendInt(payload, now.Unix(), 10), `,"exp":`...)
	payload = append(strconv.AppendInt(payload, end.Unix(), 10), '}')
	signed := make([]byte, 0, len(s.header)+2*len(payload)+700)
	signed = base64.RawURLEncoding.AppendEncode(append(signed, s.header...), payload)
	signature, err := s.o.Keys[0].Sign(signed)
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	return string(base64.RawURLEncoding.AppendEncode(append(signed, '.'), signature)), nil
}

// Describe tells what an assertion says, for people: its payload without the
// signature that makes it worth something.
func Describe(value string) string {
	parts := strings.Split(strings.TrimPrefix(value, "Bearer "), ".")
	if len(parts) != 3 {
		return "no assertion"
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "no assertion"
	}
	return "<signed " + Type + "> " + string(payload)
}
