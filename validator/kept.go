package validator

import (
	"sync/atomic"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// kept is what the cache holds of a token. Most tokens that were seen once are seen
// no more, so what requests share is only made when there is a second one.
type kept struct {
	issuer *issuer
	key    *jwks.Key
	claims token.Packed
	shared atomic.Pointer[verified]
}

// keep is not ok for what cannot be made again.
func keep(t *verified) (k *kept, ok bool) {
	claims, ok := t.Claims.Packed()
	return &kept{issuer: t.issuer, key: t.key, claims: claims}, ok
}

// verified is what was kept. It is nil where it cannot be made again, and then the
// token is verified anew.
func (k *kept) verified() *verified {
	if seen := k.shared.Load(); seen != nil {
		return seen
	}
	claims, err := k.claims.Claims()
	if err != nil {
		return nil
	}
	seen, err := k.issuer.read(claims, k.key)
	if err != nil {
		return nil
	}
	k.shared.CompareAndSwap(nil, seen)
	return k.shared.Load()
}
