package proxy

import "testing"

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
