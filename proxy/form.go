package proxy

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/token"
)

// Bounds on a form that is read before anything is known of its sender.
const (
	maxForm     = 64 << 10 // octets
	formTimeout = 30 * time.Second
)

// mayHoldToken tells the requests whose body RFC 6750 section 2.2 lets carry a
// token, as far as their head says: the method gives a body a meaning, it is a
// form of one part, and it is sent as it is.
func mayHoldToken(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return false
	}
	types := r.Header["Content-Type"]
	if len(types) != 1 || r.Header["Content-Encoding"] != nil || r.ContentLength == 0 || r.ContentLength > maxForm {
		return false
	}
	media, _, err := mime.ParseMediaType(types[0])
	return err == nil && media == "application/x-www-form-urlencoded"
}

// takeForm reads the body when it may hold a token and the route looks at
// tokens, into the request and for the upstream. Where some route is hidden it does so
// without a route too: to be asked for the body is to be told. It returns nil, or the refusal
// of a body that is broken or does not arrive in time. What is too long or not
// ASCII is no form that carries a token.
func (ex *exchange) takeForm(w http.ResponseWriter, r *http.Request) *token.Error {
	if !ex.gate.Sources.Body || !mayHoldToken(r) || r.Body == nil { // who asks about a request keeps its body
		return nil
	}
	if route := ex.gate.Policy.Route(ex.request.Method, ex.request.Host, ex.request.Path); route.Public || !route.Matched() && ex.gate.Report == nil && !ex.gate.Policy.Hides() {
		return nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(formTimeout)) // a server of ours can always
	text, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil {
		return token.Refuse(token.InvalidRequest, token.ReasonBody)
	}
	_ = control.SetReadDeadline(time.Time{})
	if len(text) > maxForm {
		ex.body = io.MultiReader(bytes.NewReader(text), r.Body)
		return nil
	}
	ex.body, ex.taken = bytes.NewReader(text), true
	if isASCII(text) {
		ex.request.Form = string(text)
	}
	return nil
}

func isASCII(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// forwardBody makes r, which is ours, send what takeForm read: all of it, or
// what is left without the token.
func (ex *exchange) forwardBody(r *http.Request) {
	if ex.body == nil {
		return
	}
	if rest := withoutToken(ex.request.Form); rest != ex.request.Form {
		ex.body = strings.NewReader(rest)
		r.ContentLength, r.TransferEncoding = int64(len(rest)), nil
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{ex.body, r.Body}
}
