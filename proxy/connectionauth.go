package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// provesConnection tells schemes that prove a connection, not a request (RFC
// 4559, and NTLM). Connections to an upstream carry the requests of many
// clients, so who passed such a check once would have passed it for all of them.
func provesConnection(scheme string) bool {
	return strings.EqualFold(scheme, "NTLM") || strings.EqualFold(scheme, "Negotiate")
}

// withoutConnectionChallenges takes the challenges of such schemes out of the
// lines of a WWW-Authenticate field (RFC 9110 section 11.6.1). Lines without one
// stay as they are.
func withoutConnectionChallenges(lines []string) (rest []string, removed bool) {
	for i, line := range lines {
		kept, less := keptChallenges(line)
		if !less {
			if removed {
				rest = append(rest, line)
			}
			continue
		}
		if !removed {
			rest, removed = slices.Clone(lines[:i]), true
		}
		if kept != "" {
			rest = append(rest, kept)
		}
	}
	if !removed {
		return lines, false
	}
	return rest, true
}

func keptChallenges(line string) (kept string, less bool) {
	var pieces []string
	drop := false
	for line != "" {
		var piece string
		piece, line = cutOutsideQuotes(line)
		if piece = strings.Trim(piece, " \t"); piece == "" {
			continue
		}
		if scheme, begins := challengeScheme(piece); begins {
			drop = provesConnection(scheme)
			less = less || drop
		}
		if !drop {
			pieces = append(pieces, piece)
		}
	}
	return strings.Join(pieces, ", "), less
}

// challengeScheme is the scheme of a challenge that begins with piece; a piece
// may be a parameter of the challenge before it.
func challengeScheme(piece string) (scheme string, begins bool) {
	end := strings.IndexAny(piece, " \t=")
	if end < 0 {
		return piece, true
	}
	return piece[:end], !strings.HasPrefix(strings.TrimLeft(piece[end:], " \t"), "=")
}

// cutOutsideQuotes cuts a list at its first comma that is in no quoted-string.
func cutOutsideQuotes(line string) (before, after string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return line[:i], line[i+1:]
		}
	}
	return line, ""
}

// hideConnectionChallenges keeps clients from starting such a check.
func hideConnectionChallenges(resp *http.Response, ex *exchange) {
	rest, removed := withoutConnectionChallenges(resp.Header["Www-Authenticate"])
	if !removed {
		return
	}
	resp.Header["Www-Authenticate"] = rest
	if len(rest) == 0 {
		delete(resp.Header, "Www-Authenticate")
	}
	if ex != nil {
		ex.outcome.Challenged = true
	}
}

// dropConnectionProof keeps a client from passing such a check unasked.
func dropConnectionProof(h http.Header) {
	for _, line := range h["Authorization"] {
		for piece := range strings.SplitSeq(line, ",") {
			if scheme, begins := challengeScheme(strings.Trim(piece, " \t")); begins && provesConnection(scheme) {
				delete(h, "Authorization")
				return
			}
		}
	}
}
