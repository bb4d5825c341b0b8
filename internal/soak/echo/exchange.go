package echo

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
)

// fault is what is odd about an exchange, and whose doing it is.
type fault uint8

const (
	none fault = iota

	// The client's.
	cutHead     // it goes away within its head: nothing was asked
	cutBody     // it goes away within its body
	dropRequest // it goes away as soon as it has asked
	dropAnswer  // it goes away within the answer

	// The upstream's.
	resetFirst  // it resets before it answers
	resetInHead // it resets within its head
	resetInBody // it resets within its body
	longLength  // it announces more octets than it sends
	surplus     // more octets than announced follow: an answer nobody asked for
	lateByte    // an octet follows, a little later
	lateClose   // it closes when it has answered, without saying so

	// Nobody's: rare, and to be carried all the same.
	interim   // informational answers come first
	early     // an answer comes while the body is under way
	slow      // the answer comes late and in pieces
	headOnly  // a HEAD
	noContent // a 204, with octets behind it that must not be there
	trailer   // a field after the body
	socket    // a WebSocket

	faults
)

var faultNames = [faults]string{
	"none", "client cuts its head", "client cuts its body", "client leaves at once", "client leaves in the answer",
	"upstream resets first", "upstream resets in the head", "upstream resets in the body", "length too large", "length too small",
	"an octet behind the answer", "upstream closes unannounced",
	"103", "413 while the body streams", "slow answer", "HEAD", "204", "trailer", "WebSocket",
}

func (f fault) String() string { return faultNames[f] }

// spoils tells whether a fault can cost another request its connection to the
// upstream, and with it its answer: not with another's, but with a 502.
func (f fault) spoils() bool {
	switch f {
	case surplus, lateByte, lateClose, noContent, resetFirst, resetInHead, resetInBody, longLength, early, cutBody:
		return true
	}
	return false
}

// The names of fields that tell who asked, on the way there and back.
const (
	idField      = "X-Echo-Id"
	subjectField = "X-Echo-Subject"
	trailerField = "X-Echo-Trailer"
	toldField    = "X-Auth-Subject" // the gate's
)

// forged is in each answer that nobody asked for.
const forged = "forged"

// exchange is one request and the answer that it is owed.
type exchange struct {
	id      string
	subject string
	raw     string // the token
	host    string
	fault   fault
	method  string
	sends   int  // octets of the request's body
	gets    int  // of the answer's
	chunked bool // both are framed without their length
	chance  int  // of the planner, for whatever has a choice still

	seen     atomic.Int32 // arrivals of its head
	executed atomic.Int32 // arrivals of all of it
}

// path is where the request goes.
func (x *exchange) path() string {
	if x.fault == socket {
		return "/socket/" + x.id
	}
	return "/echo/" + x.id
}

// status is that of the answer.
func (x *exchange) status() int {
	switch x.fault {
	case early:
		return http.StatusRequestEntityTooLarge
	case noContent:
		return http.StatusNoContent
	}
	return http.StatusOK
}

// body is how many octets of an answer the client must see.
func (x *exchange) body() int {
	if x.fault == headOnly || x.fault == noContent {
		return 0
	}
	return x.gets
}

// planner makes exchanges. It is for one goroutine.
type planner struct {
	*rand.Rand
	tokens []Token
	hosts  []string
	share  float64 // of exchanges that have a fault
	only   []fault // those to choose from
}

func (p *planner) next(h2 bool) *exchange {
	t := p.tokens[p.IntN(len(p.tokens))]
	x := &exchange{
		id: newID(p.Rand), subject: t.Subject, raw: t.Raw, host: p.hosts[p.IntN(len(p.hosts))],
		method: http.MethodGet, gets: p.size(), chunked: p.IntN(3) == 0, chance: p.IntN(1 << 20),
	}
	if p.IntN(2) == 0 {
		x.method, x.sends = http.MethodPost, p.size()
	}
	if p.Float64() >= p.share {
		return x
	}
	x.fault = p.only[p.IntN(len(p.only))]
	switch x.fault {
	case socket:
		x.method, x.sends, x.gets, x.host = http.MethodGet, 0, 0, p.hosts[0] // an upgrade is HTTP/1.1's
		if h2 {                                                              // which knows another handshake for it (RFC 8441), that the gate has not
			x.fault, x.gets = none, p.size()
		}
	case headOnly:
		x.method, x.sends, x.chunked = http.MethodHead, 0, false
	case cutBody:
		x.method, x.sends = http.MethodPost, 2000+p.IntN(60000)
	case early:
		x.method, x.sends = http.MethodPost, 100_000+p.IntN(100_000)
	case dropAnswer, resetInBody, longLength:
		x.gets = 1000 + p.IntN(60000)
	case surplus: // all in one segment: what is on its way still cannot be told from an answer
		x.chunked, x.gets = false, p.IntN(4000)
	case trailer:
		x.chunked = true
	}
	return x
}

// size is mostly small.
func (p *planner) size() int {
	switch n := p.IntN(100); {
	case n < 10:
		return 0
	case n < 80:
		return p.IntN(300)
	case n < 97:
		return p.IntN(5000)
	}
	return p.IntN(70000)
}

const idLength = 32

func newID(r *rand.Rand) string {
	var raw [idLength]byte
	text := strconv.AppendUint(raw[:0], r.Uint64()|1<<63, 16)
	return string(strconv.AppendUint(text, r.Uint64()|1<<63, 16))
}

// fill is n octets that can be of one exchange only: its id over and over.
func fill(to []byte, id string, n int) []byte {
	for ; n >= len(id); n -= len(id) {
		to = append(to, id...)
	}
	return append(to, id[:n]...)
}

// filled tells whether all octets are of the exchange.
func filled(text []byte, id string) bool {
	want := []byte(id)
	for ; len(text) >= len(want); text = text[len(want):] {
		if !bytes.Equal(text[:len(want)], want) {
			return false
		}
	}
	return bytes.HasPrefix(want, text)
}
