package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := time.Duration(0)
		read := Now()
		w := NewWatch(func() (time.Time, time.Duration) { wall, mono := read(); return wall.Add(set), mono })
		for _, step := range []struct{ by, want time.Duration }{
			{0, 0}, {Jump, Jump}, {-Jump, -Jump}, {Jump + 1, Jump + 1}, {0, 0}, {-time.Hour, -time.Hour},
		} {
			time.Sleep(time.Minute)
			set += step.by
			if got := w.Look(); got != step.want {
				t.Errorf("set by %s: %s", step.by, got)
			}
		}
		ours := NewWatch(Now())
		time.Sleep(time.Hour)
		if got := ours.Look(); got != 0 {
			t.Errorf("nobody set this machine's clock, by %s", got)
		}
	})
}
