package token

import (
	"errors"
	"testing"
)

func TestParseObjectWantsQuotesAndColons(t *testing.T) {
	for _, text := range []string{`{a":1}`, `{xa":1}`, `{"a";1}`, `{"a"=1}`, `{"a",1}`, `{"b":2,a":1}`} {
		if _, err := ParseObject(text); !errors.Is(err, errSyntax) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseObjectWantsWholeLiterals(t *testing.T) {
	for _, text := range []string{`{"a":tree}`, `{"a":nulx}`, `{"a":falsy}`, `{"a":[nope]}`, `{"a":t`} {
		if _, err := ParseObject(text); !errors.Is(err, errSyntax) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestElementsAreOfAnArray(t *testing.T) {
	for _, v := range []Value{`"]"`, `" ]"`, `"1]"`, `"a],"`, `{}`, `{"a":[]}`, `12`, `null`, ``} {
		if list, ok := v.Elements(); ok {
			t.Errorf("%s has elements %q", v, list)
		}
		if list, ok := v.Texts(); ok {
			t.Errorf("%s has texts %q", v, list)
		}
	}
}

// A line break inside base64 is skipped by the decoder: these decode to what
// the same text without it does.
func TestDigestHoldsNoLineBreak(t *testing.T) {
	const digest = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	for _, text := range []string{digest + "\n", "\r\n" + digest, digest[:20] + "\n" + digest[20:], digest[:41] + "A\n", digest[:41] + "A", digest + "AAAA"} {
		if isDigest(text) {
			t.Errorf("%q is taken for a digest", text)
		}
	}
	if !isDigest(digest) {
		t.Error("a digest is not taken for one")
	}
}

func TestParseJWTIsCutAtDotsOnly(t *testing.T) {
	const header, payload, signature = "eyJhbGciOiJFUzI1NiJ9", "e30", "AAAA"
	if _, err := ParseJWT(header+"."+payload+"."+signature, MaxLength); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []string{";", ",", ":", "/", "+", "~", " ", "=", "\x00", "\xff", "..", ".\n"} {
		for _, raw := range []string{header + cut + payload + "." + signature, header + "." + payload + cut + signature} {
			if _, err := ParseJWT(raw, MaxLength); !errors.Is(err, InvalidToken) {
				t.Errorf("%q: %v", raw, err)
			}
		}
	}
}

// The decoder hands out what it read before the fault: here all of the object.
func TestParseJWTDecodesWholeParts(t *testing.T) {
	const header, payload, signature = "eyJhbGciOiJFUzI1NiJ9", "eyB9", "AAAA"
	for _, raw := range []string{
		header + "A." + payload + "." + signature, header + "AB." + payload + "." + signature,
		header + "." + payload + "A." + signature, header + "." + payload + "AB." + signature,
		header + "." + payload + "." + signature + "A",
	} {
		if _, err := ParseJWT(raw, MaxLength); !errors.Is(err, InvalidToken) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := ParseJWT(header+"."+payload+"."+signature, MaxLength); err != nil {
		t.Error(err)
	}
}

func TestNothingHasNoMembers(t *testing.T) {
	var none *Object
	for _, path := range []string{"", "a", "a.b"} {
		if v, found := none.Lookup(path); found {
			t.Errorf("%q is %q", path, v)
		}
		if v, found := (&Claims{}).Lookup(path); found {
			t.Errorf("%q is a claim: %q", path, v)
		}
	}
}
