package live

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

// Issuer goes the way serve goes: connect, metadata (RFC 8414), keys (RFC 7517),
// and a question about a token where the issuer is asked about any (RFC 7662).
// asked may be nil.
func Issuer(s jwks.Source, asked *introspect.Server) Question {
	return Question{"issuer " + s.Name, func(ctx context.Context, r *report) { askIssuer(ctx, r, s, asked) }}
}

func askIssuer(ctx context.Context, r *report, s jwks.Source, asked *introspect.Server) {
	if s.File == "" {
		first, err := url.Parse(cmp.Or(s.JWKSURI, s.DiscoveryURL, s.Issuer))
		if err != nil || !r.connect(ctx, target{location: first, filtered: true, settable: true, roots: s.RootCAs, suites: s.CipherSuites}) {
			return
		}
	}
	found, err := s.Inspect(ctx)
	if m := found.Metadata; m != nil {
		r.good(": metadata at %s", m.URL)
		compareClock(r, m, s.Leeway)
		if s.DiscoveryURL == "" {
			for _, what := range jwks.Compare(ctx, s.Client(), s.Issuer) {
				r.warn("have them agree (RFC 9068 section 4): clients and gates may read either", ": %s", what)
			}
		}
	}
	for _, skipped := range found.Skipped {
		tellSkipped(r, skipped)
	}
	switch {
	case err != nil && s.Optional && (found.Metadata != nil || asked != nil && asked.Endpoint != ""):
		r.warn("nothing, if it gives opaque tokens only: JWTs of its are answered with 503", ": no keys: %v", err)
	case err != nil:
		r.fail(cmp.Or(otherName(ctx, s, err), adviceFor(err, s)), ": %s", err)
		return
	default:
		tellKeys(r, s, found)
	}
	if asked != nil {
		askAbout(ctx, r, *asked, s)
	}
}

// clockAgrees is a difference of clocks that a second here and there explains.
const clockAgrees = 2 * time.Second

// compareClock compares the issuer's clock with ours.
func compareClock(r *report, m *jwks.Metadata, leeway time.Duration) {
	ahead := m.Ahead.Round(time.Second)
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	switch {
	case m.Date.IsZero():
	case ahead.Abs() <= clockAgrees:
		r.good(": its clock agrees with ours")
	case ahead.Abs() <= leeway:
		r.good(": its clock is %s %s ours, within the leeway", ahead.Abs(), side)
	default:
		r.fail("set both clocks by NTP: good tokens are refused as too old or not valid yet", ": its clock is %s %s ours", ahead.Abs(), side)
	}
}

func tellSkipped(r *report, k jwks.Skipped) {
	name := fmt.Sprintf("key %d", k.Index)
	if k.ID != "" {
		name += " (" + shown(k.ID) + ")"
	}
	if k.Private {
		r.fail("have it replaced: whoever has read the set can make tokens", ": %s is published with its secret part", name)
		return
	}
	r.good(": %s is not used: %s", name, k.Reason)
}

// tellKeys tells which keys tokens can be signed with, and how long they are
// kept.
func tellKeys(r *report, s jwks.Source, found *jwks.Inspection) {
	const most = 10
	usable := 0
	var names []string
	for _, k := range found.Keys {
		name := k.Algorithm()
		if k.ID != "" {
			name = shown(k.ID) + " " + name
		}
		if s.Algorithms == nil || slices.ContainsFunc(s.Algorithms, func(alg string) bool { return jwks.Canonical(alg) == jwks.Canonical(k.Algorithm()) }) {
			usable++
		} else {
			name += " (not in algorithms)"
		}
		if len(names) < most {
			names = append(names, name)
		}
	}
	list := strings.Join(names, ", ")
	if more := len(found.Keys) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	switch {
	case len(found.Keys) == 0:
		r.fail("no token can be proved until it publishes one", ": no usable key at %s", found.Place)
		return
	case usable == 0:
		r.fail("add the algorithm of one of them to algorithms", ": no key that algorithms allows: %s", list)
		return
	}
	r.good(": %s: %s", plural(usable, "usable key"), list)
	if s.File != "" {
		r.good(": keys in %s, looked at every %s", s.File, found.Kept)
		return
	}
	said := "as the server says"
	switch told := found.Told.Truncate(time.Second); {
	case found.Told == 0:
		said = "since the server does not say"
	case told != found.Kept:
		said = "though the server says " + told.String()
	}
	r.good(": keys at %s are kept for %s, %s, and fetched again after about %s", found.Place, found.Kept, said, found.Next.Round(5*time.Second))
}

// adviceFor says what to do about metadata or keys that could not be had.
func adviceFor(err error, s jwks.Source) string {
	status, answered := errors.AsType[*fetch.StatusError](err)
	switch {
	case answered && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden):
		if s.BearerTokenFile != "" {
			return "it does not accept the token in bearer_token_file"
		}
		return "it wants to know who asks: name a file with a token in bearer_token_file"
	case answered && status.Code >= 300 && status.Code < 400:
		return "name the place it redirects to: in discovery_url for the metadata, in jwks_uri for the keys"
	case answered && status.Code >= 500:
		return "ask those who run it; the gate goes on asking by itself"
	case answered, jwks.IsNotJSON(err):
		return "is issuer spelt as the server spells it? Else say where things are: discovery_url or jwks_uri"
	case errors.Is(err, fetch.ErrTimeout):
		return "it is too slow or out of reach; the gate gives it 5s for each answer"
	}
	return "ask those who run it: without keys the gate answers 503 to its tokens"
}

// otherName says how the server calls itself, when that is the trouble.
func otherName(ctx context.Context, s jwks.Source, err error) string {
	if s.JWKSURI != "" || s.File != "" {
		return ""
	}
	if twin, found := misspelt(ctx, s.Client(), s); found {
		return "but " + twin + " calls itself so: write issuer exactly like that, since the iss claim must match"
	}
	if other, named := errors.AsType[*jwks.OtherIssuerError](err); named {
		return "it calls itself " + shown(other.Named) + ": is that who makes your tokens? Then write issuer exactly like that"
	}
	return ""
}

// misspelt tries the usual misspellings of an issuer: the slash at its end, and
// the version Entra ID leaves out.
func misspelt(ctx context.Context, client *fetch.Client, s jwks.Source) (string, bool) {
	if s.DiscoveryURL != "" {
		return "", false
	}
	twins := []string{s.Issuer + "/", s.Issuer + "/v2.0"}
	trimmed := strings.TrimSuffix(s.Issuer, "/")
	if trimmed != s.Issuer {
		twins = []string{trimmed, trimmed + "/v2.0"}
	}
	if first, two := strings.CutSuffix(trimmed, "/v2.0"); two {
		twins = append(twins, first, first+"/")
	}
	for _, twin := range twins {
		if _, err := jwks.Discover(ctx, client, twin, ""); err == nil {
			return twin, true
		}
	}
	return "", false
}

// askAbout asks about a token that nobody gave out: an issuer that
// knows us says that it is not active.
func askAbout(ctx context.Context, r *report, s introspect.Server, source jwks.Source) {
	result := ""
	keys := jwks.NewCache(jwks.Options{}) // of signed answers
	keys.Configure([]jwks.Source{source})
	client := introspect.New(introspect.Options{Keys: keys, OnAsked: func(a introspect.Asked) { result = a.Result }})
	defer client.Close()
	client.Configure([]introspect.Server{s})
	raw := rand.Text()
	_, err := client.Introspect(ctx, s.Name, raw, sha256.Sum256([]byte(raw)))
	refusal, refused := errors.AsType[*token.Error](err)
	if fault, ok := errors.AsType[*token.Fault](err); ok && fault.Cause != nil {
		err = fault.Cause
	}
	switch {
	case err == nil:
		r.fail("it must tell good tokens from bad ones (RFC 7662 section 2.2)", ": says of a made-up token that it is active")
	case refused && refusal.Reason == token.ReasonInactive:
		r.good(": answers %s about tokens", shown(cmp.Or(s.ClientID, "us")))
	case ctx.Err() == nil && result == introspect.Denied:
		r.fail("compare client_id, auth and the secret or key with what the issuer has; may this client ask about tokens?", ": refuses our credentials: %v", err)
	default:
		r.fail("is introspection.endpoint right? The issuer's documentation has it", ": %v", err)
	}
}
