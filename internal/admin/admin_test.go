package admin

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/telemetry"
)

// TestRecorder lets time pass without waiting for it.
func TestRecorder(t *testing.T) {
	counts := telemetry.Tally{}
	r := &Recorder{Take: func() telemetry.Tally {
		return telemetry.Tally{Decisions: map[string]float64{"denied": counts.InFlight}, Refusals: map[string]float64{"expired": counts.InFlight, "never": 0}}
	}}
	began := time.Unix(1_700_000_000, 0)
	for i := range 30 { // 150 seconds, with 10 refusals in each sample of the last minute
		if i >= 18 {
			counts.InFlight += 10
		}
		r.look(began.Add(time.Duration(i) * sampleEvery))
	}
	now := began.Add(29 * sampleEvery)
	rates := r.Now(now)
	if rates.Over != remembered || rates.Decisions["denied"] != 2 || rates.Refusals["expired"] != 120 {
		t.Errorf("%v: %v, %v", rates.Over, rates.Decisions, rates.Refusals)
	}
	if !rates.Last["expired"].Equal(now) || !rates.Last["never"].IsZero() {
		t.Errorf("the last: %v", rates.Last)
	}
	if len(r.samples) > int(remembered/sampleEvery)+1 {
		t.Errorf("%d samples are kept", len(r.samples))
	}
	later := now.Add(2 * time.Second) // nobody was refused since
	if rates = r.Now(later); !rates.Last["expired"].Equal(now) {
		t.Errorf("the last: %v", rates.Last)
	}
	counts.InFlight = 3 // a reload took series away
	if rates = r.Now(later); rates.Decisions["denied"] < 0 {
		t.Errorf("a rate below zero: %v", rates.Decisions)
	}
}

// TestPageEscapes puts what would be markup in every text of a page.
func TestPageEscapes(t *testing.T) {
	const evil = `"'><script>alert(1)</script>&`
	p := &Page{
		Version: evil, Revision: evil, Hash: evil, Here: true,
		Lines: []Line{{true, evil, evil}, {false, evil, evil}}, Issuers: []Issuer{{Name: evil, Identifier: evil}},
		Resources: []Resource{{evil, evil, evil, []Route{{evil, evil, evil, evil, evil}}}},
		Rates:     Rates{Tally: telemetry.Tally{Decisions: map[string]float64{evil: 1}, Refusals: map[string]float64{evil: 1}}},
	}
	for _, p.Here = range []bool{true, false} {
		w := httptest.NewRecorder()
		ServePage(w, p)
		if body := w.Body.String(); strings.Contains(body, "<script") || strings.Contains(body, `"'>`) || strings.Count(body, "&lt;script&gt;") < 8 {
			t.Errorf("not everything is escaped:\n%s", body)
		}
	}
}
