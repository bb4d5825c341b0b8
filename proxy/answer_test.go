package proxy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

func TestPrefersProblem(t *testing.T) {
	for accept, want := range map[string]bool{
		"application/problem+json":                                  true,
		"Application/Problem+JSON ; charset=utf-8":                  true,
		"application/json, application/problem+json":                true,
		"application/problem+json, */*":                             true,
		"text/html, application/problem+json;q=0.9, */*;q=0.8":      true,
		"application/problem+json;q=0.5, application/json;q=0.4":    true,
		"application/json;q=0, application/problem+json;q=0.001":    true,
		"application/problem+json;q=0.5, */*, application/json;q=0": true,

		"": false, "*/*": false, "application/*": false, "application/json": false, "application/json, */*": false, "text/html": false,
		"application/problem+json;q=0.5, application/json":     false,
		"application/problem+json;q=0.9, */*":                  false,
		"application/problem+json;q=0.9, application/*":        false,
		"application/problem+json;q=0":                         false,
		"application/problem+json;q=0.000":                     false,
		"application/problem+json;q=2":                         false,
		"application/problem+json;q=1.001":                     false,
		"application/problem+json;q=0.1234":                    false,
		"application/problem+json;q=.9":                        false,
		"application/problem+json;q=":                          false,
		"application/problem+json;q=0,9":                       false,
		"application/problem+json;q=-1":                        false,
		"application/problem+json;q=1e0":                       false,
		"application/problem+json;q=0.a":                       false,
		"application/problem+json;q=0.9:":                      false,
		"application/problem+json;q=0.9/":                      false,
		"application/problem+xml":                              false,
		"application/problem+jsonx, xapplication/problem+json": false,
		`text/plain;a=application/problem+json`:                false,
	} {
		if got := prefersProblem([]string{accept}); got != want {
			t.Errorf("%q: %t, want %t", accept, got, want)
		}
	}
	if !prefersProblem([]string{"text/html", "application/problem+json"}) || prefersProblem([]string{"application/problem+json;q=0.1", "application/json"}) {
		t.Error("two lines are one list")
	}
}

func TestGRPCAnswer(t *testing.T) {
	for _, test := range []struct {
		contentType string
		major       int
		want        string
	}{
		{"application/grpc", 2, "application/grpc"},
		{"application/grpc+proto", 2, "application/grpc+proto"},
		{"application/grpc+json", 2, "application/grpc+json"},
		{"APPLICATION/GRPC+Proto; charset=utf-8", 2, "application/grpc+proto"},
		{"application/grpc+evil\x00", 2, "application/grpc"},
		{"application/grpc ;x", 2, "application/grpc"},
		{"application/grpc", 1, ""},
		{"application/grpc+proto", 1, ""},
		{"application/grpc-web", 1, "application/grpc-web"},
		{"application/grpc-web+proto", 2, "application/grpc-web+proto"},
		{"application/grpc-web+thrift", 1, "application/grpc-web"},
		{"application/grpc-web-text", 1, "application/grpc-web-text"},
		{"application/grpc-web-text+proto", 2, "application/grpc-web-text+proto"},
		{"application/grpcx", 2, ""}, {"application/grpc-websocket", 2, ""}, {"application/json", 2, ""}, {"", 2, ""},
		{"text/plain; application/grpc", 2, ""},
	} {
		r := &http.Request{ProtoMajor: test.major, Header: http.Header{"Content-Type": {test.contentType}}}
		if got := grpcAnswer(r); got != test.want {
			t.Errorf("%q over HTTP/%d: %q, want %q", test.contentType, test.major, got, test.want)
		}
	}
}

func TestGRPCCodes(t *testing.T) {
	for status, want := range map[int]int{
		400: 16, 401: 16, 403: 7, 404: 12, 405: 12, 421: 12, 413: 8, 414: 8, 431: 8,
		429: 14, 502: 14, 503: 14, 504: 14, 500: 13, 499: 1, 418: 2,
	} {
		if got := grpcCode(status); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
}

func TestGRPCMessage(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain text": "plain text", " a  b ": " a  b ", "100%": "100%25", "a\r\nb\x00": "a%0D%0Ab%00", "ü~\x7f": "%C3%BC~%7F",
	} {
		if got := grpcMessage(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// served puts one request to a front door and returns its answer and outcome.
func served(table *Table, r *http.Request) (*httptest.ResponseRecorder, *Outcome) {
	sw, out := &Switch{}, &Outcome{}
	if table != nil {
		sw.Set(table)
	}
	w := httptest.NewRecorder()
	NewReverse(ReverseOptions{Switch: sw, Decided: func(_ *http.Request, o *Outcome) { *out = *o }}).ServeHTTP(w, r)
	return w, out
}

func called(contentType string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/pkg.Service/Method", nil)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	r.Header.Set("Content-Type", contentType)
	return r
}

// GRPC-02: what no request from outside can provoke is told in the same form.
func TestAnswersFromWithin(t *testing.T) {
	set, err := policy.Compile(nil, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	allow := validatorFunc(func() (*token.Principal, error) { return &token.Principal{}, nil })
	broken := &Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Validator: allow, Policy: set}}}} // tells nothing upstream: a panic
	for name, test := range map[string]struct {
		table        *Table
		status, code int
	}{
		"no configuration": {nil, 503, 14},
		"no such listener": {&Table{}, 503, 14},
		"panic":            {broken, 500, 13},
	} {
		t.Run(name, func(t *testing.T) {
			r := called("application/grpc")
			r.Header.Set("Authorization", "Bearer x")
			w, out := served(test.table, r)
			if w.Code != 200 || w.Header().Get("Grpc-Status") != strconv.Itoa(test.code) || w.Header().Get("Content-Type") != "application/grpc" || w.Body.Len() != 0 {
				t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
			}
			if w.Header().Get("Grpc-Message") == "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("fields %v", w.Header())
			}
			if out.Status != test.status {
				t.Errorf("counted as %d, want %d", out.Status, test.status)
			}
			plain := httptest.NewRequest(http.MethodGet, "/x", nil)
			plain.Header.Set("Authorization", "Bearer x")
			plain.Header.Set("Accept", "application/problem+json")
			w, out = served(test.table, plain)
			var told problem
			if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Code != test.status || out.Status != w.Code || told.Status != w.Code || told.Error == "" {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
}

// A challenge or a nonce that was set before the answer is in every form of it.
func TestAnswerKeepsFields(t *testing.T) {
	for _, prepare := range []func(*http.Request){
		func(*http.Request) {},
		func(r *http.Request) { r.Header.Set("Accept", "application/problem+json") },
		func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc"); r.ProtoMajor = 2 },
		func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc-web-text") },
	} {
		r := httptest.NewRequest(http.MethodPost, "/x", nil)
		prepare(r)
		w := httptest.NewRecorder()
		w.Header().Set("DPoP-Nonce", "n1")
		w.Header().Add("WWW-Authenticate", "Bearer")
		w.Header().Add("WWW-Authenticate", "DPoP")
		rec := &recorder{ResponseWriter: w, request: r, exchange: &exchange{}}
		answer(rec, 401, "invalid_token", "text")
		if w.Header().Get("DPoP-Nonce") != "n1" || len(w.Header()["Www-Authenticate"]) != 2 || rec.status != 401 {
			t.Errorf("%v: answered %v, counted as %d", r.Header, w.Header(), rec.status)
		}
	}
}

// FuzzAnswer wants an answer that says what it is, whatever the caller says it
// understands.
func FuzzAnswer(f *testing.F) {
	f.Add("application/grpc+proto;a=b", "application/problem+json;q=0.5, */*", 2)
	f.Add("application/grpc-web-text", "", 1)
	f.Fuzz(func(t *testing.T, contentType, accept string, major int) {
		r := &http.Request{Method: "POST", ProtoMajor: major, Header: http.Header{"Content-Type": {contentType}, "Accept": {accept}}}
		w := httptest.NewRecorder()
		answer(&recorder{ResponseWriter: w, request: r, exchange: &exchange{}}, 401, "invalid_token", "text")
		mediaType := w.Header().Get("Content-Type")
		switch {
		case w.Code == 200 && strings.HasPrefix(mediaType, "application/grpc") && w.Header().Get("Grpc-Status") == "16" && w.Body.Len() == 0:
		case w.Code == 401 && (mediaType == "application/json" || mediaType == "application/problem+json") && json.Valid(w.Body.Bytes()):
		default:
			t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
		}
	})
}
