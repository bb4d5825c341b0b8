package policy

import (
	"slices"
	"testing"
)

func TestCapture(t *testing.T) {
	const everything = EmptySegments | PathParameters | EncodedSlashes
	s := compile(t, Options{Path: "/t/{tenant}/orders/{id}", Allow: PathParameters}, Options{Path: "/free/{tenant}/**", Allow: everything}, Options{Path: "/*/{x}/**", Allow: everything})
	for _, row := range []struct{ path, name, want string }{
		{"/t/acme/orders/7", "tenant", "acme"},
		{"/t/acme/orders/7/", "id", "7"},
		{"/t/caf%C3%A9/orders/a%25b", "tenant", "café"},
		{"/t/caf%C3%A9/orders/a%25b", "id", "a%b"},
		{"/t/a%20b/orders/7", "tenant", "a b"},
		{"/t/acme/orders/7", "other", ""},
		{"/t/acme/orders/7", "", ""},
		{"/t/acme/orders/7", "{id}", ""},
		{"/t/acme;x/orders/7", "tenant", ""},
		{"/t/acme;x/orders/7", "id", ""},
		{"/t/acme/orders/7;x", "tenant", "acme"},
		{"/t/acme%3Bx/orders/7", "tenant", ""},
		{"/t/acme%20/orders/7", "tenant", ""},
		{"/t/%20acme/orders/7", "tenant", ""},
		{"/t/acme./orders/7", "tenant", ""},
		{"/t/.acme/orders/7", "tenant", ".acme"},
		{"/t/acme%3Fx/orders/7", "tenant", ""},
		{"/t/acme%23x/orders/7", "tenant", ""},
		{"/free/acme/x//y", "tenant", "acme"},
		{"/free/a%2fb", "tenant", ""},
		{"/free/acme/a%2fb;c", "tenant", "acme"},
		{"/free//acme", "tenant", ""},
		{"/q//b/c", "x", ""},
		{"/q%2fr/b/c", "x", ""},
		{"/q/b/c", "x", "b"},
	} {
		path, _, flaw := Scan(row.path)
		r := s.Route("GET", path)
		if flaw != NoFlaw || !r.Matched() {
			t.Fatalf("%s: %v, matched %v", row.path, flaw, r.Matched())
		}
		if got, ok := r.Capture(path, row.name); got != row.want || ok != (row.want != "") {
			t.Errorf("%s of %s: %q, %v, want %q", row.name, row.path, got, ok, row.want)
		}
	}
	if got, want := s.Routes()[0].Captures(), []string{"tenant", "id"}; !slices.Equal(got, want) {
		t.Errorf("captures %q, want %q", got, want)
	}
	if got, ok := s.nowhere.Capture("/a", "a"); ok {
		t.Errorf("no route captures %q", got)
	}
}
