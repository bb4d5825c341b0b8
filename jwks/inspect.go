package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// Inspection is what one look at an issuer's keys found, for people to read.
type Inspection struct {
	Metadata *Metadata     // nil when the keys are found without, or it could not be had
	Place    string        // of the keys; empty when it could not be found out
	Keys     []*Key        // usable
	Skipped  []Skipped     // not usable
	Told     time.Duration // how long the server vouches for the set; 0 when it does not say
	Kept     time.Duration // how long the set is held for fresh
	Next     time.Duration // about when it would be fetched again
}

// Inspect gets the keys of s once, in the way and under the bounds of a Cache.
// With an error the Inspection holds what was found before it.
func (s Source) Inspect(ctx context.Context) (*Inspection, error) {
	e, in := newEntry(s, NewCache(Options{}), nil), &Inspection{}
	current := fetch.New(func(ctx context.Context) (set *Set, fresh time.Duration, err error) {
		set, fresh, err = e.load(ctx)
		in.Told = fresh
		return set, fresh, err
	}, fetch.Limits{
		MinFresh: e.current.Limits().MinFresh, MaxFresh: e.current.Limits().MaxFresh, DefaultFresh: e.current.Limits().DefaultFresh,
	})
	began := time.Now()
	set, err := current.Get(ctx)
	if ctx.Err() != nil {
		return &Inspection{}, err // the load goes on, and owns the rest
	}
	in.Metadata, in.Place, in.Skipped = e.metadata, s.JWKSURI, e.report.Skipped
	switch {
	case s.File != "":
		in.Place = s.File
	case in.Metadata != nil:
		in.Place = in.Metadata.JWKSURI
	}
	if err != nil {
		return in, err
	}
	in.Keys = slices.Clone(set.keys)
	fresh, due := current.Plan()
	in.Kept, in.Next = fresh.Sub(began).Round(time.Second), due.Sub(began)
	return in, nil
}

// OtherIssuerError says that metadata names another issuer than the one asked
// for (RFC 8414 section 3.3). Named is the server's text.
type OtherIssuerError struct{ Place, Named string }

// Error leaves out what the server sent.
func (e *OtherIssuerError) Error() string {
	return fmt.Sprintf("issuer metadata at %s names another issuer", e.Place)
}

// IsNotJSON reports whether err says that a server answered with something
// else than JSON.
func IsNotJSON(err error) bool { return errors.Is(err, errContentType) }
