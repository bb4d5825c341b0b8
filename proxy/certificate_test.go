package proxy

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// What is wrong with a certificate's header is the reason only of a token that
// would have needed the certificate.
func TestBlame(t *testing.T) {
	fault, other := errors.New("fault"), errors.New("other")
	r := &Request{CertificateFault: fault}
	if err := r.blame(nil); err != nil {
		t.Errorf("nothing is refused, yet %v", err)
	}
	if err := r.blame(other); err != other { //nolint:errorlint // handed on as it is
		t.Errorf("got %v", err)
	}
	expired := token.Refuse(token.InvalidToken, token.ReasonExpired)
	if err := r.blame(expired); err != error(expired) || errors.Is(err, fault) { //nolint:errorlint // handed on as it is
		t.Errorf("got %v", err)
	}
	if err := r.blame(token.Refuse(token.InvalidToken, token.ReasonMTLSBinding)); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if err := new(Request).blame(expired); errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
}

func TestHideCertificate(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, nil}, {[]string{"Accept"}, []string{"Accept"}}, {[]string{"Client-Cert"}, []string{"*"}},
		{[]string{"Accept", "Origin, client-CERT"}, []string{"*"}}, {[]string{"Client-Cert-Chain ,Accept"}, []string{"*"}},
		{[]string{"X-Client-Cert"}, []string{"X-Client-Cert"}}, {[]string{"*"}, []string{"*"}},
	} {
		h := http.Header{"Client-Cert": {"a"}, "Client-Cert-Chain": {"b"}, "Trailer:Client-Cert": {"c"}, "X-Other": {"d"}}
		if c.in != nil {
			h["Vary"] = c.in
		}
		hideCertificate(h)
		if !slices.Equal(h["Vary"], c.want) || h.Get("X-Other") != "d" || len(h) != 1+min(len(c.want), 1) {
			t.Errorf("%q: %v", c.in, h)
		}
	}
}
