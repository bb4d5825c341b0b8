package validator

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// accepted opens any signature.
type accepted struct{}

func (accepted) Verify(string, string, []byte) error { return nil }

func TestDemands(t *testing.T) {
	const payload = `{"a":"x","n":7,"b":true,"l":["x",7],"null":null,"o":{"p":"x"},"d.e":{"f":"x"},"empty":""}`
	u, err := token.ParseJWT("eyJhbGciOiJFUzI1NiJ9."+base64.RawURLEncoding.EncodeToString([]byte(payload))+".AA", token.MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := u.Open(accepted{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		values []string
		want   bool
	}{
		{"a", []string{"y", "x"}, true}, {"a", []string{"X"}, false}, {"n", []string{"7"}, true}, {"n", []string{"7.0"}, false}, {"b", []string{"true"}, true},
		{"l", []string{"7"}, true}, {"l", []string{"y"}, false}, {"o", []string{"x"}, false}, {"o.p", []string{"x"}, true}, {`d\.e.f`, []string{"x"}, true},
		{"a", []string{AnyValue}, true}, {"o", []string{AnyValue}, true}, {"empty", []string{AnyValue}, true}, {"null", []string{AnyValue}, false}, {"none", []string{AnyValue}, false},
		{"null", []string{"null"}, false}, {"none", []string{""}, false}, {"empty", []string{""}, true},
	} {
		if got := compileDemands(map[string][]string{c.path: c.values})[0].holds(claims); got != c.want {
			t.Errorf("%s in %q: %t", c.path, c.values, got)
		}
	}
}

// What is asked is asked in one order, whatever that of a map is: a refusal names
// the first.
func TestDemandsAreInOrder(t *testing.T) {
	for range 20 {
		demands := compileDemands(map[string][]string{"e": nil, "b": {"1"}, "d": nil, "a": {"1"}, "c": nil})
		if !slices.IsSortedFunc(demands, func(a, b demand) int { return strings.Compare(a.path, b.path) }) {
			t.Fatalf("asked in the order %v", demands)
		}
	}
}
