package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

// An answer's header goes on whole, beside what is there already.
func TestHandOver(t *testing.T) {
	for media, left := range map[string]http.Header{
		"text/plain":                       {},
		"Text/Event-Stream; charset=utf-8": {"Content-Type": {"Text/Event-Stream; charset=utf-8"}},
	} {
		w := httptest.NewRecorder()
		w.Header()["Vary"] = []string{"Origin"}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		ex, _ := begin(nil, w, r)
		resp := &http.Response{Header: http.Header{"Content-Type": {media}, "Set-Cookie": {"a=1", "b=2"}, "Vary": {"Accept"}}}
		ex.handOver(resp)
		for name, values := range resp.Header { // as httputil goes on
			for _, value := range values {
				w.Header().Add(name, value)
			}
		}
		want := http.Header{"Content-Type": {media}, "Set-Cookie": {"a=1", "b=2"}, "Vary": {"Origin", "Accept"}}
		if !reflect.DeepEqual(w.Header(), want) {
			t.Errorf("%s: the client gets %v", media, w.Header())
		}
		if len(resp.Header) != len(left) || resp.Header.Get("Content-Type") != left.Get("Content-Type") {
			t.Errorf("%s: httputil sees %v", media, resp.Header)
		}
	}
}

// What is kept of a connection is not told of a request for another host.
func TestHopIntroducesEachRequest(t *testing.T) {
	ctx := ConnContext(context.Background(), nil)
	for _, row := range []struct{ host, proto, want string }{
		{"a.example", "http", `for=192.0.2.1;host="a.example";proto=http`},
		{"a.example", "http", `for=192.0.2.1;host="a.example";proto=http`},
		{"b.example", "http", `for=192.0.2.1;host="b.example";proto=http`},
		{"b.example", "https", `for=192.0.2.1;host="b.example";proto=https`},
		{"a.example", "http", `for=192.0.2.1;host="a.example";proto=http`},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+row.host+"/", nil).WithContext(ctx)
		ex, _ := begin(&Table{}, httptest.NewRecorder(), r)
		standard, usual := ex.introduction(ex.way(r), row.host, row.proto)
		if standard != row.want || usual != "192.0.2.1" {
			t.Errorf("%s over %s: %s, and %s", row.host, row.proto, standard, usual)
		}
	}
}

// Values of fields share a piece of memory, and no octet of each other's.
func TestLinesAreApart(t *testing.T) {
	ex := &exchange{}
	one, two := ex.line("one"), ex.line("two")
	_ = append(one, "three")
	if one[0] != "one" || two[0] != "two" {
		t.Errorf("%q and %q", one, two)
	}
	for range 3 * few {
		if got := ex.line("more"); len(got) != 1 || cap(got) != 1 || got[0] != "more" {
			t.Errorf("%q", got)
		}
	}
}
