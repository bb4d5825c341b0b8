package devissuer

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// pages lets scripts of the listed origins ask for tokens, also with a proof
// (Fetch standard, CORS protocol), and says whether that was all of the answer.
// Whoever asks under a name that is none of loopback's was led here by DNS, and
// would read the answer as a page of the same origin: it gets none.
func (o Options) pages(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(o.Origins) == 0 {
		return false
	}
	if !LoopbackHost(r.Host) {
		plain(http.StatusMisdirectedRequest, "this issuer answers to names of loopback only").write(w)
		return true
	}
	w.Header().Set("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(o.Origins, origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", http.MethodPost)
	w.Header().Set("Access-Control-Allow-Headers", "DPoP")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// LoopbackHost reports whether a Host field names loopback, by its address or as
// localhost, which no DNS is asked about.
func LoopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
