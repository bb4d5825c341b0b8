package main

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/validator/dpop"
)

// sources compiles the places for a token of the resource at at. origins are
// its own.
func sources(c *config.File, at string, r config.Resource, origins []string) (proxy.Sources, error) {
	s := proxy.Sources{
		Cookie: r.TokenSources.Cookie, Header: http.CanonicalHeaderKey(r.TokenSources.Header),
		Query: r.TokenSources.Query, Body: r.TokenSources.Body, WebSocket: r.TokenSources.WebSocket,
		Origins: slices.Clone(origins),
	}
	for i, origin := range r.CORS.Origins {
		if origin == "null" {
			continue // anybody can be null: a sandboxed frame of any site is
		}
		normal, err := dpop.Origin(origin)
		if err != nil {
			return s, c.ErrorAt(fmt.Sprintf("%s.cors.origins[%d]", at, i), err.Error())
		}
		s.Origins = append(s.Origins, normal)
	}
	return s, nil
}
