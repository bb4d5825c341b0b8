// Package recorded holds requests of the past, from a list or an access log,
// against a configuration: which of them would be refused before any token is
// looked at. It decides nothing itself: each goes through the door that serve
// has. Nothing of a query or a path parameter is ever shown, as tokens may be in
// them.
package recorded

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// maxLine is how long a line may be, in octets. The rest of the file is read
// whatever its size.
const maxLine = 256 << 10

// A Resource is where requests can be for.
type Resource struct {
	Name    string
	Listen  string   // of its listener, the key of proxy.Table.Sites
	Host    string   // that it answers to
	Origins []string // scheme://host[:port], in lower case, without default ports
}

// A Judge says what becomes of requests.
type Judge struct {
	Table     *proxy.Table
	Resources []Resource // one of them, or those that URLs are told apart by
}

// Tally counts lines.
type Tally struct{ Passed, Refused, Unrouted, Unread int }

// Good reports whether every line was a request that gets as far as a token
// would be looked at.
func (t Tally) Good() bool { return t.Refused+t.Unrouted+t.Unread == 0 }

var errNoResource = errors.New("is a path without a host, and there are several resources; name one with --resource")

// All reads lines to the end of in, and tells of each that does not pass, and
// then how many there were. It fails when in does, or on a line that could be
// for any of several resources.
func (j *Judge) All(in io.Reader, out io.Writer) (Tally, error) {
	lines, tally, counts := bufio.NewReaderSize(in, maxLine), Tally{}, make(map[string]int)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		long := false
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return tally, err
		}
		text, end := strings.TrimRight(string(line), "\r\n"), err != nil
		if text != "" && !long && text[0] != '#' || long {
			what, verdict, problem := j.line(text, long, &tally)
			if problem != nil {
				return tally, fmt.Errorf("line %d %w", n, problem)
			}
			if verdict != "" {
				counts[verdict]++
				fmt.Fprintf(out, "line %d: %s%s\n", n, what, verdict)
			}
		}
		if end {
			break
		}
	}
	summarize(out, tally, counts)
	return tally, nil
}

// line judges one line. What is said of it names the line's method and path;
// the verdict is empty where it passes.
func (j *Judge) line(text string, long bool, tally *Tally) (what, verdict string, err error) {
	method, target, ok := request(text)
	if long || !ok {
		tally.Unread++
		if long {
			return "", fmt.Sprintf("longer than %d KiB", maxLine>>10), nil
		}
		return "", "no request", nil
	}
	what = shown(method) + " " + visible(target) + ": "
	r, err := j.resource(target)
	if err != nil {
		return what, "", err
	}
	if r == nil {
		tally.Refused++
		return what, "421 no resource has this origin", nil
	}
	verdict, unrouted := j.verdict(r, method, target)
	switch {
	case unrouted:
		tally.Unrouted++
	case verdict != "":
		tally.Refused++
	default:
		tally.Passed++
	}
	return what, verdict, nil
}

// resource finds what a target is for; nil for none.
func (j *Judge) resource(target string) (*Resource, error) {
	if len(j.Resources) == 1 {
		return &j.Resources[0], nil
	}
	origin, _, found := cutOrigin(target)
	if !found {
		return nil, errNoResource
	}
	for i, r := range j.Resources {
		if slices.Contains(r.Origins, origin) {
			return &j.Resources[i], nil
		}
	}
	return nil, nil
}

// verdict takes one request through the door.
func (j *Judge) verdict(r *Resource, method, target string) (text string, unrouted bool) {
	s := j.Table.Screen(r.Listen, &http.Request{
		Method: method, RequestURI: target, Host: r.Host, Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	})
	switch {
	case s.Answered:
		return "", false
	case s.Door != nil:
		return fmt.Sprintf("%d %s", s.Door.Code.Status(), because(s, target)), false
	case s.Astray != nil:
		return fmt.Sprintf("%d %s", token.NotFound.Status(), s.Astray.Error()), false
	case s.Route.Matched():
		return "", false
	case s.Known:
		return fmt.Sprintf("%d no route for this method", token.NotFound.Status()), true
	}
	return fmt.Sprintf("%d no route", token.NotFound.Status()), true
}

// because names the rule, and what would allow the request where something
// would.
func because(s proxy.Screened, target string) string {
	rule, ok := errors.AsType[*policy.PathError](error(s.Door))
	switch {
	case s.Door.Reason == token.ReasonTarget && s.Door.Code == token.InvalidRequest:
		return targetFault(target)
	case !ok:
		return s.Door.Description()
	case rule.Missing != 0 && s.Even != nil:
		return rule.Flaw.String() + ", and " + s.Even.Error()
	}
	return rule.Error()
}

// targetFault says what the door has against a target before it has a path.
func targetFault(target string) string {
	switch {
	case strings.Contains(target, "#"):
		return "number sign"
	case strings.ContainsAny(target, " \x7f"):
		return "space or control character"
	}
	return "neither a path nor an http URL with a host and without a user name"
}

func summarize(out io.Writer, t Tally, counts map[string]int) {
	fmt.Fprintf(out, "%d requests: %d come as far as their token, %d refused, %d without a route; %d lines are no request\n",
		t.Passed+t.Refused+t.Unrouted, t.Passed, t.Refused, t.Unrouted, t.Unread)
	for _, verdict := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(out, "%8s  %s\n", strconv.Itoa(counts[verdict]), verdict)
	}
}
