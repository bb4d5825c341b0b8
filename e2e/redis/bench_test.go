package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/redis"
)

// BenchmarkFirst measures one proof in Redis with several callers at once:
// besides time, CPU of this process and of Redis for each.
func BenchmarkFirst(b *testing.B) {
	s := startServer(b)
	c := open(b, redis.Options{Addresses: []string{s.address()}})
	var next atomic.Uint64
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			ours, theirs := cpu(b), s.cpu()
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						var key [32]byte
						binary.BigEndian.PutUint64(key[:], next.Add(1))
						if first, _, err := c.First(context.Background(), key, time.Minute); err != nil || !first {
							b.Errorf("%v, %v", first, err)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(cpu(b)-ours)/float64(b.N)/1e3, "cpu-us/op")
			b.ReportMetric(float64(s.cpu()-theirs)/float64(b.N)/1e3, "redis-cpu-us/op")
		})
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpu is what the server has used.
func (s *server) cpu() (total time.Duration) {
	s.t.Helper()
	for line := range strings.Lines(s.do("INFO", "cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			total += time.Duration(seconds * float64(time.Second))
		}
	}
	return total
}
