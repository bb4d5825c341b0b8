package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/wicketgate/wicketgate/token"
)

// allowed is the Allow field of a 405: the methods that are not refused as
// such (RFC 9110 section 15.5.6).
const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// answerBody is what every answer of ours looks like on the inside.
type answerBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// answer writes an answer of ours. Nothing in it comes from the request.
func answer(w http.ResponseWriter, status int, code, description string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if code == "" {
		h.Set("Content-Length", "0")
		w.WriteHeader(status)
		return
	}
	body, _ := json.Marshal(answerBody{code, description}) // two strings always marshal
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// refuseAtDoor answers a request that did not get as far as a route, and so has
// no challenge to be told.
func refuseAtDoor(w http.ResponseWriter, e *token.Error) {
	if e.Code == token.MethodNotAllowed {
		w.Header().Set("Allow", allowed)
		// What follows a CONNECT is not HTTP to some readers.
		w.Header().Set("Connection", "close")
	}
	answer(w, e.Code.Status(), string(e.Code), e.Description())
}

// Answer writes the answer to a decision that did not allow: the one table of
// RFC 6750 section 3, RFC 9449 section 7 and the manual.
func (g *Gate) Answer(w http.ResponseWriter, d *Decision) {
	if d.Verdict == Answered {
		d.Reply.write(w)
		return
	}
	if d.Verdict == Failed || d.Refusal == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfter().Seconds())))
		answer(w, http.StatusServiceUnavailable, "temporarily_unavailable", token.Refuse("", d.Reason()).Description())
		return
	}
	e := d.Refusal
	if e.Code.OnChallenge() {
		for _, line := range g.Realm.Challenges(g.naming(d), d.Route.Schemes()) {
			w.Header().Add("WWW-Authenticate", line)
		}
	}
	if e.Code == token.MethodNotAllowed { // past the door only the metadata says so
		w.Header().Set("Allow", metadataMethods)
	}
	code := string(e.Code)
	if e.Code == token.CredentialRequired {
		code = ""
	}
	answer(w, e.Code.Status(), code, e.Description())
}
