package budget

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// ErrBusy says that no place became free in time.
var ErrBusy = errors.New("too many signatures are being checked")

// A Gate lets so many in at once. Those beyond wait in the order they came. A
// nil Gate lets everybody in. It is safe for concurrent use.
type Gate struct {
	places chan struct{}
	wait   time.Duration
}

// NewGate makes a Gate with so many places, which may be waited for this long.
// 0 places are half of the processors the program may use, at least one.
func NewGate(places int, wait time.Duration) *Gate {
	if places <= 0 {
		places = max(1, runtime.GOMAXPROCS(0)/2)
	}
	return &Gate{make(chan struct{}, places), wait}
}

// Enter takes a place, which Leave gives back. waited tells whether there was
// none at first. The error is ErrBusy, or that of ctx.
func (g *Gate) Enter(ctx context.Context) (waited bool, err error) {
	if g == nil {
		return false, nil
	}
	select {
	case g.places <- struct{}{}:
		return false, nil
	default:
	}
	patience := time.NewTimer(g.wait)
	defer patience.Stop()
	select {
	case g.places <- struct{}{}:
		return true, nil
	case <-patience.C:
		return true, ErrBusy
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// Leave gives a place back.
func (g *Gate) Leave() {
	if g != nil {
		<-g.places
	}
}
