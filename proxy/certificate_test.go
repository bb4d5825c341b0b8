package proxy

import (
	"net/http"
	"slices"
	"testing"
)

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
