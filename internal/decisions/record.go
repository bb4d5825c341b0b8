package decisions

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/masked"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// maxValue is the longest claim that is recorded, in octets of its JSON.
const maxValue = 4 << 10

// Options say what is recorded of a request beside what always is.
type Options struct {
	Share   int             // of how many in a hundred requests there is a line
	Claims  []string        // of verified callers, by dotted path
	Headers []string        // as http.CanonicalHeaderKey writes them
	From    map[string]From // by issuer's name, where its tokens say things in claims of their own
}

// A Recorder writes a line for each decision. It is immutable and safe for
// concurrent use, if what it writes to is.
type Recorder struct {
	options Options
	to      io.Writer
	lines   *sync.Pool
}

// NewRecorder makes a Recorder that writes each line to w at once, which must not
// wait and must not keep it.
func NewRecorder(o Options, w io.Writer) *Recorder {
	// Some issuers' jti is the token: every line has its hash, and nothing else of it.
	o.Claims = slices.DeleteFunc(slices.Clone(o.Claims), func(path string) bool {
		return slices.Contains(always[:], path) && path != "client_id" || path == "jti"
	})
	slices.Sort(o.Claims)
	o.Claims = slices.Compact(o.Claims)
	o.Headers = slices.Compact(slices.Sorted(slices.Values(o.Headers)))
	return &Recorder{options: o, to: w, lines: &sync.Pool{New: func() any { return &[]byte{} }}}
}

// Decided writes the line of a request that came in at listener, its address as
// configured, and has been answered.
func (r *Recorder) Decided(listener string, req *http.Request, o *proxy.Outcome) {
	if r.options.Share < 100 && rand.IntN(100) >= r.options.Share {
		return
	}
	buffer, _ := r.lines.Get().(*[]byte)
	line := out(append((*buffer)[:0], '{'))
	r.request(&line, listener, req, o)
	line = append(line, '}', '\n')
	_, _ = r.to.Write(line) // what is lost is counted there
	*buffer = line
	r.lines.Put(buffer)
}

func (r *Recorder) request(line *out, listener string, req *http.Request, o *proxy.Outcome) {
	verdict, reason := verdictOf(o)
	line.number("v", Version)
	line.name("time")
	*line = append(*line, '"')
	*line = time.Now().Add(-o.Duration).UTC().AppendFormat(*line, "2006-01-02T15:04:05.000000Z")
	*line = append(*line, '"')
	line.text("listener", listener)
	line.text("interaction", o.Interaction)
	trace, _ := o.Trace.ID()
	line.text("trace", cmp.Or(trace, traceOf(req.Header)))
	var p *token.Principal
	if o.Gate != nil {
		line.text("resource", o.Gate.Name)
	}
	if d := o.Decision; d != nil {
		p = principalOf(d)
		if d.Route != nil && d.Route.Matched() {
			line.text("route", d.Route.Name)
		}
	}
	line.text("verdict", string(verdict))
	line.text("reason", string(reason))
	line.number("status", o.Status)
	line.text("method", methodOf(req.Method))
	if host, ok := proxy.NormalHost(req.Host); ok && len(host) <= maxHost {
		line.text("host", host)
	}
	path, whole := pathOf(req.RequestURI, req.Header)
	line.text("path", path)
	line.yes("path_cut", !whole)
	if o.Client.IsValid() {
		line.text("source", o.Client.WithZone("").String())
	}
	line.text("credential", string(seenOf(o, verdict, reason)))
	if p != nil {
		line.name("caller")
		r.caller(line, p, o.Decision)
	}
	r.headers(line, req.Header)
}

// headers writes those that are recorded: no line at all is told as an empty list,
// what may be a secret or is too long is not told.
func (r *Recorder) headers(line *out, h http.Header) {
	open := false
	for _, name := range r.options.Headers {
		values := h[name]
		if slices.ContainsFunc(values, func(v string) bool { return len(v) > maxHeader || masked.MayHide(v) }) {
			continue
		}
		if !open {
			line.name("headers")
			*line = append(*line, '{')
			open = true
		}
		line.list(name, values)
	}
	if open {
		*line = append(*line, '}')
	}
}

// caller writes what is known of a verified one.
func (r *Recorder) caller(line *out, p *token.Principal, d *proxy.Decision) {
	*line = append(*line, '{')
	line.text("issuer", p.Issuer)
	line.text("iss", p.Claims.Issuer)
	line.text("sub", p.Subject)
	line.text("client_id", p.ClientID)
	line.text("subject_type", p.SubjectType())
	line.texts("scope", p.Scope)
	line.texts("aud", p.Audience)
	line.texts("binding", bindings[p.Binding])
	line.yes("nonce", d.Route != nil && d.Route.Nonce && p.Binding&token.BoundDPoP != 0)
	line.yes("introspected", p.Told)
	if p.ID != "" {
		digest := sha256.Sum256([]byte(p.ID))
		line.text("jti", hex.EncodeToString(digest[:]))
	}
	var long []string
	for _, name := range [...]string{"exp", "nbf", "iat", "acr", "amr", "auth_time"} {
		if v, found := p.Lookup(name); found && !line.claim(name, v) {
			long = append(long, name)
		}
	}
	r.actor(line, p)
	if from, differs := r.options.From[p.Issuer]; differs {
		line.name("from")
		*line = append(*line, '{')
		line.text("scope", from.Scope)
		line.text("aud", from.Aud)
		line.text("client_id", from.ClientID)
		*line = append(*line, '}')
	}
	r.claims(line, p, long)
	*line = append(*line, '}')
}

var bindings = map[token.Binding][]string{
	token.BoundDPoP: {"dpop"}, token.BoundMTLS: {"mtls"}, token.BoundDPoP | token.BoundMTLS: {"dpop", "mtls"},
}

// claim adds a member unless its value is too long.
func (o *out) claim(name string, v token.Value) bool {
	if len(v) > maxValue {
		return false
	}
	o.name(name)
	o.value(v)
	return true
}

func (*Recorder) actor(line *out, p *token.Principal) {
	act, found := p.Lookup("act")
	if !found {
		return
	}
	line.name("act")
	*line = append(*line, '{')
	for _, name := range [...]string{"sub", "iss"} {
		v, _ := act.Member(name)
		text, _ := v.Text()
		line.text(name, text)
	}
	*line = append(*line, '}')
}

// claims adds what rules name and the operator lists. long are those that were
// too long before.
func (r *Recorder) claims(line *out, p *token.Principal, long []string) {
	var absent []string
	open := false
	for _, path := range r.options.Claims {
		v, found := p.Lookup(path)
		switch {
		case !found:
			absent = append(absent, path)
			continue
		case len(v) > maxValue:
			long = append(long, path)
			continue
		case !open:
			line.name("claims")
			*line = append(*line, '{')
			open = true
		}
		if (*line)[len(*line)-1] != '{' {
			*line = append(*line, ',')
		}
		line.quote(path)
		*line = append(*line, ':')
		line.value(v)
	}
	if open {
		*line = append(*line, '}')
	}
	line.texts("absent", absent)
	line.texts("left_out", long)
}

// principalOf is the verified caller, also of what only report-only lets through.
func principalOf(d *proxy.Decision) *token.Principal {
	if d.Would != nil {
		d = d.Would
	}
	return d.Principal
}

// verdictOf puts an outcome into words.
func verdictOf(o *proxy.Outcome) (Verdict, token.Reason) {
	switch {
	case o.Door != nil:
		return Refused, o.Door.Reason
	case o.Panic != "", o.Decision == nil:
		return Failed, token.ReasonInternal
	}
	return Of(o.Decision)
}

// Of puts a decision into words.
func Of(d *proxy.Decision) (Verdict, token.Reason) {
	switch d.Verdict {
	case proxy.Allowed:
		switch r := d.Route; {
		case d.Would != nil:
			return Reported, d.Would.Reason()
		case d.Principal != nil:
			return Allowed, token.ReasonNone
		case r != nil && r.Public:
			return Public, token.ReasonNone
		case r != nil && r.Optional:
			return Anonymous, token.ReasonNone
		}
		return Preflight, token.ReasonNone
	case proxy.Answered:
		return Answered, token.ReasonNone
	case proxy.Refused:
		return Refused, d.Reason()
	case proxy.Failed:
	}
	return Failed, d.Reason()
}

// seenOf says what is known of the credential. What a route that serves one
// scheme only does not take may have been a token of the other.
func seenOf(o *proxy.Outcome, verdict Verdict, reason token.Reason) Seen {
	d := o.Decision
	switch {
	case d != nil && principalOf(d) != nil:
		return Verified
	case verdict == Anonymous:
		return None
	case verdict == Public, verdict == Preflight, verdict == Answered, o.Door != nil, d == nil, reason == token.ReasonNoRoute, reason == token.ReasonOrigin, reason == token.ReasonPath:
		return Unseen
	case reason == token.ReasonMissing && d.Route != nil && d.Route.Schemes() == token.Bearer|token.DPoP:
		return None
	case reason == token.ReasonMissing:
		return Unseen
	}
	return Rejected
}
