package proxy

import (
	"net/netip"
	"slices"
	"testing"
)

// What speaks for another hop is the client's word unless the proxy that asks is
// trusted to have removed it, and what speaks for a certificate goes on from nobody.
func TestCheckHearsay(t *testing.T) {
	certificates := []string{
		"Cf-Client-Cert-Der-Base64", "Client-Cert", "Client-Cert-Chain", "Ssl-Client-Cert", "Ssl-Client-Verify", "X-Amzn-Mtls-Clientcert", "X-Arr-Clientcert",
		"X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Ssl-Cert", "X-Ssl-Client-S-Dn", "X-Tls-Client-Cert",
	}
	hearsay := []string{"Cf-Connecting-Ip", "Forwarded", "True-Client-Ip", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Original-Host", "X-Real-Ip"}
	const envoys = "X-Envoy-External-Address"
	written := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id"}
	var header []string
	for _, name := range slices.Concat(certificates, hearsay, written, []string{envoys}) {
		header = append(header, name, "192.0.2.66")
	}
	both := slices.Sorted(slices.Values(slices.Concat(certificates, hearsay)))
	all := slices.Sorted(slices.Values(append(slices.Clone(both), envoys)))
	for name, row := range map[string]struct {
		trusted string
		copies  bool
		remove  []string
	}{
		"envoy":           {"203.0.113.0/24", false, both},
		"envoy, trusted":  {"10.0.0.0/8", false, certificates},
		"copies":          {"203.0.113.0/24", true, all},
		"copies, trusted": {"10.0.0.0/8", true, certificates},
	} {
		t.Run(name, func(t *testing.T) {
			var told []Outcome
			c := newChecker(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, row.copies, &told)
			c.options.Switch.Table().Trusted.Trusted = []netip.Prefix{netip.MustParsePrefix(row.trusted)}
			got := c.Check(asker, asked("GET", "/open", header...))
			if !got.Allowed || !slices.Equal(got.Remove, row.remove) {
				t.Fatalf("removed %q, want %q", got.Remove, row.remove)
			}
			for _, name := range row.remove {
				if lines := got.Set[name]; slices.Equal(lines, []string{""}) != row.copies {
					t.Errorf("%s is set to %q", name, lines)
				}
			}
			for _, name := range written {
				if got.Set[name] != nil {
					t.Errorf("%s is set to %q", name, got.Set[name])
				}
			}
		})
	}
}
