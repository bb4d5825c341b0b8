package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/admin"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// status is the page at the root of the admin listener.
func (g *gateway) status(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	file, compiled := g.file, g.plan
	g.mu.Unlock()
	build := buildFacts()
	p := &admin.Page{
		Version: build.Version, Revision: build.Revision,
		Now: time.Now(), Started: g.stores.started, Rates: g.rates.Now(time.Now()), Here: admin.Here(r),
	}
	if hash, err := file.Hash(); err == nil && g.path != "" {
		p.Hash = hex.EncodeToString(hash[:])
	}
	g.readiness(p.Here, func(ok bool, what, why string) { p.Lines = append(p.Lines, admin.Line{OK: ok, What: what, Why: why}) })
	for _, pool := range g.stores.pools {
		what, state, _ := strings.Cut(redisLine(pool), ": ")
		if !p.Here {
			state, _, _ = strings.Cut(state, " (")
		}
		p.Lines = append(p.Lines, admin.Line{OK: state == "ok", What: what, Why: ": " + state})
	}
	for _, s := range g.stores.keys.Status() {
		p.Issuers = append(p.Issuers, admin.Issuer{
			Name: s.Name, Identifier: s.Issuer, Ready: s.Ready, Keys: s.Keys, Loaded: s.LastSuccess, Next: s.Next,
		})
	}
	for _, one := range file.Resources {
		shown := admin.Resource{Name: one.Name, Identifier: one.Identifier}
		gate := gateOf(compiled.table, one.Name)
		if gate == nil {
			continue
		}
		if gate.Upstream != nil {
			shown.Upstream = gate.Upstream.Name
		}
		for _, route := range gate.Policy.Routes() {
			shown.Routes = append(shown.Routes, admin.Route{
				Name: route.Name, Path: route.Path, Asks: asks(route),
				Methods: cmp.Or(strings.Join(route.Methods, " "), "all"), Hosts: cmp.Or(strings.Join(route.Hosts, " "), "all"),
			})
		}
		p.Resources = append(p.Resources, shown)
	}
	admin.ServePage(w, p)
}

// gateOf finds the gate of a resource.
func gateOf(t *proxy.Table, name string) *proxy.Gate {
	for _, site := range t.Sites {
		if site.Only != nil && site.Only.Name == name {
			return site.Only
		}
		for _, gate := range site.Hosts {
			if gate.Name == name {
				return gate
			}
		}
	}
	return nil
}

// asks says in the words of the file what a route wants of a caller.
func asks(r *policy.Route) string {
	switch {
	case r.Public:
		return "nothing: public"
	case r.Optional:
		return "a good token, or none" + requirements(r)
	}
	return "a token" + requirements(r)
}

func requirements(r *policy.Route) string {
	var list []string
	for name, binding := range bindings {
		if binding == r.Binding && name != "any" {
			list = append(list, "binding "+name)
		}
	}
	if r.Nonce {
		list = append(list, "nonce")
	}
	if len(r.All) > 0 {
		list = append(list, "scopes "+strings.Join(r.All, " "))
	}
	if len(r.Any) > 0 {
		list = append(list, "one of the scopes "+strings.Join(r.Any, " "))
	}
	for _, one := range r.Requirements() {
		if one.Reason != token.ReasonScope && one.Reason != token.ReasonBinding {
			list = append(list, strings.TrimSpace(string(one.Reason)+" "+one.Part))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ": " + strings.Join(list, ", ")
}

// showConfig answers with the file in force, which need not be the one on disk.
func (g *gateway) showConfig(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	file := g.file
	g.mu.Unlock()
	text, err := file.Redacted()
	if err != nil {
		g.log.Error("configuration could not be shown", zap.Error(err))
		admin.Text(w, http.StatusInternalServerError, "could not be written; the log says why\n")
		return
	}
	admin.Text(w, http.StatusOK, string(text))
}

// question is the body of a request to /explain, in the words of the command.
type question struct {
	Token       string   `json:"token"`
	Method      string   `json:"method"`
	URL         string   `json:"url"`
	Proof       string   `json:"proof"`
	Certificate string   `json:"certificate"` // in PEM
	From        string   `json:"from"`
	Headers     []string `json:"headers"`
	Resource    string   `json:"resource"`
}

// explainHere says what explain would, by the file, the keys, the nonces and the
// deny rules in force. What it is told is neither kept nor logged.
func (g *gateway) explainHere(w http.ResponseWriter, r *http.Request) {
	q := question{Method: http.MethodGet}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		admin.Text(w, http.StatusUnsupportedMediaType, "wants application/json\n")
		return
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxStdin))
	body.DisallowUnknownFields()
	if err := body.Decode(&q); err != nil { // which may quote what was sent
		admin.Text(w, http.StatusBadRequest, "wants an object with token, method, url, proof, certificate, from, headers, resource, of 1 MiB at most\n")
		return
	}
	if !g.explaining.TryLock() { // it takes a gate of its own
		w.Header().Set("Retry-After", "1")
		admin.Text(w, http.StatusServiceUnavailable, "another one is being explained\n")
		return
	}
	defer g.explaining.Unlock()
	g.mu.Lock()
	file := g.file.Apart()
	g.mu.Unlock()
	s := g.stores.beside(file)
	defer s.upstreams.Close()
	compiled, err := build(file, s)
	if err != nil {
		g.log.Error("no gate could be made to explain with", zap.Error(err))
		admin.Text(w, http.StatusInternalServerError, "could not be explained; the log says why\n")
		return
	}
	e := explainCommand{Method: q.Method, URL: q.URL, Proof: q.Proof, From: q.From, Header: q.Headers, Resource: q.Resource}
	if q.Certificate != "" {
		e.shown = []byte(q.Certificate)
	}
	var out bytes.Buffer
	if _, _, err := e.explain(r.Context(), &out, file, compiled, q.Token); err != nil {
		admin.Text(w, http.StatusBadRequest, unquoted(err)+"\n")
		return
	}
	admin.Text(w, http.StatusOK, out.String())
}

// unquoted is an error about a question in the words of /explain. What url.Parse
// says quotes the URL.
func unquoted(err error) string {
	if _, quotes := errors.AsType[*url.Error](err); quotes {
		return "url: is none"
	}
	return strings.ReplaceAll(err.Error(), "--", "")
}

// beside is stores to explain with while s serves: it has the same keys, nonces,
// deny rules and answers of issuers, and memories of its own for what a request
// that nobody sent must not change.
func (s *stores) beside(c *config.File) *stores {
	own := newStores(c, nil)
	own.answers.Close()
	own.statuses.Close()
	own.keys, own.tables, own.nonces, own.denials = s.keys, s.tables, s.nonces, s.denials
	own.answers, own.statuses, own.seed = s.answers, s.statuses, s.seed
	own.started, own.borrowed = time.Time{}, true
	return own
}
