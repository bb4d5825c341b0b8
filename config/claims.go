package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// Values are those that a rule names whole.
func (c Claim) Values() []string {
	list := slices.Concat(c.AnyOf, c.Contains)
	if c.Equals != "" {
		list = append(list, c.Equals)
	}
	return list
}

// claimForm finds what the keys of a rule about a claim say in vain.
func (c *checker) claimForm(path string, f *Claim) {
	for _, key := range []string{"present", "absent"} {
		if at := path + "." + key; c.has(at) && (key == "present" && !f.Present || key == "absent" && !f.Absent) {
			c.bad(at, "asks for nothing", "write present: true or absent: true")
		}
	}
	for _, key := range []string{"absent", "equals", "present"} {
		if !c.has(path + "." + key) {
			continue
		}
		for _, other := range []string{"any_of", "contains", "equals", "prefix", "suffix", "present", "absent"} {
			if other != key && c.has(path+"."+other) {
				c.bad(path+"."+other, "says nothing beside "+key, "remove one of them")
			}
		}
		return
	}
}

// namesOf lists the values that a claim is compared with as a whole, by their
// paths.
func namesOf(path string, f Claim, s *source) map[string]string {
	names := make(map[string]string)
	add := func(at string, list []string) {
		for i, name := range list {
			names[fmt.Sprintf("%s[%d]", at, i)] = name
		}
	}
	if f.Equals != "" {
		names[path+".equals"] = f.Equals
	}
	if add(path+".contains", f.Contains); s.has(path + ".any_of") {
		path += ".any_of"
	}
	add(path, f.AnyOf)
	return names
}

// networks finds networks that say nothing.
func (c *checker) networks(path string, list []netip.Prefix) {
	for i, n := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if n.IsValid() && n.Bits() == 0 {
			c.warn("all-networks", at, "lets every address in", "list the networks of those who may call, or remove it")
		}
		for _, proxy := range c.TrustedProxies {
			if n.IsValid() && proxy.IsValid() && n.Bits() > 0 && n.Overlaps(proxy) {
				c.warn("proxies-in-networks", at, fmt.Sprintf("has addresses of trusted_proxies (%s): where a proxy does not say who the client is, its own address counts", proxy), "list the networks of clients only")
				break
			}
		}
		for j, other := range list[:i] {
			if n.IsValid() && other.IsValid() && n.Overlaps(other) {
				c.bad(at, fmt.Sprintf("overlaps %s[%d]", path, j), "keep the wider one")
				break
			}
		}
	}
}
