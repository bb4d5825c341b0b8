// Package fieldvalue writes verified claims as values of header fields. What it
// writes is printable ASCII without a space that anybody would trim or fold,
// and can be read back without a loss; what has no such form is not written.
package fieldvalue

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/token"
)

// Encoding is how a claim becomes the value of a field.
type Encoding uint8

// The encodings.
const (
	// Percent writes text percent-encoded (RFC 3986 section 2.1), numbers and
	// booleans as the token spells them, arrays of those as a list with commas.
	// Null, objects and arrays of anything else have no such form.
	Percent Encoding = iota
	// JSON writes the claim's JSON text in ASCII, without whitespace.
	JSON
	// Base64URL writes what JSON writes, in base64url without padding (RFC 4648
	// section 5).
	Base64URL
	// RawASCII writes the same as Percent, with nothing encoded: what would need
	// it does not fit.
	RawASCII
)

const upperHex = "0123456789ABCDEF"

// Text writes text so that it is one field value and can be read back by any
// percent-decoder: printable ASCII as it is, everything else, the percent sign
// and the separator of the list it is part of as %XX. A space stays when it
// stands alone between two other characters, so that nothing trims or folds
// it. An empty separator is for what is part of no list.
func Text(text, separator string) string {
	plain := true
	for i := range len(text) {
		if text[i] == '%' || !staysPlain(text, i, separator) {
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
		if c := text[i]; c != '%' && staysPlain(text, i, separator) {
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
	case c < ' ' || c >= 0x7f:
		return false
	case separator != "" && c == separator[0]:
		return false
	case c == ' ':
		return i > 0 && i < len(text)-1 && text[i-1] != ' ' && text[i+1] != ' '
	}
	return true
}

// List writes list with separator between its elements.
func List(list []string, separator string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return Text(list[0], separator)
	}
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = Text(e, separator)
	}
	return strings.Join(parts, separator)
}

// A Form is how a claim is written, and how much of it.
type Form struct {
	Encoding Encoding
	Reduced  bool     // only what Keep names is told
	Keep     []string // compared as the rules of a route compare claims
}

// Value writes a claim. There is no text for null, for a claim that has no form
// in the encoding, and where nothing of it is kept. It does not fit where
// RawASCII would have to change what the claim says.
func (f Form) Value(v token.Value) (text string, fits bool) {
	if f.Reduced {
		v = f.reduce(v)
	}
	if v == "" || v.IsNull() {
		return "", true
	}
	switch f.Encoding {
	case JSON:
		return string(appendValue(nil, v)), true
	case Base64URL:
		return base64.RawURLEncoding.EncodeToString(appendValue(nil, v)), true
	case RawASCII, Percent:
	}
	return f.plain(v)
}

// plain writes scalars and lists of them.
func (f Form) plain(v token.Value) (text string, fits bool) {
	elements, isList := v.Elements()
	if !isList {
		text, _, fits = f.scalar(v, "")
		return text, fits
	}
	parts, all := make([]string, len(elements)), true
	for i, e := range elements {
		var hasForm, ok bool
		if parts[i], hasForm, ok = f.scalar(e, ","); !hasForm {
			return "", true
		}
		all = all && ok
	}
	if !all {
		return "", false
	}
	return strings.Join(parts, ","), true
}

func (f Form) scalar(v token.Value, separator string) (text string, hasForm, fits bool) {
	if text, ok := v.Text(); ok {
		if f.Encoding == RawASCII && !isPlain(text, separator) {
			return "", true, false
		}
		if f.Encoding == RawASCII {
			return text, true, true
		}
		return Text(text, separator), true, true
	}
	if number, ok := v.Number(); ok {
		return number, true, true
	}
	if v == "true" || v == "false" {
		return string(v), true, true
	}
	return "", false, true
}

func isPlain(text, separator string) bool {
	for i := range len(text) {
		if !staysPlain(text, i, separator) {
			return false
		}
	}
	return true
}

// reduce leaves of a claim what the form keeps: of an array the elements, of
// anything else all or nothing. An object in an array counts as its value
// member, which is how SCIM writes groups (RFC 7643 section 4.1.2). Where
// nothing is left it is empty.
func (f Form) reduce(v token.Value) token.Value {
	if f.keeps(v) {
		return v
	}
	var kept []byte
	for element := range v.Each() {
		if inner, isObject := element.Member("value"); isObject {
			element = inner
		}
		if f.keeps(element) {
			kept = append(append(kept, ','), element...)
		}
	}
	if kept == nil {
		return ""
	}
	kept[0] = '['
	return token.Value(append(kept, ']'))
}

func (f Form) keeps(v token.Value) bool {
	text, ok := v.Text()
	if !ok {
		_, number := v.Number()
		if !number && v != "true" && v != "false" {
			return false
		}
		text = string(v)
	}
	for _, one := range f.Keep {
		if one == text {
			return true
		}
	}
	return false
}

// appendValue writes v without whitespace, in ASCII, and without two spaces in
// a row: such are escaped (RFC 8259 section 7). Numbers stay as they are.
func appendValue(out []byte, v token.Value) []byte {
	inText := false
	for i := 0; i < len(v); {
		switch c := v[i]; {
		case c == '\\' && inText:
			out = append(out, c, v[i+1])
			i += 2
		case c == '"':
			inText = !inText
			out = append(out, c)
			i++
		case inText:
			size := 0
			out, size = appendCharacter(out, string(v[i:]))
			i += size
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

// AppendText writes text as a JSON string, in ASCII.
func AppendText(out []byte, text string) []byte {
	out = append(out, '"')
	for i := 0; i < len(text); {
		if c := text[i]; c == '"' || c == '\\' {
			out = append(out, '\\', c)
			i++
			continue
		}
		size := 0
		out, size = appendCharacter(out, text[i:])
		i += size
	}
	return append(out, '"')
}

// appendCharacter writes the first character of text, which is no quote and no
// backslash, as a part of a JSON string.
func appendCharacter(out []byte, text string) (written []byte, size int) {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r == ' ' && out[len(out)-1] == ' ' || r < ' ' || r >= 0x7f && r < 0x10000:
		return appendUnit(out, r), size
	case r >= 0x10000:
		r -= 0x10000
		return appendUnit(appendUnit(out, 0xd800+r>>10), 0xdc00+r&0x3ff), size
	}
	return append(out, byte(r)), size
}

func appendUnit(out []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}
