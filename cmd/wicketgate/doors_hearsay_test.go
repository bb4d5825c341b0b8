package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What a client says of other hops and of certificates reaches the upstream by no
// door, where nobody is trusted to have looked at it, nor in another spelling.
func TestHearsayAtDoors(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "admin:", "forward_auth: {listen: \"%[6]s\", peers: [127.0.0.1]}\n"+envoyAsks+"admin:")
	})
	const lie = "203.0.113.66"
	names := []string{"Forwarded", "X-Real-Ip", "True-Client-Ip", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Client-Cert", "Client-Cert", "Client-Cert-Chain", "X-Ssl-Client-Cert", "X-Forwarded-Tls-Client-Cert", "Ssl-Client-Verify"}
	raw := newEnvoy(t, f)
	joined := newEnvoy(t, f)
	joined.raw = false
	copying := func(t *testing.T, f *fixture, v *visit) *seen {
		s := askForwarded(t, f, v)
		for _, name := range names {
			if lines := s.header[name]; !slices.Equal(lines, []string{""}) {
				t.Errorf("the answer has %s %q", name, lines)
			}
			delete(s.onward, name)
		}
		return s
	}
	for door, row := range map[string]struct {
		take  func(*testing.T, *fixture, *visit) *seen
		spelt int // the status where a client spells a name in another way
	}{
		"reverse": {throughReverse, 200}, "middleware": {throughMiddleware, 200}, "ext_authz": {raw.take, 200}, "ext_authz, joined": {joined.take, 200}, "forward_auth": {copying, 400},
	} {
		t.Run(door, func(t *testing.T) {
			v := &visit{"GET", "/open/x", []string{"X-Request-Id", "7"}}
			for _, name := range names {
				v.header = append(v.header, name, lie)
			}
			s := row.take(t, f, v)
			if s.status != http.StatusOK || s.onward.Get("X-Request-Id") != "7" {
				t.Fatalf("%+v", s)
			}
			for name, lines := range s.onward {
				if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, lie) }) {
					t.Errorf("%s %q went on", name, lines)
				}
			}
			for _, name := range []string{"Client_Cert", "X_Real_IP", "X_Forwarded_Host"} {
				take := row.take
				if door == "forward_auth" {
					take = askForwarded
				}
				if s := take(t, f, &visit{"GET", "/open/x", []string{name, lie}}); s.status != row.spelt || s.onward[http.CanonicalHeaderKey(name)] != nil {
					t.Errorf("%s: %+v", name, s)
				}
			}
		})
	}
	t.Run("X-Forwarded-Host", func(t *testing.T) { // at forward_auth the proxy has overwritten it
		for _, take := range []func(*testing.T, *fixture, *visit) *seen{throughReverse, throughMiddleware, raw.take} {
			if s := take(t, f, &visit{"GET", "/open/x", []string{"X-Forwarded-Host", "evil.example.com"}}); s.onward == nil || s.onward.Get("X-Forwarded-Host") == "evil.example.com" {
				t.Errorf("%+v", s)
			}
		}
	})
	t.Run("what Envoy writes", func(t *testing.T) {
		v := &visit{"GET", "/open/x", []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Envoy-External-Address", "192.0.2.1"}}
		if s := raw.take(t, f, v); s.status != http.StatusOK || len(s.onward) < 3 || s.onward.Get("X-Forwarded-For") != "192.0.2.1" || s.onward.Get("X-Forwarded-Proto") != "https" || s.onward.Get("X-Envoy-External-Address") == "" {
			t.Errorf("%+v", s)
		}
	})
}
