package proxy

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/wicketgate/wicketgate/proxy/fieldvalue"
	"github.com/wicketgate/wicketgate/token"
)

// allowed is the Allow field of a 405: the methods that are not refused as
// such (RFC 9110 section 15.5.6).
const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// problem is an answer of ours for those who ask for one, RFC 9457 section 3.1.
// Detail is the error_description of the challenge.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
}

// answer writes an answer of ours in the form that the caller understands.
// Nothing in it comes from the request. Fields set on w before, a challenge or
// a nonce, are part of it in every form.
func answer(w http.ResponseWriter, status int, code, description string) {
	setField(w, "Cache-Control", "no-store")
	rec, _ := w.(*recorder)
	if rec == nil {
		writeBody(w, status, jsonBody(code, description), "application/json")
		return
	}
	if mediaType := grpcAnswer(rec.request); mediaType != "" {
		writeTrailersOnly(rec, mediaType, status, description)
		return
	}
	if prefersProblem(rec.request.Header["Accept"]) {
		writeBody(w, status, problemBody(status, code, description), "application/problem+json")
		return
	}
	writeBody(w, status, jsonBody(code, description), "application/json")
}

// jsonBody is an object with error and, where there is one, error_description. A
// flood of refusals makes many, so it is written as it is.
func jsonBody(code, description string) []byte {
	if code == "" {
		return nil
	}
	body := make([]byte, 0, len(code)+len(description)+40)
	body = fieldvalue.AppendText(append(body, `{"error":`...), code)
	if description != "" {
		body = fieldvalue.AppendText(append(body, `,"error_description":`...), description)
	}
	return append(body, '}')
}

// problemBody says no more than jsonBody: without a code, the status only (RFC
// 6750 section 3.1).
func problemBody(status int, code, description string) []byte {
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Error: code}
	if code != "" {
		p.Detail = description
	}
	body, _ := json.Marshal(p) // strings and a number always marshal
	return body
}

// writeBody answers HEAD like GET: net/http keeps the body back.
func writeBody(w http.ResponseWriter, status int, body []byte, mediaType string) {
	setField(w, "Content-Length", strconv.Itoa(len(body)))
	if len(body) == 0 {
		w.WriteHeader(status)
		return
	}
	setField(w, "Content-Type", mediaType)
	setField(w, "X-Content-Type-Options", "nosniff")
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
	if e.Code == token.WrongVersion { // what follows may be framed in another way
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
	if d.Hidden() { // and nothing more: a nonce ahead would tell of the token that was looked at
		d = &Decision{Refusal: d.Told()}
	}
	e := d.Refusal
	if e.Code.OnChallenge() {
		w.Header()["Www-Authenticate"] = g.challenges(d)
	}
	if nonce := d.nonce(); nonce != "" {
		w.Header()[headerNonce] = []string{nonce}
	}
	if e.Code == token.MethodNotAllowed { // past the door only the metadata says so
		w.Header().Set("Allow", metadataMethods)
	}
	if e.Code == token.TooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(e.Wait.Seconds())))))
	}
	code := string(e.Code)
	if e.Code == token.CredentialRequired {
		code = ""
	}
	answer(w, e.Code.Status(), code, e.Description())
}

// setField is Header().Set for a name that is written as net/http writes it, with
// the exchange's room where there is one.
func setField(w http.ResponseWriter, name, value string) {
	if rec, ours := w.(*recorder); ours {
		rec.Header()[name] = rec.exchange.line(value)
		return
	}
	w.Header()[name] = []string{value}
}
