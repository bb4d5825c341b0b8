package admin

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/telemetry"
)

// A Page is what the status page says. All of it comes from the configuration,
// the build and our own counters.
type Page struct {
	Version, Revision string
	Now, Started      time.Time
	Lines             []Line // what must be so for the gate to be ready, and more
	Issuers           []Issuer
	Resources         []Resource
	Rates             Rates
	Hash              string // of the configuration in force

	// Here is whether it is for somebody on this machine. Others are told what the
	// metrics tell them too.
	Here bool
}

// A Line is one thing that is so or not.
type Line struct {
	OK        bool
	What, Why string
}

// An Issuer is whose keys are held.
type Issuer struct {
	Name, Identifier string
	Ready            bool
	Keys             int
	Loaded, Next     time.Time // zero for never, and for at once
}

// A Resource is an API that is protected.
type Resource struct {
	Name, Identifier, Upstream string
	Routes                     []Route
}

// A Route is a rule of a Resource.
type Route struct{ Name, Methods, Hosts, Path, Asks string }

// markup is what is taken as HTML. Constants become it by themselves, and nothing
// else does: what is not known when the program is written is escaped.
type markup string

type writer struct{ out strings.Builder }

func (w *writer) html(m markup) { w.out.WriteString(string(m)) }

func (w *writer) text(s string) { w.out.WriteString(html.EscapeString(s)) }

// element writes an element of text.
func (w *writer) element(open markup, text string, end markup) {
	w.html(open)
	w.text(text)
	w.html(end)
}

func (w *writer) table(head ...string) {
	w.html("<table><thead><tr>")
	for _, h := range head {
		w.element("<th scope=col>", h, "</th>")
	}
	w.html("</tr></thead><tbody>\n")
}

func (w *writer) row(cells ...string) {
	w.html("<tr>")
	for _, c := range cells {
		w.element("<td>", c, "</td>")
	}
	w.html("</tr>\n")
}

const head markup = `<!DOCTYPE html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width"><title>wicketgate</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}
.no{color:#c00;font-weight:bold}
</style></head><body>
`

// ServePage answers with p.
func ServePage(w http.ResponseWriter, p *Page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	var out writer
	out.page(p)
	_, _ = w.Write([]byte(out.out.String())) // a client that has gone needs no answer
}

func (w *writer) page(p *Page) {
	w.html(head)
	w.element("<h1>wicketgate ", p.Version, "</h1>\n")
	w.element("<p>Up for ", span(p.Now.Sub(p.Started)), ". ")
	if p.Revision != "" {
		w.element("Revision ", p.Revision, ". ")
	}
	w.reloads(p)
	w.html("</p>\n<h2>Ready</h2>\n")
	w.table("what", "state")
	for _, line := range p.Lines {
		w.element("<tr><td>", line.What, "</td>")
		if line.OK {
			w.element("<td>ok", line.Why, "</td></tr>\n")
		} else {
			w.element("<td class=no>not ready", line.Why, "</td></tr>\n")
		}
	}
	w.html("</tbody></table>\n")
	w.issuers(p)
	w.traffic(p)
	w.refusals(p)
	w.routes(p)
	w.html("</body></html>\n")
}

func (w *writer) reloads(p *Page) {
	if p.Rates.Reloads+p.Rates.ReloadErrors == 0 { // the demo's has no file
		return
	}
	w.element("Configuration in force for ", age(p.Now, p.Rates.ReloadedAt), "")
	if p.Here && p.Hash != "" {
		w.element(" (SHA-256 ", p.Hash, ")")
	}
	w.element(", ", count(p.Rates.Reloads)+" put in force and "+count(p.Rates.ReloadErrors)+" not since the start.", "")
	if !p.Rates.ReloadOK {
		w.html(" <span class=no>The last attempt failed; the log says why.</span>")
	}
}

func (w *writer) issuers(p *Page) {
	w.html("<h2>Issuers</h2>\n")
	w.table("name", "keys", "age of the keys", "next load", "identifier")
	for _, i := range p.Issuers {
		next := "at once"
		if i.Next.After(p.Now) {
			next = "in " + span(i.Next.Sub(p.Now))
		}
		w.row(i.Name, strconv.Itoa(i.Keys), age(p.Now, i.Loaded), next, onlyHere(p, i.Identifier))
	}
	w.html("</tbody></table>\n")
}

func (w *writer) traffic(p *Page) {
	w.element("<h2>Requests</h2>\n<p>", count(p.Rates.InFlight), " in flight, ")
	w.element("", count(p.Rates.Connections), " connections, ")
	w.element("", count(p.Rates.Streams), " streams. ")
	w.element("Rates are of the last ", span(p.Rates.Over), ".</p>\n")
	w.table("decision", "a second", "since the start")
	for _, decision := range slices.Sorted(maps.Keys(p.Rates.Tally.Decisions)) {
		w.row(decision, rate(p.Rates.Decisions[decision]), count(p.Rates.Tally.Decisions[decision]))
	}
	w.html("</tbody></table>\n")
}

func (w *writer) refusals(p *Page) {
	var reasons []string
	for reason, n := range p.Rates.Refusals {
		if n > 0 {
			reasons = append(reasons, reason)
		}
	}
	slices.SortFunc(reasons, func(a, b string) int {
		return cmp.Or(p.Rates.Last[b].Compare(p.Rates.Last[a]), strings.Compare(a, b))
	})
	w.html("<h2>Refusals since the start</h2>\n")
	w.table("reason", "requests", "the last, so long ago")
	for _, reason := range reasons {
		w.row(reason, count(p.Rates.Refusals[reason]), age(p.Now, p.Rates.Last[reason]))
	}
	w.html("</tbody></table>\n")
	w.element("<p>When the last was is looked at every ", span(sampleEvery), ".</p>\n")
}

func (w *writer) routes(p *Page) {
	for _, r := range p.Resources {
		w.element("<h2>Resource ", r.Name, "</h2>\n")
		if !p.Here {
			w.table("route", "a second", "since the start")
			for _, one := range r.Routes {
				at := telemetry.Place{Resource: r.Name, Route: one.Name}
				w.row(one.Name, rate(p.Rates.Routes[at]), count(p.Rates.Tally.Routes[at]))
			}
			w.html("</tbody></table>\n")
			continue
		}
		w.element("<p>", r.Identifier, "")
		if r.Upstream != "" {
			w.element(" at upstream ", r.Upstream, "")
		}
		w.html("</p>\n")
		w.table("route", "methods", "hosts", "path", "asks for", "a second", "since the start")
		for _, one := range r.Routes {
			at := telemetry.Place{Resource: r.Name, Route: one.Name}
			w.row(one.Name, one.Methods, one.Hosts, one.Path, one.Asks, rate(p.Rates.Routes[at]), count(p.Rates.Tally.Routes[at]))
		}
		w.html("</tbody></table>\n")
	}
	if !p.Here {
		w.html("<p>Paths, rules and identifiers are shown to callers on this machine.</p>\n")
	}
}

// onlyHere leaves out what the metrics do not tell.
func onlyHere(p *Page, text string) string {
	if p.Here {
		return text
	}
	return ""
}

// age is how long ago something was; at is zero for never.
func age(now, at time.Time) string {
	if at.Unix() <= 0 {
		return "never"
	}
	return span(now.Sub(at))
}

func span(d time.Duration) string { return max(0, d).Round(time.Second).String() }

func count(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func rate(n float64) string { return fmt.Sprintf("%.2f", n) }
