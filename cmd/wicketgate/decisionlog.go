package main

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/proxy"
)

// decisionRoom is how many octets of the decision log wait for a disk that is
// behind: some thousand lines.
const decisionRoom = 4 << 20

func newSink(w io.Writer) decisions.Sink { return telemetry.NewWideSink(w, decisionRoom) }

// prepareDecisions opens the decision log that c asks for. It returns nil for none.
func (g *gateway) prepareDecisions(c *config.File) (*decisions.Outlet, error) {
	o, err := g.decisions.Prepare(c.DecisionLog.File)
	if err != nil {
		return nil, c.ErrorAt("decision_log.file", "cannot be opened: "+err.Error())
	}
	return o, nil
}

// decided is the hook of a front door.
func (g *gateway) decided(listener string) func(*http.Request, *proxy.Outcome) {
	count := g.metrics.Decided(listener)
	return func(r *http.Request, o *proxy.Outcome) {
		count(r, o)
		g.decisions.Decided(listener, r, o)
	}
}

// recording says what a line holds under a configuration: all that its rules look
// at, so that they, and changes of them, can be judged again.
func recording(c *config.File, t *proxy.Table) decisions.Options {
	o := decisions.Options{
		Share: c.DecisionLog.Share, Claims: slices.Clone(c.DecisionLog.Claims), Headers: c.DecisionLog.Headers, From: make(map[string]decisions.From),
	}
	for gate := range gatesOf(t) {
		for _, route := range gate.Policy.Routes() {
			named, _ := route.Reads() // what else an expression may read stays out of the log
			o.Claims = append(o.Claims, named...)
		}
	}
	for _, i := range c.Issuers {
		o.Claims = append(append(o.Claims, requiredReads(i)...), slices.Collect(maps.Keys(i.MachineClaims))...)
		if from := fromOf(i); from != (decisions.From{}) {
			o.From[i.Name] = from
		}
	}
	return o
}

// gatesOf visits each gate of a table, one that answers to several hosts more than
// once.
func gatesOf(t *proxy.Table) func(func(*proxy.Gate) bool) {
	return func(yield func(*proxy.Gate) bool) {
		for _, site := range t.Sites {
			if site.Only != nil && !yield(site.Only) {
				return
			}
			for gate := range maps.Values(site.Hosts) {
				if gate != nil && !yield(gate) {
					return
				}
			}
		}
	}
}

// requiredReads lists the claims that an issuer's settings ask for.
func requiredReads(i config.Issuer) []string {
	list := slices.Sorted(maps.Keys(i.RequiredClaims))
	if len(i.Tenants) > 0 {
		list = append(list, "tid")
	}
	if i.Profile == "kubernetes" {
		list = append(list, `kubernetes\.io`)
	}
	return list
}

// fromOf names the claims of an issuer that are not those of RFC 9068.
func fromOf(i config.Issuer) (from decisions.From) {
	for _, c := range [...]struct {
		to           *string
		claim, usual string
	}{{&from.Scope, i.ScopeClaim, "scope"}, {&from.Aud, i.AudienceClaim, "aud"}, {&from.ClientID, i.ClientIDClaim, "client_id"}} {
		if c.claim != c.usual {
			*c.to = c.claim
		}
	}
	return from
}
