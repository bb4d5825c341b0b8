package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// schedule is what happens to issuers and configuration meanwhile. The run is cut
// into as many slots as there are rotations.
type schedule struct {
	stage *stage
	load  *load
	slot  time.Duration
	slots int
}

const (
	fewestSlots, mostSlots = 5, 20
	shortestSlot           = 12 * time.Second // so that each issuer has time to settle between its rotations
	longestOutage          = 30 * time.Second // so that a long run is not mostly outages
)

func newSchedule(s *stage, l *load, o options) *schedule {
	n := min(max(int(o.duration/shortestSlot), fewestSlots), mostSlots)
	if o.duration < fewestSlots*shortestSlot {
		n = max(int(o.duration/shortestSlot), 1)
	}
	return &schedule{stage: s, load: l, slot: o.duration / time.Duration(n), slots: n}
}

// step is one thing that happens, at a part of its slot.
type step struct {
	at float64
	do func() error
}

func (s *schedule) run(ctx context.Context) {
	began := time.Now()
	side := start(ctx, s.turnover)
	defer side.Wait()
	for n := range s.slots {
		for _, st := range s.steps(n) {
			at := began.Add(time.Duration((float64(n) + st.at) * float64(s.slot)))
			if !s.pause(ctx, time.Until(at)) {
				s.mend()
				return
			}
			s.load.fault(st.do())
		}
	}
	s.pause(ctx, s.slot)
	s.mend()
}

func (*schedule) pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// mend ends an outage that the end of the run met.
func (s *schedule) mend() {
	for _, is := range s.stage.issuers {
		is.mu.Lock()
		how := is.mode
		is.mu.Unlock()
		if how != up {
			s.load.fault(is.recover())
		}
	}
}

// turnover keeps the pools young and opaque tokens coming and going.
func (s *schedule) turnover(ctx context.Context) {
	group := start(ctx, func(ctx context.Context) { s.load.fault(s.stage.opaque.turnover(ctx.Done())) })
	defer group.Wait()
	for s.pause(ctx, 4*time.Minute) {
		for _, is := range s.stage.issuers {
			s.load.fault(s.load.mix.wallet.refill(is))
		}
	}
}

// steps are those of a slot. In turn, an issuer rotates its key while it is away,
// or it rotates with or without a time of overlap and another one is away. What
// fails with keys in its answer does so while it rotates: then it is asked.
func (s *schedule) steps(n int) []step {
	is := s.stage.issuers[n%len(s.stage.issuers)]
	how := [...]mode{closed, failing, garbage, hanging}[n%4]
	away := min(0.35, longestOutage.Seconds()/s.slot.Seconds())
	var old *key
	if n%2 == 1 {
		return []step{
			{0.10, s.touch(n)},
			{0.15, func() error { is.fail(how); return nil }},
			{0.15 + away/2, func() error { return s.rotate(is, true, &old) }},
			{0.15 + away*3/4, s.signal},
			{0.15 + away, is.recover},
			{0.60, s.spoil},
			{0.60 + 7/s.slot.Seconds()*0.5, s.restore},
			{0.95, s.signal},
		}
	}
	other := s.stage.issuers[(n+2)%len(s.stage.issuers)]
	overlap := n%4 == 2
	return []step{
		{0.05, s.signal},
		{0.15, func() error { return s.rotate(is, !overlap, &old) }},
		{0.35, s.touch(n)},
		{0.40, func() error {
			if overlap {
				is.withdraw(old)
			}
			return nil
		}},
		{0.55, func() error { other.fail(how); return nil }},
		{0.55 + away, other.recover},
	}
}

func (s *schedule) rotate(is *issuer, cut bool, old **key) (err error) {
	if *old, err = is.rotate(cut); err != nil {
		return err
	}
	return s.load.mix.wallet.refill(is)
}

// signal makes the gate read its configuration again, at once.
func (s *schedule) signal() error {
	s.stage.gate.reload()
	s.load.asked(&s.load.reloads)
	return nil
}

// touch changes the file in a way that changes nothing; the gate finds it by
// itself.
func (s *schedule) touch(n int) func() error {
	return func() error {
		return s.stage.gate.write(s.stage.gate.text + fmt.Sprintf("# slot %d\n", n))
	}
}

// spoil writes a configuration that the gate must not take, and makes it look.
func (s *schedule) spoil() error {
	text := strings.Replace(s.stage.gate.text, "scopes: [read]", "scopes: [read], publik: true", 1)
	if err := s.stage.gate.write(text); err != nil {
		return err
	}
	s.stage.gate.reload()
	s.load.asked(&s.load.spoilt)
	return nil
}

func (s *schedule) restore() error { return s.stage.gate.write(s.stage.gate.text) }
