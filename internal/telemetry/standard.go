package telemetry

import (
	"bytes"
	"log"
)

// unsolicited is how net/http's client begins when an upstream sends octets
// that answer no request. It goes on with the octets themselves, to the standard
// logger: there is no other way to hear of it.
const unsolicited = "Unsolicited response received on idle HTTP channel"

// TakeStandardLog makes the standard logger of the process speak through ours:
// of what libraries print, the kind is kept and the text dropped, since it can
// quote what came from outside.
func (t *Telemetry) TakeStandardLog() {
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(t.noise)
}

type standardLog struct {
	kindOnly
	unasked func() // called for octets that answer no request
}

// Write takes one message.
func (s standardLog) Write(message []byte) (int, error) {
	if bytes.HasPrefix(message, []byte(unsolicited)) {
		s.unasked()
	}
	return s.kindOnly.Write(message)
}

// Unasked counts and logs octets of an upstream that answer no request.
func (t *Telemetry) Unasked() { _, _ = t.noise.Write([]byte(unsolicited)) }
