package dpop

import "testing"

func TestOriginHasAPortOfDigits(t *testing.T) {
	for _, uri := range []string{
		"https://rs.example.com:8a", "https://rs.example.com:-1", "https://rs.example.com:+443", "https://rs.example.com: 443",
		"https://rs.example.com:443:443", "https://rs.example.com:x/", "https://[::1]:4x",
	} {
		if origin, err := Origin(uri); err == nil {
			t.Errorf("%s has origin %s", uri, origin)
		}
	}
}

// RFC 3986 has no place for them in a path, escaped or not at all.
func TestPathHoldsNoForbiddenOctets(t *testing.T) {
	for _, c := range []string{"<", ">", `"`, `\`, " ", "\x00", "\x1f", "\x7f", "\x80", "ä"} {
		for _, path := range []string{"/" + c, "/a" + c + "b", "/a/" + c, "/%41/" + c} {
			if normal, ok := normalPath(path); ok {
				t.Errorf("%q is taken as %q", path, normal)
			}
		}
	}
}
