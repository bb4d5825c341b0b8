package policy

import (
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

func TestScopeHierarchy(t *testing.T) {
	implies := map[string][]string{
		"admin": {"write", "audit"}, "write": {"read"}, "root": {"admin"}, // a chain
		"x": {"y"}, "y": {"z"}, "z": {"x"}, // a circle
		"self": {"self"}, "read": {"nobody-asks"},
	}
	for _, row := range []struct {
		all, any, have string
		need           string // "" allows
	}{
		{"read", "", "read", ""},
		{"read", "", "write", ""},
		{"read", "", "admin", ""},
		{"read", "", "root", ""},
		{"read", "", "audit", "read"},
		{"write", "", "read", "write"},
		{"admin", "", "write audit", "admin"},
		{"read audit", "", "admin", ""},
		{"read audit", "", "write", "read audit"},
		{"read audit", "", "write audit", ""},
		{"x", "", "y", ""},
		{"x", "", "z", ""},
		{"y", "", "x", ""},
		{"z", "", "y", ""},
		{"x", "", "self", "x"},
		{"self", "", "self", ""},
		{"self", "", "x", "self"},
		{"other", "", "root x self", "other"},
		{"", "read x", "root", ""},
		{"", "read x", "z", ""},
		{"", "read x", "audit", "read"},
		{"audit", "read x", "write", "audit read"},
		{"read", "", "Write", "read"},
		{"read", "", "", "read"},
	} {
		r := routeOf(t, Options{All: token.ParseScopes(row.all), Any: token.ParseScopes(row.any)}, Resource{Implies: implies})
		want := ""
		if row.need != "" {
			want = "insufficient_scope scope scope=" + row.need
		}
		wantAnswer(t, r, `"scope":"`+row.have+`"`, want)
	}
}
