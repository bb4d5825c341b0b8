package main

import (
	"net/http"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/validator/dpop"
)

// sources compiles the places for a token of a resource. origins are its own.
func sources(r config.Resource, origins []string) proxy.Sources {
	s := proxy.Sources{
		Cookie: r.TokenSources.Cookie, Header: http.CanonicalHeaderKey(r.TokenSources.Header),
		Query: r.TokenSources.Query, Body: r.TokenSources.Body, WebSocket: r.TokenSources.WebSocket,
		Origins: slices.Clone(origins),
	}
	for _, origin := range r.CORS.Origins {
		if origin == "null" {
			continue // anybody can be null: a sandboxed frame of any site is
		}
		if normal, err := dpop.Origin(origin); err == nil {
			origin = normal // of other schemes, like those of apps, there is one spelling
		}
		s.Origins = append(s.Origins, origin)
	}
	return s
}
