package config

// tokenReview wants an API server that knows us.
func (c *checker) tokenReview(at string, i *Issuer) {
	if !i.TokenReview {
		return
	}
	switch {
	case i.Profile != "kubernetes":
		c.bad(at, "needs profile: kubernetes", "only an API server reviews tokens")
	case i.Introspection.On():
		c.bad(at, "does not go with introspection", "keep one of the two")
	case i.InsecureAllowAnyAudience:
		c.bad(at, "does not go with insecure_allow_any_audience", "the API server is asked whether a token is for one of our audiences")
	case i.BearerTokenFile == "":
		c.bad(at, "needs bearer_token_file", "the API server answers only to those it knows")
	}
}
