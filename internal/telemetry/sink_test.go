package telemetry

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSinkWritesAll(t *testing.T) {
	out := &output{}
	s := NewSink(out)
	var want strings.Builder
	for range 1000 {
		want.WriteString("a line\n")
		_, _ = s.Write([]byte("a line\n"))
	}
	s.Close(time.Minute)
	if out.String() != want.String() || s.Lost() != 0 {
		t.Errorf("%d octets written, %d lines lost", len(out.String()), s.Lost())
	}
	if _, err := s.Write([]byte("too late\n")); err != nil || s.Lost() != 1 {
		t.Errorf("after the end: %v, %d lost", err, s.Lost())
	}
}

// A reader that does not read holds nobody up, and neither does the end.
func TestSinkNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewSink(w)
		line := []byte(strings.Repeat("a", 1023) + "\n")
		began := time.Now()
		for range 1000 {
			_, _ = s.Write(line)
			synctest.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("writing took %v", took)
		}
		const room = sinkRoom/1024 + 1 // and the line that is on its way
		if s.Lost() != 1000-room {
			t.Errorf("%d lines are lost, want %d", s.Lost(), 1000-room)
		}
		s.Close(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the end took %v", took)
		}
		_ = r.Close()
	})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestSinkFullDisk(t *testing.T) {
	s := NewSink(fullDisk{})
	for range 10 {
		_, _ = s.Write([]byte("a line\n"))
	}
	s.Close(time.Minute)
	if s.Lost() != 10 {
		t.Errorf("%d lines are lost, want 10", s.Lost())
	}
}
