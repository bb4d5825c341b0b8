package status

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// TestConformanceVectors reads the lists of appendix C: every status that is told, and 0
// everywhere else (TSL-06).
func TestConformanceVectors(t *testing.T) { t.Run("TSL-06", readVectors) }

func readVectors(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Bits     int
		Lst      string
		Statuses [][2]uint64
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		object, err := json.Marshal(map[string]any{"bits": v.Bits, "lst": v.Lst})
		if err != nil {
			t.Fatal(err)
		}
		l, err := readList(token.Value(object))
		if err != nil {
			t.Fatal(err)
		}
		told := map[uint64]uint8{}
		for _, s := range v.Statuses {
			told[s[0]] = uint8(s[1])
		}
		for i := range uint64(1 << 20) {
			if got, ok := l.at(i); !ok || got != told[i] {
				t.Fatalf("%d bits: status %d of %d, %v, want %d", v.Bits, got, i, ok, told[i])
			}
		}
		if _, ok := l.at(1 << 20); ok {
			t.Errorf("%d bits: a status beyond the end", v.Bits)
		}
	}
}

// TestExamples reads the lists of sections 4.1 and 4.2.
func TestExamples(t *testing.T) {
	for text, want := range map[string][]uint8{
		`{"bits":1,"lst":"eNrbuRgAAhcBXQ"}`:                          {1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1},
		`{"bits":2,"lst":"eNo76fITAAPfAgc","aggregation_uri":"a"}`:   {1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3},
		` {"lst" : "eNo76fIT\u0041APfAgc" , "bits" : 2 , "x":[{}]} `: {1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3},
	} {
		l, err := readList(token.Value(strings.TrimSpace(text)))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for i, w := range want {
			if got, ok := l.at(uint64(i)); !ok || got != w {
				t.Errorf("%s: status %d of %d, want %d", text, got, i, w)
			}
		}
		if _, ok := l.at(uint64(len(want))); ok {
			t.Errorf("%s: a status beyond the end", text)
		}
	}
}

// deflated is a stream of so many noughts.
func deflated(t testing.TB, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	if _, err := z.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is the same without an end, put together from what a mebibyte of noughts
// after another comes to.
func bomb(t testing.TB, mebibytes int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	var from int
	for range 2 {
		from = out.Len()
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return append(out.Bytes(), bytes.Repeat(out.Bytes()[from:], mebibytes-2)...)
}

// TestConformanceBomb: what would be too long sets nothing aside, however far it would go
// (TSL-09).
func TestConformanceBomb(t *testing.T) { t.Run("TSL-09", inflateBombs) }

func inflateBombs(t *testing.T) {
	t.Helper()
	for name, c := range map[string]struct {
		text []byte
		size int
		want error
	}{
		"largest": {deflated(t, maxStatuses), maxStatuses, nil}, "one more": {deflated(t, maxStatuses+1), 0, errLarge}, "1 GiB": {bomb(t, 1<<10), 0, errLarge},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		packed, err := inflate(c.text)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) || len(packed) != c.size {
			t.Errorf("%s: %d octets, %v, want %v", name, len(packed), err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(c.size)+1<<20 {
			t.Errorf("%s: %d octets were set aside for %d", name, took, len(c.text))
		}
	}
}

// FuzzList: no text makes the reader fail in a way of its own, and no index
// reaches beyond what was read.
func FuzzList(f *testing.F) {
	for _, seed := range []string{
		`{"bits":1,"lst":"eNrbuRgAAhcBXQ"}`, `{"bits":2,"lst":"eNo76fITAAPfAgc"}`, `{"bits":8,"lst":"eNoDAAAAAAE"}`, `{"bits":4,"lst":""}`, `{}`,
		`{"bits":1,"lst":"` + base64.RawURLEncoding.EncodeToString(deflated(f, 1<<16)) + `"}`,
	} {
		f.Add(seed, uint64(7))
	}
	f.Fuzz(func(t *testing.T, text string, index uint64) {
		o, err := token.ParseObject(`{"v":` + text + `}`)
		if err != nil {
			return
		}
		v, _ := o.Get("v")
		l, err := readList(v)
		if err != nil {
			return
		}
		count := uint64(len(l.packed)) * 8 / uint64(l.bits)
		value, ok := l.at(index)
		if ok != (index < count) || uint64(value) >= 1<<l.bits || len(l.packed) > maxStatuses {
			t.Errorf("index %d of %d: %d, %v", index, count, value, ok)
		}
	})
}

// FuzzReference: an address that is allowed is below the prefix however URLs
// are read.
func FuzzReference(f *testing.F) {
	const prefix = "https://as.example.com/status/"
	for _, uri := range []string{prefix + "1", prefix + "../x", prefix + "a/b", prefix + "%2e%2e/x", "https://as.example.com@b.example.com/status/1", prefix + "1?x", prefix + "//", prefix + ".\\x"} {
		f.Add(uri)
	}
	rules := NewRules([]string{prefix}, nil)
	f.Fuzz(func(t *testing.T, uri string) {
		text, err := json.Marshal(map[string]any{"status_list": map[string]any{"idx": 1, "uri": uri}})
		if err != nil {
			return
		}
		at, err := rules.Read(token.Value(text))
		if err != nil {
			return
		}
		u, err := url.Parse(at.URI)
		if err != nil || u.Scheme != "https" || u.Host != "as.example.com" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			!strings.HasPrefix(u.JoinPath().Path, "/status/") || u.JoinPath().String() != at.URI {
			t.Errorf("%q is allowed", at.URI)
		}
	})
}
