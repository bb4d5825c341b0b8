package devissuer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Client may ask about tokens, once it has proven in the one way it has that
// it is this client.
type Client struct {
	ID          string
	Secret      string           // proven by HTTP Basic or in the form
	Key         crypto.PublicKey // proven by an assertion (RFC 7523)
	Certificate []byte           // DER; proven by the connection (RFC 8705 section 2)
}

// A Question is what the introspection endpoint was asked.
type Question struct {
	Method string
	Query  string
	Header http.Header
	Form   url.Values
	Client string // who asked; empty: who did not prove it
}

// Opaque makes a token that says nothing, and of which the introspection
// endpoint tells what Mint would have put into t.
func (is *Issuer) Opaque(prefix string, t Token) (string, error) {
	signed, err := is.Mint(t)
	if err != nil {
		return "", err
	}
	claims, err := claimsOf(signed)
	if err != nil {
		return "", err
	}
	raw := prefix + rand.Text()
	is.mu.Lock()
	defer is.mu.Unlock()
	is.told[raw] = claims
	return raw, nil
}

// Say makes exactly these bytes the answer about a token; nil returns to the
// honest one.
func (is *Issuer) Say(raw string, body []byte) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.said[raw] = bytes.Clone(body); body == nil {
		delete(is.said, raw)
	}
}

// Revoke makes a token inactive.
func (is *Issuer) Revoke(raw string) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.revoked[raw] = true
}

// Questions lists what the introspection endpoint was asked, in order.
func (is *Issuer) Questions() []Question {
	is.mu.Lock()
	defer is.mu.Unlock()
	return slices.Clone(is.asked)
}

// introspect is the introspection endpoint (RFC 7662 section 2).
func (is *Issuer) introspect(r *http.Request, o Options) answer {
	client := authenticated(r, o)
	raw := r.PostForm.Get("token")
	is.mu.Lock()
	defer is.mu.Unlock()
	if len(is.asked) < maxLog {
		is.asked = append(is.asked, Question{r.Method, r.URL.RawQuery, r.Header.Clone(), maps.Clone(r.PostForm), client})
	}
	switch {
	case client == "":
		return object(http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
	case is.said[raw] != nil:
		return reply(http.StatusOK, "application/json", is.said[raw])
	}
	claims := is.told[raw]
	if claims == nil {
		claims, _ = claimsOf(raw) // what is no JWT of ours is not active
	}
	end, _ := claims["exp"].(json.Number)
	seconds, err := end.Float64()
	if claims == nil || claims["iss"] != o.Identifier || is.revoked[raw] || end != "" && (err != nil || seconds <= float64(o.Now().Unix())) {
		return object(http.StatusOK, map[string]any{"active": false})
	}
	members := map[string]any{"active": true, "token_type": "Bearer"}
	if cnf, _ := claims["cnf"].(map[string]any); cnf["jkt"] != nil {
		members["token_type"] = "DPoP"
	}
	maps.Copy(members, claims)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return object(http.StatusOK, members)
}

func claimsOf(raw string) (claims map[string]any, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errJWK
	}
	text, err := decode(parts[1])
	if err != nil {
		return nil, err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	return claims, in.Decode(&claims)
}

// authenticated names the client that asks, or nobody.
func authenticated(r *http.Request, o Options) string {
	for _, c := range o.Clients {
		if c.proven(r, o) {
			return c.ID
		}
	}
	return ""
}

func (c Client) proven(r *http.Request, o Options) bool {
	form := r.PostForm
	switch {
	case c.Secret != "":
		return c.basic(r.Header.Get("Authorization")) || form.Get("client_id") == c.ID && form.Get("client_secret") == c.Secret
	case c.Key != nil:
		const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		return form.Get("client_assertion_type") == jwtBearer && c.asserted(form.Get("client_assertion"), o)
	case c.Certificate != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return form.Get("client_id") == c.ID && bytes.Equal(r.TLS.PeerCertificates[0].Raw, c.Certificate)
	}
	return false
}

// basic reads the two halves as forms are read (RFC 6749 section 2.3.1).
func (c Client) basic(field string) bool {
	encoded, found := strings.CutPrefix(field, "Basic ")
	text, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil {
		return false
	}
	first, second, _ := strings.Cut(string(text), ":")
	id, errI := url.QueryUnescape(first)
	secret, errS := url.QueryUnescape(second)
	return errI == nil && errS == nil && id == c.ID && secret == c.Secret
}

// asserted checks an assertion (RFC 7523 section 3) that is for the issuer.
func (c Client) asserted(raw string, o Options) bool {
	claims, err := claimsOf(raw)
	if err != nil {
		return false
	}
	at := strings.LastIndexByte(raw, '.')
	signature, err := decode(raw[at+1:])
	end, _ := claims["exp"].(json.Number)
	seconds, bad := end.Int64()
	if err != nil || bad != nil || seconds <= o.Now().Unix() || claims["jti"] == nil {
		return false
	}
	named := claims["iss"] == c.ID && claims["sub"] == c.ID && claims["aud"] == o.Identifier
	return named && signedBy(c.Key, []byte(raw[:at]), signature)
}

func signedBy(key crypto.PublicKey, text, signature []byte) bool {
	sum := sha256.Sum256(text)
	switch public := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, text, signature)
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		return half == 32 && ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}
