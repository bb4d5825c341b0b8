package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// DefaultName is how the gate names itself in Via when it has no other name.
const DefaultName = "wicketgate"

// wentRound reports whether the gate named in Via has forwarded this request
// before (RFC 9110 section 7.6.3).
func wentRound(via []string, name string) bool {
	for _, line := range via {
		for member := range strings.SplitSeq(line, ",") {
			words := strings.Fields(member)
			if len(words) >= 2 && strings.EqualFold(words[1], name) {
				return true
			}
		}
	}
	return false
}

// name is how the gate calls itself.
func (t *Table) name() string {
	if t.Name == "" {
		return DefaultName
	}
	return t.Name
}

// via is the member of Via that tells of a request's way to us.
func (t *Table) via(in *http.Request) string {
	name := t.name()
	switch {
	case in.ProtoMajor == 2:
		return "2 " + name
	case in.ProtoMinor == 0:
		return "1.0 " + name
	case name == DefaultName:
		return "1.1 " + DefaultName
	}
	return "1.1 " + name
}

// early refuses a request that a trusted terminator passed on before the TLS
// handshake was done, when it can be replayed to some effect (RFC 8470 section
// 5.2). Any value means 1.
func early(r *http.Request) *token.Error {
	if r.Header["Early-Data"] == nil {
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	return token.Refuse(token.TooEarly, token.ReasonEarlyData)
}

// serverWide reports whether r asks about the server as a whole (RFC 9110
// section 9.3.7), and answers it: that the gate is there is no secret.
func serverWide(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.RequestURI != "*" {
		return false
	}
	answerOptions(w)
	return true
}

func answerOptions(w http.ResponseWriter) {
	w.Header().Set("Allow", allowed)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// lastHop answers an OPTIONS that must go no further, and else counts
// Max-Forwards down (RFC 9110 section 7.6.2). A value that is no number is
// nothing to count by.
func lastHop(w http.ResponseWriter, r *http.Request) bool {
	values := r.Header["Max-Forwards"]
	if r.Method != http.MethodOptions || len(values) != 1 {
		return false
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil {
		return false
	}
	if n == 0 {
		answerOptions(w)
		return true
	}
	r.Header = r.Header.Clone()
	r.Header["Max-Forwards"] = []string{strconv.FormatUint(n-1, 10)}
	return false
}

// oneHost reports whether the Host fields of an HTTP/2 request say what its
// authority says (RFC 9113 section 8.3.1). Over HTTP/1 there are none left.
func oneHost(fields []string, host string) bool {
	for _, field := range fields {
		if normal, ok := NormalHost(field); !ok || normal != host {
			return false
		}
	}
	return len(fields) < 2
}

// oneLength reports whether the Content-Length fields of an HTTP/2 request are
// one number at most. net/http goes by the first, and takes for 0 what is none.
func oneLength(fields []string) bool {
	for _, field := range fields {
		if _, err := strconv.ParseUint(field, 10, 63); err != nil {
			return false
		}
	}
	return len(fields) < 2
}
