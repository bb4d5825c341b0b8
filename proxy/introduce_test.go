package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
)

// A token for one resource must not reach another by the host that a proxy let
// through as the client wrote it.
func TestHostOfAnotherResourceIsNotPassedOn(t *testing.T) {
	shop, billing := &Gate{Name: "shop"}, &Gate{Name: "billing"}
	table := &Table{
		Trusted: forwarded.Rules{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Sites: map[string]*Site{
			":1": {Hosts: map[string]*Gate{"shop.example": shop, "billing.example": billing}},
			":2": {Hosts: map[string]*Gate{"both.example": shop}},
			":3": {Hosts: map[string]*Gate{"both.example": billing}},
		},
	}
	for _, row := range []struct{ said, want string }{
		{"shop.example", "shop.example"},
		{"Shop.Example:443", "Shop.Example:443"},
		{"www.example", "www.example"},
		{"both.example", "both.example"},
		{"billing.example", ""},
		{"BILLING.example.:443", ""},
		{"billing.example/", ""},
	} {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-Host": {row.said}}}
		ex := &exchange{table: table, gate: shop}
		if got := ex.way(r).Host; got != row.want {
			t.Errorf("%s: passed on as %q, want %q", row.said, got, row.want)
		}
	}
}
