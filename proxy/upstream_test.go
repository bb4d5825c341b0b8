package proxy

import (
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/proxy/places"
)

func TestWhereUpstreamsAreDialled(t *testing.T) {
	for host, want := range map[string]string{
		"app":            "app:80",
		"app:":           "app:80",
		"app:8080":       "app:8080",
		"127.0.0.1":      "127.0.0.1:80",
		"[::1]":          "[::1]:80",
		"[::1]:":         "[::1]:80",
		"[::1]:8080":     "[::1]:8080",
		"[fe80::1%eth0]": "[fe80::1%eth0]:80",
	} {
		if got := withPort(host); got != want {
			t.Errorf("%s is dialled at %s, want %s", host, got, want)
		}
	}
}

// Only net/http writes the name of such a host as the resolver has it.
func TestHostsBeyondASCII(t *testing.T) {
	for location, own := range map[string]bool{"http://app.example.com": true, "http://bücher.example.com:8080": false} {
		up, err := NewUpstreams().Open(location, DefaultTimeouts)
		if err != nil {
			t.Fatal(err)
		}
		if up.connections.key.own != own {
			t.Errorf("%s: own transport %t, want %t", location, !own, own)
		}
	}
}

// Two spellings of one upstream share its connections, its places and its name.
func TestSpellingsOfUpstreams(t *testing.T) {
	for _, row := range [][]string{
		{"http://app.example.com", "http://APP.example.com:80/", "HTTP://app.example.com:/base"},
		{"https://app.example.com", "https://App.Example.Com:443"},
		{"h2c://app", "h2c://APP:80"},
		{"http://[2001:db8::1]:8080", "http://[2001:DB8:0:0::1]:8080"},
		{"http://[fe80::1%25Eth0]", "http://[FE80::1%25Eth0]:80"},
		{"http://app:443"}, {"https://app:80"}, {"http://app"}, {"https://app"}, {"http://app."}, {"http://127.0.0.1:80"}, {"http://b\u00dccher.example.com"}, {"unix:///run/App.sock"},
	} {
		for _, own := range []bool{true, false} {
			all := NewUpstreams()
			all.Bound(places.Bounds{Most: 1})
			var opened []*Upstream
			for _, location := range row {
				open := all.OpenStd
				if own {
					open = all.Open
				}
				up, err := open(location, DefaultTimeouts)
				if err != nil {
					t.Fatal(err)
				}
				opened = append(opened, up)
			}
			for i, up := range opened {
				if first := opened[0]; up.connections != first.connections || up.connections.places != first.connections.places || up.Name != first.Name || up.host != first.host {
					t.Errorf("%s is %+v, and %s is %+v", row[0], first, row[i], up)
				}
			}
			if len(all.places) != 1 || len(all.open) != 1 {
				t.Errorf("%q: %d places, %d transports", row, len(all.places), len(all.open))
			}
			all.Close()
		}
	}
	all := NewUpstreams()
	var names []string
	for _, location := range []string{"http://app", "https://app", "h2c://app", "http://app:443", "http://app:8080", "http://app.", "http://[::1]", "http://127.0.0.1"} {
		up, err := all.Open(location, DefaultTimeouts)
		if err != nil || up.Name != location || slices.Contains(names, up.Name) {
			t.Errorf("%s: %+v, %v", location, up, err)
		}
		names = append(names, location)
	}
	if len(all.places) != len(names) {
		t.Errorf("%d places for %d upstreams", len(all.places), len(names))
	}
}
