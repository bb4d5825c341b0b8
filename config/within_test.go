package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestErrorIn marks a place in an expression with ^ and finds it again in the
// file, however YAML writes the text.
func TestErrorIn(t *testing.T) {
	for _, row := range []struct{ name, when string }{
		{"plain", "when: claims.a == 'x' && ^claim.b == \"y\"  # why"},
		{"at its beginning", "when: ^claims.a == 1"},
		{"at its end", "when: claims.a ==^"},
		{"plain, folded", "when: claims.a == 1 &&\n          claims.c == 2 &&\n\n          ^claim.b == 2"},
		{"literal", "when: |\n          claims.a == 1 &&\n            ^claim.b == 2\n"},
		{"literal with an indent of its own", "when: |2-  # text\n            claims.a == 1 &&\n\n          ^claim.b == 2\n"},
		{"folded", "when: >-\n          claims.a == 1\n          && ^claim.b == 2\n"},
		{"single quotes", "when: 'claims.a == ''it''''s'' && ^claim.b == ''y'''"},
		{"double quotes", `when: "claims.a == \"\x41\u00e4\U0001F600\" \n\t && ^claim.b == 1"`},
		{"double quotes, folded", "when: \"claims.a == 1 \\\n          && 'a\\\\b' != ''\n          && ^claim.b == 1\""},
		{"beyond ASCII", "when: claims.a == 'äöü😀' && ^claim.b == 1"},
		{"on the next line", "when:\n          claims.a == 1 && ^claim.b == 1"},
		{"braces", "when: 'claims.a == {\"k\": ${1}} && ^claim.b == 1'"},
		{"tabs", "when: |\n          claims.a == 1 &&\t\t^claim.b == 2\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(Smallest(), "    upstream:", "    routes:\n      - path: /a\n        "+row.when+"\n    upstream:", 1)
			before, _, _ := strings.Cut(text, "^")
			line, column := strings.Count(before, "\n")+1, len([]rune(before[strings.LastIndex(before, "\n")+1:]))+1
			f, err := Parse("f.yaml", []byte(strings.Replace(text, "^", "", 1)), nothing)
			if err != nil {
				t.Fatal(err)
			}
			when := f.Resources[0].Routes[0].When
			offset := len([]rune(strings.TrimSpace(when)))
			if at := strings.Index(when, "claim.b"); at >= 0 {
				offset = len([]rune(when[:at]))
			} else if strings.HasPrefix(row.name, "at its beginning") {
				offset = 0
			}
			e := f.ErrorIn("resources[0].routes[0].when", offset, "is wrong")
			if got, want := fmt.Sprintf("%d:%d", e.Line, e.Column), fmt.Sprintf("%d:%d", line, column); got != want {
				t.Errorf("%s, want %s in\n%s\n%s", got, want, text, e.Detail())
			}
			if far := f.ErrorIn("resources[0].routes[0].when", 1<<20, "is wrong"); far.Line < line {
				t.Errorf("an offset beyond its end is in line %d", far.Line)
			}
		})
	}
}

func TestVerbatimIsNotExpanded(t *testing.T) {
	text := strings.Replace(Smallest(), "    upstream:", "    routes:\n      - {path: /a, when: \"claims.a.matches('^${HOME}$$')\"}\n    upstream:", 1)
	f, err := Parse("f.yaml", []byte(text), func(string) (string, bool) { return "x", true })
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Resources[0].Routes[0].When; got != "claims.a.matches('^${HOME}$$')" {
		t.Errorf("when is %q", got)
	}
}
