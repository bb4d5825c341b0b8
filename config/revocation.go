package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Revocation says where deny rules come from: which tokens are refused before
// their end.
type Revocation struct {
	File    string  `yaml:"file" doc:"File with deny rules, one JSON object a line, looked at every quarter of a second; default none."`
	Redis   Redis   `yaml:"redis" doc:"Where deny rules are that replicas share, in the hash denied; default none."`
	Signals Signals `yaml:"signals" doc:"The receiver of security events (Shared Signals, RFC 8935); default none."`
}

// On reports whether there are deny rules from anywhere.
func (r Revocation) On() bool { return r.File != "" || r.Redis.On() || r.Signals.Listen != "" }

// Signals describes the receiver of security events.
type Signals struct {
	Listen       string        `yaml:"listen" doc:"Address of the receiver's own listener, as host:port or :port; required with signals."`
	TLS          SignalsTLS    `yaml:"tls" doc:"Serve HTTPS on it; default plain HTTP."`
	TokenFile    string        `yaml:"token_file" doc:"File with the bearer token that transmitters must present, 16 characters or more; read again when it changes; required with signals."`
	Keep         time.Duration `yaml:"keep" default:"720h" min:"1m" max:"8760h" doc:"How long what an event denied stays denied, which must be as long as access tokens live at most, as a duration from 1m to 8760h; default 720h."`
	File         string        `yaml:"file" doc:"File in which the rules that events made are kept over a restart, written by the gate, where redis does not keep them; default they are forgotten."`
	Transmitters []Transmitter `yaml:"transmitters" doc:"Who may send events; at least one with signals."`
}

// SignalsTLS names the certificate of the receiver's listener.
type SignalsTLS struct {
	CertFile string `yaml:"cert_file" doc:"File with the certificate chain in PEM; read again when it changes."`
	KeyFile  string `yaml:"key_file" doc:"File with the private key in PEM; read again when it changes."`
}

// Transmitter is one sender of security events.
type Transmitter struct {
	Issuer         string   `yaml:"issuer" required:"true" doc:"The transmitter's identifier, an https URL that the iss claim of its events must equal character for character."`
	Audience       string   `yaml:"audience" required:"true" doc:"Who we are to the transmitter: what aud of its events must name."`
	DiscoveryURL   string   `yaml:"discovery_url" doc:"URL of a metadata document that names its key set, like its /.well-known/ssf-configuration; default found from the issuer as for an authorization server."`
	JWKSURI        string   `yaml:"jwks_uri" doc:"URL of its key set, instead of discovery."`
	JWKSFile       string   `yaml:"jwks_file" doc:"File with its key set, instead of asking it; read again when it changes."`
	CAFile         string   `yaml:"ca_file" doc:"File with the certificate authorities in PEM that vouch for it; default the system's."`
	SubjectIssuers []string `yaml:"subject_issuers" doc:"Issuers whose tokens its events may deny, by issuer identifier; default the one that the transmitter is itself."`
}

// files lists the settings that name a file and are watched with the
// configuration.
func (r *Revocation) files() []namedFile {
	s := &r.Signals
	all := []namedFile{{"revocation.signals.token_file", &s.TokenFile}, {"revocation.signals.tls.cert_file", &s.TLS.CertFile}, {"revocation.signals.tls.key_file", &s.TLS.KeyFile}}
	for n := range s.Transmitters {
		t, at := &s.Transmitters[n], fmt.Sprintf("revocation.signals.transmitters[%d].", n)
		all = append(all, namedFile{at + "jwks_file", &t.JWKSFile}, namedFile{at + "ca_file", &t.CAFile})
	}
	return append(all, r.Redis.files("revocation.redis")...)
}

// ruleFiles lists the files with rules. They change at their own pace, without
// a reload.
func (r *Revocation) ruleFiles() []*string { return []*string{&r.File, &r.Signals.File} }

// revocation checks the receiver of events, and that everybody it listens to
// may say something.
func (c *checker) revocation() {
	s, at := &c.Revocation.Signals, "revocation.signals"
	if c.has("revocation.redis") {
		c.redis("revocation.redis", c.Revocation.Redis)
	}
	if !c.has(at) {
		return
	}
	if !c.has(at + ".listen") {
		c.bad(at+".listen", "is missing", "events have a listener of their own, like :8422")
	}
	if !c.has(at + ".token_file") {
		c.bad(at+".token_file", "is missing", "whoever can reach the listener could send events")
	}
	if len(s.Transmitters) == 0 {
		c.bad(at+".transmitters", "is missing", "list who may send events")
	}
	for _, key := range [...][2]string{{"cert_file", s.TLS.CertFile}, {"key_file", s.TLS.KeyFile}} {
		if c.has(at+".tls") && key[1] == "" {
			c.bad(at+".tls."+key[0], "is missing", "tls needs cert_file and key_file")
		}
	}
	if s.File != "" && filepath.Clean(s.File) == filepath.Clean(c.Revocation.File) {
		c.bad(at+".file", "is revocation.file too", "the gate writes this one")
	}
	if s.File != "" && c.Revocation.Redis.On() {
		c.bad(at+".file", "means nothing with revocation.redis, which keeps what events deny", "remove it")
	}
	c.signalsAddress(at)
	for i := range s.Transmitters {
		c.transmitter(fmt.Sprintf("%s.transmitters[%d]", at, i), &s.Transmitters[i])
	}
	c.distinct(at+".transmitters", "issuer", len(s.Transmitters), func(i int) string { return s.Transmitters[i].Issuer })
}

// signalsAddress keeps the receiver off every other listener.
func (c *checker) signalsAddress(at string) {
	l, ok := c.address(at+".listen", c.Revocation.Signals.Listen)
	if !ok {
		return
	}
	if c.Revocation.Signals.TLS.CertFile == "" && !isLoopback(l.host) {
		c.warn("plain-signals", at+".listen", "takes the transmitters' token without TLS, and it can be read on the way", "set tls, or listen on loopback behind what ends TLS")
	}
	others := map[string]string{"admin.listen": c.Admin.Listen, "listen": c.Listen}
	for i, r := range c.Resources {
		others[fmt.Sprintf("resources[%d].listen", i)] = r.Listen
	}
	for _, d := range c.Doors() {
		others[d.Key+".listen"] = d.Listen
	}
	for path, text := range others {
		if path == "listen" && !slices.ContainsFunc(c.Resources, func(r Resource) bool { return r.Listen == c.Listen }) {
			continue // nothing listens there
		}
		if l.overlaps(listenerOf(text)) {
			c.bad(at+".listen", "is an address of another listener too", "give it another port")
			return
		}
	}
}

// listenerOf reads an address that is checked elsewhere.
func listenerOf(text string) listener {
	host, port, _ := net.SplitHostPort(text)
	n, _ := strconv.ParseUint(port, 10, 16)
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		host = ""
	}
	return listener{text: text, host: host, port: int(n)}
}

func (c *checker) transmitter(path string, t *Transmitter) {
	if t.Issuer != "" {
		c.secured(path+".issuer", t.Issuer)
	}
	keys := ""
	for _, s := range [][2]string{{"discovery_url", t.DiscoveryURL}, {"jwks_uri", t.JWKSURI}, {"jwks_file", t.JWKSFile}} {
		switch {
		case s[1] == "":
			continue
		case keys != "":
			c.bad(path+"."+s[0], "keys come from "+keys+" already", "keep one of discovery_url, jwks_uri and jwks_file")
		case s[0] != "jwks_file":
			c.secured(path+"."+s[0], s[1])
		}
		keys = s[0]
	}
	if len(t.SubjectIssuers) == 0 && t.Issuer != "" {
		t.SubjectIssuers = []string{t.Issuer}
		if !c.isIssuer(t.Issuer) {
			c.bad(path+".subject_issuers", "is missing", "the transmitter is no entry of issuers itself; say whose tokens its events may deny")
		}
		return
	}
	for i, name := range t.SubjectIssuers {
		if name != "" && !c.isIssuer(name) {
			c.bad(fmt.Sprintf("%s.subject_issuers[%d]", path, i), "no issuer has this identifier", "write it exactly as in issuers[].issuer, with the tenant in place")
		}
	}
}

// secured is web for what no setting makes plain http of, but for loopback.
func (c *checker) secured(path, text string) {
	if u := c.web(path, text, "https", "http"); u != nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		c.bad(path, "must be https", "")
	}
}

func (c *checker) isIssuer(identifier string) bool {
	return slices.ContainsFunc(c.Issuers, func(i Issuer) bool {
		return slices.ContainsFunc(i.PerTenant(), func(one Issuer) bool { return one.Issuer == identifier })
	})
}
