package devissuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DemoGrant is the grant type for any token one likes. Its parameters: sub,
// scope, aud, client_id (empty: no such claim), expires_in (seconds, may be
// negative), alg, jkt, x5t#S256, and claims, a JSON object laid over all of it in which
// null removes a claim.
const DemoGrant = "urn:wicketgate:params:demo"

const maxSeconds = 10 * 365 * 24 * 3600 // of expires_in, either way

var (
	errGrant   = errors.New("the grant type is neither client_credentials nor " + DemoGrant)
	errSeconds = errors.New("expires_in is no number of seconds within ten years")
	errClaims  = errors.New("claims is no JSON object")
	errProof   = errors.New("the DPoP proof has no public key")
)

// token is the token endpoint (RFC 6749 sections 4.4, 5.1 and 5.2, RFC 9449
// section 5). It looks at no client secret, and in a proof only at the key:
// who may ask for any jkt has nothing to prove.
func (is *Issuer) token(r *http.Request, o Options) answer {
	changes := map[string]any{"scope": "read"}
	seconds, err := request(r, o, changes)
	body := map[string]any{"token_type": "Bearer", "expires_in": seconds}
	if scope, ok := changes["scope"].(string); ok {
		body["scope"] = scope
	}
	if cnf, _ := changes["cnf"].(map[string]string); cnf["jkt"] != "" {
		body["token_type"] = "DPoP"
	}
	if err == nil {
		body["access_token"], err = is.Mint(Token{Alg: r.PostForm.Get("alg"), Claims: changes})
	}
	status := http.StatusOK
	if err != nil {
		status, body = http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": err.Error()}
		switch {
		case errors.Is(err, errGrant):
			body["error"] = "unsupported_grant_type"
		case errors.Is(err, errProof):
			body["error"] = "invalid_dpop_proof"
		}
	}
	a := object(status, body)
	a.header.Set("Cache-Control", "no-store")
	return a
}

// request reads the parameters into changes of the claims.
func request(r *http.Request, o Options, changes map[string]any) (seconds int64, err error) {
	form, now := r.PostForm, o.Now().Unix()
	lifetime := int64(o.Lifetime / time.Second)
	seconds = lifetime
	take := func(parameter, claim string) {
		switch given := form[parameter]; {
		case len(given) > 1:
			changes[claim] = given
		case len(given) == 1 && given[0] == "":
			changes[claim] = nil
		case len(given) == 1:
			changes[claim] = given[0]
		}
	}
	take("scope", "scope")
	take("client_id", "client_id")
	take("aud", "aud")
	take("resource", "aud") // RFC 8707
	switch form.Get("grant_type") {
	case "client_credentials":
		take("client_id", "sub")
		if id, _, ok := r.BasicAuth(); ok {
			changes["client_id"], changes["sub"] = id, id
		}
	case DemoGrant:
		take("sub", "sub")
		if form.Has("expires_in") {
			if seconds, err = strconv.ParseInt(form.Get("expires_in"), 10, 64); err != nil || seconds > maxSeconds || seconds < -maxSeconds {
				return 0, errSeconds
			}
			changes["exp"] = now + seconds
			if seconds <= 0 { // an expired token was issued before it expired
				changes["iat"] = now + seconds - lifetime
			}
		}
	default:
		return 0, errGrant
	}
	for _, method := range [...]string{"jkt", "x5t#S256"} {
		if thumbprint := form.Get(method); thumbprint != "" {
			bind(changes, method, thumbprint)
		}
	}
	if proof := r.Header.Get("DPoP"); proof != "" {
		jkt, err := thumbprintOf(proof)
		if err != nil {
			return 0, errProof
		}
		bind(changes, "jkt", jkt)
	}
	if text := form.Get("claims"); text != "" {
		in := json.NewDecoder(strings.NewReader(text))
		in.UseNumber() // a number goes out as it came in
		if in.Decode(&changes) != nil || changes == nil || in.More() {
			return 0, errClaims
		}
	}
	return seconds, nil
}

// bind adds a method to the cnf claim (RFC 7800 section 3.1).
func bind(changes map[string]any, method, thumbprint string) {
	cnf, _ := changes["cnf"].(map[string]string)
	if cnf == nil {
		cnf = make(map[string]string)
		changes["cnf"] = cnf
	}
	cnf[method] = thumbprint
}

func thumbprintOf(proof string) (string, error) {
	first, _, _ := strings.Cut(proof, ".")
	text, err := decode(first)
	var header struct{ JWK jwk }
	if err != nil || json.Unmarshal(text, &header) != nil {
		return "", errProof
	}
	return header.JWK.thumbprint()
}
