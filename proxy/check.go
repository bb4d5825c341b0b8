package proxy

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
	"github.com/wicketgate/wicketgate/token"
)

// CheckerOptions are what a Checker is made of.
type CheckerOptions struct {
	Door   string  // the key of Table.Sites
	Switch *Switch // the table in force

	// Copies says that who asks copies fields of the answer into the request it
	// forwards, and takes none away. What would have to be taken away because a
	// client could speak for the gate in it is refused then, and Set has every
	// field that only the gate may set, some with an empty value, and one for
	// each field in Remove that speaks for another hop or for a certificate.
	Copies bool

	// Decided is told of every request that was decided about; may be nil.
	Decided func(*http.Request, *Outcome)
}

// A Checker decides about requests that somebody else holds and forwards: a proxy
// that asks, or a handler in the same program. It decides by the code of Reverse.
type Checker struct{ options CheckerOptions }

// NewChecker makes a Checker.
func NewChecker(o CheckerOptions) *Checker { return &Checker{o} }

// Checked is what becomes of a request that somebody asked about.
type Checked struct {
	Allowed bool

	// With Allowed, what is to become of the request on its way on. Set holds
	// the fields it must have, in place of whatever it has under those names.
	// Remove holds the names of those it must not have, as they were asked
	// about, in order. Path is the raw target it must have, or empty where
	// that stays. Principal is who sent it, nil for an anonymous caller.
	Set       http.Header
	Remove    []string
	Path      string
	Principal *token.Principal

	// What the client is answered. With Allowed, Header goes onto the answer of
	// whoever answers, and Status is 200. Without, a Status of 200 may refuse:
	// gRPC says so in Header. Means is the status it stands for.
	Status int
	Means  int
	Header http.Header
	Body   []byte
}

// MayAsk reports whether the proxy at the address asker may ask here. Check asks
// too; it is for those who would have to read what the proxy says before.
func (c *Checker) MayAsk(asker netip.Addr) bool {
	t := c.options.Switch.Table()
	return t != nil && t.Sites[c.options.Door] != nil && t.Sites[c.options.Door].mayAsk(asker)
}

// ClientOf is the address of the client that a proxy at the address asker tells of in
// h, as far as Peers are believed; asker where it tells of none.
func (c *Checker) ClientOf(asker netip.Addr, h http.Header) netip.Addr {
	t := c.options.Switch.Table()
	if t == nil || t.Sites[c.options.Door] == nil {
		return asker
	}
	rules := forwarded.Rules{Trusted: t.Sites[c.options.Door].Peers, Standard: t.Trusted.Standard}
	return rules.Trace(h, asker).Client
}

// Check decides about r, which is the request as its client sent it to the proxy at
// the address asker: Method, RequestURI, Host, Header, ProtoMajor and ProtoMinor,
// ContentLength as far as it is known, and in RemoteAddr the client's address and
// port, as that proxy vouches. TLS is nil, or holds the client's certificate; never
// that of the proxy. URL and Body may be nil. Names are those of http.CanonicalHeaderKey.
//
// Where the site of the door has Peers, asker must be one of them, and what r says
// of client certificates counts when the table trusts asker. Else nobody holds r,
// and asker is not looked at: r came from its client or a proxy in front, as it does
// to a Reverse.
func (c *Checker) Check(asker netip.Addr, r *http.Request) *Checked {
	return c.answer(r, func(ex *exchange, rec *recorder) bool {
		leave := c.options.Switch.admit(ex.bounds().InFlight)
		if leave == nil {
			ex.shed(rec)
			return false
		}
		defer leave()
		var site *Site
		if ex.table != nil {
			site = ex.table.Sites[c.options.Door]
		}
		if ex.held = site != nil && site.Peers != nil; ex.held {
			ex.copies = c.options.Copies
			if ex.asker = asker; !site.mayAsk(asker) {
				return ex.decline(rec, token.Refuse(token.Forbidden, token.ReasonAsker))
			}
		}
		return ex.decide(rec, r, site) && ex.readHandshake(rec, r)
	})
}

// Decline refuses to look at r, of which not more than its Header and RemoteAddr
// need be known.
func (c *Checker) Decline(r *http.Request, e *token.Error) *Checked {
	return c.answer(r, func(ex *exchange, rec *recorder) bool { return ex.decline(rec, e) })
}

func (ex *exchange) decline(w http.ResponseWriter, e *token.Error) (allowed bool) {
	ex.outcome.Door = e
	refuseAtDoor(w, e)
	return false
}

// answer keeps what judge answers, and what it says of a request that it allows.
func (c *Checker) answer(r *http.Request, judge func(*exchange, *recorder) (allowed bool)) (checked *Checked) {
	if r.URL == nil { // nobody decides by it, but logs show it
		r = r.WithContext(r.Context())
		if r.URL, _ = url.ParseRequestURI(r.RequestURI); r.URL == nil {
			r.URL = &url.URL{}
		}
	}
	w := &page{header: make(http.Header)}
	ex, rec := begin(c.options.Switch.Table(), w, r)
	ex.hop = &hop{} // the connection of r's context is not the client's
	checked = &Checked{}
	defer func() {
		if recover() != nil {
			*checked, *w = Checked{}, page{header: make(http.Header)}
			ex.outcome.Panic, rec.status = placeOfPanic(), 0
			answer(rec, http.StatusInternalServerError, "server_error", "")
		}
		ex.tellOutcome(r, c.options.Decided)
		delete(w.header, "Connection") // for a connection that is not here
		delete(w.header, "Content-Length")
		checked.Status, checked.Means, checked.Header, checked.Body = w.status, rec.status, w.header, w.body.Bytes()
	}()
	if judge(ex, rec) {
		checked.Allowed = c.pass(checked, ex, r)
	}
	return checked
}

// pass says what becomes of an allowed request. It reports false when it has
// refused it instead.
func (c *Checker) pass(checked *Checked, ex *exchange, r *http.Request) (allowed bool) {
	h := r.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	ex.identify(h)
	if ex.key != "" {
		h["Upgrade"] = r.Header["Upgrade"]
	}
	set, remove := make(http.Header), []string(nil)
	for name, values := range h {
		if !slices.Equal(values, r.Header[name]) {
			set[name] = values
		}
	}
	for _, f := range ex.fields { // also where the client has guessed the value
		set[f.name] = h[f.name]
	}
	for name := range r.Header {
		if h[name] == nil {
			remove = append(remove, name)
		}
	}
	slices.Sort(remove)
	if c.options.Copies {
		ex.nameAll(set)
		emptyAll(set, remove)
	}
	speaks := func(name string) bool { return impersonates(name, ex.forward.ours) }
	if slices.ContainsFunc(connectionOptions(r.Header["Connection"]), speaks) ||
		c.options.Copies && ex.lingers(r.Header, speaks) {
		ex.takeBack(ex.writer, http.StatusBadRequest, token.ReasonReserved)
		return false
	}
	checked.Set, checked.Remove, checked.Principal = set, remove, ex.decision.Principal
	if target := ex.onwardTarget(); target != ex.request.RawPath+ex.query {
		checked.Path = target
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: ex.writer.Header(), Request: r.WithContext(ex.within(r.Context()))}
	replaceNonce(resp)
	keepPrivate(resp)
	ex.writer.WriteHeader(http.StatusOK)
	return true
}

// nameAll adds an empty value for each field that only the gate may set and that has
// none: some proxies make one up for what they are to copy and is not there.
func (ex *exchange) nameAll(set http.Header) {
	for _, name := range [...]string{headerSubject, headerSubjectType, headerIssuer, headerClientID, headerScope, headerBinding} {
		if set[name] == nil {
			set[name] = []string{""}
		}
	}
	for normal := range ex.forward.ours {
		if name := http.CanonicalHeaderKey(normal); set[name] == nil && !ex.carriesToken(name) {
			set[name] = []string{""}
		}
	}
}

// emptyAll adds an empty value for each field that speaks for another hop or for a
// certificate: whoever copies it has taken the client's away.
func emptyAll(set http.Header, remove []string) {
	for _, name := range remove {
		if c := classify(name, nil); c == forwarding || c == forbidden {
			set[name] = []string{""}
		}
	}
}

// carriesToken tells the fields that clients send their token in, though the gate may
// set them.
func (ex *exchange) carriesToken(name string) bool {
	return name == headerAuthorization || name == ex.gate.Sources.Header
}

// lingers tells a field that speaks for the gate, or a change of protocol that the
// route does not take: whoever takes no field away would forward it.
func (ex *exchange) lingers(h http.Header, speaks func(name string) bool) bool {
	for name := range h {
		if speaks(name) && !ex.carriesToken(name) {
			return true
		}
	}
	return ex.key == "" && h["Upgrade"] != nil
}

// connectionOptions lists what Connection has the next hop take away (RFC 9110
// section 7.6.1), as http.CanonicalHeaderKey writes names. Proxies that do so after
// they have asked would take away what is in Checked.Set.
func connectionOptions(lines []string) (names []string) {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			names = append(names, http.CanonicalHeaderKey(strings.Trim(one, " \t")))
		}
	}
	return names
}

// onwardTarget is the raw path and query of the request on its way on.
func (ex *exchange) onwardTarget() string {
	target := ex.decision.Route.UpstreamPath(ex.request.RawPath)
	if query := ex.upstreamQuery(); query != "" || ex.query == "?" {
		target += "?" + query
	}
	return target
}

// speaker is whose word a request's fields about its client are.
func (ex *exchange) speaker(r *http.Request) netip.Addr {
	if ex.held {
		return ex.asker
	}
	return ex.peerOf(r)
}

// A page is an answer that is kept.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(status int) { p.status = status }

func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
