// Package signals receives security events (RFC 8417) that transmitters push
// (RFC 8935), as the Shared Signals framework has them, and turns those that take
// tokens back into deny rules.
//
// It keeps no rules; a push is acknowledged when whoever does has them.
package signals

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

const (
	// MaxBody is how long an event may be, in octets.
	MaxBody = 64 << 10

	contentType = "application/secevent+jwt"
	remembered  = 10_000 // jti, each for as long as others do not push it out
	ahead       = time.Minute
)

// A Transmitter may push events about the tokens of some issuers.
type Transmitter struct {
	Issuer         string   // iss of its events; its keys are under this name in Options.Keys
	Audience       string   // what aud must name
	SubjectIssuers []string // whose tokens its events may deny
}

// Options is what a Receiver is made of.
type Options struct {
	Transmitters []Transmitter
	Keys         *jwks.Cache
	Keep         time.Duration // how long tokens stay denied

	// Deny puts rules in force and keeps them. With an error the transmitter is
	// told to try again.
	Deny func(context.Context, []revoke.Rule) error
	// OnReceived is told what came of each push, and why it was not taken.
	OnReceived func(result string, err error)
}

// What comes of a push.
const (
	Applied      = "applied"      // tokens are denied
	Ignored      = "ignored"      // a good event that takes no token back that we could name
	Repeated     = "repeated"     // seen before
	Rejected     = "rejected"     // told in the words of RFC 8935 what is wrong with it
	Unauthorized = "unauthorized" // without the transmitters' token
	Failed       = "failed"       // to be tried again: keys or store out of reach
)

// Results lists what can come of a push.
func Results() []string { return []string{Applied, Ignored, Repeated, Rejected, Unauthorized, Failed} }

// A Receiver is the endpoint that events are pushed to.
type Receiver struct {
	Options
	transmitters map[string]Transmitter
	secret       atomic.Pointer[[sha256.Size]byte] // nil: nobody may push

	mu   sync.Mutex // guards seen and ring
	seen map[[sha256.Size]byte]bool
	ring [][sha256.Size]byte
	next int
}

// New makes a Receiver that takes nothing before Expect.
func New(o Options) *Receiver {
	r := &Receiver{Options: o, transmitters: make(map[string]Transmitter), seen: make(map[[sha256.Size]byte]bool)}
	for _, t := range o.Transmitters {
		r.transmitters[t.Issuer] = t
	}
	return r
}

// Expect sets the bearer token that transmitters must present.
func (r *Receiver) Expect(secret string) {
	sum := sha256.Sum256([]byte(secret))
	r.secret.Store(&sum)
}

// problem is an error code of RFC 8935 section 2.4 with a fixed text.
type problem struct{ code, text string }

// Error implements error.
func (p *problem) Error() string { return p.code + ": " + p.text }

var (
	errCredential  = &problem{"authentication_failed", "the bearer token is missing or wrong"}
	errContentType = &problem{"invalid_request", "the content type is not " + contentType}
	errBody        = &problem{"invalid_request", "the body is longer than 64 KiB or was cut off"}
	errForm        = &problem{"invalid_request", "the body is not a signed JWT"}
	errType        = &problem{"invalid_request", "typ is not secevent+jwt"}
	errIssuer      = &problem{"invalid_issuer", "iss is not a transmitter known here"}
	errAudience    = &problem{"invalid_audience", "aud does not name this receiver"}
	errKey         = &problem{"invalid_key", "the signature does not hold under a key of the transmitter"}
	errClaims      = &problem{"invalid_request", "a claim has the wrong type"}
	errNotToken    = &problem{"invalid_request", "sub and exp must not be there"}
	errRequired    = &problem{"invalid_request", "iat, jti and events are required"}
	errFuture      = &problem{"invalid_request", "iat is in the future"}
	errSubject     = &problem{"invalid_request", "a subject identifier is malformed"}
)

// ServeHTTP takes one event (RFC 8935 section 2).
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if !r.authorized(req.Header["Authorization"]) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		r.tell(Unauthorized, errCredential)
		answer(w, http.StatusUnauthorized, errCredential)
		return
	}
	result, err := r.receive(w, req)
	r.tell(result, err)
	switch wrong, ok := errors.AsType[*problem](err); {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case ok:
		answer(w, http.StatusBadRequest, wrong)
	default:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(err)))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func retryAfter(err error) int {
	if fault, ok := errors.AsType[*token.Fault](err); ok {
		return max(1, int(fault.RetryAfter/time.Second))
	}
	return 1
}

func (r *Receiver) tell(result string, err error) {
	if r.OnReceived != nil {
		r.OnReceived(result, err)
	}
}

func answer(w http.ResponseWriter, status int, p *problem) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en") // RFC 8935 section 2.3
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // a transmitter that has gone needs no answer
		Err         string `json:"err"`
		Description string `json:"description"`
	}{p.code, p.text})
}

// authorized compares digests, so that time tells nothing of the token.
func (r *Receiver) authorized(fields []string) bool {
	secret := r.secret.Load()
	if len(fields) != 1 || secret == nil {
		return false
	}
	scheme, given, _ := strings.Cut(fields[0], " ")
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], secret[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) (result string, err error) {
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != contentType {
		return Rejected, errContentType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxBody))
	if err != nil {
		return Rejected, errBody
	}
	now := time.Now()
	event, err := r.open(req.Context(), string(body), now)
	if _, wrong := errors.AsType[*problem](err); wrong {
		return Rejected, err
	}
	if err != nil {
		return Failed, err
	}
	if r.repeated(event.id) {
		return Repeated, nil
	}
	rules, err := event.rules(now, r.Keep)
	if err != nil {
		return Rejected, err
	}
	if len(rules) > 0 {
		if err := r.Deny(req.Context(), rules); err != nil {
			return Failed, err
		}
	}
	r.remember(event.id)
	if len(rules) == 0 {
		return Ignored, nil
	}
	return Applied, nil
}

// repeated tells of an event that was dealt with. Nothing depends on it: the
// same rules once more change nothing.
func (r *Receiver) repeated(id [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id]
}

func (r *Receiver) remember(id [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.seen[id]:
		return
	case len(r.ring) < remembered:
		r.ring = append(r.ring, id)
	default:
		delete(r.seen, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % remembered
	}
	r.seen[id] = true
}
