package proxy

import (
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/wicketgate/wicketgate/proxy/assertion"
	"github.com/wicketgate/wicketgate/proxy/fieldvalue"
	"github.com/wicketgate/wicketgate/token"
)

// Bounds on what verified claims become, in octets. Servers differ in what
// they take; a value is never cut to fit.
const (
	maxHeader  = 4 << 10 // one value
	maxHeaders = 8 << 10 // all names and values together
)

// The fields every upstream is told, each only when its claim is there.
const (
	headerSubject     = "X-Auth-Subject"
	headerSubjectType = "X-Auth-Subject-Type"
	headerIssuer      = "X-Auth-Issuer"
	headerClientID    = "X-Auth-Client-Id"
	headerScope       = "X-Auth-Scope"
	headerBinding     = "X-Auth-Binding"
)

// A Forward says what the upstream of a route is told about the caller.
type Forward struct {
	o    ForwardOptions
	ours map[string]bool // names in normal form that only we may set
}

// ForwardOptions are what a Forward is made of. The zero ForwardOptions tell
// the fields every upstream is told.
type ForwardOptions struct {
	Headers   []ClaimHeader
	KeepToken bool // leaves the Authorization field as the client sent it

	ClaimsHeader string                 // name of a field with the claims of Projection as a JSON object in base64url; empty for none
	Projection   *fieldvalue.Projection // with ClaimsHeader

	Signer          *assertion.Signer // of assertions about the caller; nil for none
	AssertionHeader string            // name of the field with it; in Authorization it is a bearer token
}

// ClaimHeader is a field that is set from a claim.
type ClaimHeader struct {
	Name, Claim string // Claim is a dotted path
	Form        fieldvalue.Form
}

// NewForward makes a Forward.
func NewForward(o ForwardOptions) *Forward {
	f := &Forward{ours: make(map[string]bool)}
	o.Headers = append([]ClaimHeader(nil), o.Headers...)
	for i := range o.Headers {
		name := &o.Headers[i].Name
		*name = http.CanonicalHeaderKey(*name)
		f.Ours(*name)
	}
	o.ClaimsHeader, o.AssertionHeader = http.CanonicalHeaderKey(o.ClaimsHeader), http.CanonicalHeaderKey(o.AssertionHeader)
	f.Ours(o.ClaimsHeader, o.AssertionHeader)
	f.o = o
	return f
}

const headerAuthorization = "Authorization"

// Ours adds the names that other routes set, so that no route lets a client
// speak in them.
func (f *Forward) Ours(names ...string) {
	for _, name := range names {
		if name != "" {
			var buffer [longName]byte
			f.ours[string(normalName(&buffer, name))] = true // as classify looks them up
		}
	}
}

// Signer is what signs assertions about callers, or nil.
func (f *Forward) Signer() *assertion.Signer { return f.o.Signer }

type field struct{ name, value string }

// fields renders the caller. It is not ok when a claim does not fit into a
// header field.
func (f *Forward) fields(p *token.Principal) (list []field, ok bool) {
	return f.appendFields(make([]field, 0, 8+len(f.o.Headers)), p)
}

// appendFields is fields into the room of an empty list.
func (f *Forward) appendFields(room []field, p *token.Principal) (list []field, ok bool) {
	list = append(room,
		field{headerSubject, fieldvalue.Text(p.Subject, "")},
		field{headerSubjectType, p.SubjectType()},
		field{headerIssuer, fieldvalue.Text(p.Claims.Issuer, "")},
		field{headerClientID, fieldvalue.Text(p.ClientID, "")},
		field{headerScope, fieldvalue.List(p.Scope, " ")},
		field{headerBinding, p.Binding.String()})
	ok = true
	for _, h := range f.o.Headers {
		if v, found := p.Lookup(h.Claim); found {
			text, fits := h.Form.Value(v)
			list, ok = append(list, field{h.Name, text}), ok && fits
		}
	}
	if f.o.ClaimsHeader != "" {
		if object, found := f.o.Projection.Append(nil, p.Claims); found {
			list = append(list, field{f.o.ClaimsHeader, base64.RawURLEncoding.EncodeToString(object)})
		}
	}
	list = slices.DeleteFunc(list, func(one field) bool { return one.value == "" })
	return list, ok && fit(list)
}

// fit reports whether every server takes what is told.
func fit(list []field) bool {
	total := 0
	for _, one := range list {
		if total += len(one.name) + len(one.value) + 4; len(one.value) > maxHeader || total > maxHeaders {
			return false
		}
	}
	return true
}

// assert adds an assertion about the caller of an allowed request. It is signed
// last, when nothing else is left to refuse.
func (f *Forward) assert(ex *exchange) (fits bool, err error) {
	target := ex.onwardTarget()
	if !ex.held && ex.gate.Upstream != nil {
		target = ex.gate.Upstream.base + target
	}
	text, err := f.o.Signer.Assert(ex.decision.Principal, assertion.Request{Method: ex.request.Method, Target: target}, ex.started)
	if err != nil {
		return false, err
	}
	if f.o.AssertionHeader == headerAuthorization {
		text = "Bearer " + text
	}
	ex.fields = append(ex.fields, field{f.o.AssertionHeader, text})
	return fit(ex.fields), nil
}

// shown is the value of a field for people: of an assertion what it says, and
// not its signature.
func (f *Forward) shown(one field) string {
	if f.o.Signer != nil && one.name == f.o.AssertionHeader {
		return assertion.Describe(one.value)
	}
	return one.value
}
