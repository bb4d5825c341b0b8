package proxy

import (
	"iter"
	"net/url"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// tokenParameter is the name of a token in a query or a form (RFC 6750
// sections 2.2 and 2.3). It is compared exactly, after percent-decoding.
const tokenParameter = "access_token"

// pieces cuts text at every octet of separators, as some reader might, and
// yields each piece with the separator before it: 0 for the first.
func pieces(text, separators string) iter.Seq2[byte, string] {
	return func(yield func(byte, string) bool) {
		before := byte(0)
		for {
			at := strings.IndexAny(text, separators)
			if at < 0 {
				yield(before, text)
				return
			}
			if !yield(before, text[:at]) {
				return
			}
			before, text = text[at], text[at+1:]
		}
	}
}

// without returns text without the pieces that is tells. All other octets stay
// as they are. Of the separators around what goes, one stays: the first of
// separators if it is among them, since every reader takes that for one.
func without(text, separators string, is func(piece string) bool) string {
	var kept strings.Builder
	gap, first, found := byte(0), true, false
	for before, piece := range pieces(text, separators) {
		if before != 0 && gap != separators[0] {
			gap = before
		}
		if is(piece) {
			found = true
			continue
		}
		if !first {
			kept.WriteByte(gap)
		}
		kept.WriteString(piece)
		gap, first = 0, false
	}
	if !found {
		return text
	}
	return kept.String()
}

// In the order of without: all servers split queries and forms at the first,
// some at the second too.
const parameterSeparators = "&;"

func isTokenParameter(piece string) bool {
	name, _, _ := strings.Cut(piece, "=")
	return token.Unescape(name) == tokenParameter
}

// addParameters adds every token of a query or a form.
func addParameters(p *presented, text string) {
	for _, piece := range pieces(text, parameterSeparators) {
		if !isTokenParameter(piece) {
			continue
		}
		_, value, _ := strings.Cut(piece, "=")
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			decoded = ""
		}
		p.add(decoded)
	}
}

// withoutToken removes every token from a query or a form.
func withoutToken(text string) string { return without(text, parameterSeparators, isTokenParameter) }

// cookiesNamed lists the values of a cookie as RFC 6265 section 4.2.1 writes
// it. A name that only a lenient reader would take for this one is not read: a
// sibling site can set such cookies where it cannot set this one.
func cookiesNamed(name string, lines []string) []string {
	var values []string
	for _, line := range lines {
		for _, piece := range pieces(line, ";") {
			if one, value, _ := strings.Cut(strings.Trim(piece, " \t"), "="); one == name {
				values = append(values, value)
			}
		}
	}
	return values
}

// cookiesWithout removes a cookie, in any spelling that some reader would take
// for it, from the field lines. Lines without it stay as they are; one that
// held nothing else goes.
func cookiesWithout(name string, lines []string) []string {
	kept := lines[:0:0]
	for _, line := range lines {
		rest := without(line, ";,", func(piece string) bool {
			one, _, _ := strings.Cut(piece, "=")
			one = strings.TrimSpace(one)
			return one == name || strings.TrimSpace(token.Unescape(one)) == name
		})
		if len(rest) == len(line) {
			kept = append(kept, line)
		} else if rest = strings.Trim(rest, " \t"); rest != "" {
			kept = append(kept, rest)
		}
	}
	return kept
}
