package replay

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func first(t *testing.T, m *Memory, owner, id string, ttl time.Duration) bool {
	t.Helper()
	ok, err := m.First(context.Background(), owner, id, time.Time{}, ttl)
	if err != nil {
		t.Fatalf("First(%s, %s): %v", owner, id, err)
	}
	return ok
}

func TestFirstUseOnly(t *testing.T) {
	m := NewMemory(100)
	if !first(t, m, "key", "a", time.Minute) || first(t, m, "key", "a", time.Minute) {
		t.Error("an identifier passes once")
	}
	if !first(t, m, "other", "a", time.Minute) {
		t.Error("another owner's identifier is another identifier")
	}
	if !first(t, m, "ke", "ya", time.Minute) {
		t.Error("fields run together")
	}
}

func TestRememberedUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		time.Sleep(700 * time.Millisecond)
		first(t, m, "key", "a", time.Minute)
		time.Sleep(59999 * time.Millisecond)
		if first(t, m, "key", "a", time.Minute) {
			t.Fatal("forgotten before its end")
		}
		time.Sleep(2 * time.Second)
		if !first(t, m, "key", "a", time.Minute) {
			t.Fatal("still remembered two seconds after its end")
		}
		if m.Len() != 1 {
			t.Errorf("Len() = %d, want 1: the old entry must be gone", m.Len())
		}
	})
}

func TestConcurrentCopies(t *testing.T) {
	m := NewMemory(1000)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if ok, _ := m.First(context.Background(), "key", "a", time.Time{}, time.Minute); ok {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d of 100 copies passed, want 1", passed.Load())
	}
}

func TestFullStoreForgetsNothing(t *testing.T) {
	m := NewMemory(8)
	for i := range 8 {
		first(t, m, "key"+strconv.Itoa(i), "a", time.Minute)
	}
	if _, err := m.First(context.Background(), "late", "a", time.Time{}, time.Minute); !errors.Is(err, ErrFull) {
		t.Errorf("ninth of eight: %v, want ErrFull", err)
	}
	for i := range 8 {
		if first(t, m, "key"+strconv.Itoa(i), "a", time.Minute) {
			t.Errorf("entry %d was forgotten to make room", i)
		}
	}
}

func TestOwnerFillsAQuarter(t *testing.T) {
	m := NewMemory(40)
	for i := range 10 {
		first(t, m, "busy", strconv.Itoa(i), time.Minute)
	}
	if _, err := m.First(context.Background(), "busy", "more", time.Time{}, time.Minute); !errors.Is(err, ErrQuota) {
		t.Errorf("eleventh of ten: %v, want ErrQuota", err)
	}
	if !first(t, m, "quiet", "a", time.Minute) {
		t.Error("another owner is shut out")
	}
}

func TestExpiredEntriesOfQuietOwnersMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(64)
		for i := range 64 {
			first(t, m, "key"+strconv.Itoa(i), "a", time.Minute)
		}
		time.Sleep(2 * time.Minute)
		if !first(t, m, "late", "a", time.Minute) {
			t.Error("refused although all else has expired")
		}
	})
}

func BenchmarkFirst(b *testing.B) {
	m := NewMemory(1 << 30)
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = m.First(context.Background(), ids[i>>16&0xffff], ids[i&0xffff], time.Time{}, time.Minute)
	}
}
