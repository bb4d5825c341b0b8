package onward

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// A body that was given to another connection is not read for this one.
func TestWithdrawnBody(t *testing.T) {
	from := strings.NewReader("body")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upstream/", struct{ *strings.Reader }{from})
	if err != nil {
		t.Fatal(err)
	}
	body := contentOf(r)
	if !body.withdraw() {
		t.Fatal("nobody has read it")
	}
	if n, err := body.Read(make([]byte, 9)); n != 0 || !errors.Is(err, errWithdrawn) || from.Len() != 4 {
		t.Errorf("%d, %v, and %d octets are left", n, err, from.Len())
	}
}
