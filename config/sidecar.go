package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Admin describes the listener for probes and metrics.
type Admin struct {
	Listen       string            `yaml:"listen" default:":8421" doc:"Address for probes and metrics, as host:port or :port; default :8421."`
	Probes       map[string]string `yaml:"probes" doc:"Health checks of the program beside the gate, by name, each relayed at /probe/NAME: http:// with a loopback host, or unix:///path.sock#/path; default none."`
	ProbeTimeout time.Duration     `yaml:"probe_timeout" default:"800ms" min:"10ms" max:"20s" doc:"How long one of probes may take, as a duration from 10ms to 20s, best less than the kubelet's timeoutSeconds; default 800ms."`
	Ready        []string          `yaml:"ready" doc:"Names in probes that must succeed for /readyz; default none."`
}

// BypassCheck says whether the gate looks for a way around itself.
type BypassCheck struct {
	Enabled   bool     `yaml:"enabled" default:"true" doc:"Tries every few minutes whether an upstream on loopback can be reached at this machine's other addresses too, past the gate; default true."`
	Addresses []string `yaml:"addresses" doc:"IP addresses to try; default those in $WICKETGATE_POD_IPS, or else those of this machine's interfaces."`
}

// sidecar checks what is only for a gate beside its upstream.
func (c *checker) sidecar() {
	for name, text := range c.Admin.Probes {
		at := join("admin.probes", name)
		if name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			c.badKey(at, "is no name of a probe", "up to 63 lower case letters, digits and hyphens, like app-ready")
		}
		c.probe(at, text)
	}
	for i, name := range c.Admin.Ready {
		if _, known := c.Admin.Probes[name]; !known && name != "" {
			names := make([]string, 0, len(c.Admin.Probes))
			for other := range c.Admin.Probes {
				names = append(names, other)
			}
			slices.Sort(names)
			c.bad(fmt.Sprintf("admin.ready[%d]", i), "is no name in admin.probes", didYouMean(name, names))
		}
	}
	for i, text := range c.BypassCheck.Addresses {
		at := fmt.Sprintf("bypass_check.addresses[%d]", i)
		if addr, err := netip.ParseAddr(text); text != "" && (err != nil || addr.IsUnspecified() || addr.Zone() != "") {
			c.bad(at, "is no IP address to connect to", "write it like 10.0.0.7 or fd00::7")
		}
	}
}

// probe wants the location of a health check on this machine: the admin listener
// is open to more than those who could ask there themselves.
func (c *checker) probe(path, text string) {
	switch {
	case text == "":
	case strings.HasPrefix(text, "unix:"):
		c.upstream(path, text)
		if u, err := url.Parse(text); err == nil && strings.ContainsRune(u.Fragment, '#') {
			c.bad(path, "must not have a second #", "write it like unix:///run/app.sock#/healthz")
		}
	default:
		u := c.web(path, text, "http", "unix")
		if u == nil {
			return
		}
		addr, _ := netip.ParseAddr(u.Hostname()) // what is no address is not on loopback
		if !strings.EqualFold(u.Hostname(), "localhost") && !addr.Unmap().IsLoopback() {
			c.bad(path, "is not on loopback", "a probe asks the program beside the gate: 127.0.0.1, [::1], localhost, or unix://")
		}
	}
}
