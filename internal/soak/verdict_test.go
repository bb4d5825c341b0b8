package main

import (
	"net/http"
	"testing"
)

func TestRead(t *testing.T) {
	for _, test := range []struct {
		status int
		header http.Header
		want   outcome
	}{
		{200, nil, passed},
		{401, http.Header{"Www-Authenticate": {"Bearer", `DPoP algs="ES256"`}}, asked},
		{401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token", error_description="x"`, `DPoP algs="ES256"`}}, badToken},
		{401, http.Header{"Www-Authenticate": {`DPoP error="invalid_dpop_proof"`}}, badProof},
		{401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`, `DPoP error="invalid_dpop_proof"`}}, odd},
		{401, nil, odd},
		{403, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="read"`}}, tooSmall},
		{403, nil, odd},
		{503, http.Header{"Retry-After": {"5"}}, busy},
		{503, http.Header{"Retry-After": {"0"}}, odd},
		{503, nil, odd},
		{503, http.Header{"Retry-After": {"5"}, "Www-Authenticate": {"Bearer"}}, odd},
		{502, nil, odd},
	} {
		if got := read(test.status, test.header); got != test.want {
			t.Errorf("%d %v is %s, want %s", test.status, test.header, got, test.want)
		}
	}
}

func TestTimeOfToken(t *testing.T) {
	for _, test := range []struct {
		name           string
		want           expectation
		sent, received float64
		permitted      outcome
	}{
		{"in time", expectation{final: passed, until: at(10)}, 8, 9.9, passed},
		{"across its end", expectation{final: passed, until: at(10)}, 9.9, 10, passed | badToken},
		{"after its end", expectation{final: passed, until: at(10)}, 10, 11, badToken},
		{"before its begin", expectation{final: passed, from: at(10)}, 8, 9.9, badToken},
		{"across its begin", expectation{final: passed, from: at(10)}, 9, 10, passed | badToken},
		{"after its begin", expectation{final: passed, from: at(10)}, 10, 11, passed},
		{"another scope", expectation{final: tooSmall, until: at(10)}, 8, 9, tooSmall},
		{"refused early", expectation{early: badToken, final: passed}, 8, 9, badToken},
	} {
		if got := test.want.judge(at(test.sent), at(test.received)).permitted; got != test.permitted {
			t.Errorf("%s: %s, want %s", test.name, got, test.permitted)
		}
	}
}

func TestWhatTheUpstreamSaw(t *testing.T) {
	alice := facts{subject: "alice"}
	e := expectation{facts: alice}
	for _, test := range []struct {
		got  outcome
		seen arrival
		good bool
	}{
		{passed, arrival{times: 1, facts: alice}, true},
		{passed, arrival{}, false},
		{passed, arrival{times: 2, facts: alice}, false},
		{passed, arrival{times: 1, facts: facts{subject: "admin"}}, false},
		{passed, arrival{times: 1, facts: alice, amiss: "Authorization passed on"}, false},
		{badToken, arrival{}, true},
		{badToken, arrival{times: 1}, false},
		{busy, arrival{times: 1, facts: alice}, false},
	} {
		if amiss := e.compare(test.got, test.seen); (amiss == "") != test.good {
			t.Errorf("%s, %+v: %q", test.got, test.seen, amiss)
		}
	}
}
