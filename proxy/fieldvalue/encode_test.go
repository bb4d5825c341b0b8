package fieldvalue

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// checkFieldValue holds value against what every server reads alike: printable
// ASCII with no space to trim or fold.
func checkFieldValue(t *testing.T, value string) {
	t.Helper()
	for _, c := range []byte(value) {
		if c < 0x20 || c > 0x7e {
			t.Errorf("octet %#x in %q", c, value)
			return
		}
	}
	if strings.TrimSpace(value) != value || strings.Contains(value, "  ") {
		t.Errorf("a space to trim or fold in %q", value)
	}
}

func TestPlainValues(t *testing.T) {
	for _, row := range []struct {
		in   token.Value
		want string
	}{
		{`"a"`, "a"},
		{`1`, "1"},
		{`-1.5e3`, "-1.5e3"},
		{`true`, "true"},
		{`["a","b"]`, "a,b"},
		{`[]`, ""},
		{`null`, ""},
		{`{}`, ""},
		{`{"a":1}`, ""},
		{`["a",[]]`, ""},
		{`["a",{}]`, ""},
		{`["a",null]`, ""},
		{``, ""},
	} {
		got, ok := Form{}.Value(row.in)
		if !ok || got != row.want {
			t.Errorf("%s: got %q %v, want %q", row.in, got, ok, row.want)
		}
	}
}

func TestEncodeKeepsApart(t *testing.T) {
	texts := []string{
		"", "a", "A", "a,b", "a%2Cb", "a%252Cb", "%", "%25", "100%", "100%25", " ", "%20", "a b", "a  b", "a%20b", "Zoë", "Zoe\u0308",
		"Özil", "Ozil", "\n", "%0A", "+", "a+b", "李", "\x00",
	}
	seen := make(map[string]string)
	for _, text := range texts {
		encoded := Text(text, "")
		if other, found := seen[encoded]; found {
			t.Errorf("%q and %q both become %q", text, other, encoded)
		}
		seen[encoded] = text
		if back, err := url.PathUnescape(encoded); err != nil || back != text {
			t.Errorf("%q comes back as %q, %v", text, back, err)
		}
	}
}

// FuzzText holds Text against another decoder and a trip over the wire
// (threats H-97): what the upstream reads back is what the token said.
func FuzzText(f *testing.F) {
	for _, one := range []string{
		"", "user-1", "a\r\nX-Admin: 1", " a ", "a  b", "100%25", "user,admin", "Zoë", "\x00\x7f\t", "\xff\xfe", "%", "+", " ", ",",
	} {
		f.Add(one, "a,b", "c d")
	}
	f.Fuzz(func(t *testing.T, text, second, third string) {
		encoded := Text(text, "")
		checkFieldValue(t, encoded)
		if back := unescape(t, encoded); back != text {
			t.Fatalf("%q became %q and came back as %q", text, encoded, back)
		}
		if got := overTheWire(t, encoded); got != encoded {
			t.Fatalf("%q arrived as %q", encoded, got)
		}
		list := []string{text, second, third}
		for _, separator := range []string{" ", ","} {
			joined := List(list, separator)
			for _, c := range []byte(joined) {
				if c < 0x20 || c > 0x7e {
					t.Fatalf("octet %#x in %q", c, joined)
				}
			}
			var back []string
			for part := range strings.SplitSeq(joined, separator) {
				back = append(back, unescape(t, part))
			}
			if !slices.Equal(back, list) {
				t.Fatalf("%q became %q and came back as %q", list, joined, back)
			}
		}
	})
}

func unescape(t *testing.T, text string) string {
	t.Helper()
	back, err := url.PathUnescape(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return back
}

func overTheWire(t *testing.T, value string) string {
	t.Helper()
	var wire bytes.Buffer
	if err := (http.Header{"X-Value": {value}}).Write(&wire); err != nil {
		t.Fatal(err)
	}
	wire.WriteString("\r\n")
	h, err := textproto.NewReader(bufio.NewReader(&wire)).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	if len(h) != 1 || len(h["X-Value"]) != 1 {
		t.Fatalf("%q arrived as %q", value, h)
	}
	return h["X-Value"][0]
}

func valueOf(t *testing.T, text string) (token.Value, bool) {
	t.Helper()
	o, err := token.ParseObject(`{"c":` + text + `}`)
	if err != nil {
		return "", false
	}
	v, _ := o.Get("c")
	return v, true
}

// meaning is what a JSON text says, numbers by their spelling.
func meaning(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// TestForms: each claim in each encoding; "-" is no field, "!" does not fit.
func TestForms(t *testing.T) {
	for _, row := range []struct{ claim, percent, json, raw string }{
		{`"zoë"`, "zo%C3%AB", `"zo\u00eb"`, "!"},
		{`"a, b"`, "a, b", `"a, b"`, "a, b"},
		{`"100%"`, "100%25", `"100%"`, "100%"},
		{`"a  b"`, "a%20%20b", `"a \u0020b"`, "!"},
		{`" a"`, "%20a", `" a"`, "!"},
		{`"a\r\nX: 1"`, "a%0D%0AX: 1", `"a\r\nX: 1"`, "!"},
		{`"\u0000"`, "%00", `"\u0000"`, "!"},
		{"\"\u007f\"", "%7F", `"\u007f"`, "!"},
		{`"😀"`, "%F0%9F%98%80", `"\ud83d\ude00"`, "!"},
		{`"\ud83d\ude00"`, "%F0%9F%98%80", `"\ud83d\ude00"`, "!"},
		{`"a\"\\\/b"`, `a"\/b`, `"a\"\\\/b"`, `a"\/b`},
		{`""`, "-", `""`, "-"},
		{`1.10`, "1.10", "1.10", "1.10"},
		{`true`, "true", "true", "true"},
		{`null`, "-", "-", "-"},
		{`[]`, "-", "[]", "-"},
		{`[ "a" , 1 ]`, "a,1", `["a",1]`, "a,1"},
		{`["a,b","c"]`, "a%2Cb,c", `["a,b","c"]`, "!"},
		{`["ë",{}]`, "-", `["\u00eb",{}]`, "-"},
		{"{\n \"a b\": {\"c\" :\t[ 1 ]}}", "-", `{"a b":{"c":[1]}}`, "-"},
	} {
		v, ok := valueOf(t, row.claim)
		if !ok {
			t.Fatal(row.claim)
		}
		for _, c := range []struct {
			encoding Encoding
			want     string
		}{{Percent, row.percent}, {JSON, row.json}, {Base64URL, row.json}, {RawASCII, row.raw}} {
			text, fits := Form{Encoding: c.encoding}.Value(v)
			if c.encoding == Base64URL {
				plain, err := base64.RawURLEncoding.DecodeString(text)
				if text = string(plain); err != nil {
					t.Error(err)
				}
			}
			switch {
			case !fits:
				text = "!"
			case text == "":
				text = "-"
			}
			if text != c.want {
				t.Errorf("%s, encoding %d: got %s, want %s", row.claim, c.encoding, text, c.want)
			}
		}
	}
}

// FuzzForms: whatever a token says, a field is printable ASCII without spaces
// to trim or fold, and what reads it back reads what the token said.
func FuzzForms(f *testing.F) {
	for _, one := range []string{`"a"`, `["a","b,c",1,true]`, `{"a":{"b":" x  y "}}`, `"\ud83d\ude00\r\n"`, `null`, "[ 1,\n2 ]", `"😀%"`, `{"ë":"\\\""}`} {
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		v, ok := valueOf(t, claim)
		if !ok || v.IsNull() {
			return
		}
		plain, _ := Form{Encoding: JSON}.Value(v)
		checkFieldValue(t, plain)
		if !reflect.DeepEqual(meaning(t, plain), meaning(t, claim)) {
			t.Fatalf("%q became %q", claim, plain)
		}
		coded, _ := Form{Encoding: Base64URL}.Value(v)
		if back, err := base64.RawURLEncoding.DecodeString(coded); err != nil || string(back) != plain {
			t.Fatalf("%q became %q, %v", claim, coded, err)
		}
		percent, fits := Form{}.Value(v)
		if checkFieldValue(t, percent); !fits {
			t.Fatalf("%q does not fit percent-encoded", claim)
		}
		if text, isText := v.Text(); isText && unescape(t, percent) != text {
			t.Fatalf("%q became %q", claim, percent)
		}
		raw, fits := Form{Encoding: RawASCII}.Value(v)
		if checkFieldValue(t, raw); fits && strings.ReplaceAll(percent, "%25", "%") != raw {
			t.Fatalf("%q is %q raw and %q encoded", claim, raw, percent)
		}
	})
}

// TestReduced: only what is kept is told, whatever form the claim has.
func TestReduced(t *testing.T) {
	keep := []string{"ops", "1", "true", "a,b", "a\\b"}
	for _, row := range []struct{ claim, percent, json string }{
		{`["dev","ops","qa"]`, "ops", `["ops"]`},
		{`["a,b","ops"]`, "a%2Cb,ops", `["a,b","ops"]`},
		{`["a\\b"]`, `a\b`, `["a\\b"]`},
		{`["\u006fps"]`, "ops", `["\u006fps"]`},
		{`["Ops","ops ","op"]`, "", ""},
		{`[1,1.0,"1",true,false]`, "1,1,true", `[1,"1",true]`},
		{`"ops"`, "ops", `"ops"`},
		{`"dev"`, "", ""},
		{`1`, "1", "1"},
		{`[{"value":"ops","display":"Ops"},{"value":"dev"},{"name":"ops"}]`, "ops", `["ops"]`},
		{`[["ops"]]`, "", ""},
		{`{"ops":"ops"}`, "", ""},
		{`[]`, "", ""},
		{`null`, "", ""},
	} {
		v, _ := valueOf(t, row.claim)
		for encoding, want := range map[Encoding]string{Percent: row.percent, JSON: row.json} {
			if got, fits := (Form{Encoding: encoding, Reduced: true, Keep: keep}).Value(v); got != want || !fits {
				t.Errorf("%s, encoding %d: got %q %v, want %q", row.claim, encoding, got, fits, want)
			}
		}
		if got, _ := (Form{Encoding: JSON, Reduced: true}).Value(v); got != "" {
			t.Errorf("%s: %q is told though nothing is kept", row.claim, got)
		}
	}
}

func TestPercentAllocatesNothing(t *testing.T) {
	v, _ := valueOf(t, `"someone@example.com"`)
	if n := testing.AllocsPerRun(100, func() { _, _ = Form{}.Value(v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
