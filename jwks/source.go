package jwks

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// Source says where the keys of one issuer come from: Text or File if that is set,
// else JWKSURI, else the jwks_uri of the issuer's metadata.
type Source struct {
	Name            string         // what the operator calls the issuer; unique
	Label           string         // what the hooks of a Cache are told instead; default Name
	Issuer          string         // the iss claim
	DiscoveryURL    string         // where the metadata is, if not at a well-known place
	JWKSURI         string         // https, or what fetch.Client allows
	File            string         // a JWK set on disk, looked at every 5 s
	Text            []byte         // the JWK set itself: nobody is asked and no file is read
	Hosts           []string       // what the metadata may name beside the hosts of Issuer and DiscoveryURL: host or host:port
	RootCAs         *x509.CertPool // nil: the system's
	RootsID         string         // what tells RootCAs from others, for copies on disk
	InsecureHTTP    bool           // plain http beyond loopback
	Algorithms      []string       // the issuer's explicit list; nil when there is none
	RefetchInterval time.Duration  // between two fetches for unknown kids; default 10 s
	CipherSuites    []uint16       // of TLS 1.2, as crypto/tls has them; nil: those of Go
	Leeway          time.Duration  // what is forgiven of the issuer's clock
	Optional        bool           // the issuer may have no keys: it is asked about its tokens
	BearerTokenFile string         // our own token for the host of DiscoveryURL, JWKSURI or else Issuer; read for each fetch
}

func (s Source) equal(o Source) bool {
	plain := s.Name == o.Name && s.Issuer == o.Issuer && s.DiscoveryURL == o.DiscoveryURL && s.JWKSURI == o.JWKSURI &&
		s.Label == o.Label && s.BearerTokenFile == o.BearerTokenFile && s.File == o.File && s.InsecureHTTP == o.InsecureHTTP && s.RefetchInterval == o.RefetchInterval
	plain = plain && s.RootsID == o.RootsID && s.Leeway == o.Leeway && s.Optional == o.Optional && slices.Equal(s.Hosts, o.Hosts)
	return plain && bytes.Equal(s.Text, o.Text) && slices.Equal(s.Algorithms, o.Algorithms) && slices.Equal(s.CipherSuites, o.CipherSuites) && s.RootCAs.Equal(o.RootCAs)
}

const (
	maxStale = 24 * time.Hour
	maxBody  = 512 << 10

	refetchInterval = 10 * time.Second // of a source that says nothing

	rediscover = time.Hour // an issuer moves its keys rarely, and a failed fetch asks at once

	// A set without a usable key is believed only when it stays so: publishing
	// one by mistake would otherwise lock everybody out.
	emptyAnswers = 3
	emptyTime    = time.Minute
)

// entry is the keys of one source. What is not its Resource belongs to the load
// under way, of which there is one at a time.
type entry struct {
	source  Source
	cache   *Cache
	client  *fetch.Client
	current *fetch.Resource[*Set] // holds the last good set, whatever the LRU forgets

	last       *Set
	report     Load
	metadata   *Metadata
	discovered time.Time
	moved      bool // the metadata names no place that can be had keys from
	clock      clock
	empties    int
	emptySince time.Time
}

// newEntry makes an entry with the keys of before, which may be nil, if they are
// those of s, else with the copy on disk.
func newEntry(s Source, c *Cache, before *entry) *entry {
	e := &entry{source: s, cache: c}
	e.client = s.Client()
	limits := fetch.Limits{
		MinFresh: time.Minute, MaxFresh: 24 * time.Hour, DefaultFresh: 10 * time.Minute,
		MaxStale: maxStale, MinGap: s.RefetchInterval, AgainGap: reissueInterval, OnLoad: e.loaded, Name: "jwks",
	}
	if s.File != "" {
		limits.MinFresh, limits.MaxFresh = 5*time.Second, 5*time.Second
	}
	e.current = fetch.New(e.load, limits)
	if !e.inherit(before) {
		e.restore()
	}
	return e
}

// inherit takes over the keys of an entry that got them in the same way.
func (e *entry) inherit(before *entry) bool {
	if before == nil || e.source.File != before.source.File || !bytes.Equal(e.source.Text, before.source.Text) || e.source.settings() != before.source.settings() ||
		!e.source.RootCAs.Equal(before.source.RootCAs) || !slices.Equal(e.source.CipherSuites, before.source.CipherSuites) {
		return false
	}
	set, loaded, _ := before.current.Peek()
	if set == nil {
		return false
	}
	fresh, _ := before.current.Plan()
	e.last = set
	e.current.Restore(set, loaded, fresh.Sub(loaded))
	return true
}

func (e *entry) load(ctx context.Context) (*Set, time.Duration, error) {
	e.report = Load{}
	began := time.Now()
	body, fresh, err := e.read(ctx)
	e.report.Skew = e.clock.skew()
	if err != nil {
		return nil, 0, err
	}
	set, skipped, err := e.cache.parse(e.source, body, e.last)
	e.report.Skipped = skipped
	if err != nil {
		return nil, 0, fmt.Errorf("JWK set: %w", err)
	}
	if set.Len() == 0 && !e.staysEmpty() {
		return nil, 0, fmt.Errorf("JWK set without a usable key, believed after %d such answers over %s", emptyAnswers, emptyTime)
	}
	if set.Len() > 0 {
		e.empties = 0
	}
	e.report.Keys = set.Len()
	if e.last == nil || !slices.Equal(set.keys, e.last.keys) {
		e.report.Changed, e.last = true, set
	}
	e.keepCopy(began, fresh)
	return e.last, fresh, nil
}

func (e *entry) loaded(took time.Duration, err error) {
	e.report.Took, e.report.Err, e.report.At = took, err, time.Now()
	if e.cache.options.OnLoad != nil {
		e.cache.options.OnLoad(e.label(), e.report)
	}
}

func (e *entry) staysEmpty() bool {
	if e.empties == 0 {
		e.emptySince = time.Now()
	}
	e.empties++
	return e.empties >= emptyAnswers && time.Since(e.emptySince) >= emptyTime
}

// read gets the text of the set, and how long it is fresh (0: nobody said).
func (e *entry) read(ctx context.Context) ([]byte, time.Duration, error) {
	if e.source.Text != nil {
		return e.source.Text, 0, nil
	}
	if e.source.File != "" {
		text, err := readFile(e.source.File)
		return text, 0, err
	}
	place, err := e.place(ctx)
	if err != nil {
		e.moved = true
		return nil, 0, err
	}
	body, err := getJSON(ctx, e.client, place, "application/jwk-set+json, application/json")
	if e.moved = err != nil; e.moved {
		return nil, 0, fmt.Errorf("JWK set: %w", err)
	}
	e.clock.note(body, e.source.Leeway)
	if body.HasMaxAge {
		return body.Bytes, max(body.MaxAge, 1), nil
	}
	return body.Bytes, 0, nil
}

// place says where the set is. Metadata that cannot be had again serves on for
// as long as keys do.
func (e *entry) place(ctx context.Context) (string, error) {
	if e.source.JWKSURI != "" {
		return e.source.JWKSURI, nil
	}
	age := time.Since(e.discovered)
	if e.metadata != nil && age < rediscover && !e.moved {
		return e.named()
	}
	began := time.Now()
	m, err := Discover(ctx, e.client, e.source.Issuer, e.source.DiscoveryURL)
	switch {
	case err == nil:
		e.metadata, e.discovered = m, began
	case e.metadata == nil || age >= maxStale:
		return "", err
	}
	return e.named()
}

// named is where the metadata says the set is, if it may.
func (e *entry) named() (string, error) {
	place := e.metadata.JWKSURI
	if place == "" {
		return "", fmt.Errorf("issuer metadata at %s has no jwks_uri", e.metadata.URL)
	}
	return place, CheckHost("jwks_uri", place, []string{e.source.Issuer, e.source.DiscoveryURL}, e.source.Hosts)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBody+1))
	if err == nil && len(text) > maxBody {
		err = errors.New("JWK set file is larger than 512 KiB")
	}
	return text, err
}
