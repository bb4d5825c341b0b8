package token

import (
	"fmt"
	"reflect"
	"testing"
)

// A header that is known is read as one that is not.
func TestHead(t *testing.T) {
	headers := []string{
		`{"alg":"ES256","kid":"k","typ":"application/AT+jwt"}`, `{"alg":"RS256"}`, `{"alg":"ES256","jwk":{"kty":"EC"},"typ":"dpop+jwt"}`,
	}
	for _, header := range headers {
		first, err := ParseJWT(compact(header, `{"jti":"1"}`), MaxLength)
		if err != nil {
			t.Fatal(err)
		}
		var heads Heads
		heads.Learn(first)
		for _, other := range headers {
			raw := compact(other, `{"jti":"2","exp":5}`)
			want, err := ParseJWT(raw, MaxLength)
			if err != nil {
				t.Fatal(err)
			}
			for how, parse := range map[string]func(string, int) (*Unverified, error){"Head": first.Head().ParseJWT, "Heads": heads.ParseJWT} {
				got, err := parse(raw, MaxLength)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %s after %s: %+v %v, want %+v", how, other, header, got, err, want)
				}
				for _, bad := range []string{raw + ".", raw + "=", raw[:len(raw)-1] + "*", Segment(raw) + "..AAAA", Segment(raw)} {
					if _, err := parse(bad, MaxLength); err == nil {
						t.Errorf("%s: %q is taken", how, bad)
					}
				}
				if _, err := parse(raw, len(raw)-1); err == nil {
					t.Errorf("%s: a text over the limit is taken", how)
				}
			}
		}
	}
}

// However many headers there are, so many are kept.
func TestHeadsAreBounded(t *testing.T) {
	var heads Heads
	for i := range 2 * maxHeads {
		u, err := ParseJWT(compact(fmt.Sprintf(`{"alg":"ES256","kid":"%d"}`, i), `{}`), MaxLength)
		if err != nil {
			t.Fatal(err)
		}
		heads.Learn(u)
		heads.Learn(u)
	}
	if got := len(*heads.known.Load()); got != maxHeads {
		t.Errorf("%d headers are kept, want %d", got, maxHeads)
	}
}
