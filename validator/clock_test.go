package validator

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// JWT-21: a token is judged by what the clock says now, also when it says less
// than before, and whatever was said of the token then.
func TestConformanceClockSetBack(t *testing.T) {
	t.Run("JWT-21", func(t *testing.T) {
		for _, cacheSize := range []int{0, 100} {
			w := newWorld(t, Options{Leeway: 30 * time.Second}, cacheSize)
			began := time.Now()
			raw := w.mint(devissuer.Token{Claims: map[string]any{"iat": began.Unix(), "exp": began.Add(10 * time.Minute).Unix()}})
			for _, step := range []struct {
				at   time.Duration
				want token.Reason
			}{
				{0, ""}, {10*time.Minute + 31*time.Second, token.ReasonExpired}, {9 * time.Minute, ""}, {-time.Minute, token.ReasonIssuedAt},
				{time.Hour, token.ReasonExpired}, {-time.Hour, token.ReasonIssuedAt}, {time.Minute, ""},
			} {
				w.validator.now = func() time.Time { return began.Add(step.at) }
				if got := w.judge(raw); got != step.want {
					t.Errorf("cache of %d, %v: %q, want %q", cacheSize, step.at, got, step.want)
				}
			}
		}
	})
}
