package config

import "slices"

// Offline is a copy of f that decides as f does, less what is known only where
// it serves: it names no Redis, and no file but those with deny rules and the
// issuers' key sets.
func (f *File) Offline() *File {
	c := *f
	c.warnings = slices.Clip(c.warnings)
	c.CacheDir, c.DPoP.NonceSecretFile = "", ""
	c.DPoP.Replay = Replay{Store: "memory", MaxEntries: 1000}
	c.Revocation = Revocation{File: f.Revocation.File}
	c.Issuers = slices.Clone(f.Issuers)
	for n := range c.Issuers {
		i := &c.Issuers[n]
		i.CAFile, i.BearerTokenFile, i.Introspection.Shared = "", "", SharedAnswers{}
	}
	return &c
}
