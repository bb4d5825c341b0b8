package revoke

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const issuer = "https://as.example.com"

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// caller is a token that rules of each member can name.
var caller = Token{
	Issuer: issuer, ID: "j", Subject: "s", Client: "c", Session: "o", KeyID: "k", Email: "a@example.com", IssuedAt: noon,
}

func in(t testing.TB, lines ...string) *Rules {
	t.Helper()
	set, err := ReadSet(strings.NewReader(strings.Join(lines, "\n")), noon)
	if err != nil {
		t.Fatal(err)
	}
	r := New("file")
	if err := r.Set("file", set); err != nil {
		t.Fatal(err)
	}
	return r
}

func rule(members string) string { return `{"iss":"` + issuer + `",` + members + `}` }

func TestDenies(t *testing.T) {
	for members, denied := range map[string]bool{
		`"jti":"j"`: true, `"sub":"s"`: true, `"client":"c"`: true, `"sid":"o"`: true, `"kid":"k"`: true, `"email":"A@Example.com"`: true,
		`"jti":"J"`: false, `"sub":"c"`: false, `"client":"s"`: false, `"sid":"x"`: false, `"kid":"x"`: false, `"email":"b@example.com"`: false,
		`"jti":"j","sub":"s","client":"c","sid":"o","kid":"k","email":"a@example.com"`: true,
		`"jti":"j","sub":"x"`: false, `"sub":"s","client":"x"`: false, `"client":"c","kid":"x"`: false,
		`"issued_before":"2026-01-31T12:00:01Z"`:           true,
		`"issued_before":"2026-01-31T12:00:00Z"`:           false,
		`"sub":"s","issued_before":"2026-01-31T12:00:01Z"`: true,
		`"sub":"x","issued_before":"2026-01-31T12:00:01Z"`: false,
		`"sub":"s","issued_before":"2026-01-31T12:00:00Z"`: false,
		`"sub":"s","issued_before":1769860800.5`:           true,
		`"sub":"s","until":"2026-01-31T12:00:01Z"`:         true,
		`"sub":"s","until":"2026-01-31T12:00:00Z"`:         false,
	} {
		if _, got := in(t, rule(members)).Denies(caller, noon); got != denied {
			t.Errorf("%s: denied %t", members, got)
		}
	}
}

func TestDeniesOtherIssuersNever(t *testing.T) {
	other := caller
	other.Issuer = issuer + "/"
	if _, denied := in(t, rule(`"sub":"s"`), rule(`"issued_before":9999999999`)).Denies(other, noon); denied {
		t.Error("a rule of one issuer denies a token of another")
	}
}

func TestUndatedTokenIsNotNewer(t *testing.T) {
	undated := caller
	undated.IssuedAt = time.Time{}
	if _, denied := in(t, rule(`"sub":"s","issued_before":1`)).Denies(undated, noon); !denied {
		t.Error("a token without iat passes for newer")
	}
	if _, denied := in(t, rule(`"sub":"x","issued_before":1`)).Denies(undated, noon); denied {
		t.Error("a token without iat is denied though its subject is another")
	}
}

func TestWhatATokenLacksMatchesNothing(t *testing.T) {
	var bare Token
	bare.Issuer = issuer
	r := in(t, rule(`"jti":"j"`), rule(`"sub":"s"`), rule(`"sub":"s","client":"c"`), rule(`"sid":"o"`), rule(`"kid":"k"`), rule(`"email":"e"`))
	if members, denied := r.Denies(bare, noon); denied {
		t.Errorf("denied by %s", members)
	}
}

// TestRulesOfOneKind holds that two rules with the same texts both count, each
// for its dates and its time.
func TestRulesOfOneKind(t *testing.T) {
	r := in(t,
		rule(`"sub":"s","issued_before":"2026-01-31T13:00:00Z","until":"2026-01-31T14:00:00Z"`),
		rule(`"sub":"s","issued_before":"2026-01-31T11:00:00Z"`),
		rule(`"sub":"s","issued_before":"2026-01-31T10:00:00Z","until":"2026-01-31T13:30:00Z"`))
	if r.Len() != 2 {
		t.Errorf("%d rules, the third of which says nothing the others do not", r.Len())
	}
	for _, c := range []struct {
		issued, now int
		denied      bool
	}{{-2, 0, true}, {0, 0, true}, {0, 3, false}, {-2, 3, true}, {2, 0, false}} {
		one := caller
		one.IssuedAt = noon.Add(time.Duration(c.issued) * time.Hour)
		if _, denied := r.Denies(one, noon.Add(time.Duration(c.now)*time.Hour)); denied != c.denied {
			t.Errorf("issued %+d h, asked %+d h: denied %t", c.issued, c.now, denied)
		}
	}
	r.Sweep(noon.Add(3 * time.Hour))
	if r.Len() != 1 || r.Count("file") != 1 {
		t.Errorf("%d rules after one has ended", r.Len())
	}
	old := caller
	old.IssuedAt = noon.Add(-2 * time.Hour)
	if members, denied := r.Denies(old, noon.Add(3*time.Hour)); !denied || members.String() != "sub, issued_before" {
		t.Error("the sweep takes a rule that has not ended")
	}
}

// TestManyRulesOfOneKind would not end in time if rules with the same texts were
// looked at one by one. Each takes other tokens than the rest, for another time.
func TestManyRulesOfOneKind(t *testing.T) {
	const many = 300_000
	s := NewSet()
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	for i := range many {
		s.add(Rule{Issuer: issuer, Subject: "s", IssuedBefore: at(-i), Until: at(i + 1)})
	}
	r := New("one")
	if err := r.Set("one", s); err != nil || r.Len() != many {
		t.Fatalf("%d rules, %v", r.Len(), err)
	}
	one := caller
	for _, i := range []int{0, 1, 77_777, many - 1} {
		one.IssuedAt = at(-i - 1)
		_, before := r.Denies(one, at(i))
		_, after := r.Denies(one, at(i+1))
		if !before || after {
			t.Errorf("rule %d: denied %t until its end, %t after that", i, before, after)
		}
	}
	if r.Sweep(at(many / 2)); r.Len() != many-many/2 {
		t.Errorf("%d rules after half have ended", r.Len())
	}
}

// TestRulesOfOneKindInAnyOrder holds that what is left of rules with the same
// texts denies what all of them would, one by one.
func TestRulesOfOneKindInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var rules []Rule
		s := NewSet()
		for range 1 + random.IntN(12) {
			one := Rule{Issuer: issuer, Subject: "s", IssuedBefore: noon.Add(time.Duration(random.IntN(6)) * time.Hour), Until: noon.Add(time.Duration(random.IntN(6)) * time.Hour)}
			if random.IntN(8) == 0 {
				one.IssuedBefore = time.Time{}
			}
			if random.IntN(8) == 0 {
				one.Until = time.Time{}
			}
			rules = append(rules, one)
			s.add(one)
		}
		for issued := range 7 {
			for now := range 7 {
				token, at := caller, noon.Add(time.Duration(now)*time.Hour)
				token.IssuedAt = noon.Add(time.Duration(issued)*time.Hour - time.Minute)
				want := slices.ContainsFunc(rules, func(r Rule) bool {
					return !r.Over(at) && (r.IssuedBefore.IsZero() || token.IssuedAt.Before(r.IssuedBefore))
				})
				for name, set := range map[string]*Set{"added": s, "put together": NewSet().with(s, at.UnixMicro())} {
					if _, got := set.denies(&token, token.IssuedAt.UnixMicro(), at.UnixMicro()); got != want {
						t.Fatalf("%s, issued %d, now %d: denied %t, want %t by %v", name, issued, now, got, want, rules)
					}
				}
			}
		}
	}
}

func TestLinesAreStrict(t *testing.T) {
	good := "\n# a note\n  " + rule(`"jti":"a"`) + "\r\n\n" + rule(`"sub":"b"`)
	if r := in(t, good); r.Len() != 2 {
		t.Errorf("%d rules of two", r.Len())
	}
	for text, want := range map[string]string{
		`{"sub":"s"}`:                   "iss is missing",
		`{"iss":"a"}`:                   "nothing beside iss",
		`{"iss":"a","until":1}`:         "nothing beside iss",
		`{"iss":"","sub":"s"}`:          "iss wants text",
		rule(`"sub":""`):                "sub wants text",
		rule(`"sub":1`):                 "sub wants text",
		rule(`"sub":null`):              "sub wants text",
		rule(`"sub":["s"]`):             "sub wants text",
		rule(`"subject":"s"`):           "none of iss, jti",
		rule(`"sub":"s","note":"x"`):    "none of iss, jti",
		rule(`"sub":"s","sub":"t"`):     "twice",
		rule(`"issued_before":"x"`):     "issued_before wants",
		rule(`"issued_before":0`):       "issued_before wants",
		rule(`"issued_before":-1`):      "issued_before wants",
		rule(`"issued_before":1e99`):    "issued_before wants",
		rule(`"sub":"s","until":true`):  "until wants",
		rule(`"sub":"s"`) + " x":        "after the JSON object",
		`["a"]`:                         "JSON object",
		`sub: s`:                        "JSON object",
		strings.Repeat("x", maxLine+1):  "too long",
		rule(`"sub":"` + "\xff" + `"`):  "UTF-8",
		rule(`"sub":"s"`) + `{"sub":1}`: "after the JSON object",
	} {
		_, err := ReadSet(strings.NewReader(rule(`"jti":"a"`)+"\n"+text), noon)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
			continue
		}
		if want != "too long" && !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%.60q: %v does not name the line", text, err)
		}
	}
}

func TestTooMuch(t *testing.T) {
	if err := Lines(strings.NewReader(strings.Repeat(strings.Repeat("#", maxLine-2)+"\n", MaxOctets/maxLine+2)), func(Rule) error { return nil }); err == nil {
		t.Error("a text without end is read")
	}
	r := New("one")
	for i := range 2 {
		if err := r.Add("one", 1, Rule{Issuer: issuer, ID: fmt.Sprint(i)}); (err == nil) != (i == 0) {
			t.Errorf("rule %d of one: %v", i, err)
		}
	}
	if r.Len() != 1 {
		t.Errorf("%d rules", r.Len())
	}
}

func TestAdd(t *testing.T) {
	r := New("signals")
	if r.Complete() {
		t.Error("complete before anything was read")
	}
	if err := r.Set("signals", NewSet()); err != nil || !r.Complete() {
		t.Error(err)
	}
	const many = 3*recentRules + 1
	for i := range many {
		if err := r.Add("signals", many, Rule{Issuer: issuer, ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if _, denied := r.Denies(Token{Issuer: issuer, ID: fmt.Sprint(i)}, noon); !denied {
			t.Fatalf("rule %d is not in force", i)
		}
	}
	for i := range many {
		if _, denied := r.Denies(Token{Issuer: issuer, ID: fmt.Sprint(i)}, noon); !denied {
			t.Errorf("rule %d was forgotten", i)
		}
	}
	if r.Len() != many {
		t.Errorf("%d rules", r.Len())
	}
	if r.Add("nobody", 1) == nil || r.Set("nobody", NewSet()) == nil {
		t.Error("a source that is not there takes rules")
	}
}

// TestStringReadsBack holds that a rule written is the rule read.
func TestStringReadsBack(t *testing.T) {
	for _, members := range []string{
		`"jti":"<&>\u2028\"\\","until":1.5`, `"sub":"s","client":"c","sid":"o","kid":"k","email":"e","issued_before":1769860800`,
	} {
		first, err := ParseRule(rule(members))
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseRule(first.String())
		if err != nil || first.Name() != second.Name() || first.String() != second.String() {
			t.Errorf("%s reads back as %s: %v", first, second, err)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	none, many := in(t), in(t, rule(`"jti":"x"`), rule(`"sub":"s"`), rule(`"sid":"y","kid":"k"`))
	for name, r := range map[string]*Rules{"no rules": none, "rules": many} {
		if n := testing.AllocsPerRun(100, func() { r.Denies(caller, noon) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDenies(b *testing.B) {
	miss := caller
	miss.ID, miss.Subject = "other", "other"
	lines := make([]string, 100_000)
	for i := range lines {
		lines[i] = rule(fmt.Sprintf(`"jti":"%d"`, i))
	}
	for _, c := range []struct {
		name  string
		rules *Rules
	}{
		{"no rules", in(b)}, {"of another issuer", in(b, `{"iss":"x","sub":"s"}`)}, {"one kind, 100000 rules", in(b, lines...)},
		{"six kinds", in(b, rule(`"jti":"x"`), rule(`"sub":"y"`), rule(`"client":"z"`), rule(`"sid":"x"`), rule(`"kid":"x"`), rule(`"email":"x"`))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.rules.Denies(miss, noon)
			}
		})
	}
}

// FuzzParseRule holds that whatever is read can be written and read again.
func FuzzParseRule(f *testing.F) {
	f.Add(rule(`"sub":"s","issued_before":1769860800.25,"until":"2026-01-31T12:00:00+01:00"`))
	f.Add(`{"iss":"a","jti":"\ud83d\ude00"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		again, err := ParseRule(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%s: %v", r, err)
		}
		denied := Token{
			Issuer: r.Issuer, ID: r.ID, Subject: r.Subject, Client: r.Client, Session: r.Session, KeyID: r.KeyID, Email: Fold(r.Email),
		}
		rules := New("one")
		if err := rules.Set("one", NewSet(r)); err != nil {
			t.Fatal(err)
		}
		if _, found := rules.Denies(denied, noon); found == r.Over(noon) {
			t.Fatalf("%s denies what it names: %t", r, found)
		}
	})
}

// TestNamesAreArguments wants names that a command line takes for no flag.
func TestNamesAreArguments(t *testing.T) {
	for i := range 1000 {
		if name := (Rule{Issuer: "https://as.example.com", ID: strconv.Itoa(i)}).Name(); len(name) != 24 || strings.Trim(name, "0123456789abcdef") != "" {
			t.Fatal(name)
		}
	}
}
