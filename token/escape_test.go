package token

import (
	"net/url"
	"testing"
)

func TestPercentOctet(t *testing.T) {
	for i := range 1 << 16 {
		text := "%" + string([]byte{byte(i >> 8), byte(i)})
		want, err := url.PathUnescape(text)
		got, ok := PercentOctet(text, 0)
		if ok != (err == nil) || ok && want != string([]byte{got}) {
			t.Fatalf("%q: got %q, %v; net/url says %q, %v", text, got, ok, want, err)
		}
	}
	for _, text := range []string{"", "%", "%4", "x41"} {
		if _, ok := PercentOctet(text, 0); ok {
			t.Errorf("%q is taken", text)
		}
	}
}
