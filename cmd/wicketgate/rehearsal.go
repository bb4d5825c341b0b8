package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/validator"
)

// newRehearsal builds what serve would, for requests that nobody sent: with keys
// of this process in place of the issuers', and nobody to ask. Files that are
// only there where a gate runs need not be here.
func newRehearsal(c *config.File) (*rehearsal.Rehearsal, error) {
	c = c.Offline()
	if _, err := os.Stat(c.Revocation.File); errors.Is(err, fs.ErrNotExist) {
		c.Revocation.File = ""
	}
	s := newStores(c, nil)
	s.started = time.Time{}
	s.stage = rehearsal.NewStage()
	compiled, err := build(c, s)
	if err != nil {
		return nil, err
	}
	for i := range compiled.sources {
		source := &compiled.sources[i]
		beside, err := readKeySet(source.File)
		if err == nil {
			source.Text, err = s.stage.KeySet(source.Name, beside)
		}
		if err != nil {
			return nil, fmt.Errorf("keys of issuer %s: %w", source.Label, err)
		}
	}
	s.keys.Configure(compiled.sources)
	s.nonces.Use(nil, c.DPoP.NonceMaxAge)
	r := &rehearsal.Rehearsal{
		Stage: s.stage, Table: compiled.table,
		Shows: c.SeesCertificates(),
		Needs: c.MTLS.From != "header" && c.TLS.On() && c.TLS.ClientAuth == "require",
	}
	if !slices.Contains(c.DPoP.Algorithms, "ES256") {
		r.ProofAlgorithm = c.DPoP.Algorithms[0]
	}
	for _, one := range c.Resources {
		staged := rehearsal.Resource{
			Name: one.Name, Listen: listenOf(c, one), Audiences: one.Audiences, ByIssuer: one.AudiencesByIssuer,
		}
		for _, origin := range one.PublicOrigins {
			staged.Origins = append(staged.Origins, strings.ToLower(origin))
		}
		if len(one.Hosts) > 0 {
			staged.Host = one.Hosts[0]
		}
		r.Resources = append(r.Resources, staged)
	}
	return r, nil
}

// rehearse puts the stage, if there is one, where somebody would be asked.
func (s *stores) rehearse(p *validator.Parts) {
	if s.stage != nil {
		s.stage.Take(p)
	}
}

// readKeySet reads a key set that may be elsewhere.
func readKeySet(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
