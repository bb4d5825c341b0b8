package live

import (
	"strings"
	"testing"
)

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"k1": "k1", "a b": `"a b"`, "": `""`, "x\x1b[2J": `"x\x1b[2J"`, "é": `"\u00e9"`, `a"b`: `"a\"b"`, strings.Repeat("x", 300): `"` + strings.Repeat("x", 200) + `"…`,
	} {
		if got := shown(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
