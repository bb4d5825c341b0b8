// Package tunnel is the WebSocket protocol as far as somebody between client
// and server needs it: the opening handshake, where frames begin and end, and
// how to close both sides (RFC 6455). It reads no message.
package tunnel

import (
	"crypto/fips140"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 wants it; nothing secret hangs on it
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// Protocol is the one token of Upgrade that is let through.
const Protocol = "websocket"

// Version is the one version of the protocol, RFC 6455 section 4.4.
const Version = "13"

// The fields of the handshake, as http.CanonicalHeaderKey writes them.
const (
	KeyField     = "Sec-Websocket-Key"
	VersionField = "Sec-Websocket-Version"
	acceptField  = "Sec-Websocket-Accept"
)

// What is wrong with a handshake.
var (
	ErrVersion   = errors.New("a version of the WebSocket protocol other than 13")
	ErrMalformed = errors.New("a malformed WebSocket handshake")
	ErrAnswer    = errors.New("upstream answered the WebSocket handshake with something else")
)

// Asked reports whether a request asks for a WebSocket connection and for
// nothing else: GET in HTTP/1.1 with Upgrade, on one line, websocket alone. A
// list would leave the choice to the upstream (RFC 9110 section 7.8).
func Asked(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor == 1 && switches(r.Header)
}

// switches reports whether a header changes to WebSocket, and to nothing else.
func switches(h http.Header) bool {
	upgrade := h["Upgrade"]
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], Protocol) && hasElement(h["Connection"], "upgrade")
}

func hasElement(lines []string, element string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), element) {
				return true
			}
		}
	}
	return false
}

// Key returns the key of a handshake that was Asked for. The error is
// ErrVersion, which wants a 426 (RFC 6455 section 4.2.2), or ErrMalformed.
func Key(r *http.Request) (string, error) {
	version, key := r.Header[VersionField], r.Header[KeyField]
	switch {
	case len(version) != 1 || len(key) != 1 || r.ContentLength != 0:
		return "", ErrMalformed
	case version[0] != Version:
		return "", ErrVersion
	}
	nonce, err := base64.StdEncoding.Strict().DecodeString(key[0])
	if err != nil || len(nonce) != 16 || len(key[0]) != 24 {
		return "", ErrMalformed
	}
	return key[0], nil
}

// guid is what the answer to a key is made with, RFC 6455 section 1.3.
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// accept is the answer to a key. SHA-1 shows here that a server read the
// handshake, and is no cryptography: FIPS 140-3 does not speak of it.
func accept(key string) string {
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum([]byte(key + guid)) }) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// CheckAnswer holds the header of a 101 against the key that was sent. The
// error is ErrAnswer.
func CheckAnswer(key string, h http.Header) error {
	if got := h[acceptField]; !switches(h) || len(got) != 1 || got[0] != accept(key) {
		return ErrAnswer
	}
	return nil
}
