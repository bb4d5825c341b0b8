package token

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkOpen is all that an access token costs but its signature and the
// checks: parsing, and the claims as they are kept.
func BenchmarkOpen(b *testing.B) {
	payload := `{"iss":"https://as.example.com","aud":"https://rs.example.com","sub":"5f0c1a52-7e0b-4c55-9d1e-0242ac130003","client_id":"client-1",` +
		`"scope":"orders.read orders.write","jti":"0b6d7b1e-52f5-4d5e-8a0a-0242ac130003","iat":1800000000,"exp":1800003600,"acr":"gold","amr":["pwd","otp"],"note":"`
	payload += strings.Repeat("x", 640-2-len(payload)) + `"}`
	raw := compact(sampleHeader, payload)
	for name, d := range map[string]*Dictionary{"plain": nil, "packed": {}} {
		b.Run(name, func(b *testing.B) {
			var heads Heads
			b.ReportAllocs()
			for b.Loop() {
				u, err := heads.ParseJWT(raw, MaxLength)
				if err != nil {
					b.Fatal(err)
				}
				if _, err = u.OpenInto(d, anySignature{}); err != nil {
					b.Fatal(err)
				}
				heads.Learn(u)
			}
		})
	}
	b.Run("lookup", func(b *testing.B) {
		d := &Dictionary{}
		var c *Claims
		for n := range 300 {
			u, err := ParseJWT(compact(sampleHeader, strings.Replace(payload, "5f0c", fmt.Sprintf("%04d", n), 1)), MaxLength)
			if err != nil {
				b.Fatal(err)
			}
			if c, err = u.OpenInto(d, anySignature{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, found := c.Lookup("sub"); !found {
				b.Fatal("no sub")
			}
		}
	})
}
