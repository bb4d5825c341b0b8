// Package decisions writes a line of JSON for each decision of a gate, and reads
// such lines: what was asked, what came of it and why, and of the caller what the
// token says where its signature held. Nothing that proves anything is in a line:
// no token, proof, query, field that carries one, or claim that nobody vouches
// for.
package decisions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// Version is that of the form of a line. A reader takes no other.
const Version = 1

// MaxLine is how long a line may be, in octets.
const MaxLine = 1 << 20

// A Verdict is what became of a request.
type Verdict string

// The verdicts.
const (
	Allowed   Verdict = "allowed"   // with a token that is good and suffices
	Anonymous Verdict = "anonymous" // without one, on an optional route
	Public    Verdict = "public"    // on a public route: nobody looked for a token
	Preflight Verdict = "preflight" // forwarded without a token, for CORS
	Answered  Verdict = "answered"  // by the gate itself: metadata, a preflight, OPTIONS *
	Refused   Verdict = "refused"
	Failed    Verdict = "failed"   // nobody could tell
	Reported  Verdict = "reported" // let through by report-only, though it was one of those two
)

// Seen says what is known of the credential of a request.
type Seen string

// What can be known.
const (
	None     Seen = "none"     // nothing was presented
	Verified Seen = "verified" // a token whose signature held, and all that comes before policy
	Rejected Seen = "rejected" // one that is not good, or that nobody could judge
	Unseen   Seen = "unseen"   // nobody looked, or the route takes no such credential
)

// A Line is one decision.
type Line struct {
	Version     int                 `json:"v"`
	Time        time.Time           `json:"time"` // when the request came
	Listener    string              `json:"listener"`
	Interaction string              `json:"interaction"` // x-fapi-interaction-id; empty where there is none
	Trace       string              `json:"trace"`       // trace-id of traceparent, or empty
	Resource    string              `json:"resource"`    // empty for what was refused before it was known
	Route       string              `json:"route"`       // empty where no route governs
	Verdict     Verdict             `json:"verdict"`
	Reason      token.Reason        `json:"reason"` // empty but with Refused, Failed and Reported
	Status      int                 `json:"status"`
	Method      string              `json:"method"` // Other where it is no word in capitals
	Host        string              `json:"host"`
	Path        string              `json:"path"`     // as it was sent, less what may hold a secret
	PathCut     bool                `json:"path_cut"` // part of the path is not here
	Source      string              `json:"source"`   // the client's address, empty where it is not known
	Credential  Seen                `json:"credential"`
	Caller      *Caller             `json:"caller"` // with Verified
	Headers     map[string][]string `json:"headers"`
}

// Other stands for a method that a client made up.
const Other = "other"

// A Caller is a verified principal.
type Caller struct {
	Issuer       string          `json:"issuer"` // as the operator calls it
	Iss          string          `json:"iss"`
	Sub          string          `json:"sub"`
	ClientID     string          `json:"client_id"`
	SubjectType  string          `json:"subject_type"`
	Scope        []string        `json:"scope"`
	Aud          []string        `json:"aud"`
	Binding      []string        `json:"binding"` // dpop, mtls, both or none
	Nonce        bool            `json:"nonce"`   // the proof carried a nonce of the gate's
	Introspected bool            `json:"introspected"`
	JTI          string          `json:"jti"` // hex of its SHA-256: it resembles no token
	Exp          json.RawMessage `json:"exp"`
	Nbf          json.RawMessage `json:"nbf"`
	Iat          json.RawMessage `json:"iat"`
	ACR          json.RawMessage `json:"acr"`
	AMR          json.RawMessage `json:"amr"`
	AuthTime     json.RawMessage `json:"auth_time"`
	Act          *Actor          `json:"act"`
	From         From            `json:"from"`

	Claims  map[string]json.RawMessage `json:"claims"`   // by dotted path
	Absent  []string                   `json:"absent"`   // paths that were looked for and are not in the token
	LeftOut []string                   `json:"left_out"` // paths whose value is too long for a line
}

// An Actor is who acts for the subject (RFC 8693 section 4.1).
type Actor struct {
	Sub string `json:"sub"`
	Iss string `json:"iss"`
}

// From names the claims that say what the caller's fields say, where they are not
// those of RFC 9068.
type From struct {
	Scope    string `json:"scope"`
	Aud      string `json:"aud"`
	ClientID string `json:"client_id"`
}

var (
	errVersion = fmt.Errorf("is of another version than %d", Version)
	errCaller  = errors.New("has a caller where none was verified, or none where one was")
	errVerdict = errors.New("has no verdict that is known")
	errReason  = errors.New("has a reason that is not known, or one for what was let through, or none for what was not")
	errMore    = errors.New("holds more than one value")
)

// Parse reads one line, strictly: no member but those of the schema, each of its
// type. The error quotes nothing of the line's values.
func Parse(text []byte) (*Line, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	l := &Line{}
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("is no decision: %w", kindOf(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errMore
	}
	switch {
	case l.Version != Version:
		return nil, errVersion
	case !l.Verdict.known() || l.Time.IsZero() || l.Method == "":
		return nil, errVerdict
	case !l.explained():
		return nil, errReason
	case (l.Caller != nil) != (l.Credential == Verified):
		return nil, errCaller
	}
	return l, nil
}

// known tells whether a verdict is one that is written.
func (v Verdict) known() bool {
	switch v {
	case Allowed, Anonymous, Public, Preflight, Answered, Refused, Failed, Reported:
		return true
	}
	return false
}

// explained tells whether what was not let through has a reason, and nothing else.
func (l *Line) explained() bool {
	if l.Verdict != Refused && l.Verdict != Failed && l.Verdict != Reported {
		return l.Reason == token.ReasonNone
	}
	for i := range token.Reasons {
		if token.Reasons[i].Reason == l.Reason {
			return true
		}
	}
	return false
}

// kindOf says what is wrong without what was read.
func kindOf(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s is not of its type", wrong.Field)
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("no JSON at octet %d", bad.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return errors.New("it has a member that no line has, or one of another form")
}

// Knows tells whether the line says what the token holds at a dotted path, if
// only that it is not there. Paths are compared as they are written.
func (c *Caller) Knows(path string) bool {
	if slices.Contains(c.LeftOut, path) {
		return false
	}
	if _, found := c.Claims[path]; found || slices.Contains(c.Absent, path) {
		return true
	}
	if path == "client_id" {
		return c.From.ClientID == ""
	}
	return slices.Contains(always[:], path)
}

// always are the paths that every line of a verified caller tells of.
var always = [...]string{"iss", "sub", "client_id", "exp", "nbf", "iat", "acr", "amr", "auth_time", "act.sub", "act.iss"}
