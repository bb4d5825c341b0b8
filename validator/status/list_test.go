package status

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// TestVectors reads the lists of appendix C: every status that is told, and 0
// everywhere else (TSL-06).
func TestVectors(t *testing.T) {
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

type noughts struct{}

func (noughts) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func deflated(t testing.TB, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	if _, err := io.Copy(z, io.LimitReader(noughts{}, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBomb: what would be too long sets nothing aside, however far it would go
// (TSL-09).
func TestBomb(t *testing.T) {
	for size, want := range map[int64]error{maxStatuses: nil, maxStatuses + 1: errLarge, 1 << 30: errLarge} {
		text := deflated(t, size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		packed, err := inflate(text)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, want) || want == nil && int64(len(packed)) != size {
			t.Errorf("%d octets: %d, %v, want %v", size, len(packed), err, want)
		}
		limit := uint64(1 << 20)
		if want == nil {
			limit += maxStatuses
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > limit {
			t.Errorf("%d octets from %d: %d were set aside", size, len(text), took)
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
