package devissuer

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A StatusList tells of many tokens (Token Status List). It is signed anew for
// each request.
type StatusList struct {
	Bits     int     // of each status: 1, 2, 4 or 8; 0: 1
	Statuses []uint8 // by index
	Deflated []byte  // sent in their place, whatever it is
	TTL      time.Duration

	Token // in what the list differs from a good one
}

// SetStatusList publishes a list at a path of the issuer, and returns its
// address.
func (is *Issuer) SetStatusList(path string, l StatusList) (uri string) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.lists[path] = l
	return strings.TrimSuffix(is.options.Identifier, "/") + path
}

// SetStatus changes one status of a published list.
func (is *Issuer) SetStatus(path string, index int, value uint8) {
	is.mu.Lock()
	defer is.mu.Unlock()
	l := is.lists[path]
	l.Statuses = slices.Clone(l.Statuses)
	l.Statuses[index] = value
	is.lists[path] = l
}

func (is *Issuer) statusList(path string) (l StatusList, found bool) {
	is.mu.Lock()
	defer is.mu.Unlock()
	l, found = is.lists[path]
	return l, found
}

// listAnswer is the list as it is served (section 8.2).
func (is *Issuer) listAnswer(r *http.Request, path string, l StatusList, o Options) answer {
	const mediaType = "application/statuslist+jwt"
	if r.Header.Get("Accept") != mediaType {
		return plain(http.StatusNotAcceptable, "lists are "+mediaType)
	}
	bits := max(l.Bits, 1)
	deflated := l.Deflated
	if deflated == nil {
		deflated = deflate(pack(bits, l.Statuses))
	}
	claims := map[string]any{
		"sub": strings.TrimSuffix(o.Identifier, "/") + path, "client_id": nil, "aud": nil, "scope": nil, "jti": nil,
		"status_list": map[string]any{"bits": bits, "lst": encode(deflated)},
	}
	if l.TTL > 0 {
		claims["ttl"] = int64(l.TTL / time.Second)
	}
	maps.Copy(claims, l.Claims)
	header := map[string]any{"typ": "statuslist+jwt"}
	maps.Copy(header, l.Header)
	l.Claims, l.Header = claims, header
	raw, err := is.Mint(l.Token)
	if err != nil {
		return plain(http.StatusInternalServerError, "the list cannot be signed")
	}
	return reply(http.StatusOK, mediaType, []byte(raw))
}

// pack puts the first status into the least significant bits (section 4.1).
func pack(bits int, statuses []uint8) []byte {
	packed := make([]byte, (len(statuses)*bits+7)/8)
	for i, value := range statuses {
		packed[i*bits/8] |= value << (i * bits % 8)
	}
	return packed
}

func deflate(text []byte) []byte {
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		panic(err) // the level is one there is
	}
	_, _ = z.Write(text) // a buffer takes all
	_ = z.Close()
	return out.Bytes()
}

// signed makes an introspection answer a JWT for the client that asked, if it
// asked for one (RFC 9701 sections 4 and 5).
func (is *Issuer) signed(r *http.Request, o Options, a answer) answer {
	const mediaType = "application/token-introspection+jwt"
	if r.Header.Get("Accept") != mediaType || a.status != http.StatusOK {
		return a
	}
	raw, err := is.Mint(Token{
		Header: map[string]any{"typ": "token-introspection+jwt"},
		Claims: map[string]any{
			"aud": authenticated(r, o), "token_introspection": json.RawMessage(a.body), "sub": nil, "client_id": nil, "scope": nil, "exp": nil, "jti": nil,
		},
	})
	if err != nil {
		return a
	}
	return reply(http.StatusOK, mediaType, []byte(raw))
}
