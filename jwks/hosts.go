package jwks

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// CheckHost holds an address that an issuer's metadata names as member to the
// hosts it may name: those of the URLs an operator wrote, own, and those the
// operator listed, each with its port unless that is the scheme's. Who could
// alter the document could otherwise have any address asked (RFC 8725 section
// 3.10).
func CheckHost(member, address string, own, listed []string) error {
	place, host := hostOf(address)
	if place == "" {
		return fmt.Errorf("issuer metadata has no URL as %s", member)
	}
	for _, one := range own {
		if trusted, _ := hostOf(one); trusted == place {
			return nil
		}
	}
	scheme, _, _ := strings.Cut(address, ":")
	if slices.ContainsFunc(listed, func(one string) bool {
		trusted, _ := hostOf(scheme + "://" + one)
		return trusted == place
	}) {
		return nil
	}
	return fmt.Errorf("issuer metadata names the host %s as %s, which is not the issuer's: if the issuer is known to use it, add it to issuers[].hosts", host, member)
}

// hostOf is the host of a URL with its port, in a form to compare, and in one
// to list. It is empty for what is no URL or has a host that none can have.
func hostOf(address string) (place, host string) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || len(u.Host) > 262 || strings.ContainsFunc(u.Host, odd) {
		return "", ""
	}
	usual := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if usual == "" {
		return "", ""
	}
	port := u.Port()
	if port == "" {
		port = usual
	}
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	place = net.JoinHostPort(host, port)
	if port == usual {
		return place, strings.TrimSuffix(place, ":"+port)
	}
	return place, place
}

// odd tells characters that no host name or address has.
func odd(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune(".-_:[]", r)
}
