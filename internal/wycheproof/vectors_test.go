//go:build wycheproof

package wycheproof

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The vectors, as the tests of Go's standard library get theirs. The module
// spells its own path differently, so it cannot be required in go.mod.
const (
	module = "github.com/C2SP/wycheproof@v0.0.0-20250901140545-b51abcfb8daf"
	sum    = "h1:5BKKVVVj676FUWirLcouEEL6GCYR9X0opkMlEUck8FY="
)

// group is some vectors that share a key or a key set.
type group struct {
	Comment         string
	Public, Private json.RawMessage
	Tests           []vector
}

type vector struct {
	ID      int `json:"tcId"`
	Comment string
	JWS     json.RawMessage
	Result  string
}

// text is the serialization: a string, or the JSON form as an object.
func (v vector) text() string {
	var s string
	if json.Unmarshal(v.JWS, &s) == nil {
		return s
	}
	return string(v.JWS)
}

// download asks the go command where the module is; it fetches what is not in
// the module cache.
func download(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // outside of every module: nothing of ours can change
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if bad := json.Unmarshal(out, &got); err != nil || bad != nil || got.Error != "" {
		t.Fatalf("the vectors are not to be had: %v %s", err, got.Error)
	}
	if got.Sum != sum {
		t.Fatalf("the vectors have the hash %s, want %s", got.Sum, sum)
	}
	return got.Dir
}

// read returns the groups of one file of vectors.
func read(t *testing.T, name string, want int) []group {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(download(t), "testvectors_v1", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ TestGroups []group }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range file.TestGroups {
		n += len(g.Tests)
	}
	if n != want {
		t.Fatalf("%d vectors, want %d", n, want)
	}
	return file.TestGroups
}

// A way is how a vector is tried.
type way string

const (
	published way = "as published"
	onToken   way = "on a token"
	onProof   way = "on a proof"
)

// exception is a vector that is judged otherwise than its file says, and why.
type exception struct {
	ids    []int
	ways   []way
	reason string
}

const (
	noMAC       = "MACs are not supported: no API should hold a secret that makes tokens, and none can be published in a key set"
	noEmpty     = "the payload of a JWT is a JSON object; an empty one is never looked at"
	otherAlg    = "the key names another algorithm than the header, or one that does not exist: one key, one algorithm (RFC 8725 section 3.1)"
	lenientText = "RFC 7515 section 2 allows no character outside the alphabet; a token has one accepted spelling"
)

var all = []way{published, onToken, onProof}

// Every vector the product judges otherwise than the files is here, and one
// that is here but judged as its file says fails the test.
var (
	signatureExceptions = []exception{
		{[]int{1, 348, 352, 357, 358, 359, 376, 377}, []way{published}, noMAC},
		{[]int{259, 264, 268, 272, 320, 325}, []way{published}, noEmpty},
		{[]int{346, 347, 350, 351}, all, otherAlg},
		{[]int{372, 373}, all, lenientText},
	}
	keyExceptions = []exception{
		{[]int{2, 13, 14, 15}, all, noMAC},
	}
)

// ledger is the exceptions by vector and way.
type ledger map[string]string

func entry(id int, w way) string { return fmt.Sprintf("%d %s", id, w) }

func newLedger(list []exception) ledger {
	l := ledger{}
	for _, e := range list {
		for _, id := range e.ids {
			for _, w := range e.ways {
				l[entry(id, w)] = e.reason
			}
		}
	}
	return l
}

// settle holds a verdict against the file and the list.
func (l ledger) settle(t *testing.T, v vector, w way, err error) {
	t.Helper()
	right := (err == nil) == (v.Result == "valid")
	reason, listed := l[entry(v.ID, w)]
	delete(l, entry(v.ID, w))
	switch {
	case right && listed:
		t.Errorf("judged %s as the file says, but listed as an exception: %s", v.Result, reason)
	case !right && !listed:
		t.Errorf("marked %s, but the verdict is: %v", v.Result, err)
	}
}

func TestSignatures(t *testing.T) {
	run(t, read(t, "json_web_signature_test.json", 401), newLedger(signatureExceptions), signatureBench)
}

func TestKeys(t *testing.T) {
	run(t, read(t, "json_web_key_test.json", 26), newLedger(keyExceptions), keyBench)
}

// run tries every vector three ways.
func run(t *testing.T, groups []group, l ledger, prepare func(*testing.T, group) *bench) {
	for _, g := range groups {
		b := prepare(t, g)
		for _, v := range g.Tests {
			if v.Result != "valid" && v.Result != "invalid" {
				t.Fatalf("vector %d is marked %q", v.ID, v.Result)
			}
			t.Run(fmt.Sprintf("%d %s", v.ID, v.Comment), func(t *testing.T) {
				t.Run(string(published), func(t *testing.T) { l.settle(t, v, published, b.published(v.text())) })
				f := b.fault(t, v)
				t.Run(string(onToken), func(t *testing.T) { l.settle(t, v, onToken, b.token(t, f)) })
				t.Run(string(onProof), func(t *testing.T) { l.settle(t, v, onProof, b.proof(t, f)) })
			})
		}
	}
	for left := range l {
		t.Errorf("listed as an exception, but there is no such vector: %s", left)
	}
}
