package proxy

import (
	"net/http"
	"strings"

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
	claims []claimHeader
	ours   map[string]bool // names in normal form that only we may set
	token  bool
}

type claimHeader struct{ name, claim string }

// NewForward makes a Forward. headers maps field names to dotted claim paths;
// keepToken leaves the Authorization field as the client sent it.
func NewForward(headers map[string]string, keepToken bool) *Forward {
	f := &Forward{ours: make(map[string]bool), token: keepToken}
	for name, claim := range headers {
		f.claims = append(f.claims, claimHeader{http.CanonicalHeaderKey(name), claim})
		f.ours[NormalName(name)] = true
	}
	return f
}

// Ours adds the names that other routes set, so that no route lets a client
// speak in them.
func (f *Forward) Ours(others map[string]string) {
	for name := range others {
		f.ours[NormalName(name)] = true
	}
}

type field struct{ name, value string }

// fields renders the caller. It is not ok when a claim does not fit into a
// header field.
func (f *Forward) fields(p *token.Principal) (list []field, ok bool) {
	list = make([]field, 0, 6+len(f.claims))
	total := 0
	ok = true
	add := func(name, value string) {
		if value == "" {
			return
		}
		total += len(name) + len(value) + 4
		ok = ok && len(value) <= maxHeader && total <= maxHeaders
		list = append(list, field{name, value})
	}
	add(headerSubject, encode(p.Subject, ""))
	add(headerSubjectType, p.SubjectType())
	add(headerIssuer, encode(p.Claims.Issuer, ""))
	add(headerClientID, encode(p.ClientID, ""))
	add(headerScope, encodeList(p.Scope, " "))
	add(headerBinding, p.Binding.String())
	for _, h := range f.claims {
		if v, found := p.Lookup(h.claim); found {
			if text, ok := encodeValue(v); ok {
				add(h.name, text)
			}
		}
	}
	return list, ok
}

// encodeValue renders a claim: text percent-encoded, numbers and booleans as
// the token spells them, arrays of those as a list. Null, objects and arrays
// of anything else have no form as a header field.
func encodeValue(v token.Value) (text string, ok bool) {
	if elements, isList := v.Elements(); isList {
		parts := make([]string, len(elements))
		for i, e := range elements {
			if parts[i], ok = encodeScalar(e, ","); !ok {
				return "", false
			}
		}
		return strings.Join(parts, ","), true
	}
	return encodeScalar(v, "")
}

func encodeScalar(v token.Value, separator string) (string, bool) {
	if text, ok := v.Text(); ok {
		return encode(text, separator), true
	}
	if number, ok := v.Number(); ok {
		return number, true
	}
	if v == "true" || v == "false" {
		return string(v), true
	}
	return "", false
}

func encodeList(list []string, separator string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return encode(list[0], separator)
	}
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = encode(e, separator)
	}
	return strings.Join(parts, separator)
}

const upperHex = "0123456789ABCDEF"

// encode writes text so that it is one field value and can be read back by any
// percent-decoder: printable ASCII as it is, everything else, the percent sign
// and the separator of the list it is part of as %XX. A space stays when it
// stands alone between two other characters, so that nothing trims or folds
// it.
func encode(text, separator string) string {
	plain := true
	for i := range len(text) {
		if !staysPlain(text, i, separator) {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 16)
	for i := range len(text) {
		if c := text[i]; staysPlain(text, i, separator) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func staysPlain(text string, i int, separator string) bool {
	c := text[i]
	switch {
	case c == '%' || c < ' ' || c >= 0x7f:
		return false
	case separator != "" && c == separator[0]:
		return false
	case c == ' ':
		return i > 0 && i < len(text)-1 && text[i-1] != ' ' && text[i+1] != ' '
	}
	return true
}
