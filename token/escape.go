package token

import "strings"

// PercentOctet decodes the percent-encoded octet (RFC 3986 section 2.1) that
// begins at text[at]. It is not ok for anything else.
func PercentOctet(text string, at int) (octet byte, ok bool) {
	if at+2 >= len(text) || text[at] != '%' {
		return 0, false
	}
	high, low := hexDigit(text[at+1]), hexDigit(text[at+2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Unescape decodes the percent-encoded octets of text and leaves the rest as it
// is.
func Unescape(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if octet, ok := PercentOctet(text, i); ok {
			c = octet
			i += 2
		}
		out = append(out, c)
	}
	return string(out)
}
