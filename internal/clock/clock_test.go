package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := time.Duration(0)
		w := NewWatch(func() time.Time { return time.Now().Round(0).Add(set) })
		for _, step := range []struct{ by, want time.Duration }{
			{0, 0}, {Jump, 0}, {-Jump, 0}, {Jump + 1, Jump + 1}, {0, 0}, {-time.Hour, -time.Hour},
		} {
			time.Sleep(time.Minute)
			set += step.by
			if got := w.Look(); got != step.want {
				t.Errorf("set by %s: %s", step.by, got)
			}
		}
		ours := NewWatch(nil)
		time.Sleep(time.Hour)
		if got := ours.Look(); got != 0 {
			t.Errorf("nobody set this machine's clock, by %s", got)
		}
	})
}
