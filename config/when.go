package config

// when checks what can be told of an expression without compiling it.
func (c *checker) when(at string, r *Route) {
	switch {
	case !c.has(at):
	case r.Public:
		c.bad(at, "means nothing on a public route", "it is asked of a token's claims; remove it, or public")
	case r.Optional:
		c.warn("optional-when", at, "keeps nobody out of an optional route: who does not satisfy it may leave the token away", "remove it, or optional")
	}
}
