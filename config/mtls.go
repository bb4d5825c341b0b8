package config

import (
	"fmt"
	"slices"
	"strings"
)

// vouches reports whether client certificates must come from client_ca_file.
func (t TLS) vouches() bool { return t.ClientAuth == "request" || t.ClientAuth == "require" }

// SeesCertificates reports whether client certificates are known here: by a
// connection, by a field of a proxy, or by what Envoy says of a connection of its own.
func (f *File) SeesCertificates() bool {
	return f.MTLS.From == "header" || f.TLS.On() && f.TLS.ClientAuth != "off" || f.ExtAuthz.Listen != ""
}

// clientCertificates checks what tls, mtls and the routes say of client
// certificates against each other.
func (c *checker) clientCertificates() {
	c.clientAuth()
	c.certificateHeader()
	if c.SeesCertificates() {
		return
	}
	for i, r := range c.Resources {
		for j, route := range r.Routes {
			if route.Binding == "mtls" {
				c.bad(fmt.Sprintf("resources[%d].routes[%d].binding", i, j), "no request could satisfy it: nothing here sees client certificates",
					"set tls.client_auth, or mtls.from: header where TLS ends in front of the gate")
			}
		}
	}
}

func (c *checker) clientAuth() {
	switch {
	case c.TLS.vouches() && c.TLS.ClientCAFile == "":
		c.bad("tls.client_ca_file", "is missing", "client_auth: "+c.TLS.ClientAuth+" takes certificates from known authorities only; client_auth: request_any takes any")
	case !c.TLS.vouches() && c.TLS.ClientCAFile != "":
		c.bad("tls.client_ca_file", "means nothing with client_auth: "+c.TLS.ClientAuth, "set client_auth to request or require, or remove it")
	}
	if !c.TLS.vouches() && c.TLS.ClientCRLFile != "" {
		c.bad("tls.client_crl_file", "means nothing with client_auth: "+c.TLS.ClientAuth, "set client_auth to request or require, or remove it")
	}
}

func (c *checker) certificateHeader() {
	m := c.MTLS
	if m.From != "header" {
		for _, key := range []string{"header", "name", "element"} {
			if c.has("mtls." + key) {
				c.bad("mtls."+key, "means nothing without from: header", "add from: header, or remove it")
			}
		}
		return
	}
	if len(c.TrustedProxies) == 0 {
		c.bad("mtls.from", "header needs trusted_proxies", "list the proxies that may speak for their clients")
	}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			c.warn("trust-all-certificates", "mtls.from", "believes everybody who names a client certificate, since trusted_proxies holds all addresses", "list the proxies that end TLS in trusted_proxies")
			break
		}
	}
	if c.has("mtls.element") && m.Header != "xfcc" {
		c.bad("mtls.element", "is for header: xfcc", "remove it")
	}
	c.certificateName(m)
}

// leafHeader is where AWS load balancers write the certificate they verified,
// and chainHeader where they pass on what the client sent.
const leafHeader, chainHeader = "x-amzn-mtls-clientcert-leaf", "x-amzn-mtls-clientcert"

func (c *checker) certificateName(m MTLS) {
	normal := normalName(m.Name)
	switch {
	case m.Name == "":
	case m.Header == "alb":
		if lower := strings.ToLower(m.Name); lower != leafHeader && lower != chainHeader {
			c.bad("mtls.name", "is no header of an AWS load balancer", "X-Amzn-Mtls-Clientcert in passthrough mode, X-Amzn-Mtls-Clientcert-Leaf in verify mode")
		}
	case m.Header != "nginx" && m.Header != "haproxy":
		c.bad("mtls.name", "is fixed for header: "+m.Header, "remove it; a name can be chosen with nginx and haproxy")
	case !headerName.MatchString(m.Name):
		c.bad("mtls.name", "is no header name", "letters, digits and hyphens")
	case slices.Contains(refused, normal) || strings.HasPrefix(normal, "x-auth-") ||
		strings.HasPrefix(normal, "x-forwarded-"):
		c.bad("mtls.name", "is a header with a meaning of its own", "take another name, like X-SSL-Client-Cert")
	}
}
