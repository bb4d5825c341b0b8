package jwks

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/wicketgate/wicketgate/token"
)

// Bounds on a set and on how many of its keys one token may be tried with.
const (
	maxKeys       = 100
	maxCandidates = 4
)

// Set is the usable keys of one issuer at one time. It never changes.
type Set struct {
	keys  []*Key
	found map[selector][]*Key // what Find returns, ready made
}

// selector is what a token says about its key. With an empty kid it stands for
// every key of the algorithm.
type selector struct{ kid, alg string }

// Skipped is a key of a JWK set that is not used, and why. ID is the issuer's
// text as far as it is a short string.
type Skipped struct {
	Index   int
	ID      string
	Reason  string
	Private bool // the JWK holds a secret: the issuer has published it
}

// ParseSet reads a JWK set (RFC 7517 section 5) of at most 100 keys. A key that
// cannot be used costs that key only. algorithms is the issuer's explicit list,
// or nil; it decides the algorithm of RSA keys that name none.
func ParseSet(body []byte, algorithms []string) (*Set, []Skipped, error) {
	return parseSet(body, algorithms, nil)
}

// parseSet is ParseSet that keeps the *Key of every key that is in known too.
func parseSet(body []byte, algorithms []string, known *Set) (*Set, []Skipped, error) {
	texts, err := envelope(body)
	if err != nil {
		return nil, nil, err
	}
	var keys []*Key
	var skipped []Skipped
	for i, text := range texts {
		k, err := parseMember(text, algorithms)
		if err != nil {
			skipped = append(skipped, skip(i, text, err))
			continue
		}
		if !slices.ContainsFunc(keys, k.same) {
			keys = append(keys, known.adopt(k))
		}
	}
	return newSet(keys), skipped, nil
}

func newSet(keys []*Key) *Set {
	s := &Set{keys: keys, found: make(map[selector][]*Key)}
	add := func(at selector, k *Key) {
		if len(s.found[at]) < maxCandidates {
			s.found[at] = append(s.found[at], k)
		}
	}
	for _, k := range keys {
		add(selector{"", k.Algorithm()}, k)
		if k.ID != "" {
			add(selector{k.ID, k.Algorithm()}, k)
		}
	}
	return s
}

// adopt returns the key of s that is the same as k, else k.
func (s *Set) adopt(k *Key) *Key {
	if s == nil {
		return k
	}
	if i := slices.IndexFunc(s.keys, k.same); i >= 0 {
		return s.keys[i]
	}
	return k
}

// Len is the number of usable keys.
func (s *Set) Len() int { return len(s.keys) }

// Find returns the keys a token with this kid and alg may have been signed
// with: those of exactly that kid and algorithm, at most 4, or for an empty kid
// the first 4 of the algorithm. Callers must not change the slice.
func (s *Set) Find(kid, alg string) []*Key {
	return s.found[selector{kid, Canonical(alg)}]
}

// without is Find less the keys in tried.
func (s *Set) without(kid, alg string, tried []*Key) []*Key {
	if s == nil {
		return nil
	}
	var others []*Key
	for _, k := range s.Find(kid, alg) {
		if !slices.Contains(tried, k) {
			others = append(others, k)
		}
	}
	return others
}

// names reports whether some key of the set has this kid.
func (s *Set) names(kid string) bool {
	return kid != "" && slices.ContainsFunc(s.keys, func(k *Key) bool { return k.ID == kid })
}

func (s *Set) holds(k *Key) bool {
	return slices.Contains(s.found[selector{k.ID, k.Algorithm()}], k)
}

var (
	errEnvelope = errors.New("not a JSON object with one array called keys")
	errTooMany  = errors.New("more than 100 keys")
)

// keyTexts is the array of a set, cut into its elements. A fault inside one
// element is left for whoever reads that key.
type keyTexts struct {
	list  []json.RawMessage
	times int
}

// UnmarshalJSON counts how often the member appears, in whatever case.
func (k *keyTexts) UnmarshalJSON(text []byte) error {
	k.times++
	return json.Unmarshal(text, &k.list)
}

func envelope(body []byte) ([]json.RawMessage, error) {
	var set struct {
		Keys keyTexts `json:"keys"`
	}
	var exact map[string]json.RawMessage
	if json.Unmarshal(body, &set) != nil || json.Unmarshal(body, &exact) != nil {
		return nil, errEnvelope
	}
	if exact["keys"] == nil || set.Keys.times != 1 || set.Keys.list == nil {
		return nil, errEnvelope
	}
	if len(set.Keys.list) > maxKeys {
		return nil, errTooMany
	}
	return set.Keys.list, nil
}

// parseMember reads one key of a set. Nothing an issuer publishes may end the
// process: the library behind confirm has panicked on malformed keys before.
func parseMember(text json.RawMessage, algorithms []string) (k *Key, err error) {
	defer func() {
		if recover() != nil {
			k, err = nil, errDisagree
		}
	}()
	member, err := token.ParseObject(string(text))
	if err != nil {
		return nil, errNotObject
	}
	k, canonical, err := readKey(member, maxRSA)
	if err != nil {
		return nil, err
	}
	if kid, found := member.Get("kid"); found {
		var ok bool
		if k.ID, ok = kid.Text(); !ok || len(k.ID) > token.MaxKeyID {
			return nil, errKeyID
		}
	}
	if k.alg == nil {
		k.alg = k.implied(algorithms)
	}
	if err := k.certified(member); err != nil {
		return nil, err
	}
	return k, k.confirm(canonical)
}

// implied is the algorithm of a key that names none: one key, one algorithm
// (RFC 8725 section 3.1). An RSA key is for RS256 unless the issuer's list has
// exactly one RSA algorithm, and that is another.
func (k *Key) implied(listed []string) *algorithm {
	if k.crv == "" {
		var only []*algorithm
		for _, name := range listed {
			if a := lookup(name); a != nil && a.isRSA() && !slices.Contains(only, a) {
				only = append(only, a)
			}
		}
		if len(only) == 1 {
			return only[0]
		}
	}
	for i := range algorithms {
		if k.fits(&algorithms[i]) {
			return &algorithms[i]
		}
	}
	return nil
}

// certified compares the key with that of the first certificate of x5c
// (RFC 7517 section 4.7). The certificate itself is not judged, and one that
// crypto/x509 cannot read says nothing about the key.
func (k *Key) certified(member *token.Object) error {
	x5c, found := member.Get("x5c")
	if !found {
		return nil
	}
	chain, ok := x5c.Texts()
	if !ok || len(chain) == 0 {
		return errCertificate
	}
	der, err := base64.StdEncoding.Strict().DecodeString(chain[0])
	if err != nil {
		return errCertificate
	}
	certificate, err := x509.ParseCertificate(der)
	if err == nil && !k.equal(certificate.PublicKey) {
		return errCertificate
	}
	return nil
}

// confirm has the JOSE library read the same key and compares: two readers that
// disagree on what a key is are one too many.
func (k *Key) confirm(canonical string) error {
	parsed, err := jwk.ParseKey([]byte(canonical))
	if err != nil {
		return errDisagree
	}
	var raw any
	if err := parsed.Raw(&raw); err != nil || !k.equal(raw) {
		return errDisagree
	}
	return nil
}

// skip describes a key that is not used, however malformed it is.
func skip(index int, text json.RawMessage, reason error) Skipped {
	s := Skipped{Index: index, Reason: reason.Error()}
	var jwk map[string]json.RawMessage
	if err := json.Unmarshal(text, &jwk); err != nil {
		return s
	}
	for _, name := range privateMembers {
		_, found := jwk[name]
		s.Private = s.Private || found
	}
	var id string
	if json.Unmarshal(jwk["kid"], &id) == nil && len(id) <= token.MaxKeyID {
		s.ID = id
	}
	return s
}
