package jwks

import (
	"context"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// compareAfter is when the documents of an issuer are compared: once, and long
// after the start, when there is more to do.
const compareAfter = time.Minute

// Compare reads the metadata of issuer at each well-known place and says in
// which member the documents differ: they must not (RFC 9068 section 4). It is
// empty when they agree, and when there are not two to read.
func Compare(ctx context.Context, c *fetch.Client, issuer string) []string {
	places, err := wellKnown(issuer)
	if err != nil {
		return nil
	}
	var first *Metadata
	var different []string
	for _, place := range places {
		body, err := getJSON(ctx, c, place, "application/json")
		if err != nil {
			continue
		}
		m, err := readMetadata(body, issuer, fetch.Shown(place))
		switch {
		case err != nil:
			different = append(different, err.Error())
		case first == nil:
			first = m
		case m.JWKSURI != first.JWKSURI:
			different = append(different, fmt.Sprintf("the metadata at %s and at %s name different places as jwks_uri", first.URL, m.URL))
		}
	}
	return different
}

// compare does so for a source that is found by its issuer's name, in the
// background.
func (e *entry) compare(ctx context.Context) {
	if e.source.DiscoveryURL != "" || e.source.JWKSURI != "" || e.source.File != "" || e.cache.options.OnDisagree == nil {
		return
	}
	timer := time.NewTimer(compareAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	defer func() { _ = recover() }() // what breaks a comparison makes it tell nothing
	for _, what := range Compare(ctx, e.client, e.source.Issuer) {
		e.cache.options.OnDisagree(e.label(), what)
	}
}
