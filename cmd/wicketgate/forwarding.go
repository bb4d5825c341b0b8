package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/assertion"
	"github.com/wicketgate/wicketgate/proxy/fieldvalue"
)

var encodings = map[string]fieldvalue.Encoding{
	"percent": fieldvalue.Percent, "json": fieldvalue.JSON, "base64url": fieldvalue.Base64URL, "raw-ascii": fieldvalue.RawASCII,
}

// forwards renders what each route of the resource at index tells the upstream.
func forwards(c *config.File, s *stores, index int) ([]*proxy.Forward, error) {
	r := c.Resources[index]
	routes := r.Routes
	if len(routes) == 0 {
		routes = []config.Route{{Forward: r.Forward}}
	}
	signers := make(map[string]*assertion.Signer)
	list := make([]*proxy.Forward, len(routes))
	for i, route := range routes {
		o := forwardOptions(route)
		if told := route.Forward.Assertion; told.On() && !route.Public {
			which := fmt.Sprintf("%+v", told)
			if signers[which] == nil {
				var err error
				if signers[which], err = newAssertions(c, s, assertionAt(c, index, i), told); err != nil {
					return nil, err
				}
			}
			o.Signer, o.AssertionHeader = signers[which], told.Header
		}
		list[i] = proxy.NewForward(o)
		ownNames(c, r, list[i])
		if !route.Forward.Token && assertsInAuthorization(c) {
			list[i].Ours("Authorization")
		}
	}
	return list, nil
}

// ownNames adds what only we may tell an upstream, on whatever route. Resources may
// share one: the names that any route of any of them sets count.
func ownNames(c *config.File, r config.Resource, f *proxy.Forward) {
	for _, resource := range c.Resources {
		f.Ours(resource.Forward.Names()...)
		for _, other := range resource.Routes {
			f.Ours(other.Forward.Names()...)
		}
	}
	f.Ours(c.MTLS.Name, r.TokenSources.Header)
	ownInteraction(c, f)
}

// assertsInAuthorization tells whether some upstream finds assertions where clients
// write tokens. Resources may share it.
func assertsInAuthorization(c *config.File) bool {
	speaks := func(f config.Forward) bool { return f.Assertion.On() && f.Assertion.InAuthorization() }
	return slices.ContainsFunc(c.Resources, func(r config.Resource) bool {
		return speaks(r.Forward) || slices.ContainsFunc(r.Routes, func(one config.Route) bool { return speaks(one.Forward) })
	})
}

// forwardOptions is what a route tells beside an assertion.
func forwardOptions(route config.Route) proxy.ForwardOptions {
	f := route.Forward
	o := proxy.ForwardOptions{KeepToken: f.Token, ClaimsHeader: f.ClaimsHeader, Projection: fieldvalue.NewProjection(f.Claims)}
	for _, name := range slices.Sorted(maps.Keys(f.Headers)) {
		h := f.Headers[name]
		form := fieldvalue.Form{Encoding: encodings[f.Encoding], Reduced: h.Only.On(), Keep: h.Only.Values}
		if h.Encoding != "" {
			form.Encoding = encodings[h.Encoding]
		}
		if h.Only.Policy {
			form.Keep = route.Claims[h.Claim].Values()
		}
		o.Headers = append(o.Headers, proxy.ClaimHeader{Name: name, Claim: h.Claim, Form: form})
	}
	return o
}

// assertionAt is where the assertion of a route is described.
func assertionAt(c *config.File, index, route int) string {
	at := fmt.Sprintf("resources[%d]", index)
	if own := fmt.Sprintf("%s.routes[%d].forward.assertion", at, route); c.Has(own) {
		return own
	}
	return at + ".forward.assertion"
}

// newAssertions makes what signs assertions as described at a place of the file.
func newAssertions(c *config.File, s *stores, at string, a config.Assertion) (*assertion.Signer, error) {
	o := assertion.Options{Issuer: a.Issuer, Audience: a.Audience, Lifetime: a.Lifetime, Claims: a.Claims, BindRequest: a.BindRequest}
	if a.KeyFile == "" {
		algorithm := a.Algorithm
		if algorithm == "" {
			algorithm = "ES256"
		}
		own, err := s.signing.Own(algorithm)
		if err != nil {
			return nil, c.ErrorAt(at, "no key could be made: "+err.Error())
		}
		o.Keys = []*signer.Key{own}
	} else {
		var err error
		if o.Keys, err = readKeys(a.KeyFile, a.Algorithm); err != nil {
			return nil, c.ErrorAt(at+".key_file", err.Error())
		}
		if info, err := os.Stat(a.KeyFile); err == nil && info.Mode()&0o007 != 0 {
			c.Warn("open-key-file", at+".key_file", fmt.Sprintf("can be read by everybody on this machine (mode %04o), and who reads it can speak for the gate", info.Mode().Perm()), "chmod o-rwx")
		}
	}
	made, err := assertion.New(o)
	if err != nil {
		return nil, c.ErrorAt(at, err.Error())
	}
	return made, nil
}

// readKeys reads the keys in a file, the first of them for use with an
// algorithm, or what fits it.
func readKeys(name, algorithm string) ([]*signer.Key, error) {
	text, err := readSecret(name)
	if err != nil {
		return nil, err
	}
	keys, err := signer.ParseSet([]byte(text))
	if err != nil || algorithm == "" {
		return keys, err
	}
	for i, k := range keys {
		k, err := k.For(algorithm)
		if err == nil {
			keys[i] = k
		} else if i == 0 { // the others may be for another time
			return nil, fmt.Errorf("holds a key that is not for %s", algorithm)
		}
	}
	return keys, nil
}

// signingKeys lists the keys of all assertions of a table.
func signingKeys(t *proxy.Table) (keys []*signer.Key) {
	add := func(g *proxy.Gate) {
		if g == nil {
			return
		}
		for _, f := range g.Forward {
			if s := f.Signer(); s != nil {
				keys = append(keys, s.Keys()...)
			}
		}
	}
	for _, site := range t.Sites {
		add(site.Only)
		for _, g := range site.Hosts {
			add(g)
		}
	}
	return keys
}
