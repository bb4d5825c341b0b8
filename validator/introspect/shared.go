package introspect

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A Store keeps values for gates that share them. Both methods return when ctx
// ends. It may forget at any time, and is not trusted with what it keeps.
type Store interface {
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// How a look for an answer of another gate ended, for Options.OnShared.
const (
	SharedHit        = "hit"
	SharedMiss       = "miss"       // none there, or too old by our own settings
	SharedUnreadable = "unreadable" // sealed with another key, altered, of another token or of the future
	SharedError      = "error"      // the store did not answer in time, or did not take an answer
)

// SharedResults lists them.
func SharedResults() []string {
	return []string{SharedHit, SharedMiss, SharedUnreadable, SharedError}
}

// Shared is where the gates of one installation tell each other what a server
// said. The store sees neither tokens nor answers: names are HMACs, and values
// are encrypted (AES-256-GCM) with a key for each name.
type Shared struct {
	store   Store
	keys    []sealer      // the first one seals, all open
	timeout time.Duration // for one look, or for leaving one answer
}

// sealer is what is derived from one secret.
type sealer struct{ names, values []byte }

const (
	sharedTime = 50 * time.Millisecond // by default
	minSecret  = 32                    // octets
	maxSecrets = 2
	sharedForm = 1       // of a value; its first octet, and under the seal
	stampSize  = 8 + 4   // when the server was asked, and the length of the answer
	padding    = 1 << 10 // values are of so many octets, or twice, or three times
)

var errSecrets = errors.New("want one secret of 32 octets or more, or two while they are changed")

// NewShared shares by store, which is waited for up to timeout; 0 is 50 ms. The
// first of the secrets, of 32 octets or more each, seals; all of them open.
func NewShared(store Store, secrets [][]byte, timeout time.Duration) (*Shared, error) {
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return nil, errSecrets
	}
	s := &Shared{store: store, timeout: cmp.Or(timeout, sharedTime)}
	for _, secret := range secrets {
		if len(secret) < minSecret {
			return nil, errSecrets
		}
		names, errN := hkdf.Key(sha256.New, secret, nil, "wicketgate introspection: names", sha256.Size)
		values, errV := hkdf.Key(sha256.New, secret, nil, "wicketgate introspection: values", sha256.Size)
		if err := errors.Join(errN, errV); err != nil {
			return nil, err
		}
		s.keys = append(s.keys, sealer{names, values})
	}
	return s, nil
}

func (s *Shared) equal(o *Shared) bool {
	if s == nil || o == nil {
		return s == o
	}
	if s.store != o.store || s.timeout != o.timeout || len(s.keys) != len(o.keys) {
		return false
	}
	for i, k := range s.keys {
		if !bytes.Equal(k.names, o.keys[i].names) {
			return false
		}
	}
	return true
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func (k sealer) name(key [32]byte) string {
	return "introspection:" + hex.EncodeToString(mac(k.names, key[:]))
}

// cipher is for the values of one name only: so few are ever sealed with one
// key that random nonces do not meet (NIST SP 800-38D section 8.3).
func (k sealer) cipher(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(mac(k.values, key[:]))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal hides what was said at began about the token behind key. beside is what
// the answer is bound to.
func (k sealer) seal(key [32]byte, beside []byte, began time.Time, text string) ([]byte, error) {
	box, err := k.cipher(key)
	if err != nil {
		return nil, err
	}
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, len(text)+stampSize+padding), uint64(began.UnixMilli()))
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(text)))
	plain = append(plain, text...)
	plain = append(plain, make([]byte, (padding-len(plain)%padding)%padding)...)
	return box.Seal([]byte{sharedForm}, nil, plain, bound(key, beside)), nil
}

// bound is what a value cannot be taken away from (the associated data).
func bound(key [32]byte, beside []byte) []byte {
	return append(append([]byte{sharedForm}, key[:]...), beside...)
}

var errSealed = errors.New("a shared answer does not open")

func (k sealer) open(key [32]byte, beside, value []byte) (text string, began time.Time, err error) {
	box, err := k.cipher(key)
	if err != nil {
		return "", began, err
	}
	if len(value) == 0 || value[0] != sharedForm || len(value) > maxBody+2*padding {
		return "", began, errSealed
	}
	plain, err := box.Open(nil, nil, value[1:], bound(key, beside))
	if err != nil || len(plain) < stampSize {
		return "", began, errSealed
	}
	length := int(binary.BigEndian.Uint32(plain[8:]))
	if length > len(plain)-stampSize {
		return "", began, errSealed
	}
	return string(plain[stampSize : stampSize+length]), time.UnixMilli(int64(binary.BigEndian.Uint64(plain))), nil
}

// find looks for what another gate was told.
func (s *Shared) find(ctx context.Context, key [32]byte, issuer string) (text string, began time.Time, result string) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for _, k := range s.keys {
		value, found, err := s.store.Get(ctx, k.name(key))
		switch {
		case err != nil:
			return "", began, SharedError
		case !found:
			continue
		}
		if text, began, err = k.open(key, []byte(issuer), value); err != nil || began.After(time.Now()) {
			return "", began, SharedUnreadable
		}
		return text, began, SharedHit
	}
	return "", began, SharedMiss
}

// leave tells the other gates what the server said, for as long as it serves.
func (s *Shared) leave(ctx context.Context, key [32]byte, issuer, text string, began, end time.Time) error {
	ttl := time.Until(end).Truncate(time.Millisecond)
	if ttl <= 0 {
		return nil
	}
	value, err := s.keys[0].seal(key, []byte(issuer), began, text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.store.Set(ctx, s.keys[0].name(key), value, ttl)
}

// recall is an answer of another gate, if there is one that would still serve
// had this gate asked: its age counts from when the server was asked.
func (c *Client) recall(s *server, key [32]byte) (told *reply) {
	if s.Shared == nil {
		return nil
	}
	text, began, result := s.Shared.find(c.root, key, s.Issuer)
	if result == SharedHit {
		told = &reply{began: began}
		told.answer, told.err = readMembers(text)
		_, refused := errors.AsType[*token.Error](told.err)
		switch {
		case told.err != nil && !refused:
			told, result = nil, SharedUnreadable
		case !time.Now().Before(told.end(s.Cache)):
			told, result = nil, SharedMiss
		}
	}
	c.shared(s.Name, result)
	return told
}

// pass leaves an answer for the other gates.
func (c *Client) pass(s *server, key [32]byte, told *reply) {
	if s.Shared == nil || told.answer == nil || told.answer.text == "" {
		return
	}
	if s.Shared.leave(c.root, key, s.Issuer, told.answer.text, told.began, told.end(s.Cache)) != nil {
		c.shared(s.Name, SharedError)
	}
}

func (c *Client) shared(issuer, result string) {
	if c.options.OnShared != nil {
		c.options.OnShared(issuer, result)
	}
}
