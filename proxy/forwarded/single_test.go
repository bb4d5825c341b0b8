package forwarded

import (
	"net/netip"
	"testing"
)

func TestSingle(t *testing.T) {
	inside := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		client   string
		trusted  []netip.Prefix
		pays     string
		whatIsIt string
	}{
		{"203.0.113.1", nil, "203.0.113.1", "somebody on the network"},
		{"203.0.113.1", inside, "203.0.113.1", "somebody told by a proxy"},
		{"::ffff:203.0.113.1", nil, "203.0.113.1", "the same in another spelling"},
		{"2001:db8::1", nil, "2001:db8::1", "IPv6"},
		{"192.168.1.1", inside, "192.168.1.1", "a neighbour, where proxies are named"},
		{"fe80::1%eth0", inside, "fe80::1", "a neighbour on the link"},
		{"192.168.1.1", nil, "", "a neighbour, who may be a proxy"},
		{"172.16.0.1", nil, "", "the same"},
		{"fd00::1", nil, "", "the same"},
		{"100.64.0.1", nil, "", "the same"},
		{"fe80::1%eth0", nil, "", "the same"},
		{"10.0.0.1", inside, "", "a proxy that tells of nobody"},
		{"::ffff:10.0.0.1", inside, "", "the same"},
		{"127.0.0.1", nil, "", "this host"},
		{"127.0.0.6", inside, "", "this host"},
		{"::1", inside, "", "this host"},
		{"0.0.0.0", nil, "", "nobody"},
		{"", nil, "", "nobody"},
	} {
		rules := Rules{Trusted: c.trusted}
		var client, want netip.Addr
		if c.client != "" {
			client = netip.MustParseAddr(c.client)
		}
		if c.pays != "" {
			want = netip.MustParseAddr(c.pays)
		}
		if got := rules.Single(client); got != want {
			t.Errorf("%s, %s: %v pays, want %v", c.client, c.whatIsIt, got, want)
		}
	}
}
