package main

import (
	"crypto/rand"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGarbageFlood sends 10,000 tokens with random kids within a minute and a
// half, at one issuer and at four: each issuer is asked at most once in ten
// seconds, good tokens pass all along, and nothing is kept of the garbage.
func TestGarbageFlood(t *testing.T) {
	for name, n := range map[string]int{"one issuer": 1, "four issuers": 4} {
		t.Run(name, func(t *testing.T) {
			issuers, upstream := faultIssuers(t, n), faultUpstream(t)
			synctest.Test(t, func(t *testing.T) {
				l := newFaultLab(t, issuers, upstream, "", "")
				time.Sleep(time.Second)
				var good []string
				asked := make([]int, n)
				for i := range issuers {
					good = append(good, l.good(i))
					l.send(good[i], mustPass)
					asked[i] = l.fetches(i)
				}
				heap, series, began := liveHeap(), strings.Count(l.page("/metrics"), "\n"), time.Now()
				for sent := range 10_000 {
					l.send(l.stray(sent%n, rand.Text()), mustRefuse)
					if sent%50 == 0 {
						l.send(good[sent/50%n], mustPass)
						l.send(l.good(sent/50%n), mustPass) // not seen before
					}
					time.Sleep(9 * time.Millisecond)
				}
				budget := 1 + int(time.Since(began)/(10*time.Second))
				for i := range issuers {
					if got := l.fetches(i) - asked[i]; got < 1 || got > budget {
						t.Errorf("issuer %d: %d fetches, %d are allowed", i, got, budget)
					}
				}
				if now := strings.Count(l.page("/metrics"), "\n"); now > series+20 {
					t.Errorf("%d lines of metrics became %d", series, now)
				}
				if got := l.count("wicketgate_token_cache_entries"); got > 250 {
					t.Errorf("%v tokens remembered", got)
				}
				if grown := liveHeap() - heap; grown > 8<<20 {
					t.Errorf("%d octets more are in use", grown)
				}
				l.oracle.clean(t)
			})
		})
	}
}

// liveHeap is what is in use once everything else was thrown away.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
