package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// HeaderInteraction is the field by which FAPI clients and servers find one
// request in each other's logs.
const HeaderInteraction = "X-Fapi-Interaction-Id"

// interactionOf returns what the client calls the request, when that is a
// UUID, and else a new one: anything longer could carry what must not be
// echoed.
func interactionOf(h http.Header) string {
	if sent := h[HeaderInteraction]; len(sent) == 1 && isUUID(sent[0]) {
		return sent[0]
	}
	return newUUID()
}

// isUUID reports whether text has the form of RFC 9562 section 4.
func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range []byte(text) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if hyphen && c != '-' || !hyphen && !digit {
			return false
		}
	}
	return true
}

// newUUID makes a random one, RFC 9562 section 5.4.
func newUUID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: it ends the program instead
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	text := hex.EncodeToString(raw[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
