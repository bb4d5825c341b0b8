package spans

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
	good     = "00-" + traceID + "-" + parentID + "-01"
)

// bad are traceparent fields that name no parent.
var bad = map[string][]string{
	"none":              nil,
	"empty":             {""},
	"twice":             {good, good},
	"joined":            {good + "," + good},
	"joined, of later":  {"01" + good[2:] + "," + good},
	"upper case":        {strings.ToUpper(good)},
	"one letter upper":  {"00-4Bf92f3577b34da6a3ce929d0e0e4736-" + parentID + "-01"},
	"no trace":          {"00-00000000000000000000000000000000-" + parentID + "-01"},
	"no span":           {"00-" + traceID + "-0000000000000000-01"},
	"short":             {good[:54]},
	"long":              {good + "-more"},
	"version ff":        {"ff" + good[2:]},
	"no version":        {"0g" + good[2:]},
	"flags of one":      {good[:54] + "-"},
	"flags of letters":  {good[:53] + "zz"},
	"other separators":  {strings.ReplaceAll(good, "-", "_")},
	"space in front":    {" " + good},
	"space at the end":  {good + " "},
	"later, run on":     {"01" + good[2:] + "00"},
	"digits elsewhere":  {"00-" + strings.Repeat("\u0664", 16) + "-" + parentID + "-01"},
	"trace too short":   {"00-" + traceID[1:] + "-" + parentID + "0-01"},
	"a quoted one":      {`"` + good + `"`},
	"nothing but zeros": {strings.Repeat("0", 55)},
}

func TestParse(t *testing.T) {
	for name, lines := range bad {
		if p, ok := Parse(lines); ok || p != (Parent{}) {
			t.Errorf("%s: read as %v", name, p)
		}
	}
	for text, flags := range map[string]byte{
		good: 1, good[:53] + "00": 0, good[:53] + "ff": 0xff, good[:53] + "03": 3,
		"01" + good[2:]: 1, "fe" + good[2:] + "-what.ever": 1,
	} {
		p, ok := Parse([]string{text})
		if !ok || p.Flags != flags || p.TraceID() != traceID || p.String() != "00-"+traceID+"-"+parentID+text[52:55] {
			t.Errorf("%s: %v, %v", text, p, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good, "")
	for _, lines := range bad {
		f.Add(strings.Join(lines, ","), "")
	}
	f.Add("fe"+good[2:]+"-x", good)
	f.Fuzz(func(t *testing.T, one, two string) {
		p, ok := Parse([]string{one})
		if ok {
			text := p.String()
			if len(one) < len(text) || one[2:55] != text[2:] || one[0] == 'f' && one[1] == 'f' || one[:2] == "00" && one != text {
				t.Errorf("%q is read as %q", one, text)
			}
			if again, ok := Parse([]string{text}); !ok || again != p {
				t.Errorf("%q is not read again", text)
			}
		}
		if _, ok := Parse([]string{one, two}); ok {
			t.Error("two lines name a parent")
		}
	})
}

func TestSampler(t *testing.T) {
	sampled, not := []string{good}, []string{good[:53] + "00"}
	for _, row := range []struct {
		name       string
		o          SamplerOptions
		lines      []string
		begins     bool
		sameTrace  bool
		traceFlags byte
	}{
		{"parent says yes", SamplerOptions{Parent: true}, sampled, true, true, Sampled},
		{"parent says no", SamplerOptions{Parent: true, Ratio: 1}, not, false, false, 0},
		{"no parent", SamplerOptions{Parent: true, Ratio: 1}, nil, true, false, Sampled},
		{"no parent, none wanted", SamplerOptions{Parent: true}, nil, false, false, 0},
		{"bad parent", SamplerOptions{Parent: true, Ratio: 1}, []string{good, good}, true, false, Sampled},
		{"bad parent, none wanted", SamplerOptions{Parent: true}, []string{good + "x"}, false, false, 0},
		{"parent is not asked, all", SamplerOptions{Ratio: 1}, not, true, true, Sampled},
		{"parent is not asked, none", SamplerOptions{}, sampled, false, false, 0},
		{"parent is not asked, low id", SamplerOptions{Ratio: 0.7}, sampled, true, true, Sampled}, // a3ce… is 0.64 of the range
		{"parent is not asked, high id", SamplerOptions{Ratio: 0.6}, sampled, false, false, 0},
		{"random flag stays", SamplerOptions{Parent: true}, []string{good[:53] + "03"}, true, true, Sampled | Random},
		{"unknown flags go", SamplerOptions{Parent: true}, []string{good[:53] + "f1"}, true, true, Sampled},
		{"unlinked", SamplerOptions{Parent: true, Ratio: 1, Unlinked: true}, not, true, false, Sampled},
	} {
		tr := NewSampler(row.o).Begin(row.lines, time.Now())
		if (tr != nil) != row.begins {
			t.Errorf("%s: %v", row.name, tr)
			continue
		}
		if tr == nil {
			continue
		}
		trace, span := tr.ID()
		told, fresh, linked := tr.Asking()
		if (trace == traceID) != row.sameTrace || fresh == row.sameTrace || linked == row.o.Unlinked {
			t.Errorf("%s: trace %s, fresh %v, linked %v", row.name, trace, fresh, linked)
		}
		p, ok := Parse([]string{told})
		if !ok || p.TraceID() != trace || p.Flags != row.traceFlags || told[36:52] == span || told[36:52] == parentID {
			t.Errorf("%s: the upstream is told %s, of span %s", row.name, told, span)
		}
	}
	if NewSampler(SamplerOptions{Ratio: 1}).Begin(nil, time.Now()).Parent().Span != [8]byte{} {
		t.Error("a trace that begins here has a parent")
	}
}

func TestShareOfTraces(t *testing.T) {
	s, begun := NewSampler(SamplerOptions{Parent: true, Ratio: 0.1}), 0
	for range 20_000 {
		if s.Begin(nil, time.Now()) != nil {
			begun++
		}
	}
	if begun < 1700 || begun > 2300 { // seven standard deviations
		t.Errorf("%d of 20000, want some 2000", begun)
	}
}

// TestUnsampledAllocatesNothing: the decision is made before anything is.
func TestUnsampledAllocatesNothing(t *testing.T) {
	lines, broken := []string{good[:53] + "00"}, []string{good, good}
	var off *Sampler
	s := NewSampler(SamplerOptions{Parent: true})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		for _, one := range [][]string{lines, broken, nil} {
			tr := s.Begin(one, time.Time{})
			if tr != nil || off.Begin(one, time.Time{}) != nil {
				t.Fatal("sampled")
			}
			if Waiting(tr.Within(ctx), "x") != nil {
				t.Fatal("somebody notes a wait")
			}
			tr.Asking()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWaits(t *testing.T) {
	tr := NewSampler(SamplerOptions{Ratio: 1}).Begin(nil, time.Now())
	ctx, cancel := context.WithCancel(tr.Within(t.Context()))
	defer cancel()
	Waiting(ctx, "good")(nil)
	Waiting(context.WithoutCancel(ctx), "bad")(errors.New("x"))
	if w := tr.Waits(); len(w) != 2 || w[0].Name != "good" || w[0].Failed || !w[1].Failed || w[1].Ended.Before(w[1].Began) {
		t.Errorf("%+v", w)
	}
	var all sync.WaitGroup
	for range 3 * maxWaits {
		all.Go(func() { Waiting(ctx, "many")(nil) })
	}
	all.Wait()
	if n := len(tr.Waits()); n != maxWaits {
		t.Errorf("%d waits", n)
	}
}

func BenchmarkUnsampled(b *testing.B) {
	lines := []string{good[:53] + "00"}
	s := NewSampler(SamplerOptions{Parent: true, Ratio: 0.01})
	b.ReportAllocs()
	for b.Loop() {
		s.Begin(lines, time.Time{})
	}
}
