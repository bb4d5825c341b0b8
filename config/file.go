// Package config reads the configuration file strictly, says all that is wrong
// with it by line, column and path, and watches it for changes.
//
// It knows what the file means only as far as one value or a comparison of two
// can tell; whether routes conflict, keys load or issuers answer is for those
// who build from a File.
package config

import (
	"net/netip"
	"time"
)

// File is a configuration file that was read without an error, with every
// default filled in.
type File struct {
	Version        int            `yaml:"version" required:"true" min:"1" max:"1" doc:"The version of this file's format; always 1."`
	Listen         string         `yaml:"listen" default:":8420" doc:"Address for traffic, as host:port with an IP address or localhost, or :port for all addresses; default :8420."`
	TLS            TLS            `yaml:"tls" doc:"Serve HTTPS on every traffic listener; default plain HTTP."`
	Admin          Admin          `yaml:"admin" doc:"The listener for probes and metrics."`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" empty:"ok" doc:"Peers that may say X-Forwarded-*, Forwarded and client certificate headers, as addresses or CIDR blocks; default none."`
	TrustedHeader  string         `yaml:"trusted_header" default:"x-forwarded-for" enum:"x-forwarded-for,forwarded" doc:"Which header trusted_proxies say the client's address in; the other one is never believed, since a proxy that does not write it passes on what the client wrote; default x-forwarded-for."`
	ProxyProtocol  []string       `yaml:"proxy_protocol" doc:"Which listen addresses take the PROXY protocol (version 1 or 2): each connection must come from trusted_proxies and begin with its header; default none."`
	Via            string         `yaml:"via" default:"wicketgate" doc:"Name of this gate in Via; a request that carries it already has gone in a circle and is refused, so gates in a row need different names; default wicketgate."`
	Issuers        []Issuer       `yaml:"issuers" required:"true" doc:"The authorization servers whose access tokens are accepted; at least one."`
	Resources      []Resource     `yaml:"resources" required:"true" doc:"The APIs to protect; at least one."`
	ForwardAuth    ForwardAuth    `yaml:"forward_auth" doc:"Where nginx, Traefik, Caddy and their like ask about requests that they forward themselves; default nowhere."`
	ExtAuthz       ExtAuthz       `yaml:"ext_authz" doc:"Where Envoy asks about requests that it forwards itself (ext_authz v3 over gRPC); default nowhere."`
	Preset         string         `yaml:"preset" enum:"fapi" doc:"A set of rules for the whole file: fapi holds it to the FAPI 2.0 security profile; default none."`
	ReportOnly     Share          `yaml:"report_only" doc:"Forwards what would be refused, without identity, and counts it: true, false or a share like 25%; default false."`
	DPoP           DPoP           `yaml:"dpop" doc:"Which DPoP proofs are good (RFC 9449)."`
	MTLS           MTLS           `yaml:"mtls" doc:"Where client certificates come from that tokens are bound to (RFC 8705)."`
	CacheDir       string         `yaml:"cache_dir" doc:"Folder for copies of the issuers' keys, which serve after a restart while an issuer is away; only the gate's own user may write there, who can write there can forge every token; default none."`
	Revocation     Revocation     `yaml:"revocation" doc:"Which tokens are refused before their end; default none."`
	Cache          Cache          `yaml:"cache" doc:"What is remembered of verified tokens."`
	Limits         Limits         `yaml:"limits" doc:"Bounds on one request."`
	Verification   Verification   `yaml:"verification" doc:"What signatures that do not hold may cost."`
	Timeouts       Timeouts       `yaml:"timeouts" doc:"How long to wait for clients and upstreams."`
	Upstreams      string         `yaml:"upstream_transport" default:"own" enum:"own,std" doc:"What speaks HTTP/1.1 without TLS to upstreams: own is the gate's, which costs less, std is net/http, as for all other upstreams; default own."`
	Log            Log            `yaml:"log" doc:"What is logged, as JSON on standard error."`
	DecisionLog    DecisionLog    `yaml:"decision_log" doc:"A line of JSON for each decision, apart from the log, for audits and for wicketgate replay; default none."`
	Tracing        Tracing        `yaml:"tracing" doc:"OpenTelemetry spans of requests; default none, unless the OTEL_* variables ask for them."`
	Drain          Drain          `yaml:"drain" doc:"How the program ends after SIGTERM."`
	BypassCheck    BypassCheck    `yaml:"bypass_check" doc:"Looking for a way around the gate to its upstreams on loopback."`

	source   *source
	env      func(string) (string, bool)
	hash     [32]byte // of everything loaded
	unhashed error    // why hash is not of all of it
	warnings []Warning
	filled   []Filled
}

// TLS names the certificate of the traffic listeners.
type TLS struct {
	CertFile string `yaml:"cert_file" doc:"File with the certificate chain in PEM; read again when it changes."`
	KeyFile  string `yaml:"key_file" doc:"File with the private key in PEM; read again when it changes."`

	ClientAuth    string `yaml:"client_auth" default:"off" enum:"off,request_any,request,require" doc:"Client certificates: off, request_any takes any as proof that the client holds its key, request one that client_ca_file vouches for or none, require exactly such a one; default off."`
	ClientCAFile  string `yaml:"client_ca_file" doc:"File with the certificate authorities in PEM that vouch for clients; read again when it changes."`
	ClientCRLFile string `yaml:"client_crl_file" doc:"File with their certificate revocation lists in PEM; read again when it changes; default none."`
}

// On reports whether the traffic listeners speak TLS.
func (t TLS) On() bool { return t.CertFile != "" }

// Issuer is one authorization server.
type Issuer struct {
	Name         string   `yaml:"name" doc:"Name in metrics, logs and audiences_by_issuer; default the issuer's host and port."`
	Issuer       string   `yaml:"issuer" required:"true" doc:"The issuer identifier, an https URL that the iss claim must equal character for character."`
	Provider     string   `yaml:"provider" enum:"entra,okta,auth0,keycloak,cognito,google,kubernetes,github-actions,gitlab,zitadel" doc:"Whose product it is: fills in what is known of its tokens where this file says nothing; default none."`
	Profile      string   `yaml:"profile" default:"rfc9068" enum:"rfc9068,jwt,kubernetes" doc:"What its tokens look like: rfc9068 is the standard for JWT access tokens, jwt takes those of older servers, kubernetes those of service accounts; default rfc9068."`
	Tenants      []string `yaml:"tenants" doc:"Tenants whose tokens are accepted, each standing for {tenant} in issuer, discovery_url and jwks_uri and equal to the tid claim; default none."`
	Algorithms   []string `yaml:"algorithms" default:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519" doc:"Accepted signature algorithms; default all that are known."`
	DiscoveryURL string   `yaml:"discovery_url" doc:"URL of the metadata document (RFC 8414); default found from the issuer."`
	JWKSURI      string   `yaml:"jwks_uri" doc:"URL of the key set, instead of discovery; default from the metadata."`
	JWKSFile     string   `yaml:"jwks_file" doc:"File with the key set, instead of asking the issuer; read again when it changes."`
	Hosts        []string `yaml:"hosts" doc:"Other hosts that the metadata may name, as host or host:port; default the issuer's own and that of discovery_url only."`
	CAFile       string   `yaml:"ca_file" doc:"File with the certificate authorities in PEM that vouch for this issuer; default the system's."`

	BearerTokenFile string `yaml:"bearer_token_file" doc:"File with a token of the gate's own for metadata and keys, read anew for each fetch, sent to the host of discovery_url, jwks_uri or else issuer and to no other; default none."`

	ScopeClaim    string `yaml:"scope_claim" default:"scope" doc:"Claim with the scopes; may be a list unless it is scope with profile rfc9068; default scope."`
	AudienceClaim string `yaml:"audience_claim" default:"aud" doc:"Claim with the audiences; default aud."`
	ClientIDClaim string `yaml:"client_id_claim" default:"client_id" doc:"Claim with the client; default client_id."`

	Clients []string `yaml:"clients" doc:"Clients whose tokens are accepted, by the claim that client_id_claim names, compared exactly; a token that names no client is refused then; default all."`

	RequiredClaims map[string][]string `yaml:"required_claims" doc:"Values of which each claim of every token must hold one, or * for any, by dotted claim path; default none."`
	MachineClaims  map[string][]string `yaml:"machine_claims" doc:"Signs of a token that a machine got for itself, by dotted claim path with the values of which one is enough, or * for any; default none."`

	MaxLifetime     time.Duration `yaml:"max_lifetime" min:"1s" doc:"Longest accepted time between iat and exp, as a duration; default no limit."`
	Leeway          time.Duration `yaml:"leeway" default:"30s" max:"60s" doc:"Clock difference forgiven in exp, nbf and iat, as a duration up to 60s; default 30s."`
	RefetchInterval time.Duration `yaml:"refetch_interval" default:"10s" min:"1s" max:"1h" doc:"Shortest time between two fetches of the key set for an unknown key, as a duration from 1s to 1h; default 10s."`

	TokenReview   bool          `yaml:"token_review" doc:"With profile kubernetes, ask the API server about each token that is good by itself, so that those of deleted pods and accounts are refused; default false."`
	Introspection Introspection `yaml:"introspection" doc:"Asking the issuer about tokens (RFC 7662); default it is not asked."`
	StatusList    StatusList    `yaml:"status_list" doc:"Following the status claim of its tokens (Token Status List); default nobody looks at it."`

	ReportOnly Share `yaml:"report_only" doc:"Forwards what would be refused of the tokens this issuer signed, without identity, and counts it: true, false or a share like 25%; default what report_only at the top says."`

	InsecureHTTP             bool `yaml:"insecure_http" doc:"Accept http URLs for this issuer, so that whoever is on the path can forge its keys; default false."`
	InsecureAllowAnyAudience bool `yaml:"insecure_allow_any_audience" doc:"Accept this issuer's tokens whatever their audience, also those made for others; default false."`
}

// Resource is one API behind the gate.
type Resource struct {
	Identifier        string              `yaml:"identifier" required:"true" doc:"What tokens must name as audience; as an https URL also the public origin."`
	Name              string              `yaml:"name" doc:"Name in metrics and logs; default the identifier, of a URL its host and path."`
	Audiences         []string            `yaml:"audiences" doc:"Audiences of which a token must name one; default the identifier."`
	AudiencesByIssuer map[string][]string `yaml:"audiences_by_issuer" doc:"Audiences that replace the list above for one issuer, by the issuer's name; default none."`
	PublicOrigins     []string            `yaml:"public_origins" doc:"Origins under which clients reach the API, scheme://host[:port], which a proof's htu must start with; default the identifier's, required when that is no URL."`
	Hosts             []string            `yaml:"hosts" doc:"Host names, with a port other than 80 and 443, that this resource answers to, any other being refused with 421; default all; required when resources share a listener."`
	Listen            string              `yaml:"listen" doc:"Address of this resource's listener, as host:port or :port; default the listen key of the file."`
	BehindTLS         bool                `yaml:"behind_tls" doc:"TLS ends in front of the gate, so clients spoke https though the listener is plain; default false."`
	Upstream          string              `yaml:"upstream" doc:"Where allowed requests go: http://, https:// or h2c:// with host, port and an optional base path, or unix:///path.sock#/base; needed unless proxies ask about the resource at forward_auth or ext_authz, and without it there is no other way to it."`
	Preset            string              `yaml:"preset" enum:"mcp" doc:"A set of defaults: mcp is for servers of the Model Context Protocol; default none."`
	Metadata          bool                `yaml:"metadata" doc:"Publish the protected resource metadata (RFC 9728) and name it in challenges; default false."`
	ScopeHierarchy    map[string][]string `yaml:"scope_hierarchy" doc:"Scopes that a scope stands for as well, by the wider scope; default none."`
	CORS              CORS                `yaml:"cors" doc:"What scripts of other origins may do; without it, preflights need a token like any request."`
	TokenSources      TokenSources        `yaml:"token_sources" doc:"Places for a token beside the Authorization header; default none."`
	Realm             string              `yaml:"realm" doc:"The realm of challenges, printable ASCII; default none."`
	Forward           Forward             `yaml:"forward" doc:"What the upstream is told beyond the X-Auth-* headers."`
	ReportOnly        Share               `yaml:"report_only" doc:"Forwards what would be refused here, without identity, and counts it, what no route matches included: true, false or a share like 25%; default what report_only of the issuer or at the top says."`
	Routes            []Route             `yaml:"routes" doc:"Rules by path and method; default everything needs a valid token; once listed, what none matches is 404."`
}

// CORS says what scripts of other origins may do.
type CORS struct {
	Preflight string        `yaml:"preflight" enum:"answer,forward" doc:"What becomes of preflights: answer them here, or forward them without a token; default neither."`
	Origins   []string      `yaml:"origins" doc:"Origins that scripts may come from, scheme://host[:port], or null; default none."`
	Strict    bool          `yaml:"strict" doc:"Refuse requests of any other origin with 403; default false."`
	Methods   []string      `yaml:"methods" doc:"Methods that preflights are told; default those of the route."`
	Headers   []string      `yaml:"headers" doc:"Request headers that preflights are told beside Authorization, DPoP and Content-Type; default none."`
	MaxAge    time.Duration `yaml:"max_age" default:"10m" max:"24h" doc:"How long a preflight may be remembered, as a duration up to 24h; default 10m."`
}

// TokenSources are places for a token beside the Authorization header. Each is
// off unless named.
type TokenSources struct {
	Cookie    string `yaml:"cookie" doc:"Name of a cookie with the token, taken on unsafe methods and handshakes only from pages of the same origin, public_origins or cors.origins; default none."`
	Header    string `yaml:"header" doc:"Name of a request header with the bare token; default none."`
	Query     bool   `yaml:"query" doc:"Take access_token from the query, which ends up in logs and histories; default false."`
	Body      bool   `yaml:"body" doc:"Take access_token from a form in the body (RFC 6750 section 2.2); default false."`
	WebSocket bool   `yaml:"websocket" doc:"Take the token from Sec-WebSocket-Protocol of a handshake, for browsers; default false."`
}

// Route is one rule of a resource. Its Forward is the effective one: the
// resource's where the route says nothing.
type Route struct {
	Name     string   `yaml:"name" doc:"Name in metrics and logs; default the methods, the hosts and the path."`
	Path     string   `yaml:"path" required:"true" doc:"Pattern for the path: literal segments, * or {name} for one segment, ** at the end for the rest."`
	Hosts    []string `yaml:"hosts" doc:"Host names the rule is for, of those the resource answers to, or *.example.com for all below a name; for a host the rules that name it most exactly come first, whatever their paths; default all."`
	Methods  []string `yaml:"methods" doc:"Methods the rule is for, upper-case, GET with HEAD; default all."`
	Scopes   Scopes   `yaml:"scopes" doc:"Scopes a token needs: a list of which it needs all, or all and any lists; default none."`
	Public   bool     `yaml:"public" doc:"Needs no token, and looks at none; default false."`
	Optional bool     `yaml:"optional" doc:"Lets requests without a token pass as anonymous, while a bad token is still refused; default false."`
	Binding  string   `yaml:"binding" default:"any" enum:"any,dpop,mtls,required" doc:"How tokens must be bound to their sender: any, dpop for DPoP-bound only, mtls for certificate-bound only, required for either; default any."`
	Nonce    string   `yaml:"nonce" enum:"off,required" doc:"Whether DPoP proofs must carry a nonce of ours: off or required; default what dpop.nonce says."`

	ACR    []string      `yaml:"acr" doc:"Authentication context classes of which the token must name one, the best first (RFC 9470); default any."`
	AMR    []string      `yaml:"amr" doc:"Authentication methods the token must all name (RFC 8176); default any."`
	MaxAge time.Duration `yaml:"max_age" min:"1s" doc:"How long ago the user may have authenticated, as a duration (RFC 9470); default any time."`

	MaxTokenAge time.Duration  `yaml:"max_token_age" min:"1s" doc:"How long ago the token may have been issued, as a duration; default any time."`
	Networks    []netip.Prefix `yaml:"networks" doc:"Networks that clients may call from, as addresses or CIDR blocks; behind trusted_proxies it is the address they tell; default all."`

	Clients              []string         `yaml:"clients" doc:"Clients that may call, by client_id; default all."`
	Subjects             []string         `yaml:"subjects" doc:"Subjects that may call, by sub; default all."`
	SubjectType          string           `yaml:"subject_type" enum:"user,client" doc:"Whom the token must be about: user, or client for one that acts for itself; default either."`
	Actor                []string         `yaml:"actor" doc:"Parties of which one must act for the subject, by sub of the outermost act (RFC 8693); default anybody or nobody."`
	Claims               map[string]Claim `yaml:"claims" doc:"What each claim must hold, by dotted claim path: a list of values of which it holds one, or any_of, contains, equals, prefix, suffix, present or absent; default none."`
	AuthorizationDetails []Detail         `yaml:"authorization_details" doc:"Authorization details of which the token must hold one (RFC 9396); default none."`
	When                 string           `yaml:"when" verbatim:"true" doc:"An expression in CEL over claims, token, request, path and now that must be true, taken as it is: no dollar sign means anything; default none."`

	Allow           []string `yaml:"allow" enum:"path_parameters,empty_segments,encoded_slash" doc:"What makes servers read a path in several ways and is refused elsewhere: path_parameters (;), empty_segments (//), encoded_slash (%2F); a path that could be read as one of another route still is; default none."`
	CaseInsensitive bool     `yaml:"case_insensitive" doc:"Compares the ASCII letters of path without case, for upstreams that do; default false."`

	Hide bool `yaml:"hide" doc:"Answers whoever has a good token and may not use the route as if there were no such route, 404 instead of 403; what is wrong with a token is told as anywhere; default false."`

	Timeout time.Duration `yaml:"timeout" min:"100ms" max:"1h" doc:"Time for the header of the upstream's answer, counted from the request sent, as a duration; bodies and streams are not cut by it; it wins over timeouts.upstream_header, shorter or longer; default that."`

	MaxBody Size `yaml:"max_body" min:"1B" doc:"Length of a request's body, as a size; default any."`

	ReportOnly Share `yaml:"report_only" doc:"Forwards what would be refused on this route, without identity, and counts it: true, false or a share like 25%; default what report_only of the resource, the issuer or at the top says."`

	StripPrefix string  `yaml:"strip_prefix" doc:"Literal front of the path that the upstream does not see; default none."`
	Forward     Forward `yaml:"forward" doc:"Replaces the resource's forward, key by key."`

	WebSocket  bool `yaml:"websocket" doc:"Lets WebSocket handshakes through, and carries what follows them; elsewhere they go on as plain requests; default false."`
	EndStreams bool `yaml:"end_streams" default:"true" doc:"Ends WebSocket connections, event streams and gRPC calls with the token they began with, or when it is revoked; default true."`
}

// Claim is what a claim must hold. All that is given must hold.
type Claim struct {
	AnyOf    []string `yaml:"any_of" doc:"Values of which the claim must be or hold one; a list in place of all these keys is short for it; default any."`
	Contains []string `yaml:"contains" doc:"Values that the claim must all hold; default none."`
	Equals   string   `yaml:"equals" doc:"The one value that the claim must be, and no list; default any."`
	Prefix   string   `yaml:"prefix" doc:"How one value that is text must begin; default anyhow."`
	Suffix   string   `yaml:"suffix" doc:"How one value that is text must end, the same one that prefix is about; default anyhow."`
	Present  bool     `yaml:"present" doc:"The claim must be there, whatever it holds; default false."`
	Absent   bool     `yaml:"absent" doc:"The claim must not be there; default false."`
}

// Scopes is what a route asks for.
type Scopes struct {
	All []string `yaml:"all" doc:"Every one is needed; default none."`
	Any []string `yaml:"any" doc:"One of them is needed; default none."`
}

// Detail is what an element of authorization_details must hold.
type Detail struct {
	Type       string   `yaml:"type" required:"true" doc:"The element's type, compared exactly."`
	Actions    []string `yaml:"actions" doc:"Actions that the element must all list; default none."`
	Locations  []string `yaml:"locations" doc:"Locations that the element must all list; default none."`
	DataTypes  []string `yaml:"datatypes" doc:"Kinds of data that the element must all list; default none."`
	Privileges []string `yaml:"privileges" doc:"Privileges that the element must all list; default none."`
	Identifier string   `yaml:"identifier" doc:"The one thing that the element must be about; default any."`
}

// MTLS says where client certificates come from.
type MTLS struct {
	From    string `yaml:"from" default:"tls" enum:"tls,header" doc:"Who sees the client's certificate: tls is this gate, header a proxy in trusted_proxies that passes it on; default tls."`
	Header  string `yaml:"header" default:"client-cert" enum:"client-cert,xfcc,nginx,haproxy,alb,traefik" doc:"How that proxy writes it: client-cert is RFC 9440, the others as the proxy of that name does; default client-cert."`
	Name    string `yaml:"name" doc:"Name of the header where it is the operator's choice; default the usual one of the form."`
	Element string `yaml:"element" default:"only" enum:"only,first,last" doc:"Which element of X-Forwarded-Client-Cert counts: only refuses several; default only."`
}

// DPoP says which proofs are good.
type DPoP struct {
	MaxAge     time.Duration `yaml:"max_age" default:"60s" min:"1s" max:"10m" doc:"How old a proof may be, as a duration from 1s to 10m; default 60s."`
	Future     time.Duration `yaml:"future" default:"30s" max:"60s" doc:"How far ahead of our clock a proof may be dated, as a duration up to 60s; default 30s."`
	Algorithms []string      `yaml:"algorithms" default:"ES256,EdDSA,RS256,PS256" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519" doc:"Accepted proof algorithms, of which ES384 and ES512 cost up to 35 times as much to check; default ES256, EdDSA, RS256, PS256."`

	Nonce           string        `yaml:"nonce" default:"off" enum:"off,required" doc:"Whether proofs must carry a nonce of ours, on routes that do not say: off or required; default off."`
	NonceMaxAge     time.Duration `yaml:"nonce_max_age" default:"5m" min:"10s" max:"24h" doc:"How long a nonce is good at least, and at most twice as long, as a duration from 10s to 24h; default 5m."`
	NonceSecretFile string        `yaml:"nonce_secret_file" doc:"File with 32 octets or more that replicas share to take each other's nonces; read again when it changes; default every process takes its own only."`

	Replay Replay `yaml:"replay" doc:"The memory of used proofs."`
}

// Replay describes the memory of used proofs.
type Replay struct {
	Store         string `yaml:"store" default:"memory" enum:"memory,redis" doc:"Where used proofs are remembered: memory is this process, redis is shared by replicas; default memory."`
	MaxEntries    int    `yaml:"max_entries" default:"500000" min:"1" max:"50000000" doc:"Proofs remembered at once in this process, none forgotten early: when full the answer is 503; default 500000."`
	Redis         Redis  `yaml:"redis" doc:"Where that Redis is; for store redis."`
	OnUnavailable string `yaml:"on_unavailable" default:"deny" enum:"deny,local" doc:"What becomes of proofs while Redis cannot be asked: deny answers 503, local trusts the memory of this process, which knows no other replica's; default deny."`
}

// Cache describes the memory of verified tokens.
type Cache struct {
	Tokens    int  `yaml:"tokens" default:"100000" max:"10000000" doc:"Tokens whose signature is remembered as good, everything else being judged on every request; 0 for none; default 100000."`
	Refused   int  `yaml:"refused" default:"8192" max:"1000000" doc:"Tokens whose signature is remembered to be bad, for ten seconds and as long as the issuer's keys stay the same; 0 for none; default 8192."`
	KeyTables bool `yaml:"key_tables" default:"true" doc:"Checks signatures by keys that are seen again with what was computed of these before, and holds a sample to the standard library; default true, and off where FIPS 140-3 is on."`
}

// Limits bounds one request, and then how many there are at once.
type Limits struct {
	Token         Size `yaml:"token" default:"16KiB" min:"256B" max:"64KiB" doc:"Length of an access token, as a size; default 16KiB."`
	Proof         Size `yaml:"proof" default:"6KiB" min:"256B" max:"24KiB" doc:"Length of a DPoP proof, as a size; default 6KiB."`
	HeaderFields  int  `yaml:"header_fields" default:"100" min:"10" max:"400" doc:"Number of header field lines; default 100."`
	HeaderSection Size `yaml:"header_section" default:"64KiB" min:"1KiB" max:"256KiB" doc:"Length of all header fields together, as a size; default 64KiB."`
	Target        Size `yaml:"target" default:"16KiB" min:"256B" max:"64KiB" doc:"Length of the request target, as a size; default 16KiB."`

	WebSockets     int `yaml:"websockets" default:"10000" min:"1" max:"1000000" doc:"WebSocket connections at once, more being answered 503; default 10000."`
	MaxConnections int `yaml:"max_connections" default:"20000" min:"1" max:"1000000" doc:"Client connections at once, fewer where the process may not open so many files or have so much memory, those that wait longest for a request making room; default 20000."`
	MaxInFlight    int `yaml:"max_inflight" default:"10000" min:"1" max:"10000000" doc:"Requests at once, open streams included, fewer where files or memory are scarce; those beyond are answered 503 unread; default 10000."`
	Streams        int `yaml:"streams" default:"100" min:"1" max:"1000" doc:"Requests at once on one HTTP/2 connection; default 100."`

	UpstreamConnections int `yaml:"upstream_connections" default:"0" max:"1000000" doc:"Connections at once to each upstream, idle ones included, or requests where it speaks HTTP/2; 0 for any number; default 0."`
	UpstreamQueue       int `yaml:"upstream_queue" default:"1000" max:"1000000" doc:"Requests that wait for one of them, in the order they came, more being answered 503; 0 for none; default 1000."`
}

// Verification bounds the work that tokens and proofs make before anybody knows
// whether they are good.
type Verification struct {
	Failures  int           `yaml:"failures" default:"20" max:"1000000" doc:"Tokens and proofs with a bad signature that one client address may send at once, those not yet verified being answered 429 after that; 0 for any number; default 20."`
	PerSecond int           `yaml:"per_second" default:"10" min:"1" max:"1000000" doc:"How many of them come back to the address in a second; default 10."`
	Sources   int           `yaml:"sources" default:"10000" min:"1" max:"1000000" doc:"Client addresses whose failures are remembered, networks of 64 bits in IPv6; default 10000."`
	AtOnce    int           `yaml:"at_once" default:"0" max:"10000" doc:"Tokens whose signature is checked at once; 0 for half of the processors, at least one; default 0."`
	Wait      time.Duration `yaml:"wait" default:"1s" min:"1ms" max:"10s" doc:"How long a further one waits before the answer is 503, as a duration; default 1s."`
}

// Timeouts bounds waits. None cuts a body or a stream that moves.
type Timeouts struct {
	ReadHeader      time.Duration `yaml:"read_header" default:"10s" min:"100ms" max:"1h" doc:"For a TLS handshake, and for a request's header to arrive, as a duration; default 10s."`
	Idle            time.Duration `yaml:"idle" default:"75s" min:"100ms" max:"1h" doc:"For the next request on a connection, as a duration; default 75s."`
	UpstreamConnect time.Duration `yaml:"upstream_connect" default:"3s" min:"100ms" max:"1h" doc:"For a connection to the upstream, as a duration; default 3s."`
	UpstreamHeader  time.Duration `yaml:"upstream_header" default:"60s" min:"100ms" max:"1h" doc:"For the header of the upstream's answer, as a duration; default 60s."`
	UpstreamQueue   time.Duration `yaml:"upstream_queue" default:"1s" min:"1ms" max:"1m" doc:"For a connection that limits.upstream_connections keeps from being made, as a duration; default 1s."`

	WebSocketIdle time.Duration `yaml:"websocket_idle" default:"5m" min:"100ms" max:"24h" doc:"For anything to move in a WebSocket connection, pings included, as a duration; default 5m."`
	StreamCheck   time.Duration `yaml:"stream_check" default:"5s" min:"100ms" max:"1h" doc:"Between two looks at whether the token of a stream is still good, as a duration; default 5s."`
	BodyStall     time.Duration `yaml:"body_stall" default:"30s" min:"100ms" max:"1h" doc:"For the next octet of a request's body, as a duration; default 30s."`
	WriteStall    time.Duration `yaml:"write_stall" default:"60s" min:"100ms" max:"1h" doc:"For a client to take more of its answer, as a duration; default 60s."`
}

// Log says what is logged.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Least level of program messages: debug, info, warn or error; default info."`
	Access string `yaml:"access" default:"denied" enum:"denied,all,off" doc:"Which requests are logged: denied, all or off; default denied."`
}

// Drain says how the program ends.
type Drain struct {
	Delay   time.Duration `yaml:"delay" default:"5s" max:"10m" doc:"Time between not being ready and accepting no more, as a duration; default 5s."`
	Timeout time.Duration `yaml:"timeout" default:"25s" max:"1h" doc:"Time for requests in flight after that, as a duration; default 25s."`
}

// Smallest is the smallest useful file.
func Smallest() string {
	return `version: 1
issuers:
  - issuer: https://login.example.com/
resources:
  - identifier: https://api.example.com     # what tokens must name as audience; also the public origin for DPoP's htu
    upstream: http://127.0.0.1:3000
`
}
