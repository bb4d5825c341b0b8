package telemetry

import (
	"strings"
	"testing"
)

func TestKeyTables(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log})
	const inUse, wrong = "wicketgate_key_tables_in_use", `wicketgate_key_tables_wrong_total{alg="ES256"}`
	m.KeyTables(true)
	wantValue(t, m, inUse, "1")
	wantValue(t, m, wrong, "0")
	m.KeyTablesWrong("ES256")
	wantValue(t, m, inUse, "0")
	wantValue(t, m, wrong, "1")
	if text := out.String(); !strings.Contains(text, `"level":"error"`) || !strings.Contains(text, "wrong verdict") || !strings.Contains(text, `"ES256"`) {
		t.Errorf("the log says %s", text)
	}
	m.KeyTables(true)
	m.KeyTables(false)
	wantValue(t, m, inUse, "0")
}
