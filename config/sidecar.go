package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Admin describes the listener for probes and metrics.
type Admin struct {
	Listen       string            `yaml:"listen" default:":8421" doc:"Address for probes, metrics and the status page, as host:port, :port or unix:///path.sock, which no kubelet and no Prometheus can ask; default :8421."`
	Probes       map[string]string `yaml:"probes" doc:"Health checks of the program beside the gate, by name, each relayed at /probe/NAME: http:// with a loopback host, or unix:///path.sock#/path; default none."`
	ProbeTimeout time.Duration     `yaml:"probe_timeout" default:"800ms" min:"10ms" max:"20s" doc:"How long one of probes may take, as a duration from 10ms to 20s, best less than the kubelet's timeoutSeconds; default 800ms."`
	Ready        []string          `yaml:"ready" doc:"Names in probes that must succeed for /readyz; default none."`
}

// Socket is the path of the Unix socket to listen on; empty for an address.
func (a Admin) Socket() string {
	path, _ := strings.CutPrefix(a.Listen, unixScheme)
	if path == a.Listen {
		return ""
	}
	return path
}

const (
	unixScheme = "unix://"
	longSocket = 80 // of the 107 octets that sun_path has, some are for a name on the way
)

// adminListen reads where the admin listener is. A socket is in nobody's way.
func (c *checker) adminListen() listener {
	const at, hint = "admin.listen", "write it like unix:///run/wicketgate/admin.sock"
	path := c.Admin.Socket()
	switch {
	case strings.HasPrefix(c.Admin.Listen, "/"):
		c.bad(at, "is a path without unix://", hint)
	case !strings.HasPrefix(c.Admin.Listen, unixScheme):
		l, _ := c.address(at, c.Admin.Listen)
		return l
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/":
		c.bad(at, "is no absolute path of a socket", hint)
	case len(path) > longSocket:
		c.bad(at, fmt.Sprintf("is a path of more than %d octets", longSocket), "a socket's path is short; "+hint)
	}
	return listener{}
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
