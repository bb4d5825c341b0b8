package policy

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkHostilePath is a path of 16 KiB that is odd all over, against many
// routes.
func BenchmarkHostilePath(b *testing.B) {
	options := []Options{{Path: "/**", Allow: anything, CaseInsensitive: true}}
	for i := range 500 {
		options = append(options, Options{Path: fmt.Sprintf("/a/{x}/b%d/*/c", i), CaseInsensitive: true}, Options{Path: "/a" + strings.Repeat("/*", i%20) + fmt.Sprintf("/z%d", i), CaseInsensitive: true})
	}
	s, err := Compile(options, Resource{})
	if err != nil {
		b.Fatal(err)
	}
	for _, unit := range []string{"/;", ";%2f", "%2f;/a", "%C4%B0;%2f/", ".%20"} {
		for _, front := range []string{"/a/x/x/x/", "//"} {
			raw := front + strings.Repeat(unit, (16<<10-20)/len(unit))
			b.Run(front+" "+unit, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if path, odd, flaw := Scan(raw); flaw == NoFlaw {
						s.Bears("", path, odd)
					}
				}
			})
		}
	}
}
