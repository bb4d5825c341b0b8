package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at is a moment of these tests, in seconds.
func at(seconds float64) time.Time {
	return time.Unix(1800000000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func set(ids ...string) []byte {
	var keys []string
	for _, id := range ids {
		keys = append(keys, fmt.Sprintf(`{"kid":%q}`, id))
	}
	return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)
}

// story is a rotation with an instant cut at 100: the gate asks at 101, and is
// known to have the new set from 102 on.
type story struct {
	timeline
	old, new *key
}

func newStory(asks bool) *story {
	s := &story{timeline{fresh: time.Minute}, &key{id: "old"}, &key{id: "new"}}
	s.timeline.asked(at(0), true)
	s.timeline.served(at(0), set("old"))
	s.cutting(s.old, at(99.9))
	s.timeline.cut(s.old, at(100))
	if asks {
		s.timeline.asked(at(101), true)
		s.timeline.served(at(101), set("new"))
		s.accepted(s.new, at(102))
	}
	return s
}

func TestRotation(t *testing.T) {
	for _, test := range []struct {
		name           string
		asks           bool
		key            string
		issued         float64
		sent, received float64
		want           finding
	}{
		{"the old key before the cut", true, "old", 90, 95, 96, finding{held: true}},
		{"the old key while the gate cannot know", true, "old", 90, 100.2, 100.9, finding{held: true}},
		{"the old key while the gate asks", true, "old", 90, 100.2, 101.5, finding{held: true, refused: true}},
		{"the old key until the new one is seen", true, "old", 90, 101.9, 102.5, finding{held: true, refused: true}},
		{"the old key once the new one was seen", true, "old", 90, 102.1, 102.2, finding{refused: true}},
		{"a token minted with the old key after it was withdrawn", true, "old", 103, 103.1, 103.2, finding{refused: true, busy: true}},
		{"such a token when the gate may ask again", true, "old", 115, 115.1, 115.2, finding{refused: true}},
		{"the new key before the gate has it", true, "new", 100, 100.3, 101.2, finding{held: true}},
		{"the new key once the gate has it", true, "new", 100, 102.3, 102.4, finding{held: true}},
		{"a kid nobody published, older than the set", true, "", 50, 103, 104, finding{refused: true}},
		{"a kid nobody published, while the gate may not ask", true, "", 103, 103, 104, finding{refused: true, busy: true}},
		{"the old key when its set ran out", false, "old", 90, 164, 164.1, finding{held: true}},
		{"the old key when the fetch after that must have ended", false, "old", 90, 165.1, 165.2, finding{refused: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStory(test.asks)
			k := map[string]*key{"old": s.old, "new": s.new}[test.key]
			if got := s.find(k, at(test.issued), at(test.sent), at(test.received)); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	s := newStory(false)
	s.down(at(95))
	if got, want := s.find(s.new, at(100), at(101), at(102)), (finding{held: true, busy: true, away: true}); got != want {
		t.Errorf("the new key while the issuer is away: %+v, want %+v", got, want)
	}
	if got, want := s.find(s.old, at(90), at(300), at(301)), (finding{held: true}); got != want {
		t.Errorf("the old key while the issuer is away: %+v, want %+v", got, want)
	}
	s.up(at(310))
	if got := s.find(s.new, at(100), at(319.9), at(320)); !got.busy {
		t.Errorf("the new key before the gate may ask again: %+v", got)
	}
	if got := s.find(s.new, at(100), at(320.1), at(321)); got.busy || got.refused {
		t.Errorf("the new key when the gate may ask again: %+v", got)
	}
	if got := s.find(s.old, at(90), at(351.1), at(351.2)); got.held {
		t.Errorf("the old key long after the issuer is back: %+v", got)
	}
}

func TestRefusalShowsTheNewSet(t *testing.T) {
	s := newStory(true)
	s.states[1].settled = at(106) // nobody has seen the new key
	if got := s.find(s.old, at(90), at(103), at(103.1)); !got.held {
		t.Fatalf("before: %+v", got)
	}
	s.refused(s.old, at(102), at(102.5))
	if got := s.find(s.old, at(90), at(103), at(103.1)); got.held || !got.refused {
		t.Errorf("accepted again after it was refused: %+v", got)
	}
}

func TestRevoked(t *testing.T) {
	o := &opaques{issuer: &issuer{}}
	token := &opaque{expires: at(1000), revoking: at(99.9), revoked: at(100)}
	for _, test := range []struct {
		sent, received float64
		want           finding
	}{
		{98, 99, finding{held: true}},
		{98, 100, finding{held: true, refused: true}},
		{104.9, 105, finding{held: true, refused: true}},
		{105, 105.1, finding{refused: true}},
	} {
		if got := o.find(token, at(test.sent), at(test.received)); got != test.want {
			t.Errorf("%v to %v: %+v, want %+v", test.sent, test.received, got, test.want)
		}
	}
	token.revoking, token.revoked = time.Time{}, time.Time{}
	if got, want := o.find(token, at(1002), at(1003)), (finding{refused: true}); got != want {
		t.Errorf("after its end: %+v, want %+v", got, want)
	}
}
