package main

import (
	"fmt"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy"
)

var preflights = map[string]proxy.Preflight{"answer": proxy.AnswerPreflight, "forward": proxy.ForwardPreflight}

// describe gives the gate of the resource at index what it says about itself,
// and to scripts of other origins. algorithms are those of proofs.
func describe(c *config.File, index int, gate *proxy.Gate, algorithms []string) error {
	r, at := c.Resources[index], fmt.Sprintf("resources[%d]", index)
	routes := gate.Policy.Routes()
	gate.CORS = crossOrigin(r, gate)
	if !r.Metadata {
		return nil
	}
	o := proxy.MetadataOptions{
		Identifier: r.Identifier, Algorithms: algorithms, Methods: []string{"header"},
		Certificates: c.SeesCertificates(),
		AtRoot:       r.Preset == "mcp",
	}
	if c.Has(at + ".name") {
		o.Name = r.Name
	}
	for _, i := range c.Issuers {
		for _, tenant := range i.PerTenant() {
			o.Issuers = append(o.Issuers, tenant.Issuer)
		}
	}
	if r.TokenSources.Body {
		o.Methods = append(o.Methods, "body")
	}
	if r.TokenSources.Query {
		o.Methods = append(o.Methods, "query")
	}
	var err error
	if gate.Metadata, err = proxy.NewMetadata(o, routes); err != nil {
		return c.ErrorAt(at+".identifier", err.Error())
	}
	gate.Realm.Metadata = gate.Metadata.URL
	return nil
}

// crossOrigin is nil where a resource says nothing of other origins.
func crossOrigin(r config.Resource, gate *proxy.Gate) *proxy.CORS {
	s := r.CORS
	if s.Preflight == "" && len(s.Origins) == 0 && !s.Strict {
		return nil
	}
	o := proxy.CORSOptions{
		Preflight: preflights[s.Preflight], Origins: s.Origins, Own: r.PublicOrigins, Strict: s.Strict,
		Credentials: r.TokenSources.Cookie != "", Methods: s.Methods, Headers: s.Headers, MaxAge: s.MaxAge,
	}
	if name := r.TokenSources.Header; name != "" {
		o.Headers = append(slices.Clone(o.Headers), name) // a script may send the token there
	}
	if r.Preset == "mcp" {
		o.Expose = []string{"Mcp-Session-Id"}
	}
	return proxy.NewCORS(o, gate.Policy.Routes())
}
