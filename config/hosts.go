package config

import (
	"fmt"
	"net/url"
	"strings"
)

// hosts fills in and checks the hosts that an issuer's metadata may name.
func (c *checker) hosts(path string, i *Issuer) {
	at := path + ".hosts"
	if !c.has(at) {
		c.presetHosts(at, i)
		return
	}
	asked := i.Introspection.On() && i.Introspection.Endpoint == ""
	if key := i.givenKeys(); key != "" && !asked {
		c.badKey(at, "means nothing with "+key, "it is about hosts that the issuer's metadata names, which is not read")
	}
	for n, host := range i.Hosts {
		one := fmt.Sprintf("%s[%d]", at, n)
		normal := strings.TrimSuffix(strings.ToLower(host), ":443")
		switch {
		case host == "":
		case !isHost(normal):
			hint := "write it like keys.example.com or keys.example.com:8443, without a scheme"
			if strings.HasPrefix(host, "*") {
				hint = "list every host; there are no wildcards"
			}
			c.bad(one, "is no host", hint)
		default:
			i.Hosts[n] = strings.TrimSuffix(normal, ".")
		}
	}
	c.different(at, i.Hosts)
}

// givenKeys names the key that says where the issuer's keys are, if one does.
func (i *Issuer) givenKeys() string {
	switch {
	case i.JWKSURI != "":
		return "jwks_uri"
	case i.JWKSFile != "":
		return "jwks_file"
	}
	return ""
}

// presetHosts knows the issuers that publish their keys at another host.
func (c *checker) presetHosts(at string, i *Issuer) {
	u, err := url.Parse(i.Issuer)
	if err != nil || i.givenKeys() != "" {
		return
	}
	switch host := strings.ToLower(u.Host); {
	case i.Provider == "google" && host == "accounts.google.com":
		i.Hosts = []string{"www.googleapis.com"}
	case i.Provider == "entra" && host == "sts.windows.net": // version 1
		i.Hosts = []string{"login.microsoftonline.com"}
	default:
		return
	}
	c.filled = append(c.filled, Filled{at, "[" + strings.Join(i.Hosts, ", ") + "]", i.Provider})
}
