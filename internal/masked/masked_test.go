package masked

import (
	"net/http"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	long := strings.Repeat("aB3-", 16)
	header := http.Header{"Authorization": {"Bearer  presented ", "Bearer other=a/b+c", "Bearer x", "Bearer"}, "Dpop": {"e30.proof.of-it"}}
	for target, want := range map[string]struct {
		path  string
		whole bool
	}{
		"/a/b":                       {"/a/b", true},
		"/a/b?c=d":                   {"/a/b", true},
		"/a;b=c/d":                   {"/a", false},
		"/a%3Bb":                     {"/a", false},
		"/a%3fb":                     {"/a", false},
		"/a%23b":                     {"/a", false},
		"/a#b":                       {"/a", false},
		"/a%":                        {"/a%", true},
		"/a://b":                     {"/a://b", true},
		"*":                          {"*", true},
		"":                           {"", true},
		"/x":                         {"/x", true},
		"/a/" + jwt + "/b":           {"/a/{masked}/b", false},
		"/a/x." + jwt:                {"/a/{masked}", false},
		"/a/%65" + jwt[1:]:           {"/a/{masked}", false},
		"/eyJ":                       {"/eyJ", true},
		"/a/" + long:                 {"/a/" + long, true},
		"/a/" + long + "x":           {"/a/{masked}", false},
		"/a/" + long + "%78":         {"/a/{masked}", false},
		"/a/presented/b/presentedly": {"/a/{masked}/b/{masked}", false},
		"/a/pre%73ented/%zz":         {"/a/{masked}/%zz", false},
		"/a/other%3Da%2Fb%2bc":       {"/a/{masked}", false},
		"/a/other=a/b+c/d":           {"/{masked}", false},
		"/a/other%3Da/b%2bc/d":       {"/{masked}", false},
		"/a/e30.proof.of-it":         {"/a/{masked}", false},
		"/%C3%A9t%C3%A9":             {"/%C3%A9t%C3%A9", true},
		"/o/123e4567-e89b-12d3-a456-426614174000": {"/o/123e4567-e89b-12d3-a456-426614174000", true},
	} {
		if path, whole := Path(target, header); path != want.path || whole != want.whole {
			t.Errorf("%s: %s %v, want %s %v", target, path, whole, want.path, want.whole)
		}
	}
}
