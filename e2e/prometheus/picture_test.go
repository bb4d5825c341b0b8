package prometheus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// drawn are the panels of the picture.
var drawn = []string{"Requests by decision", "Refusals by reason", "Overhead", "Tokens judged", "Tokens with proofs", "Requests to upstreams"}

// phases are what the picture shows: a usual day, twice as many clients, somebody
// who tries old tokens and none, an upstream in trouble, and a usual day.
var phases = []struct {
	lasts time.Duration
	more  mix // than usual
}{
	{25 * time.Second, nil},
	{25 * time.Second, mix{"good": 50, "new": 8, "catalogue": 14, "dpop": 14, "certificate": 8, "opaque": 10}},
	{25 * time.Second, mix{"expired": 24, "no token": 14, "malformed": 6, "unknown key": 12, "scope": 5, "replay": 8, "old proof": 5}},
	{20 * time.Second, mix{"fail": 14, "hang": 8, "gone": 14}},
	{25 * time.Second, nil},
}

const step = time.Second

// draw sends the phases and draws what Prometheus says of them.
func (w *traffic) draw(t *testing.T, p *server, path string) {
	from := time.Now()
	for _, phase := range phases {
		now := maps.Clone(usual)
		maps.Copy(now, phase.more)
		w.mix.Store(&now)
		time.Sleep(phase.lasts)
	}
	to := time.Now()
	var charts []*chart
	for _, title := range drawn {
		c := newChart(t, title)
		if err := c.fill(p, from, to); err != nil {
			t.Fatal(err)
		}
		if len(c.lines) == 0 {
			t.Fatalf("%s is empty", title)
		}
		charts = append(charts, c)
	}
	if err := os.WriteFile(path, []byte(svg(charts)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// chart is a panel of the dashboard with what it shows.
type chart struct {
	title, unit string
	stacked     bool
	powers      bool // its scale is of powers of ten
	targets     []target
	lines       []line
	times       int // how many there are in each line
}

type target struct{ Expr, LegendFormat string }

// line has NaN where there is no value.
type line struct {
	name   string
	values []float64
	colour int
}

// known are names that have a colour of their own, as in the dashboard; the others
// have one by their place.
var known = map[string]int{"allowed": 0, "public": 1, "denied": 3, "error": 2, "reported": 4}

func newChart(t *testing.T, title string) *chart {
	t.Helper()
	var d struct {
		Panels []struct {
			Title       string
			FieldConfig struct {
				Defaults struct {
					Unit   string
					Custom struct {
						Stacking          struct{ Mode string }
						ScaleDistribution struct{ Type string }
					}
				}
			}
			Targets []target
		}
	}
	if err := json.Unmarshal([]byte(contents(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if p.Title == title {
			of := p.FieldConfig.Defaults
			return &chart{title: title, unit: of.Unit, stacked: of.Custom.Stacking.Mode == "normal", powers: of.Custom.ScaleDistribution.Type == "log", targets: p.Targets}
		}
	}
	t.Fatalf("no panel %s", title)
	return nil
}

func (c *chart) fill(p *server, from, to time.Time) error {
	grafana := strings.NewReplacer("$__rate_interval", "8s", "$job", ".*", "$instance", ".*")
	c.times = int(to.Sub(from)/step) + 1
	for _, target := range c.targets {
		samples, err := p.between(grafana.Replace(target.Expr), from, to, step)
		if err != nil {
			return err
		}
		for _, s := range samples {
			l := line{name: legend(target.LegendFormat, s.Metric), values: make([]float64, c.times)}
			for i := range l.values {
				l.values[i] = math.NaN()
			}
			for _, v := range s.Values {
				if i := int(math.Round((v.at - float64(from.UnixMilli())/1000) / step.Seconds())); i >= 0 && i < c.times {
					l.values[i] = v.value
				}
			}
			if l.largest() > 0 {
				c.lines = append(c.lines, l)
			}
		}
	}
	if c.stacked || len(c.lines) > most {
		slices.SortFunc(c.lines, func(a, b line) int { return cmp.Compare(b.sum(), a.sum()) })
	}
	c.merge()
	for i, l := range c.lines {
		c.lines[i].colour = i
		if colour, ok := known[l.name]; ok {
			c.lines[i].colour = colour
		}
	}
	return nil
}

// most is how many lines a chart has; the least of a stack are one.
const most = 8

func (c *chart) merge() {
	if len(c.lines) <= most {
		return
	}
	rest := line{name: "others", values: make([]float64, c.times)}
	for _, l := range c.lines[most-1:] {
		for i, v := range l.values {
			if !math.IsNaN(v) {
				rest.values[i] += v
			}
		}
	}
	c.lines = append(c.lines[:most-1], rest)
}

func (l line) sum() (sum float64) {
	for _, v := range l.values {
		if !math.IsNaN(v) {
			sum += v
		}
	}
	return sum
}

func (l line) largest() (largest float64) {
	for _, v := range l.values {
		if v > largest {
			largest = v
		}
	}
	return largest
}

// legend fills a format in; an upstream is told by what it is, not by the port it
// had in this run.
func legend(format string, labels map[string]string) string {
	text := regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(format, func(label string) string { return labels[strings.Trim(label, "{}")] })
	return regexp.MustCompile(`http://127\.0\.0\.1:\d+`).ReplaceAllString(text, "upstream")
}

// The picture is in two columns. Colours are those of whoever looks: light or dark.
const (
	columns               = 2
	wide, high            = 480, 236
	left, top, foot, edge = 52, 34, 58, 14
)

// colours are those of the ground, the panels, the text, the fainter text, the
// rules, and then of the lines. No variables: not everything that shows SVG
// knows them.
var (
	light = []string{"#ffffff", "#f6f8fa", "#1f2328", "#59636e", "#d1d9e0", "#1a7f37", "#0969da", "#cf222e", "#bf8700", "#8250df", "#bc4c00", "#0a7f8f", "#7d8590"}
	dark  = []string{"#0d1117", "#151b23", "#f0f6fc", "#9198a1", "#3d444d", "#3fb950", "#4493f8", "#f85149", "#d29922", "#ab7df8", "#f0883e", "#39c5cf", "#656c76"}
)

func style(colours []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".ground{fill:%s}.panel{fill:%s;stroke:%s}text{fill:%s}.title,.key{fill:%s}.rule{stroke:%s}\n", colours[0], colours[1], colours[4], colours[3], colours[2], colours[4])
	for i, c := range colours[5:] {
		fmt.Fprintf(&b, ".l%d{stroke:%s}.a%[1]d,.k%[1]d{fill:%[2]s}\n", i, c)
	}
	return b.String()
}

func svg(charts []*chart) string {
	rows := (len(charts) + columns - 1) / columns
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img" aria-label="Six panels of the dashboard, from two minutes of traffic">`, columns*(wide+edge)+edge, rows*(high+edge)+edge)
	b.WriteString("\n<style>text{font:11px -apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif}.title{font-size:14px;font-weight:600}.rule{stroke-width:.6}.line{fill:none;stroke-width:1.6}.area{fill-opacity:.75}\n")
	fmt.Fprintf(&b, "%s@media (prefers-color-scheme:dark){\n%s}</style>\n<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n", style(light), style(dark))
	for i, c := range charts {
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n", edge+i%columns*(wide+edge), edge+i/columns*(high+edge))
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c *chart) draw(b *strings.Builder) {
	fmt.Fprintf(b, "<rect width=\"%d\" height=\"%d\" rx=\"6\" class=\"panel\"/>\n", wide, high)
	fmt.Fprintf(b, "<text class=\"title\" x=\"14\" y=\"22\">%s</text>\n", html.EscapeString(c.title))
	up := c.up()
	for _, at := range c.ticks(up) {
		y := c.y(at, up)
		fmt.Fprintf(b, "<path class=\"rule\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left, y, wide-edge, left-6, y+4, value(at, c.unit))
	}
	for s := 0; s < c.times; s += 30 {
		anchor := "middle"
		if s+30 >= c.times {
			anchor = "end"
		}
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%d s</text>\n", c.x(s), high-foot+16, anchor, s)
	}
	if c.stacked {
		c.areas(b, up)
	} else {
		for _, l := range c.lines {
			fmt.Fprintf(b, "<path class=\"line l%d\" d=\"%s\"/>\n", l.colour, c.path(l.values, up))
		}
	}
	c.keys(b)
}

// up is what the upper edge stands for.
func (c *chart) up() float64 {
	largest := 0.0
	for i := range c.times {
		sum := 0.0
		for _, l := range c.lines {
			switch v := l.values[i]; {
			case math.IsNaN(v):
			case c.stacked:
				sum += v
			default:
				sum = max(sum, v)
			}
		}
		largest = max(largest, sum)
	}
	if c.powers {
		return math.Pow(10, math.Ceil(math.Log10(largest)))
	}
	return largest * 1.08
}

// low is what the lower edge of a scale of powers stands for.
func (c *chart) low(up float64) float64 {
	least := up / 100
	for _, l := range c.lines {
		for _, v := range l.values {
			if v > 0 {
				least = min(least, v)
			}
		}
	}
	return math.Pow(10, math.Floor(math.Log10(least)))
}

func (c *chart) ticks(up float64) (all []float64) {
	if !c.powers {
		return ticks(up)
	}
	for at := c.low(up); at < up*1.5; at *= 10 {
		all = append(all, at)
	}
	return all
}

func (c *chart) x(i int) float64 {
	return left + float64(i)/float64(c.times-1)*(wide-left-edge)
}

func (c *chart) y(v, up float64) float64 {
	share := v / up
	if c.powers {
		low := c.low(up)
		share = math.Log(max(v, low)/low) / math.Log(up/low)
	}
	return high - foot - share*(high-foot-top)
}

func (c *chart) path(values []float64, up float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, c.x(i), c.y(v, up))
		pen = "L"
	}
	return b.String()
}

// areas draws each line upon those before it.
func (c *chart) areas(b *strings.Builder, up float64) {
	below := make([]float64, c.times)
	for _, l := range c.lines {
		above := slices.Clone(below)
		for i, v := range l.values {
			if !math.IsNaN(v) {
				above[i] += v
			}
		}
		var back strings.Builder
		for i := c.times - 1; i >= 0; i-- {
			fmt.Fprintf(&back, "L%.1f %.1f", c.x(i), c.y(below[i], up))
		}
		fmt.Fprintf(b, "<path class=\"area a%d\" d=\"%s%sZ\"/>\n", l.colour, c.path(above, up), back.String())
		below = above
	}
}

// keys are the names of the lines, in as many rows as they need.
func (c *chart) keys(b *strings.Builder) {
	x, y := 14.0, high-foot+34
	for _, l := range c.lines {
		width := 16 + 6.4*float64(len(l.name))
		if x+width > wide-8 {
			x, y = 14, y+16
		}
		fmt.Fprintf(b, "<rect class=\"k%d\" x=\"%.1f\" y=\"%d\" width=\"9\" height=\"9\" rx=\"2\"/><text class=\"key\" x=\"%.1f\" y=\"%d\">%s</text>\n", l.colour, x, y-9, x+13, y, html.EscapeString(l.name))
		x += width + 8
	}
}

// ticks are three to five round values from 0.
func ticks(up float64) []float64 {
	size := math.Pow(10, math.Floor(math.Log10(up)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1, 2, 5} {
		if by := size * part; up/by <= 5 {
			var all []float64
			for i := 0; float64(i)*by <= up; i++ {
				all = append(all, float64(i)*by)
			}
			return all
		}
	}
	return []float64{0, up}
}

func value(v float64, unit string) string {
	switch {
	case v == 0:
		return "0"
	case unit == "s" && v > 0.9:
		return fmt.Sprintf("%.3g s", v)
	case unit == "s":
		return fmt.Sprintf("%.3g ms", v*1000)
	case unit == "reqps" || unit == "ops":
		return fmt.Sprintf("%.3g/s", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// TestTicks holds the scale, which no other test looks at.
func TestTicks(t *testing.T) {
	for up, want := range map[float64]string{
		0.9: "[0 0.2 0.4 0.6 0.8]", 1: "[0 0.2 0.4 0.6 0.8 1]", 4.2: "[0 1 2 3 4]", 36: "[0 10 20 30]", 0.00012: "[0 5e-05 0.0001]",
	} {
		var got []string
		for _, v := range ticks(up) {
			got = append(got, fmt.Sprintf("%.3g", v))
		}
		if text := fmt.Sprint(got); text != want {
			t.Errorf("up to %v: %s, want %s", up, text, want)
		}
	}
}
