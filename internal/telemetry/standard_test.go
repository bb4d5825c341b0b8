package telemetry

import (
	"log"
	"strings"
	"testing"
)

func TestStandardLogKeepsTheKindOnly(t *testing.T) {
	before, flags := log.Writer(), log.Flags()
	t.Cleanup(func() { log.SetOutput(before); log.SetFlags(flags) })
	logs, out := logger(t)
	m := New(Options{Log: logs})
	m.TakeStandardLog()
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "secret", nil)
	log.Print("anything: secret")
	text := out.String()
	if !strings.Contains(text, "upstream sent octets that answer no request") || !strings.Contains(text, "message of the HTTP server") {
		t.Errorf("logged %s", text)
	}
	if strings.Contains(text, "secret") {
		t.Errorf("logged the text: %s", text)
	}
	wantValue(t, m, "wicketgate_upstream_unsolicited_total", "1")
}
