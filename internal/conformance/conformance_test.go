package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const smallList = `
# comment
AB | First
AB-01 | MUST | D1 | one |
AB-02 | SHOULD | O2 | two | a feature

C8D | Second
C8D-01 | ours | D1 | three |
`

func TestListIsWhole(t *testing.T) {
	families, err := parseRows(rowsText)
	if err != nil {
		t.Fatal(err)
	}
	rows, byDefault := 0, 0
	for _, f := range families {
		for _, r := range f.rows {
			rows++
			if r.use[0] == 'D' {
				byDefault++
			}
		}
	}
	if len(families) != 25 || rows != 342 || byDefault != 214 {
		t.Errorf("%d families, %d rows, %d of them by default", len(families), rows, byDefault)
	}
}

func TestParseRowsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"row before family": "AB-01 | MUST | D1 | one |",
		"other family":      "AB | First\nAC-01 | MUST | D1 | one |",
		"no ID":             "AB | First\nAB-1 | MUST | D1 | one |",
		"out of order":      "AB | First\nAB-02 | MUST | D1 | two |\nAB-01 | MUST | D1 | one |",
		"twice":             "AB | First\nAB-01 | MUST | D1 | one |\nAB-01 | MUST | D1 | one |",
		"no level":          "AB | First\nAB-01 | | D1 | one |",
		"no use":            "AB | First\nAB-01 | MUST | X1 | one |",
		"no requirement":    "AB | First\nAB-01 | MUST | D1 | |",
		"too few cells":     "AB | First\nAB-01 | MUST | D1 | one",
	} {
		if families, err := parseRows(text); err == nil {
			t.Errorf("%s: read as %v", name, families)
		}
	}
}

// event is a line of go test -json.
func event(action, pkg, test string) string {
	return `{"Action":"` + action + `","Package":"example.com/m/` + pkg + `","Test":"` + test + `"}` + "\n"
}

func TestReadEventsFindsRowsInNames(t *testing.T) {
	o, err := readEvents(strings.NewReader(
		event("run", "p", "TestConformance/AB-01")+
			event("pass", "p", "TestConformance/AB-01/first_case")+
			event("fail", "p", "TestConformance/AB-01/second")+
			event("pass", "p", "TestConformance/AB-01")+
			event("pass", "q", "TestConformance/forms/AB-02_some_form")+
			event("pass", "q", "TestConformance/AB-02#01")+
			event("pass", "q", "TestConformance/XAB-03")+
			event("pass", "q", "TestConformance/AB-030")+
			event("pass", "q", "TestConformance")+
			event("fail", "p", "")), "example.com/m")
	if err != nil {
		t.Fatal(err)
	}
	if len(o["AB-01"]) != 1 || o["AB-01"]["p"] || len(o["AB-02"]) != 1 || !o["AB-02"]["q"] || len(o) != 3 {
		t.Errorf("got %v", o)
	}
}

func TestReadEventsWantsTestsThatEnd(t *testing.T) {
	for name, text := range map[string]string{
		"does not build": event("fail", "p", ""),
		"no JSON":        "FAIL\n",
	} {
		if o, err := readEvents(strings.NewReader(text), "example.com/m"); err == nil {
			t.Errorf("%s: read as %v", name, o)
		}
	}
}

func TestJudge(t *testing.T) {
	waiting, built := row{id: "AB-02", waits: "a feature"}, row{id: "AB-02"}
	for _, test := range []struct {
		name string
		row  row
		ran  map[string]bool
		want state
	}{
		{"no test", built, nil, notYet},
		{"passed", built, map[string]bool{"p": true}, pass},
		{"failed in one package", built, map[string]bool{"p": true, "q": false}, fail},
		{"waits and fails", waiting, map[string]bool{"p": false}, fail},
		{"waits and passes below", waiting, map[string]bool{"p": true}, notYet},
		{"waited and passes at the front door", waiting, map[string]bool{"cmd/wicketgate": true}, pass},
	} {
		if got := (outcome{"AB-02": test.ran}).judge(test.row); got.state != test.want {
			t.Errorf("%s: %s, want %s", test.name, got.state, test.want)
		}
	}
}

func TestUnlisted(t *testing.T) {
	families, err := parseRows(smallList)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{"AB-01": nil, "AB-09": nil, "UTF-16": nil, "C8D-07": nil}
	if got := o.unlisted(families); !slices.Equal(got, []string{"AB-09", "C8D-07"}) {
		t.Errorf("got %q", got)
	}
}

func TestDocument(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"p/a_test.go": "AB-01", "p/b_test.go": "AB-011", "p/c.go": "AB-01", "p/testdata/v.json": `"AB-01"`} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := mentions(root, []string{"p"}, "AB-01")
	if err != nil || !slices.Equal(files, []string{"p/a_test.go", "p/testdata/v.json"}) {
		t.Errorf("mentioned in %q, %v", files, err)
	}
	families, err := parseRows(smallList)
	if err != nil {
		t.Fatal(err)
	}
	page := document(families, []standing{
		{families[0].rows[0], pass, []string{"p"}, files},
		{families[0].rows[1], notYet, nil, nil},
		{families[1].rows[0], notYet, nil, nil},
	})
	for _, line := range []string{
		"| D1 | 2 | 1 | 0 | 1 |", "| O2 | 1 | 0 | 0 | 1 |", "| all | 3 | 1 | 0 | 2 |", "## AB: First", "## C8D: Second",
		"| AB-01 | MUST | D1 | one | pass | `p/a_test.go`, `p/testdata/v.json` |",
		"| AB-02 | SHOULD | O2 | two | not yet | waits for a feature |",
		"| C8D-01 | ours | D1 | three | not yet | waits for a test |",
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("no %q in\n%s", line, page)
		}
	}
}
