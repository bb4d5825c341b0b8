package config

import (
	"fmt"
	"slices"
	"strings"
)

// StatusList says which status lists an issuer's tokens may name (Token Status
// List).
type StatusList struct {
	Allow         []string `yaml:"allow" doc:"Addresses of the issuer's status lists; one that ends in a slash stands for all below it; required, and from then on the status claim of its tokens is followed."`
	Accept        []int    `yaml:"accept" min:"3" max:"255" doc:"Statuses that pass beside 0, which is valid, from 3 to 255; default none."`
	OnUnavailable string   `yaml:"on_unavailable" default:"deny" enum:"deny" doc:"What becomes of a token whose list cannot be had: deny answers 503; default deny."`
}

// On reports whether the status claim of the issuer's tokens is looked at.
func (s StatusList) On() bool { return len(s.Allow) > 0 }

// of is the same for one tenant.
func (s StatusList) of(tenant string) StatusList {
	s.Allow = slices.Clone(s.Allow)
	for i := range s.Allow {
		s.Allow[i] = strings.ReplaceAll(s.Allow[i], tenantMark, tenant)
	}
	return s
}

func (c *checker) statusList(path string, i *Issuer) {
	at := path + ".status_list"
	if !c.has(at) {
		return
	}
	if len(i.StatusList.Allow) == 0 && !c.has(at+".allow") {
		c.bad(at+".allow", "is missing", "list where the issuer publishes its status lists, like https://login.example.com/status/")
	}
	for n, address := range i.StatusList.Allow {
		one := fmt.Sprintf("%s.allow[%d]", at, n)
		if address == "" {
			continue
		}
		u := c.fetched(one, sampled(address), i.InsecureHTTP)
		switch {
		case u == nil:
		case u.Path == "":
			c.bad(one, "has no path", "end it with a slash for all lists of this host, or name one")
		case strings.HasSuffix(address, "/") && u.RawQuery != "":
			c.bad(one, "has a query and ends in a slash", "what stands for many addresses has no query")
		case u.Host != strings.ToLower(u.Host):
			c.warn("status-capitals", one, "has capitals in its host; addresses are compared character for character", "write it as the tokens do, most likely in lower case")
		}
	}
}
