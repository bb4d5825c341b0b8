package fetch

import (
	"net/netip"
	"time"
)

// Refused reports whether a Client connects to no such address, whatever name
// it was found under.
func Refused(a netip.Addr) bool { return isForbidden(a) }

// Limits are those the Resource was made with.
func (r *Resource[T]) Limits() Limits { return r.limits }

// Plan says until when the value held is fresh, and when Run loads the next
// one. Both are zero before the first load.
func (r *Resource[T]) Plan() (fresh, due time.Time) {
	s := r.state.Load()
	return s.fresh, s.due
}
