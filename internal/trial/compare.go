package trial

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// nothing stands where there is no value.
const nothing = "none"

// compare lists what is not as expected, in the order of the keys.
func compare(want *config.Expectation, told *rehearsal.Told) []Difference {
	c := comparison{}
	upstream := told.Upstream
	if told.Reported {
		upstream = "" // and no field is told
	}
	forwarded := upstream != ""
	status, why := nothing, reason(told)
	if !forwarded {
		status = strconv.Itoa(told.Status)
	}
	c.text("decision", want.Decision, decided(told))
	c.text("reason", want.Reason, why)
	if want.Decision != "" && want.Reason == "" && why != "" && len(c.list) > 0 {
		c.list = append(c.list, Difference{"reason", nothing, why})
	}
	if want.Status != 0 {
		c.text("status", strconv.Itoa(want.Status), status)
	}
	c.text("error", want.Error, code(told))
	route := nothing
	if d := told.Judged; d.Route != nil && d.Route.Matched() {
		route = d.Route.Name
	}
	c.text("route", want.Route, route)
	c.challenge(want.Challenge, told.Header.Values("WWW-Authenticate"))
	c.fields(want.Headers, told.Fields, forwarded)
	if at, err := url.Parse(upstream); err == nil && strings.HasPrefix(want.Upstream, "/") {
		c.text("upstream", want.Upstream, at.EscapedPath())
	} else {
		c.text("upstream", want.Upstream, upstream)
	}
	return c.list
}

// code is what the client is told.
func code(told *rehearsal.Told) string {
	refusal := told.Door
	if refusal == nil {
		refusal = told.Judged.Told()
	}
	switch {
	case refusal != nil && refusal.Code != token.CredentialRequired:
		return string(refusal.Code)
	case told.Judged.Verdict == proxy.Failed:
		return "temporarily_unavailable"
	}
	return nothing
}

type comparison struct{ list []Difference }

// text compares with what is expected, if anything is.
func (c *comparison) text(what, want, got string) {
	if want == "" || want == got {
		return
	}
	if got == "" {
		got = nothing
	}
	c.list = append(c.list, Difference{what, want, hidden(got)})
}

// wanted compares with a value, or its absence.
func (c *comparison) wanted(what string, want config.Wanted, got string, found bool) {
	switch {
	case want.Absent && found:
		c.list = append(c.list, Difference{what, nothing, hidden(got)})
	case !want.Absent && !found:
		c.list = append(c.list, Difference{what, want.Text, nothing})
	case !want.Absent && want.Text != "*" && want.Text != got:
		c.list = append(c.list, Difference{what, want.Text, hidden(got)})
	}
}

// fields compares what the upstream is told of the caller.
func (c *comparison) fields(want map[string]config.Wanted, fields []string, forwarded bool) {
	got := make(map[string]string)
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		got[http.CanonicalHeaderKey(name)] = value
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !forwarded {
			c.list = append(c.list, Difference{"headers." + name, cmp.Or(want[name].Text, nothing), "the request is not forwarded"})
			return
		}
		value, found := got[http.CanonicalHeaderKey(name)]
		c.wanted("headers."+name, want[name], value, found)
	}
}

// challenge compares with the challenge that differs least.
func (c *comparison) challenge(want config.Challenge, lines []string) {
	all := strings.Join(lines, "; ")
	switch {
	case want.None && all != "":
		c.list = append(c.list, Difference{"challenge", nothing, all})
	case want.None:
	case want.Contains != "" && !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, want.Contains) }):
		c.text("challenge", want.Contains, all)
	}
	if want.Parameters == nil {
		return
	}
	if len(lines) == 0 {
		var list []string
		for _, name := range slices.Sorted(maps.Keys(want.Parameters)) {
			list = append(list, name+"="+want.Parameters[name].Text)
		}
		c.list = append(c.list, Difference{"challenge", strings.Join(list, ", "), nothing})
		return
	}
	var nearest []Difference
	for i, line := range lines {
		got := parameters(line)
		one := comparison{}
		for _, name := range slices.Sorted(maps.Keys(want.Parameters)) {
			value, found := got[name]
			one.wanted("challenge."+name, want.Parameters[name], value, found)
		}
		if i == 0 || len(one.list) < len(nearest) {
			nearest = one.list
		}
	}
	c.list = append(c.list, nearest...)
}

// parameters takes a challenge of ours apart (RFC 9110 section 11.6.1). Its
// scheme is under scheme.
func parameters(line string) map[string]string {
	scheme, rest, _ := strings.Cut(line, " ")
	all := map[string]string{"scheme": scheme}
	for rest != "" {
		name, after, found := strings.Cut(rest, "=")
		if !found {
			break
		}
		value, next := quoted(after)
		all[strings.TrimSpace(name)] = value
		rest = strings.TrimLeft(next, ", ")
	}
	return all
}

// quoted reads a quoted string, or what stands before the next comma.
func quoted(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, ",")
		return strings.TrimSpace(value), rest
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return out.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}
