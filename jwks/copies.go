package jwks

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/keep"
)

// maxAhead is how far ahead of our clock the copy of a set may be dated: more,
// and one of the two clocks was wrong, so that its age cannot be told.
const maxAhead = time.Minute

// How it went with a copy, for Copied.Result.
const (
	CopyWritten  = "written"
	CopyFailed   = "failed" // could not be written
	CopyRestored = "restored"
	CopyIgnored  = "ignored" // there, and not used
)

// CopyResults lists every result.
func CopyResults() []string { return []string{CopyWritten, CopyFailed, CopyRestored, CopyIgnored} }

// Copied tells how it went with the copy of a key set on disk.
type Copied struct {
	Result string
	Err    error     // of CopyFailed and CopyIgnored
	Keys   int       // in the set
	Loaded time.Time // start of the load that brought the set; zero for CopyIgnored
}

// copyText is the form of a copy. It has public keys only: those that are used,
// written anew member by member.
type copyText struct {
	Settings   string            `json:"settings"` // what they were loaded under
	Loaded     time.Time         `json:"loaded"`
	Fresh      time.Duration     `json:"fresh"`              // as the load said
	JWKSURI    string            `json:"jwks_uri,omitempty"` // of the metadata
	Discovered time.Time         `json:"discovered,omitzero"`
	Keys       []json.RawMessage `json:"keys"`
}

// copies writes key sets to disk, behind the loads, so that nobody waits for a
// disk.
type copies struct {
	folder *keep.Folder
	told   func(issuer string, c Copied)
	wake   chan struct{}

	mu      sync.Mutex // guards pending
	pending map[*entry]copyText
}

func newCopies(folder string, told func(string, Copied)) *copies {
	if folder == "" {
		return nil
	}
	if told == nil {
		told = func(string, Copied) {}
	}
	return &copies{folder: keep.New(folder), told: told, wake: make(chan struct{}, 1), pending: make(map[*entry]copyText)}
}

// ProbeCopies says why folder cannot hold copies of key sets. With write it
// tries to write there too.
func ProbeCopies(folder string, write bool) error { return keep.New(folder).Probe(write) }

// put has the set of e written. Of several that wait only the last one is.
func (c *copies) put(e *entry, text copyText) {
	c.mu.Lock()
	c.pending[e] = text
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run writes until stop is closed, and what waits then.
func (c *copies) run(stop <-chan struct{}) {
	for {
		select {
		case <-c.wake:
			c.flush()
		case <-stop:
			c.flush()
			return
		}
	}
}

func (c *copies) flush() {
	c.mu.Lock()
	waiting := c.pending
	c.pending = make(map[*entry]copyText)
	c.mu.Unlock()
	for e, text := range waiting {
		done := Copied{Result: CopyWritten, Keys: len(text.Keys), Loaded: text.Loaded}
		data, err := json.Marshal(text)
		if err == nil {
			err = c.folder.Write(e.source.copyName(), data)
		}
		if err != nil {
			done.Result, done.Err = CopyFailed, err
		}
		c.told(e.label(), done)
	}
}

// label is what the hooks are told of an issuer.
func (e *entry) label() string { return cmp.Or(e.source.Label, e.source.Name) }

// copyName is the file of a source: one for each issuer the operator names,
// whatever else is said of it.
func (s Source) copyName() string {
	sum := digestOf(s.Name, s.Issuer)
	return "keys-" + hex.EncodeToString(sum[:12]) + ".json"
}

// settings stand for everything that decides which keys these are. Keys that
// were loaded under others are not this source's.
func (s Source) settings() string {
	fields := []string{s.Name, s.Issuer, s.DiscoveryURL, s.JWKSURI, s.RootsID, s.BearerTokenFile, strconv.FormatBool(s.InsecureHTTP),
		strings.Join(s.Algorithms, " "), strings.Join(s.Hosts, " ")}
	sum := digestOf(fields...)
	return hex.EncodeToString(sum[:])
}

// digestOf hashes fields with their lengths, so that no two lists run together.
func digestOf(fields ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, f := range fields {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f))))
		h.Write([]byte(f))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// keepCopy has the set that a load brought written to disk.
func (e *entry) keepCopy(began time.Time, fresh time.Duration) {
	if e.cache.copies == nil || e.source.File != "" {
		return
	}
	text := copyText{Settings: e.source.settings(), Loaded: began.UTC(), Fresh: fresh, Keys: []json.RawMessage{}}
	if e.metadata != nil {
		text.JWKSURI, text.Discovered = e.metadata.JWKSURI, e.discovered.UTC()
	}
	for _, k := range e.last.keys {
		text.Keys = append(text.Keys, k.jwk())
	}
	e.cache.copies.put(e, text)
}

// restore takes up the set on disk. Its age counts from the load that brought
// it, so that a key lives no longer for a restart.
func (e *entry) restore() {
	c := e.cache.copies
	if c == nil || e.source.File != "" {
		return
	}
	data, err := c.folder.Read(e.source.copyName())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var text copyText
	var set *Set
	if err == nil {
		text, set, err = e.readCopy(data)
	}
	if err != nil {
		c.told(e.label(), Copied{Result: CopyIgnored, Err: err})
		return
	}
	// Ages are taken once: from here on, setting the wall clock changes nothing.
	now := time.Now()
	loaded := now.Add(-max(0, now.Sub(text.Loaded)))
	if text.JWKSURI != "" {
		e.metadata, e.discovered = &Metadata{Issuer: e.source.Issuer, JWKSURI: text.JWKSURI}, now.Add(-max(0, now.Sub(text.Discovered)))
	}
	e.last = set
	e.current.Restore(set, loaded, text.Fresh)
	c.told(e.label(), Copied{Result: CopyRestored, Keys: set.Len(), Loaded: loaded})
}

var (
	errCopyForm     = errors.New("copy of the key set is not in the form it is written in")
	errCopySettings = errors.New("copy of the key set is of other settings of the issuer")
	errCopyAhead    = errors.New("copy of the key set is dated ahead of our clock")
)

// readCopy reads keys by the rules for those that come from the issuer.
func (e *entry) readCopy(data []byte) (copyText, *Set, error) {
	var text copyText
	if json.Unmarshal(data, &text) != nil || text.Loaded.IsZero() || text.Keys == nil {
		return text, nil, errCopyForm
	}
	switch age := time.Since(text.Loaded); {
	case text.Settings != e.source.settings():
		return text, nil, errCopySettings
	case age < -maxAhead:
		return text, nil, errCopyAhead
	case age >= maxStale:
		return text, nil, fmt.Errorf("copy of the key set is older than %s", maxStale)
	}
	set, skipped, err := ParseSet(data, e.source.Algorithms)
	if err != nil || len(skipped) > 0 {
		return text, nil, errCopyForm
	}
	return text, set, nil
}

// jwk writes the key as a JWK: what it is, whose it is and what it is for, and
// nothing else the issuer may have published with it.
func (k *Key) jwk() json.RawMessage {
	members := map[string]string{"alg": k.Algorithm()}
	if k.ID != "" {
		members["kid"] = k.ID
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		members["kty"] = "RSA"
		members["n"] = base64url.EncodeToString(public.N.Bytes())
		members["e"] = base64url.EncodeToString(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		size := coordinateSize(public)
		point, _ := public.Bytes() // fails for points off the curve, of which no key is made
		members["kty"], members["crv"] = "EC", k.crv
		members["x"] = base64url.EncodeToString(point[1 : 1+size])
		members["y"] = base64url.EncodeToString(point[1+size:])
	case ed25519.PublicKey:
		members["kty"], members["crv"] = "OKP", k.crv
		members["x"] = base64url.EncodeToString(public)
	}
	text, _ := json.Marshal(members) // strings only: it cannot fail
	return text
}
