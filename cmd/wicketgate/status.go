package main

import (
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/validator/status"
)

func newStatusLists(metrics *telemetry.Telemetry, keys *jwks.Cache) *status.Lists {
	o := status.Options{Keys: keys}
	if metrics != nil {
		o.OnLoad = metrics.StatusLoaded
	}
	return status.New(o)
}

// statusesOf compiles where an issuer's status lists come from: what concerns
// connections and signatures is that of its keys.
func statusesOf(keys jwks.Source) status.Source {
	return status.Source{
		Name: keys.Name, Label: keys.Label, Algorithms: keys.Algorithms,
		RootCAs: keys.RootCAs, InsecureHTTP: keys.InsecureHTTP, CipherSuites: keys.CipherSuites,
	}
}

// statusRules is nil for an issuer whose status claims nobody looks at.
func statusRules(o config.StatusList) *status.Rules {
	if !o.On() {
		return nil
	}
	accept := make([]uint8, len(o.Accept))
	for i, value := range o.Accept {
		accept[i] = uint8(value) // the file allows no other
	}
	return status.NewRules(o.Allow, accept)
}
