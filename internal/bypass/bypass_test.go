package bypass

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFind(t *testing.T) {
	for location, want := range map[string]string{
		"http://127.0.0.1:3000":        "http://127.0.0.1:3000 127.0.0.1 3000",
		"http://127.0.0.1":             "http://127.0.0.1 127.0.0.1 80",
		"https://localhost/base":       "https://localhost localhost 443",
		"h2c://[::1]:50051":            "h2c://[::1]:50051 ::1 50051",
		"http://LocalHost.:3000":       "http://LocalHost.:3000 localhost 3000",
		"http://10.0.0.1:3000":         "",
		"http://app.default.svc":       "",
		"http://localhost.example:80":  "",
		"unix:///run/app.sock":         "",
		"http://[::ffff:127.0.0.1]:80": "http://[::ffff:127.0.0.1]:80 127.0.0.1 80",
	} {
		got := ""
		if u, found := Find(location); found {
			got = fmt.Sprint(u.Name, " ", u.at, " ", u.port)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", location, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.7":           "[10.0.0.7]",
		"10.0.0.7,fd00::7":   "[10.0.0.7 fd00::7]",
		" 10.0.0.7, fd00::7": "[10.0.0.7 fd00::7]",
		"::ffff:10.0.0.7":    "[10.0.0.7]",
		"$(POD_IPS)":         "[]",
		"0.0.0.0,::,x":       "[]",
		"":                   "[]",
	} {
		if got := fmt.Sprint(Parse(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func listen(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func upstream(t *testing.T, location string) Upstream {
	t.Helper()
	u, found := Find(location)
	if !found {
		t.Fatal(location)
	}
	return u
}

// TestLook takes 127.0.0.2 for the pod's address: it is another one of this
// machine, and a program on 127.0.0.1 does not answer there.
func TestLook(t *testing.T) {
	pod := netip.MustParseAddr("127.0.0.2")
	hidden, open := listen(t, "127.0.0.1:0"), listen(t, "0.0.0.0:0")
	for _, c := range []struct {
		what, port string
		addresses  []netip.Addr
		own        []string
		want       string
	}{
		{"on loopback only", hidden, []netip.Addr{pod}, nil, "invalid AddrPort"},
		{"on all addresses", open, []netip.Addr{pod}, nil, "127.0.0.2:" + open},
		{"the second address", open, []netip.Addr{loopback4, pod}, nil, "127.0.0.2:" + open},
		{"only its own address", open, []netip.Addr{loopback4}, nil, "invalid AddrPort"},
		{"the gate itself answers", open, []netip.Addr{pod}, []string{":8421", "127.0.0.2:" + open}, "invalid AddrPort"},
		{"the gate answers at every address", open, []netip.Addr{pod}, []string{":" + open}, "invalid AddrPort"},
		{"the gate answers at every address of a family", open, []netip.Addr{pod}, []string{"0.0.0.0:" + open}, "invalid AddrPort"},
		{"the gate answers in the other family only", open, []netip.Addr{pod}, []string{"[::1]:" + open}, "127.0.0.2:" + open},
		{"the gate answers elsewhere", open, []netip.Addr{pod}, []string{"127.0.0.3:" + open, ":8420", "x"}, "127.0.0.2:" + open},
	} {
		u := upstream(t, "http://127.0.0.1:"+c.port)
		got := Look(t.Context(), Targets{Upstreams: []Upstream{u}, Addresses: c.addresses, Own: c.own})
		if len(got) != 1 || got[0].Upstream != u.Name || got[0].Address.String() != c.want || got[0].Open() != (c.want != "invalid AddrPort") {
			t.Errorf("%s: %v, want %s", c.what, got, c.want)
		}
	}
	if got := Look(t.Context(), Targets{Addresses: []netip.Addr{pod}}); len(got) != 0 {
		t.Errorf("without upstreams: %v", got)
	}
}

// TestOtherFamily: a listener at 0.0.0.0 has no IPv6, so that an answer there is
// the upstream's.
func TestOtherFamily(t *testing.T) {
	four, six := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")
	for _, c := range []struct {
		listen string
		at     netip.Addr
		want   bool
	}{
		{"0.0.0.0:3000", four, true}, {"0.0.0.0:3000", six, false}, {"[::]:3000", six, true}, {"[::]:3000", four, true}, {":3000", six, true},
	} {
		if got := (Targets{Own: []string{c.listen}}).own(netip.AddrPortFrom(c.at, 3000)); got != c.want {
			t.Errorf("%s is taken for the gate's own at %s: %v", c.listen, c.at, got)
		}
	}
}

// TestInterfaces: of this machine, the addresses others may use.
func TestInterfaces(t *testing.T) {
	for _, addr := range interfaces() {
		if addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("%s is tried", addr)
		}
	}
}

// told is what a watch reported.
type told struct {
	mu   sync.Mutex
	list []string
}

func (l *told) add(f Finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprint(f.Upstream, " ", f.Open()))
}

func (l *told) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.list, "; ")
	l.list = nil
	return text
}

// TestSchedule: at once, soon again, then every five minutes, and at once when
// there is something else to look at. Nothing is dialled: the only address is
// the upstream's own.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reports := &told{}
		w := &Watch{Report: reports.add}
		targets := func(location string) Targets {
			return Targets{Upstreams: []Upstream{upstream(t, location)}, Addresses: []netip.Addr{loopback4}}
		}
		w.Use(targets("http://127.0.0.1:1"))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		defer running.Wait()
		defer cancel()
		want := func(what, text string) {
			t.Helper()
			synctest.Wait()
			if got := reports.take(); got != text {
				t.Errorf("%s: %q, want %q", what, got, text)
			}
		}
		one, two := "http://127.0.0.1:1 false", "http://127.0.0.1:2 false"
		want("at the start", one)
		for _, pause := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, longestPause, longestPause} {
			time.Sleep(pause - time.Millisecond)
			want("before "+pause.String(), "")
			time.Sleep(time.Millisecond)
			want("after "+pause.String(), one)
		}
		w.Use(targets("http://127.0.0.1:2"))
		want("after a reload", two)
		time.Sleep(firstPause)
		want("soon after a reload", two)
		w.Use(Targets{})
		want("with nothing to look at", "")
		time.Sleep(time.Hour)
		want("ever", "")
	})
}

// TestOutdated: nothing is told of what is not looked at any more.
func TestOutdated(t *testing.T) {
	reports := &told{}
	w := &Watch{Report: reports.add}
	_, changed := w.current()
	w.Use(Targets{})
	w.report(t.Context(), []Finding{{Upstream: "gone"}}, changed)
	_, changed = w.current()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w.report(ended, []Finding{{Upstream: "unknown"}}, changed)
	if got := reports.take(); got != "" {
		t.Errorf("reported: %s", got)
	}
	if w.report(t.Context(), []Finding{{Upstream: "here"}}, changed); reports.take() != "here false" {
		t.Error("what is looked at is not reported")
	}
}
