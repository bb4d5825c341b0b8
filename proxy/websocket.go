package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/proxy/tunnel"
	"github.com/wicketgate/wicketgate/token"
)

// handshake is readHandshake, with room for the tunnel.
func (ex *exchange) handshake(w http.ResponseWriter, r *http.Request) bool {
	if !ex.readHandshake(w, r) {
		return false
	}
	if ex.key == "" || ex.streams.TakeRoom(ex.table.Streams.Tunnels) {
		return true
	}
	ex.key = ""
	ex.decision.Verdict, ex.decision.Fault = Failed, &token.Fault{Reason: token.ReasonTunnels}
	ex.gate.Answer(w, &ex.decision)
	return false
}

// readHandshake reads the opening handshake of WebSocket where the route lets it
// through. It reports false when it has answered instead. Any other Upgrade is
// left to be removed, and the request goes on without it.
func (ex *exchange) readHandshake(w http.ResponseWriter, r *http.Request) bool {
	if !ex.decision.Route.WebSocket || !tunnel.Asked(r) {
		return true
	}
	key, err := tunnel.Key(r)
	switch {
	case errors.Is(err, tunnel.ErrVersion):
		h := w.Header()
		h["Sec-WebSocket-Version"] = []string{tunnel.Version}
		h["Upgrade"], h["Connection"] = []string{tunnel.Protocol}, []string{"Upgrade"}
		ex.takeBack(w, http.StatusUpgradeRequired, token.ReasonHandshakeVersion)
	case err != nil:
		ex.takeBack(w, http.StatusBadRequest, token.ReasonHandshake)
	default:
		ex.key = key
		return true
	}
	return false
}

// takeBack takes the allowance back. No challenge is in the answer:
// another credential would not help.
func (ex *exchange) takeBack(w http.ResponseWriter, status int, reason token.Reason) {
	refusal := token.Refuse(token.InvalidRequest, reason)
	ex.decision.Verdict, ex.decision.Refusal = Refused, refusal
	answer(w, status, string(refusal.Code), refusal.Description())
}

// askUpgrade puts a handshake that was read back into the outbound header.
func (ex *exchange) askUpgrade(h http.Header) {
	if ex.key == "" {
		return
	}
	h["Upgrade"], h["Connection"] = []string{tunnel.Protocol}, []string{"Upgrade"}
	h[tunnel.KeyField], h[tunnel.VersionField] = []string{ex.key}, []string{tunnel.Version}
}

// errTunnelled ends what httputil has to do with a request: it would make a
// tunnel of its own, that knows no end but those of its sides.
var errTunnelled = errors.New("request became a tunnel")

// tunnel carries a WebSocket connection once the upstream has agreed to it. It
// returns errTunnelled when it did, else why it did not.
func (ex *exchange) tunnel(resp *http.Response) error {
	if err := tunnel.CheckAnswer(ex.key, resp.Header); err != nil {
		return err
	}
	upstream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return tunnel.ErrAnswer
	}
	rec := ex.writer
	header := ex.switched(resp.Header)
	conn, buffered, err := http.NewResponseController(rec).Hijack()
	if err != nil {
		return err
	}
	rec.status = http.StatusSwitchingProtocols
	_ = conn.SetDeadline(time.Now().Add(tunnel.Grace))    // for the answer, which a buffer of the system's holds
	early, _ := buffered.Peek(buffered.Reader.Buffered()) // what is buffered can be had
	if err := answerUpgrade(conn, header); err != nil {
		_ = conn.Close()
		return errTunnelled
	}
	_ = conn.SetDeadline(time.Time{})
	t := tunnel.New(conn, append([]byte(nil), early...), upstream)
	ex.beginAs(streams.Options{Kind: streams.WebSocket, Stop: func(e streams.Ending) { t.End(goodbye(e)) }, Cut: t.Close})
	rec.written = t.Run(ex.table.Streams.Idle, func() { ex.stream.End(streams.Silent) })
	return errTunnelled
}

// switched is the header of the 101 that the client gets.
func (ex *exchange) switched(from http.Header) http.Header {
	h := ex.writer.Header()
	maps.Copy(h, from)
	for _, line := range from["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.Trim(name, " \t"))
		}
	}
	for _, name := range [...]string{"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Content-Length"} {
		delete(h, name)
	}
	hideCertificate(h)
	ex.dress(h, ex.request.Header["Origin"])
	if ex.interaction != "" {
		h[HeaderInteraction] = []string{ex.interaction}
	}
	h["Upgrade"], h["Connection"] = []string{tunnel.Protocol}, []string{"Upgrade"}
	return h
}

func answerUpgrade(to io.Writer, h http.Header) error {
	var text strings.Builder
	text.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&text) // to memory
	text.WriteString("\r\n")
	_, err := io.WriteString(to, text.String())
	return err
}

// goodbye is the close frame of an ending, RFC 6455 section 7.4.1.
func goodbye(e streams.Ending) tunnel.Close {
	switch e {
	case streams.Expired:
		return tunnel.Close{Code: 1008, Reason: "the access token has expired"}
	case streams.Revoked:
		return tunnel.Close{Code: 1008, Reason: "the access token is no longer good"}
	case streams.Silent:
		return tunnel.Close{Code: 1001, Reason: "nothing was said for too long"}
	case streams.ByPeer, streams.Drain:
	}
	return tunnel.Close{Code: 1001, Reason: "the gateway is going away"}
}
