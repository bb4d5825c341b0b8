package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(open, inner, end string, depth int) string {
	return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
}

func membersOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

func TestParseObjectTakes(t *testing.T) {
	for _, text := range []string{
		`{}`, `{ }`, "{\t\r\n }", `{"a":1}`, "{ \"a\" :\n1\t,\r\"b\" : 2 }",
		`{"":1}`, `{" ":1}`, `{"a":"","b":[],"c":{},"d":null,"e":true,"f":false}`,
		`{"a":0,"b":-0,"c":1.5,"d":-1.5e10,"e":1E+2,"f":0e-0,"g":0.000}`,
		`{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00"}`, `{"a":"\u0000"}`, "{\"a\":\"\x7f\u0080\u2028\uFFFD\"}",
		`{"a":"\uFFFD\uFFFE\uffff"}`, `{"a":{"a":{"a":1}}}`, `{"a":[{"b":1},{"b":2}]}`, `{"a":1,"A":2}`,
		`{"é":1,"e\u0301":2}`, `{"iss":1,"\u0131ss":2}`,
		`{"a":` + strings.Repeat("9", 32) + `}`, `{"a":-` + strings.Repeat("9", 31) + `}`, `{"a":0.` + strings.Repeat("1", 30) + `}`,
		nested(`{"a":`, `1`, `}`, 20), `{"a":` + nested(`[`, ``, `]`, 19) + `}`,
		membersOf(256),
	} {
		if _, err := ParseObject(text); err != nil {
			t.Errorf("%.60q: %v", text, err)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%.60q is no JSON", text)
		}
	}
}

func TestParseObjectRefuses(t *testing.T) {
	for _, row := range []struct {
		text string
		want error
	}{
		// not one object and nothing else
		{``, errTrailing}, {` `, errTrailing}, {`[]`, errTrailing}, {`null`, errTrailing}, {`"x"`, errTrailing}, {`1`, errTrailing},
		{`true`, errTrailing}, {` {}`, errTrailing}, {"\n{}", errTrailing}, {"\uFEFF{}", errTrailing}, {`{} `, errTrailing},
		{"{}\n", errTrailing}, {`{}x`, errTrailing}, {`{}{}`, errTrailing}, {`{},`, errTrailing}, {"{}\x00", errTrailing}, {`{"a":1}]`, errTrailing},
		// RFC 8259 grammar
		{`{`, errSyntax}, {`{"a"`, errSyntax}, {`{"a":`, errSyntax}, {`{"a":1`, errSyntax}, {`{"a":1,`, errSyntax}, {`{"a":1,}`, errSyntax},
		{`{,"a":1}`, errSyntax}, {`{"a":1 "b":2}`, errSyntax}, {`{"a" 1}`, errSyntax}, {`{"a"::1}`, errSyntax}, {`{a:1}`, errSyntax},
		{`{'a':1}`, errSyntax}, {`{1:1}`, errSyntax}, {`{null:1}`, errSyntax}, {`{"a":}`, errSyntax}, {`{"a":'b'}`, errSyntax},
		{`{"a":[1,]}`, errSyntax}, {`{"a":[,1]}`, errSyntax}, {`{"a":[1 2]}`, errSyntax}, {`{"a":[1}`, errSyntax}, {`{"a":[}`, errSyntax},
		{`{"a":True}`, errSyntax}, {`{"a":nul}`, errSyntax}, {`{"a":truex}`, errSyntax}, {`{"a":undefined}`, errSyntax},
		{`{"a":NaN}`, errSyntax}, {`{"a":Infinity}`, errSyntax}, {`{"a":-Infinity}`, errSyntax}, {`{/**/}`, errSyntax}, {`{"a":1//` + "\n}", errSyntax},
		{"{\"a\":\v1}", errSyntax}, {"{\"a\":\u00a01}", errSyntax}, {"{\"a\":\f1}", errSyntax}, {"{\x00}", errSyntax},
		// numbers
		{`{"a":01}`, errSyntax}, {`{"a":-01}`, errSyntax}, {`{"a":00}`, errSyntax}, {`{"a":+1}`, errSyntax}, {`{"a":.5}`, errSyntax}, {`{"a":5.}`, errSyntax},
		{`{"a":-}`, errSyntax}, {`{"a":1e}`, errSyntax}, {`{"a":1e+}`, errSyntax}, {`{"a":1.e1}`, errSyntax}, {`{"a":0x10}`, errSyntax},
		{`{"a":1_000}`, errSyntax}, {`{"a":--1}`, errSyntax}, {`{"a":１}`, errSyntax},
		{`{"a":` + strings.Repeat("9", 33) + `}`, errNumber}, {`{"a":-` + strings.Repeat("9", 32) + `}`, errNumber},
		{`{"a":1e` + strings.Repeat("0", 40) + `}`, errNumber}, {`{"a":[1,0.` + strings.Repeat("1", 31) + `]}`, errNumber},
		// strings
		{`{"a":"b}`, errSyntax}, {`{"a":"b\"}`, errSyntax}, {`{"a":"\x"}`, errSyntax}, {`{"a":"\U0041"}`, errSyntax}, {`{"a":"\u004"}`, errSyntax},
		{`{"a":"\u00g0"}`, errSyntax}, {`{"a":"\u+041"}`, errSyntax}, {`{"a":"\`, errSyntax}, {`{"a":"\u`, errSyntax}, {`{"a":"\u00`, errSyntax},
		{"{\"a\":\"\n\"}", errSyntax}, {"{\"a\":\"\t\"}", errSyntax}, {"{\"a\":\"\x00\"}", errSyntax}, {"{\"a\":\"\x1f\"}", errSyntax}, {"{\"a\r\":1}", errSyntax},
		// encoding
		{`{"a":"\ud800"}`, errEncoding}, {`{"a":"\udc00"}`, errEncoding}, {`{"a":"\ud800\ud800"}`, errEncoding}, {`{"a":"\ud800x"}`, errEncoding},
		{`{"a":"\udc00\ud800"}`, errEncoding}, {`{"a":"\ud800\u0041"}`, errEncoding}, {`{"a":"\ud800\n"}`, errEncoding}, {`{"\ud800":1}`, errEncoding},
		{"{\"a\":\"\xff\"}", errEncoding}, {"{\"a\":\"\xc0\xaf\"}", errEncoding}, {"{\"a\":\"\xed\xa0\x80\"}", errEncoding},
		{"{\"a\":\"\xf4\x90\x80\x80\"}", errEncoding}, {"{\"a\":\"\xc3\"}", errEncoding}, {"{\"\xc3\x28\":1}", errEncoding}, {"{\"a\":\"\x80\"}", errEncoding},
		// names
		{`{"a":1,"a":1}`, errDuplicate}, {`{"a":1,"b":2,"a":3}`, errDuplicate}, {`{"iss":1,"\u0069ss":2}`, errDuplicate}, {`{"\u0069ss":1,"i\u0073s":2}`, errDuplicate},
		{`{"":1,"":2}`, errDuplicate}, {`{"a/b":1,"a\/b":2}`, errDuplicate}, {`{"é":1,"\u00E9":2}`, errDuplicate}, {`{"😀":1,"\ud83d\uDE00":2}`, errDuplicate},
		{`{"cnf":{"jkt":1,"jkt":2}}`, errDuplicate}, {`{"a":[[{"b":1,"\u0062":2}]]}`, errDuplicate}, {`{"a":{"b":1},"a":{"c":1}}`, errDuplicate},
		{nested(`{"a":`, `{"b":1,"b":2}`, `}`, 19), errDuplicate},
		// bounds
		{nested(`{"a":`, `1`, `}`, 21), errDepth}, {`{"a":` + nested(`[`, ``, `]`, 20) + `}`, errDepth}, {nested(`{"a":`, `{}`, `}`, 20), errDepth},
		{`{"a":` + strings.Repeat("[", 200_000), errDepth}, {strings.Repeat(`{"a":`, 9000), errDepth},
		{membersOf(257), errMembers}, {`{"a":` + membersOf(256) + `}`, errMembers}, {`{"a":[` + membersOf(200) + `,` + membersOf(56) + `]}`, errMembers},
	} {
		o, err := ParseObject(row.text)
		if o != nil || !errors.Is(err, row.want) {
			t.Errorf("%.80q: got %v, want %v", row.text, err, row.want)
		}
	}
}

func TestParseObjectQuotesNothing(t *testing.T) {
	for _, text := range []string{`{"secret":"s3cret","secret":1}`, `{"secret":"s3cret"}s3cret`, `{"s3cret":s3cret}`, "{\"s3cret\":\"\xff\"}"} {
		if _, err := ParseObject(text); err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func object(t testing.TB, text string) *Object {
	t.Helper()
	o, err := ParseObject(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func TestObject(t *testing.T) {
	o := object(t, `{ "a" : 1 , "b.c" : 2, "b":{"c":3,"d":{"e":"f"}}, "B": null, "l":[{"x":1}], "\u0069ss":"i", "d.e":{"f":4} }`)
	var names []string
	for _, m := range o.Members() {
		names = append(names, m.Name+"="+string(m.Value))
	}
	want := `a=1 b.c=2 b={"c":3,"d":{"e":"f"}} B=null l=[{"x":1}] iss="i" d.e={"f":4}`
	if got := strings.Join(names, " "); got != want {
		t.Errorf("members: got %s", got)
	}
	for path, want := range map[string]string{
		"a": "1", "b.c": "2", "b.d.e": `"f"`, "b.d": `{"e":"f"}`, "B": "null", "iss": `"i"`, "l": `[{"x":1}]`,
		"": "-", "A": "-", "b.x": "-", "b.d.e.f": "-", "a.b": "-", "l.0": "-", "l.x": "-", "b.": "-", ".b": "-", "b..d": "-", "B.c": "-",
	} {
		got := "-"
		if v, found := o.Lookup(path); found {
			got = string(v)
		}
		if got != want {
			t.Errorf("Lookup %q: got %s, want %s", path, got, want)
		}
	}
	if _, found := o.Get("b.d"); found {
		t.Error("Get takes a path")
	}
	if v, found := object(t, `{"a":{"b.c":5}}`).Lookup("a.b.c"); !found || v != "5" {
		t.Errorf("a name with a dot below the top: got %s %v", v, found)
	}
}

func TestValueKinds(t *testing.T) {
	for _, row := range []struct{ text, kinds, elements string }{
		{`"x"`, "text", ""}, {`""`, "text", ""}, {`1`, "number", ""}, {`-1.5e3`, "number", ""}, {`true`, "", ""}, {`false`, "", ""},
		{`null`, "null", ""}, {`{}`, "object", ""}, {`{"a":[1]}`, "object", ""}, {`[]`, "list texts", ""},
		{`["a","b"]`, "list texts", `"a"|"b"`}, {`[ "a" , "b" ]`, "list texts", `"a"|"b"`}, {`["a",1]`, "list", `"a"|1`},
		{`[[1,2],{"a":"]"},"],"]`, "list", `[1,2]|{"a":"]"}|"],"`}, {`[null]`, "list", "null"},
	} {
		v, _ := object(t, `{"v":`+row.text+`}`).Get("v")
		var kinds []string
		add := func(ok bool, kind string) {
			if ok {
				kinds = append(kinds, kind)
			}
		}
		_, ok := v.Text()
		add(ok, "text")
		_, ok = v.Number()
		add(ok, "number")
		add(v.IsNull(), "null")
		_, ok = v.Object()
		add(ok, "object")
		elements, ok := v.Elements()
		add(ok, "list")
		_, ok = v.Texts()
		add(ok, "texts")
		if got := strings.Join(kinds, " "); got != row.kinds {
			t.Errorf("%s is %q, want %q", row.text, got, row.kinds)
		}
		var parts []string
		for _, e := range elements {
			parts = append(parts, string(e))
		}
		if got := strings.Join(parts, "|"); got != row.elements {
			t.Errorf("%s has elements %s", row.text, got)
		}
	}
}

// A value that is not there is of no kind.
func TestZeroValue(t *testing.T) {
	var v Value
	_, text := v.Text()
	_, number := v.Number()
	_, isObject := v.Object()
	_, list := v.Elements()
	_, texts := v.Texts()
	if text || number || isObject || list || texts || v.IsNull() {
		t.Error("the zero Value is something")
	}
}

func TestText(t *testing.T) {
	for literal, want := range map[string]string{
		`"plain"`: "plain", `"é李"`: "é李", `"\u00e9\u00C9"`: "éÉ", `"\ud83d\ude00!"`: "😀!", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t",
		`"\u0000"`: "\x00", `"a\nb\nc"`: "a\nb\nc", `"\\u0041"`: `\u0041`, `"\u005cu0041"`: `\u0041`,
	} {
		if got, ok := Value(literal).Text(); !ok || got != want {
			t.Errorf("%s: got %q %v, want %q", literal, got, ok, want)
		}
	}
}

// readAgain reads text with encoding/json, token by token, into what
// ParseObject is asked to hold: names without duplicates, and the bounds.
type readAgain struct {
	duplicate, deep, long, many bool
}

func (r *readAgain) value(d *json.Decoder, depth int, members *int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Number:
		r.long = r.long || len(t) > 32
	case json.Delim:
		r.deep = r.deep || depth > MaxDepth
		names := make(map[string]bool)
		for d.More() {
			if t == '{' {
				name, err := d.Token()
				if err != nil {
					return err
				}
				text, _ := name.(string)
				r.duplicate = r.duplicate || names[text]
				names[text] = true
				if *members++; *members > MaxMembers {
					r.many = true
				}
			}
			if err := r.value(d, depth+1, members); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	}
	return nil
}

// FuzzParseObject holds the scanner against encoding/json: it takes exactly
// what that takes, less what is not allowed here, and reads the same from it.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":1,"\u0061":2}`, `{"a":"\ud83d\ude00","b":[1,-2.5e3,true,null,{"c":""}]}`, `{"a":"\ud800"}`, "\uFEFF{}", `{}{}`,
		`{"cnf":{"jkt":"x","jkt":"y"}}`, "{\"a\":\"\xff\"}", `{"a":01}`, `{"exp":1800000000,"aud":["a","b"]}`, nested(`{"a":`, `1`, `}`, 21), membersOf(4),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseObject(text)
		var again readAgain
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		members := 0
		isJSON := json.Valid([]byte(text))
		if isJSON {
			if err := again.value(d, 1, &members); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if err != nil {
			isObject := isJSON && text[0] == '{' && text[len(text)-1] == '}' && utf8.ValidString(text)
			surrogates := bytes.Contains(bytes.ToLower([]byte(text)), []byte(`\ud`))
			if isObject && !surrogates && again == (readAgain{}) {
				t.Fatalf("%q is refused: %v", text, err)
			}
			return
		}
		if !isJSON || again != (readAgain{}) {
			t.Fatalf("%q passes: JSON %v, %+v", text, isJSON, again)
		}
		var other map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &other); err != nil {
			t.Fatal(err)
		}
		if len(other) != len(o.Members()) {
			t.Fatalf("%q: %d members, encoding/json has %d", text, len(o.Members()), len(other))
		}
		for _, m := range o.Members() {
			raw, found := other[m.Name]
			if !found || string(raw) != string(m.Value) {
				t.Fatalf("%q: %q is %s, encoding/json says %s", text, m.Name, m.Value, raw)
			}
			sameValue(t, m.Value)
			sameWalk(t, m.Value)
		}
	})
}

// sameValue compares what the accessors make of v with encoding/json.
func sameValue(t *testing.T, v Value) {
	t.Helper()
	var other any
	d := json.NewDecoder(strings.NewReader(string(v)))
	d.UseNumber()
	if err := d.Decode(&other); err != nil {
		t.Fatalf("%q: %v", v, err)
	}
	same := false
	switch other := other.(type) {
	case nil:
		same = v.IsNull()
	case string:
		text, ok := v.Text()
		same = ok && text == other
	case json.Number:
		text, ok := v.Number()
		same = ok && text == other.String()
	case bool:
		same = string(v) == fmt.Sprint(other)
	case []any:
		elements, ok := v.Elements()
		same = ok && len(elements) == len(other)
		for _, e := range elements {
			sameValue(t, e)
		}
	case map[string]any:
		o, ok := v.Object()
		same = ok && len(o.Members()) == len(other)
	}
	if !same {
		t.Fatalf("%q reads unlike %v", v, other)
	}
}

// However much a text holds, little is allocated for it.
func TestParseObjectIsBounded(t *testing.T) {
	for _, text := range []string{
		`{"a":"` + strings.Repeat(`\u0041`, 2000) + `"}`, `{"` + strings.Repeat("n", 12000) + `":1}`, membersOf(256),
		`{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 6000), ",") + `]}`,
	} {
		if allocations := testing.AllocsPerRun(10, func() { _, _ = ParseObject(text) }); allocations > 30 {
			t.Errorf("%.30q: %v allocations", text, allocations)
		}
	}
	if o := object(t, membersOf(256)); !slices.ContainsFunc(o.Members(), func(m Member) bool { return m.Name == "m255" }) {
		t.Error("the last member is gone")
	}
}

const sampleClaims = `{"iss":"https://as.example.com","sub":"user-1","client_id":"client-1","aud":"https://rs.example.com","exp":1800000600,` +
	`"iat":1800000000,"jti":"0f8fad5b-d9cb-469f-a165-70867728950e","scope":"read write","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},"roles":["a","b"]}`

func BenchmarkParseObject(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(sampleClaims)))
	for b.Loop() {
		if _, err := ParseObject(sampleClaims); err != nil {
			b.Fatal(err)
		}
	}
}
