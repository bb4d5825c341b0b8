package token

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Whatever its length, a part is read as a whole, and refused for the same.
func TestLongParts(t *testing.T) {
	const good = `{"alg":"ES256"}`
	for name, c := range map[string]struct {
		payload func(fill string) string
		ok      bool
	}{
		"good":           {func(fill string) string { return `{"a":"` + fill + `","b":[1]}` }, true},
		"escapes":        {func(fill string) string { return `{"a":"\ud83d\ude00` + fill + `\n"}` }, true},
		"beyond ASCII":   {func(fill string) string { return `{"a":"` + strings.ReplaceAll(fill, "xx", "é") + `"}` }, true},
		"cut":            {func(fill string) string { return `{"a":"` + fill }, false},
		"more behind it": {func(fill string) string { return `{"a":"` + fill + `"} ` }, false},
		"one within":     {func(fill string) string { return `{"a":1}` + fill }, false},
		"twice, first":   {func(fill string) string { return `{"a":1,"a":1,"b":"` + fill + `"}` }, false},
		"twice, last":    {func(fill string) string { return `{"a":1,"b":"` + fill + `","a":1}` }, false},
		"nested, first": {func(fill string) string {
			return strings.Repeat(`{"a":`, 30) + `"` + fill + `"` + strings.Repeat("}", 30)
		}, false},
		"nested, last": {func(fill string) string {
			return `{"b":"` + fill + `","c":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "}"
		}, false},
		"a control, last":   {func(fill string) string { return `{"b":"` + fill + "\x01\"}" }, false},
		"a long number":     {func(fill string) string { return `{"n":` + strings.Repeat("1", 40) + `,"b":"` + fill + `"}` }, false},
		"no object":         {func(fill string) string { return `["` + fill + `"]` }, false},
		"a broken sequence": {func(fill string) string { return `{"b":"` + fill + "\xc3\"}" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1400; n < 1700; n++ { // over the first border between pieces, octet by octet
				text := c.payload(strings.Repeat("x", n))
				u, err := ParseJWT(compact(good, text), MaxLength)
				if (err == nil) != c.ok {
					t.Fatalf("%d octets: %v", len(text), err)
				}
				if o, failure := ParseObject(text); (failure == nil) != c.ok || c.ok && fmt.Sprint(o.Members()) != fmt.Sprint(u.payload.Members()) {
					t.Fatalf("%d octets are read in another way: %v", len(text), failure)
				}
			}
		})
	}
}

// A broken character anywhere is found, a line break too, which encoding/base64
// skips.
func TestLongPartsAreBase64(t *testing.T) {
	raw := compact(`{"alg":"ES256"}`, `{"a":"`+strings.Repeat("x", 4000)+`"}`)
	if _, err := ParseJWT(raw, MaxLength); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(raw); at += 7 {
		for _, c := range "\n\r=*+/. é" {
			if raw[at] == '.' {
				continue
			}
			if _, err := ParseJWT(raw[:at]+string(c)+raw[at+1:], MaxLength); err == nil {
				t.Fatalf("%q at %d is taken", c, at)
			}
			if _, err := ParseJWT(raw[:at]+string(c)+raw[at:], MaxLength); err == nil && c != '.' {
				t.Fatalf("%q before %d is taken", c, at)
			}
		}
	}
}

func TestDigestOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, usualLength - 1, usualLength, usualLength + 1, 2 * usualLength, 16 << 10} {
		raw := strings.Repeat("ab", n)[:n]
		if (Credential{Raw: raw}).Digest() != sha256.Sum256([]byte(raw)) {
			t.Errorf("%d octets have another digest", n)
		}
	}
}

// Keys change: where so many others have come, they are remembered instead.
func TestHeadsBeginAnew(t *testing.T) {
	var heads Heads
	learn := func(kid int) {
		u, err := ParseJWT(compact(fmt.Sprintf(`{"alg":"ES256","kid":"%d"}`, kid), `{}`), MaxLength)
		if err != nil {
			t.Fatal(err)
		}
		heads.Learn(u)
	}
	for i := range maxHeads + turnedAway - 1 {
		learn(i)
	}
	if heads.Len() != maxHeads {
		t.Errorf("%d are remembered, want %d", heads.Len(), maxHeads)
	}
	learn(-1)
	kept := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"-1"}`))
	if heads.Len() != 1 || (*heads.known.Load())[kept] == nil {
		t.Errorf("%d are remembered, want the last one", heads.Len())
	}
}

// What a long part costs in memory is what it holds, once; one that begins beyond
// bounds costs a piece of it.
func TestLongPartsInMemory(t *testing.T) {
	fill := strings.Repeat("x", 11<<10)
	for name, c := range map[string]struct {
		payload string
		octets  uint64
	}{
		"good":      {`{"a":"` + fill + `"}`, 16 << 10},
		"no object": {`["` + fill + `"]`, 4 << 10},
		"twice":     {`{"a":1,"a":1,"b":"` + fill + `"}`, 4 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			raw := compact(`{"alg":"ES256"}`, c.payload)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 100 {
				_, _ = ParseJWT(raw, MaxLength)
			}
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > c.octets {
				t.Errorf("%d octets were allocated for %d, want %d at most", n, len(c.payload), c.octets)
			}
		})
	}
}
