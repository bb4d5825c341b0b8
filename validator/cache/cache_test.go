package cache

import (
	"encoding/binary"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func digest(kind byte, n int) (d [32]byte) {
	d[0] = kind
	binary.BigEndian.PutUint64(d[8:], uint64(n))
	return d
}

func newCache(size int) *Cache[int] { return New[int](size, time.Now) }

var (
	honest = Holder{"as", "honest"}
	stolen = Holder{"as", "stolen"}
)

// use looks a token up, and remembers it where it has to.
func use(c *Cache[int], kind byte, n int, of Holder) (hit bool) {
	value, hit := c.Get(digest(kind, n))
	if hit && value != n {
		panic("somebody else's token")
	}
	if !hit {
		c.Add(digest(kind, n), n, of, time.Time{})
	}
	return hit
}

// TestStolenClient: a client whose secret was stolen gets any number of good
// tokens. Whatever it does with them, the others' are remembered.
func TestStolenClient(t *testing.T) {
	const size, others = 4000, 2000
	for name, uses := range map[string]int{"each token once": 1, "each token twice": 2, "each token five times": 5} {
		t.Run(name, func(t *testing.T) {
			c := newCache(size)
			for range 2 {
				for n := range others {
					use(c, 'h', n, Holder{"as", string(rune('a' + n%20))})
				}
			}
			hits, looks := 0, 0
			for n := range 40 * size {
				for range uses {
					use(c, 's', n, stolen)
				}
				if n%4 == 0 { // the others are outnumbered four to one, or twenty to one
					i := n / 4 * 7919 % others
					if looks++; use(c, 'h', i, Holder{"as", string(rune('a' + i%20))}) {
						hits++
					}
				}
			}
			if ratio := float64(hits) / float64(looks); ratio < 0.9 {
				t.Errorf("%.1f %% of the others' requests found their token remembered", 100*ratio)
			}
			if c.Len() > size {
				t.Errorf("%d are remembered", c.Len())
			}
		})
	}
}

// Tokens that come up while somebody floods get their place too.
func TestNewcomers(t *testing.T) {
	const size = 4000
	c := newCache(size)
	for n := range 10 * size {
		use(c, 's', n, stolen)
	}
	for n := range size / 10 {
		use(c, 'h', n, honest)
		use(c, 's', 20*size+n, stolen)
		use(c, 'h', n, honest)
		use(c, 's', 30*size+n, stolen)
	}
	for n := range 10 * size {
		use(c, 's', 40*size+n, stolen)
		use(c, 's', 40*size+n, stolen)
	}
	kept := 0
	for n := range size / 10 {
		if _, found := c.Get(digest('h', n)); found {
			kept++
		}
	}
	if kept < size/10*9/10 {
		t.Errorf("%d of %d are remembered", kept, size/10)
	}
}

// A client that is alone, or nearly so, has all of the memory: a share is what is
// taken from others.
func TestOneClient(t *testing.T) {
	const size = 1000
	for name, rare := range map[string]int{"alone": 0, "with another that comes once in a while": 100} {
		t.Run(name, func(t *testing.T) {
			c := newCache(size)
			for n := range 20 * size { // each for a while, then never again
				for i := max(0, n-size/2); i <= n; i += size / 50 {
					use(c, 'h', i, honest)
				}
				if rare > 0 && n%rare == 0 {
					use(c, 'o', n, Holder{"as", "other"})
				}
			}
			hits := 0
			for n := 20*size - size/2; n < 20*size; n++ {
				if use(c, 'h', n, honest) {
					hits++
				}
			}
			if hits < size/2*9/10 || c.Len() < size*9/10 {
				t.Errorf("%d of %d found, %d of %d remembered", hits, size/2, c.Len(), size)
			}
		})
	}
}

func TestExpiredMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(8)
		for n := range 8 {
			c.Add(digest('o', n), n, Holder{"as", string(rune('a' + n))}, time.Now().Add(time.Minute))
		}
		for n := range 2 {
			c.Add(digest('h', n), n, honest, time.Time{})
			c.Get(digest('h', n))
		}
		time.Sleep(time.Hour)
		for n := range 8 {
			c.Add(digest('h', n), n, honest, time.Time{})
			c.Get(digest('h', n))
		}
		kept := 0
		for n := range 8 {
			if _, found := c.Get(digest('h', n)); found {
				kept++
			}
		}
		if kept < 6 {
			t.Errorf("%d are remembered beside what has expired", kept)
		}
	})
}

func TestSmallest(t *testing.T) {
	for size := 1; size < 10; size++ {
		c := newCache(size)
		for n := range 100 {
			c.Add(digest('h', n), n, honest, time.Time{})
			c.Add(digest('h', n), -1, honest, time.Time{}) // what was there stays
			if value, found := c.Get(digest('h', n)); !found || value != n {
				t.Fatalf("size %d: the last one is not remembered", size)
			}
			if c.Len() > size {
				t.Fatalf("size %d: %d are remembered", size, c.Len())
			}
		}
		for n := range 100 {
			c.Remove(digest('h', n))
		}
		if c.Len() != 0 || len(c.holders) != 0 {
			t.Errorf("size %d: %d remembered, %d holders left", size, c.Len(), len(c.holders))
		}
	}
}

func TestPurge(t *testing.T) {
	c := newCache(100)
	for n := range 1000 {
		use(c, 'h', n, honest)
		use(c, 's', n, stolen)
		use(c, 's', n, stolen)
	}
	c.Purge()
	if c.Len() != 0 || len(c.holders) != 0 {
		t.Errorf("%d remembered, %d holders", c.Len(), len(c.holders))
	}
	if use(c, 'h', 1, honest) || !use(c, 'h', 1, honest) {
		t.Error("it does not work any more")
	}
}

// A hit allocates nothing, and a place costs what it did in a plain list.
func TestCost(t *testing.T) {
	const size = 100_000
	before := live()
	c := newCache(size)
	for n := range 2 * size {
		use(c, 'h', n, honest)
	}
	each := (live() - before) / int64(c.Len())
	if each > 260 { // a plain list: 250 by the same measure
		t.Errorf("a place takes %d octets", each)
	}
	last := digest('h', size/2)
	c.Get(last)
	if n := testing.AllocsPerRun(100, func() { c.Get(last); c.Get(digest('x', 1)) }); n != 0 {
		t.Errorf("a look makes %v allocations", n)
	}
	runtime.KeepAlive(c)
}

func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkHit(b *testing.B) {
	c := newCache(100_000)
	for n := range 50_000 {
		use(c, 'h', n, honest)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n += 7919
		c.Get(digest('h', n%50_000))
	}
}
