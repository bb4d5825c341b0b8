package main

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/denials"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/internal/tracing"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/assertion"
	"github.com/wicketgate/wicketgate/proxy/forwarded"
	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/introspect"
	"github.com/wicketgate/wicketgate/validator/replay"
	"github.com/wicketgate/wicketgate/validator/status"
)

// stores is what outlives a configuration: caches that took work to fill and
// memories that must not be lost, or a reload would let replays through.
type stores struct {
	keys      *jwks.Cache
	tables    *jwks.Tables   // for keys seen again
	replays   *replay.Memory // of this process
	proofs    replay.Store   // what is asked: replays, or a Redis
	pools     []pool
	nonces    *dpop.Nonces
	horizon   *dpop.Horizon
	answers   *introspect.Client // about tokens
	statuses  *status.Lists
	denials   *denials.Sources
	receiver  *receiver // of events; nil for none
	upstreams *proxy.Upstreams
	streams   *streams.Set
	signing   assertion.Ring       // what upstreams verify assertions with
	metrics   *telemetry.Telemetry // nil in check
	started   time.Time            // before it nobody remembers which proofs were used
	stage     *rehearsal.Stage     // stands in for all who would be asked; nil but in a rehearsal
	seed      maphash.Seed         // of the shares of report-only
	borrowed  bool                 // what is read from files belongs to stores that serve, and has been read
}

func newStores(c *config.File, metrics *telemetry.Telemetry) *stores {
	s := &stores{
		replays:   replay.NewMemory(c.DPoP.Replay.MaxEntries),
		nonces:    dpop.NewNonces(),
		horizon:   &dpop.Horizon{},
		upstreams: proxy.NewUpstreams(),
		metrics:   metrics,
		started:   time.Now(),
		seed:      maphash.MakeSeed(),
	}
	s.proofs = s.replays
	hooks := streams.Hooks{}
	if metrics != nil {
		hooks.Began, hooks.Ended = metrics.StreamBegan, metrics.StreamEnded
		s.upstreams.OnUnasked(metrics.Unasked)
		s.upstreams.OnPlaces(proxy.PlaceHooks{Waiting: metrics.UpstreamWaiting, Refused: metrics.UpstreamRefused})
	}
	s.streams = streams.NewSet(hooks)
	var wrong func(string)
	if metrics != nil {
		wrong = metrics.KeyTablesWrong
	}
	s.tables = jwks.NewTables(wrong)
	o := jwks.Options{Tables: s.tables}
	if metrics != nil {
		o.OnLoad, o.OnUnknownKey, o.OnCopy, o.OnDisagree = metrics.KeysLoaded, metrics.UnknownKey, metrics.KeysCopied, metrics.MetadataDiffers
		o.Folder = c.CacheDir
	}
	s.keys = jwks.NewCache(o)
	s.answers = newIntrospection(metrics, s.keys)
	s.statuses = newStatusLists(metrics, s.keys)
	s.denials = newDenials(c, metrics)
	s.receiver = newReceiver(c.Revocation.Signals, s.denials.Deny, metrics)
	return s
}

// plan is a configuration, compiled.
type plan struct {
	table     *proxy.Table
	sources   []jwks.Source
	asked     []introspect.Server
	statuses  []status.Source
	issuers   []string // names
	validator *validator.Validator
	signals   *signalsPlan // nil where no events are received
	tracing   *tracing.Options
	nonces    []byte // the secret they are made with; nil for the process's own
}

// build compiles a configuration. It asks nobody anything, so that check can
// call it too. The error joins a *config.Error for each complaint that has a
// place in the file.
func build(c *config.File, s *stores) (*plan, error) {
	p := &plan{}
	var problems []error
	parts := validator.Parts{
		Keys: s.keys, Introspector: s.answers, Statuses: s.statuses, CacheSize: c.Cache.Tokens, MaxLength: int(c.Limits.Token),
		Denials: s.denials.Rules(), Bounds: boundsOf(c),
	}
	for i, issuer := range c.Issuers {
		p.issuers = append(p.issuers, issuer.Name)
		for _, tenant := range issuer.PerTenant() {
			source, err := sourceOf(tenant)
			source.CipherSuites = cipherSuites(c)
			if err != nil {
				problems = append(problems, c.ErrorAt(fmt.Sprintf("issuers[%d].ca_file", i), err.Error()))
			}
			p.sources = append(p.sources, source)
			parts.Issuers = append(parts.Issuers, issuerOptions(tenant))
			if tenant.StatusList.On() {
				p.statuses = append(p.statuses, statusesOf(source))
			}
			asked, err := s.questions(c, i, source, tenant)
			p.asked, problems = append(p.asked, asked...), append(problems, err)
		}
	}
	problems = append(problems, probeCopies(c, s))
	var err error
	if p.signals, err = signalsOf(c); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, s.loadDenials(c))
	if p.nonces, err = nonceSecret(c); err != nil {
		problems = append(problems, err)
	}
	if c.DPoP.Replay.Store == "redis" {
		if _, err := redisOptions(c, replayRedis, c.DPoP.Replay.Redis); err != nil {
			problems = append(problems, err)
		}
	}
	proofs := dpop.Options{
		Nonces: s.nonces, Horizon: s.horizon, Tables: s.tables,
		MaxAge: c.DPoP.MaxAge, Future: c.DPoP.Future,
		MaxLength: int(c.Limits.Proof), Algorithms: c.DPoP.Algorithms, Since: s.beginning(c), Failures: parts.Bounds.Failures,
	}
	if s.metrics != nil {
		proofs.OnSkew, parts.OnLookup, parts.OnJudged = s.metrics.ProofSkew, s.metrics.TokenLookup, s.metrics.Judged
		proofs.OnSignature, parts.Bounds.OnSignature, parts.Bounds.OnRefused = s.metrics.ProofSignature, s.metrics.TokenSignature, s.metrics.RefusedByMemory
	}
	confirmer, err := dpop.New(proofs, s.proofs)
	if err != nil {
		return nil, c.ErrorAt("dpop.algorithms", err.Error())
	}
	parts.DPoP = confirmer
	s.rehearse(&parts)
	if p.validator, err = validator.New(parts); err != nil {
		return nil, c.ErrorAt("issuers", err.Error())
	}
	p.table, err = buildTable(c, s, p.validator, confirmer.Algorithms())
	problems = append(problems, err, p.traced(c))
	return p, errors.Join(problems...)
}

// probeCopies tries the folder of key copies.
func probeCopies(c *config.File, s *stores) error {
	// What was found good at the start may be gone now: that costs copies, and not
	// the rules of a new file.
	if c.CacheDir == "" || s.borrowed || s.metrics != nil && len(s.keys.Status()) > 0 {
		return nil
	}
	// Nor need it be writable when a gate starts.
	if err := jwks.ProbeCopies(c.CacheDir, s.metrics == nil); err != nil {
		return c.ErrorAt("cache_dir", err.Error())
	}
	return nil
}

// questions says how an issuer is asked about its tokens: not at all, about
// those that are good by themselves, or about those only it can read.
func (s *stores) questions(c *config.File, index int, source jwks.Source, i config.Issuer) (list []introspect.Server, err error) {
	if s.stage != nil {
		return nil, nil
	}
	if i.TokenReview {
		server, problem := reviewOf(c, index, source)
		list, err = append(list, server), errors.Join(err, problem)
	}
	if i.Introspection.On() {
		server, problem := introspectionOf(c, index, source)
		var unshared error
		server.Shared, unshared = s.sharedAnswers(c, index)
		list, err = append(list, askedFor(server, i)), errors.Join(err, problem, unshared)
	}
	return list, err
}

func sourceOf(i config.Issuer) (jwks.Source, error) {
	source := jwks.Source{
		Name: keysOf(i), Label: i.Name, Issuer: i.Issuer, BearerTokenFile: i.BearerTokenFile, DiscoveryURL: i.DiscoveryURL, JWKSURI: i.JWKSURI, File: i.JWKSFile,
		InsecureHTTP: i.InsecureHTTP, Algorithms: i.Algorithms, RefetchInterval: i.RefetchInterval,
		Hosts: i.Hosts, Leeway: i.Leeway, Optional: i.Introspection.On() && i.Introspection.Mode == "opaque",
	}
	if i.CAFile == "" {
		return source, nil
	}
	pem, err := os.ReadFile(i.CAFile)
	if err != nil {
		return source, err
	}
	source.RootCAs, source.RootsID = x509.NewCertPool(), fmt.Sprintf("%x", sha256.Sum256(pem))
	if !source.RootCAs.AppendCertsFromPEM(pem) {
		return source, errors.New("holds no certificate in PEM form")
	}
	return source, nil
}

func issuerOptions(i config.Issuer) validator.Options {
	o := validator.Options{
		Name: i.Name, Keys: keysOf(i), Issuer: i.Issuer, Algorithms: i.Algorithms,
		ScopeClaim: i.ScopeClaim, AudienceClaim: i.AudienceClaim, ClientIDClaim: i.ClientIDClaim,
		Leeway: i.Leeway, MaxLifetime: i.MaxLifetime, AnyAudience: i.InsecureAllowAnyAudience, Vouch: i.ReportOnly.Said(),
		Introspection: introspectionRules(i.Introspection),
	}
	o.Status = statusRules(i.StatusList)
	o.Required, o.Machine, o.Clients, o.Profile = i.RequiredClaims, i.MachineClaims, i.Clients, profiles[i.Profile]
	o.Introspection.JWT = o.Introspection.JWT || i.TokenReview
	if len(i.Tenants) > 0 {
		o.Tenant = i.Tenants[0]
	}
	return o
}

func buildTable(c *config.File, s *stores, v *validator.Validator, algorithms []string) (*proxy.Table, error) {
	t := &proxy.Table{
		Sites:   make(map[string]*proxy.Site),
		Trusted: forwarded.Rules{Trusted: c.TrustedProxies, Standard: c.TrustedHeader == "forwarded"}, Name: c.Via, Interactions: c.FAPI(),
		Limits: proxy.Limits{
			HeaderFields: c.Limits.HeaderFields, HeaderSection: int(c.Limits.HeaderSection), Target: int(c.Limits.Target),
			InFlight: c.Limits.MaxInFlight, Upstream: c.Limits.UpstreamConnections, BodyStall: c.Timeouts.BodyStall, WriteStall: c.Timeouts.WriteStall,
		},
	}
	t.Streams = proxy.StreamLimits{Check: c.Timeouts.StreamCheck, Idle: c.Timeouts.WebSocketIdle, Tunnels: c.Limits.WebSockets}
	var problems []error
	var err error
	if t.Certificates, err = certificateHeader(c); err != nil {
		problems = append(problems, err)
	}
	for i, r := range c.Resources {
		gate, err := buildGate(c, s, i)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		gate.Validator = v.For(validator.Audience{Any: r.Audiences, ByIssuer: r.AudiencesByIssuer})
		gate.Realm = token.Realm{Name: r.Realm, Algorithms: algorithms}
		if s.stage != nil {
			gate.Now = s.stage.Now
		}
		problems = append(problems, describe(c, i, gate, algorithms))
		if r.Served() {
			problems = append(problems, place(c, t, listenOf(c, r), i, gate))
		}
		for _, d := range c.Doors() {
			if d.Has(r) {
				problems = append(problems, place(c, t, d.Listen, i, gate))
				t.Sites[d.Listen].Peers = d.Peers
			}
		}
	}
	return t, errors.Join(problems...)
}

// place puts the gate of the resource at index behind a listener.
func place(c *config.File, t *proxy.Table, listen string, index int, gate *proxy.Gate) error {
	site := t.Sites[listen]
	if site == nil {
		site = &proxy.Site{Hosts: make(map[string]*proxy.Gate)}
		t.Sites[listen] = site
	}
	hosts := c.Resources[index].Hosts
	if len(hosts) == 0 {
		site.Only = gate
	}
	var problems []error
	for j, host := range hosts {
		name, ok := proxy.NormalHost(host)
		if !ok || site.Hosts[name] != nil {
			problems = append(problems, c.ErrorAt(fmt.Sprintf("resources[%d].hosts[%d]", index, j), "is no host, or one that is listed before"))
		}
		site.Hosts[name] = gate
	}
	return errors.Join(problems...)
}

// listenOf is the address of the listener that decides about a resource: where it
// is served, or else the first at which proxies ask about it.
func listenOf(c *config.File, r config.Resource) string {
	for _, d := range c.Doors() {
		if !r.Served() && d.Has(r) {
			return d.Listen
		}
	}
	if r.Listen != "" {
		return r.Listen
	}
	return c.Listen
}

// buildGate compiles the resource at index, less what it shares with others.
func buildGate(c *config.File, s *stores, index int) (*proxy.Gate, error) {
	r := c.Resources[index]
	at := fmt.Sprintf("resources[%d]", index)
	gate := &proxy.Gate{Name: r.Name, BehindTLS: r.BehindTLS}
	for i, origin := range r.PublicOrigins {
		normal, err := dpop.Origin(origin)
		if err != nil {
			return nil, c.ErrorAt(fmt.Sprintf("%s.public_origins[%d]", at, i), err.Error())
		}
		gate.Origins = append(gate.Origins, normal)
	}
	var err error
	gate.Sources = sources(r, gate.Origins)
	open := s.upstreams.Open
	if c.Upstreams == "std" {
		open = s.upstreams.OpenStd
	}
	if r.Served() {
		gate.Upstream, err = open(r.Upstream, proxy.Timeouts{
			Connect: c.Timeouts.UpstreamConnect, Header: c.Timeouts.UpstreamHeader, Longest: longestTimeout(c),
		})
	}
	if err != nil {
		return nil, c.ErrorAt(at+".upstream", err.Error())
	}
	options := make([]policy.Options, len(r.Routes))
	for i, route := range r.Routes {
		options[i] = routeOptions(route, c.DPoP.Nonce == "required")
	}
	if len(options) == 0 {
		options = wholeResource(c)
	}
	if gate.Policy, err = policy.Compile(options, policy.Resource{Identifiers: append([]string{r.Identifier}, r.Audiences...), Implies: r.ScopeHierarchy}); err != nil {
		return nil, routeErrors(c, at, err)
	}
	for _, doubt := range gate.Policy.Doubts() {
		c.Warn("case-differs", fmt.Sprintf("%s.routes[%d].%s", at, doubt.Index, doubt.Field), doubt.Message, doubt.Hint)
	}
	gate.MaxBody, gate.HeaderTimeouts = bodyLimits(r), headerTimeouts(r)
	gate.Forward, err = forwards(c, s, index)
	reportOnly(c, s, r, gate)
	return gate, err
}

// routeOptions compiles a route. nonce is what governs it when it does not say.
func routeOptions(r config.Route, nonce bool) policy.Options {
	o := policy.Options{
		Name: r.Name, Hosts: r.Hosts, Path: r.Path, Methods: r.Methods, Public: r.Public, Optional: r.Optional, Hide: r.Hide,
		All: r.Scopes.All, Any: r.Scopes.Any, StripPrefix: r.StripPrefix,
		Binding: bindings[r.Binding], Nonce: r.Nonce == "required" || r.Nonce == "" && nonce,
		ACR: r.ACR, AMR: r.AMR, MaxAge: r.MaxAge, WebSocket: r.WebSocket, KeepStreams: !r.EndStreams,
		Allow: policy.Allow(r.Allow), CaseInsensitive: r.CaseInsensitive,
		Clients: r.Clients, Subjects: r.Subjects, SubjectType: r.SubjectType, Actors: r.Actor, When: r.When,
		MaxTokenAge: r.MaxTokenAge, Networks: r.Networks,
	}
	if len(r.Claims) > 0 {
		o.Claims = make(map[string]policy.ClaimRule, len(r.Claims))
	}
	for path, claim := range r.Claims {
		o.Claims[path] = policy.ClaimRule(claim)
	}
	for _, d := range r.AuthorizationDetails {
		o.Details = append(o.Details, policy.Detail(d))
	}
	return o
}

var bindings = map[string]policy.Binding{
	"any": policy.AnyBinding, "dpop": policy.DPoPBinding, "mtls": policy.MTLSBinding, "required": policy.BoundBinding,
}

// routeErrors gives each complaint of the policy its place in the file.
func routeErrors(c *config.File, at string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var placed []error
	for _, e := range joined.Unwrap() {
		if complaint, ok := errors.AsType[*policy.Error](e); ok {
			place := fmt.Sprintf("%s.routes[%d].%s", at, complaint.Index, complaint.Field)
			told := c.ErrorIn(place, complaint.Offset, complaint.Message)
			if complaint.Other != nil {
				told = c.ErrorBetween(place, complaint.Message, fmt.Sprintf("%s.routes[%d].path", at, complaint.Other.Index()))
			}
			told.Hint = strings.Trim(told.Hint+"; "+complaint.Hint, "; ")
			e = told
		}
		placed = append(placed, e)
	}
	return errors.Join(placed...)
}
