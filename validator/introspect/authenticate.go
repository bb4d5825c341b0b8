package introspect

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/wicketgate/wicketgate/internal/signer"
)

const assertionTime = time.Minute

// authenticate adds who we are.
func (s *server) authenticate(form url.Values, header http.Header) error {
	switch s.Method {
	case Basic:
		// RFC 6749 section 2.3.1: each half is form-encoded before the two are joined.
		pair := url.QueryEscape(s.ClientID) + ":" + url.QueryEscape(s.Secret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case Post:
		form.Set("client_id", s.ClientID)
		form.Set("client_secret", s.Secret)
	case MutualTLS:
		form.Set("client_id", s.ClientID) // RFC 8705 section 2
	case PrivateKeyJWT:
		signed, err := assertion(s.Key, s.ClientID, s.Issuer, time.Now())
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", signed)
	case TokenReview: // has no form; the client shows our token
	}
	return nil
}

// assertion says who we are to the issuer, once and for a minute (RFC 7523
// section 3).
func assertion(k *signer.Key, client, audience string, now time.Time) (string, error) {
	header := map[string]string{"alg": k.Algorithm(), "typ": "JWT"}
	if k.ID() != "" {
		header["kid"] = k.ID()
	}
	first, errH := json.Marshal(header)
	second, errP := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		IssuedAt int64  `json:"iat"`
		Expiry   int64  `json:"exp"`
	}{client, client, audience, rand.Text(), now.Unix(), now.Add(assertionTime).Unix()})
	if err := errors.Join(errH, errP); err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(first) + "." + encode(second)
	signature, err := k.Sign([]byte(signed))
	return signed + "." + encode(signature), err
}
