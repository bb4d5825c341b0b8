// Package report says which requests pass although they are refused, where an
// operator wants refusals reported only.
//
// It knows settings and shares, and no request: what becomes of one that is let
// through is for package proxy.
package report

import (
	"hash/maphash"
	"net/netip"
)

// A Setting is what one place of the configuration says. The zero Setting leaves
// it to a place further away.
type Setting struct {
	Said    bool
	Percent int // of refusals that are reported only, 0 to 100
}

// Settings are all that govern one resource.
type Settings struct {
	File     Setting
	Issuers  map[string]Setting // by name
	Resource Setting
	Routes   []Setting // by policy.Route.Index
}

// Only is the settings of a resource, compiled. A nil Only enforces every
// refusal. It is immutable.
type Only struct {
	seed    maphash.Seed
	places  []place // of each route; first of what no route matches
	issuers map[string]Setting
}

// place is what holds at a route before an issuer is known.
type place struct {
	percent int
	near    bool // said by the route or the resource, so that no issuer changes it
}

// New compiles settings. It returns nil where they enforce everything. What falls
// into a share depends on seed.
func New(seed maphash.Seed, s Settings) *Only {
	o := &Only{seed: seed, issuers: s.Issuers, places: []place{placeOf(s, Setting{})}}
	for _, route := range s.Routes {
		o.places = append(o.places, placeOf(s, route))
	}
	for i := range o.places {
		if o.Most(i-1) > 0 {
			return o
		}
	}
	return nil
}

func placeOf(s Settings, route Setting) place {
	switch {
	case route.Said:
		return place{route.Percent, true}
	case s.Resource.Said:
		return place{s.Resource.Percent, true}
	}
	return place{s.File.Percent, false}
}

// Percent is the share of refusals at a route that are reported only: what the
// nearest place says of route, resource, issuer and file. route is -1 where none
// matches; issuer is the name of the one that vouches for the token, or empty.
func (o *Only) Percent(route int, issuer string) int {
	if o == nil {
		return 0
	}
	p := o.places[route+1]
	if said := o.issuers[issuer]; said.Said && !p.near {
		return said.Percent
	}
	return p.percent
}

// Most is the largest share that a request at a route could fall into.
func (o *Only) Most(route int) int {
	if o == nil {
		return 0
	}
	most := o.Percent(route, "")
	for issuer := range o.issuers {
		most = max(most, o.Percent(route, issuer))
	}
	return most
}

// Lets reports whether a refusal is reported only. A credential, or without one
// a client, stays on its side of a share as long as the process lives, and what
// is in a share is in every larger one.
func (o *Only) Lets(route int, issuer, credential string, client netip.Addr) bool {
	percent := o.Percent(route, issuer)
	switch {
	case percent <= 0:
		return false
	case percent >= 100:
		return true
	}
	sum := maphash.String(o.seed, credential)
	if credential == "" {
		sum = maphash.Comparable(o.seed, client.WithZone(""))
	}
	return sum%100 < uint64(percent)
}
