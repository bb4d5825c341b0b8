package config

import (
	"fmt"
	"strings"
	"time"
)

// Introspection says how an issuer is asked about tokens, and about which.
type Introspection struct {
	Endpoint         string `yaml:"endpoint" doc:"URL that is asked; default introspection_endpoint of the issuer's metadata."`
	ClientID         string `yaml:"client_id" doc:"Who the gate is to the issuer; required."`
	Auth             string `yaml:"auth" default:"basic" enum:"basic,post,private_key_jwt,mtls" doc:"How the gate proves that: basic and post by a secret, private_key_jwt by a key (RFC 7523), mtls by a client certificate (RFC 8705); default basic."`
	ClientSecretFile string `yaml:"client_secret_file" doc:"File with the secret for basic and post; read again when it changes."`
	KeyFile          string `yaml:"key_file" doc:"File with the private key for private_key_jwt, in PEM or as a JWK, or in PEM for mtls; read again when it changes."`
	CertFile         string `yaml:"cert_file" doc:"File with the certificate chain in PEM for mtls; read again when it changes."`

	Signed   string `yaml:"signed" default:"off" enum:"off,required" doc:"Whether the issuer signs its answers (RFC 9701): off asks for plain ones, required takes no other than signed ones; default off."`
	Mode     string `yaml:"mode" default:"opaque" enum:"opaque,jwt,both" doc:"What is asked about: opaque for tokens that are no JWT, jwt for JWTs that are good by themselves, both for all; default opaque."`
	Prefix   string `yaml:"prefix" doc:"What this issuer's opaque tokens begin with; needed where several issuers have opaque tokens, by all but one; default anything."`
	Audience string `yaml:"audience" default:"required" enum:"required,trust_introspection" doc:"Whether an answer about an opaque token must name an audience: required, or trust_introspection for an issuer that answers only about tokens for us; default required."`

	Cache   time.Duration `yaml:"cache" default:"30s" max:"5m" doc:"How long an active answer is remembered, never past the token's end, and how long a revoked token may pass, as a duration up to 5m; default 30s."`
	Grace   time.Duration `yaml:"grace" max:"5m" doc:"How much longer such an answer stands in while the issuer cannot be asked, as a duration up to 5m; default 0s."`
	Timeout time.Duration `yaml:"timeout" default:"2s" min:"100ms" max:"5s" doc:"For an answer, as a duration from 100ms to 5s; default 2s."`

	Shared SharedAnswers `yaml:"shared" doc:"Answers for all gates that share a Redis; default each asks for itself."`
}

// On reports whether the issuer is asked about any token.
func (i Introspection) On() bool { return i.ClientID != "" }

// Opaque reports whether it is asked about tokens that are no JWT, and JWT
// about those that are.
func (i Introspection) Opaque() bool { return i.On() && i.Mode != "jwt" }

// JWT is told with Opaque.
func (i Introspection) JWT() bool { return i.On() && i.Mode != "opaque" }

// files lists the settings that name a file.
func (i *Introspection) files(at string) []namedFile {
	return []namedFile{{at + ".client_secret_file", &i.ClientSecretFile}, {at + ".key_file", &i.KeyFile}, {at + ".cert_file", &i.CertFile}}
}

// authFiles are the files that each way to authenticate takes.
var authFiles = map[string]string{
	"basic": "client_secret_file", "post": "client_secret_file", "private_key_jwt": "key_file", "mtls": "key_file cert_file",
}

func (c *checker) introspection(path string, i *Issuer) {
	at, o := path+".introspection", &i.Introspection
	if !c.has(at) {
		return
	}
	if len(i.Tenants) > 1 && o.Mode != "jwt" {
		c.bad(at+".mode", "must be jwt with several tenants", "an opaque token does not tell which of them made it; list the issuer of each by itself")
	}
	if o.ClientID == "" {
		c.bad(at+".client_id", "is missing", "the issuer answers only to those it knows (RFC 7662 section 2.1)")
	}
	if o.Endpoint != "" {
		c.fetched(at+".endpoint", sampled(o.Endpoint), i.InsecureHTTP)
	}
	if takes := authFiles[o.Auth]; takes != "" {
		for _, f := range o.files(at) {
			_, key, _ := strings.Cut(f.path[len(path)+1:], ".")
			switch wanted := strings.Contains(" "+takes+" ", " "+key+" "); {
			case wanted && *f.file == "" && !c.has(f.path):
				c.bad(f.path, "is missing", "auth: "+o.Auth+" needs "+strings.ReplaceAll(takes, " ", " and "))
			case !wanted && c.has(f.path):
				c.badKey(f.path, "means nothing with auth: "+o.Auth, "")
			}
		}
	}
	if o.Mode == "jwt" {
		for _, key := range []string{"prefix", "audience"} {
			if c.has(at + "." + key) {
				c.badKey(at+"."+key, "means nothing with mode: jwt", "it is about opaque tokens")
			}
		}
	}
	if strings.ContainsFunc(o.Prefix, func(r rune) bool { return !strings.ContainsRune(token68, r) }) {
		c.bad(at+".prefix", "holds a character that no token has", "RFC 6750 section 2.1")
	}
	c.shared(at+".shared", o.Shared)
	if o.Audience == "trust_introspection" && o.Mode != "jwt" {
		c.warn("optional-audience", at+".audience", "takes opaque tokens that name no audience, which may have been made for others", "have the issuer answer with aud, and remove it")
	}
}

// token68 is the alphabet of tokens (RFC 6750 section 2.1).
const token68 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

// opaque wants it to be plain from an opaque token itself which issuer it
// belongs to: shown to another, it could be used by that one.
func (c *checker) opaque() {
	for i := range c.Issuers {
		at, one := fmt.Sprintf("issuers[%d].introspection", i), c.Issuers[i].Introspection
		if !one.Opaque() {
			continue
		}
		for j, other := range c.Issuers[:i] {
			earlier := fmt.Sprintf("issuers[%d].introspection", j)
			a, b := one.Prefix, other.Introspection.Prefix
			switch {
			case !other.Introspection.Opaque() || (a == "") != (b == ""):
			case a == "":
				c.bad(at+".prefix", "is missing", "opaque tokens may be of "+earlier+" too, and none is shown to both; say what those of each begin with")
			case strings.HasPrefix(a, b) || strings.HasPrefix(b, a):
				c.bad(at+".prefix", "cannot be told from "+earlier+".prefix", "neither may begin like the other")
			}
		}
	}
}
