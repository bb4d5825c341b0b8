package decisions

import (
	"strconv"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/token"
)

// out is a line under way: an object whose members are added in turn. It is made
// without reflection, since there is one for each request.
type out []byte

// name begins a member.
func (o *out) name(name string) {
	if last := (*o)[len(*o)-1]; last != '{' {
		*o = append(*o, ',')
	}
	*o = append(*o, '"')
	*o = append(*o, name...)
	*o = append(*o, '"', ':')
}

// text adds a member that is left out when it is empty.
func (o *out) text(name, value string) {
	if value != "" {
		o.name(name)
		o.quote(value)
	}
}

func (o *out) yes(name string, value bool) {
	if value {
		o.name(name)
		*o = append(*o, "true"...)
	}
}

func (o *out) number(name string, value int) {
	o.name(name)
	*o = strconv.AppendInt(*o, int64(value), 10)
}

// texts adds a list that is left out when it is empty.
func (o *out) texts(name string, list []string) {
	if len(list) > 0 {
		o.list(name, list)
	}
}

// list writes a member that is a list, perhaps an empty one.
func (o *out) list(name string, list []string) {
	o.name(name)
	*o = append(*o, '[')
	for i, text := range list {
		if i > 0 {
			*o = append(*o, ',')
		}
		o.quote(text)
	}
	*o = append(*o, ']')
}

// value adds JSON as a token has it. A line break can only stand between values
// there, as no string holds one, and becomes a space.
func (o *out) value(v token.Value) {
	for i := range len(v) {
		c := v[i]
		if c < ' ' {
			c = ' '
		}
		*o = append(*o, c)
	}
}

const hexDigits = "0123456789abcdef"

// quote adds a string (RFC 8259 section 7). What is not UTF-8 becomes U+FFFD.
func (o *out) quote(text string) {
	*o = append(*o, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			*o = append(*o, '\\', c)
			i++
		case c < ' ' || c == 0x7f:
			*o = append(*o, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			*o = append(*o, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			*o = utf8.AppendRune(*o, r)
			i += size
		}
	}
	*o = append(*o, '"')
}
