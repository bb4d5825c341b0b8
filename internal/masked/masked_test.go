package masked

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	long := strings.Repeat("aB3-", 16)
	header := http.Header{
		"Authorization": {"Bearer  presented ", "Bearer other=of-all-those-with/a+slash", "Bearer x", "Bearer", "x a/short/one", "x hidden/may/long/path", "x /from/the/beginning/on"},
		"Dpop":          {"/hidden/may/long/path", "named.in-a.proof"},
	}
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
		"/a/%zzpre%73ented":          {"/a/{masked}", false},
		"/a/%pre%73ented%7":          {"/a/{masked}", false},
		"/a/presented%3Fb/c":         {"/a/{masked}", false},
		"/a/other%3Dof-all-those-with%2Fa%2bslash":   {"/a/{masked}", false},
		"/a/other=of-all-those-with/a+slash/d":       {"/a/{masked}/a+slash/d", false},
		"/a/%6fther%3Dof-all-those-with/a%2bslash/d": {"/a/{masked}/a%2bslash/d", false},
		"/a/short/one":                            {"/a/short/one", true},
		"/b/a%2Fshort%2Fone":                      {"/b/a%2Fshort%2Fone", true},
		"/hidden/may/long/path":                   {"/hidden/may/long/path", true},
		"/hidden/may/long/path/%41":               {"/hidden/may/long/path/%41", true},
		"/from/the/beginning/on":                  {"/from/the/beginning/on", true},
		"/a/named.in-a.proof":                     {"/a/named.in-a.proof", true},
		"//presented//":                           {"//{masked}//", false},
		"/%C3%A9t%C3%A9":                          {"/%C3%A9t%C3%A9", true},
		"/o/123e4567-e89b-12d3-a456-426614174000": {"/o/123e4567-e89b-12d3-a456-426614174000", true},
	} {
		if path, whole := Path(target, header, 1<<10); path != want.path || whole != want.whole {
			t.Errorf("%s: %s %v, want %s %v", target, path, whole, want.path, want.whole)
		}
	}
}

func TestPathIsCut(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer presented"}}
	for target, want := range map[string]struct {
		path  string
		whole bool
	}{
		"/abcdefghijk":          {"/abcdefghijk", true},
		"/abcdefghijk?l":        {"/abcdefghijk", true},
		"/abcdefghijk/":         {"/abcdefghijk", false},
		"/abcdefghijkl":         {"/abcdefghijk", false},
		"/a/presentedly":        {"/a/{masked}", false},
		"/presented/b/c":        {"/{masked}/b/", false},
		"/presented/bc/d":       {"/{masked}/bc", false},
		"/abcdef/presented":     {"/abcdef/{mas", false},
		"/abcdefghi/presented":  {"/abcdefghi/{", false},
		"/abcdefghij/presented": {"/abcdefghij/", false},
	} {
		if path, whole := Path(target, header, 12); path != want.path || whole != want.whole {
			t.Errorf("%s: %s %v, want %s %v", target, path, whole, want.path, want.whole)
		}
	}
}

// Of a request with more credentials than are looked for, all that could be one is
// masked. The same one again is no other.
func TestManyCredentials(t *testing.T) {
	const target = "/orders/credential-3/credential-4/named-by-nobody/%41/1234567"
	for n, want := range map[int]string{
		4: "/orders/{masked}/credential-4/named-by-nobody/%41/1234567", 5: "/orders/{masked}/{masked}/{masked}/%41/1234567",
	} {
		lines := distinct(n)
		if path, whole := Path(target, http.Header{"Authorization": append(lines, lines...)}, 1<<10); path != want || whole {
			t.Errorf("%d credentials: %s %v, want %s", n, path, whole, want)
		}
	}
	var s search
	if s.read(distinct(95)); s.n != most || !s.more {
		t.Errorf("%d of 95 are looked for, more: %v", s.n, s.more)
	}
	again := search{}
	if again.read(slices.Repeat([]string{"B aaaaaaaa"}, 95)); again.n != 1 || again.more {
		t.Errorf("%d texts are looked for where one was presented 95 times, more: %v", again.n, again.more)
	}
}

func distinct(n int) (lines []string) {
	for i := range n {
		lines = append(lines, "B credential-"+strconv.Itoa(i))
	}
	return lines
}

// costly is what clients would send who want the search to take long.
var costly = map[string]struct {
	target string
	lines  []string
}{
	"usual":          {"/orders/4711/items", []string{"Bearer " + strings.Repeat("token.", 100)}},
	"short segments": {"/%41" + strings.Repeat("/a", 8000), slices.Repeat([]string{"B aaaaaaaa"}, 95)},
	"long segments":  {strings.Repeat("/%41aaaaaaab", 1500), distinct(4)},
	"masked":         {strings.Repeat("/%41aaaaaaaaa", 1500), slices.Repeat([]string{"B aaaaaaaa"}, 95)},
	"all masked":     {strings.Repeat("/%41aaaaaaaaa", 1500), distinct(95)},
	"one segment":    {"/" + strings.Repeat("%41.", 4000), distinct(4)},
	"pieces":         {strings.Repeat("/%41aaaaaaab", 1500), []string{"B " + strings.Repeat("a-piece-of-a-credential/", 600)}},
}

// TestWorkIsBounded holds what the path and the header of one request can cost: what
// is beyond the octets that are kept is neither compared nor decoded.
func TestWorkIsBounded(t *testing.T) {
	const octets = 2 << 10
	for name, c := range costly {
		h := http.Header{"Authorization": c.lines}
		allocs := testing.AllocsPerRun(10, func() { Path(c.target, h, octets) })
		if bound := map[bool]float64{true: 0, false: 20}[name == "usual"]; allocs > bound {
			t.Errorf("%s: %v allocations, want %v at most", name, allocs, bound)
		}
		var s search
		s.read(c.lines)
		path, _ := s.mask(c.target, octets)
		segment, _, _ := strings.Cut(c.target[1:], "/")
		if len(path) > octets || s.plain.Len() > 2*octets+len(segment) {
			t.Errorf("%s: %d octets, %d were decoded", name, len(path), s.plain.Len())
		}
	}
}

func BenchmarkPath(b *testing.B) {
	for name, c := range costly {
		b.Run(name, func(b *testing.B) {
			h := http.Header{"Authorization": c.lines}
			b.ReportAllocs()
			for b.Loop() {
				Path(c.target, h, 2<<10)
			}
		})
	}
}
