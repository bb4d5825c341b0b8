package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

const (
	issuer   = "https://login.example.com/"
	audience = "https://api.example.com"
)

// newJudge makes one of a single resource with these routes.
func newJudge(t testing.TB, change func(*Options, *validator.Options), routes ...policy.Options) *Judge {
	t.Helper()
	set, err := policy.Compile(routes, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Issuers: map[string]Issuer{issuer: {}}, Listen: map[string]string{}}
	of := validator.Options{Name: "corp", Issuer: issuer, Leeway: 30 * time.Second}
	gate := &proxy.Gate{Name: "api", Policy: set}
	o.Table = &proxy.Table{Limits: proxy.DefaultLimits, Sites: map[string]*proxy.Site{":8420": {Hosts: map[string]*proxy.Gate{"api.example.com": gate, "api.example.net": gate}}}}
	if change != nil {
		change(&o, &of)
	}
	v, err := validator.New(validator.Parts{Issuers: []validator.Options{of}})
	if err != nil {
		t.Fatal(err)
	}
	gate.Validator = v.For(validator.Audience{Any: []string{audience}})
	j, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// line is a good decision, changed: by member of the line, or of the caller behind
// "caller.". nil takes one out.
func line(t testing.TB, change map[string]any) string {
	t.Helper()
	caller := map[string]any{
		"issuer": "corp", "iss": issuer, "sub": "alice", "client_id": "shop", "subject_type": "user", "scope": []string{"a"}, "aud": []string{audience},
		"jti": strings.Repeat("A", 43), "iat": 1772366000, "exp": 1772366600,
	}
	all := map[string]any{
		"v": 1, "time": "2026-03-01T12:00:00.000000Z", "listener": ":8420", "resource": "api", "route": "r", "verdict": "allowed", "status": 200,
		"method": "GET", "host": "api.example.com", "path": "/r", "source": "192.0.2.1", "credential": "verified", "caller": caller,
	}
	for name, v := range change {
		into, name := all, name
		if inner, found := strings.CutPrefix(name, "caller."); found {
			into, name = caller, inner
		}
		into[name] = v
		if v == nil {
			delete(into, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// without is a line of a request that nobody is known for.
func without(change map[string]any) map[string]any {
	all := map[string]any{"caller": nil, "credential": "unseen"}
	maps.Copy(all, change)
	return all
}

// became says what a Judge makes of one line.
func became(t testing.TB, j *Judge, text string) string {
	t.Helper()
	if err := j.All(context.Background(), "", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	switch r := j.Report(); {
	case r.Changed == 1:
		return r.Changes[0].To.String()
	case r.Unchanged == 1:
		return "unchanged"
	case r.Kept == 1:
		return "kept"
	case r.Unjudged == 1:
		return r.Doubts[0].Why
	}
	return "nothing"
}

func TestJudge(t *testing.T) {
	r := func(o policy.Options) policy.Options { o.Name, o.Path = "r", "/r"; return o }
	for name, c := range map[string]struct {
		route  policy.Options
		change map[string]any
		want   string
	}{
		"same":                       {r(policy.Options{}), nil, "unchanged"},
		"other scope":                {r(policy.Options{All: token.Scopes{"b"}}), nil, "refused scope"},
		"was refused":                {r(policy.Options{}), map[string]any{"verdict": "refused", "reason": "scope"}, "allowed"},
		"claim unknown":              {r(policy.Options{Claims: map[string]policy.ClaimRule{"g": {AnyOf: []string{"x"}}}}), nil, "the claim g is not in the log"},
		"condition":                  {r(policy.Options{When: `claims.g == "x"`}), map[string]any{"caller.claims": map[string]any{"g": "x"}}, "unchanged"},
		"condition that fails":       {r(policy.Options{When: `claims.g == "x"`}), map[string]any{"caller.claims": map[string]any{"g": "y"}}, "refused when"},
		"condition on more":          {r(policy.Options{When: `claims.g == "x"`}), nil, "the claim g is not in the log"},
		"condition on anything":      {r(policy.Options{When: `size(claims) > 3`}), nil, "its condition may look at any claim"},
		"condition on a header":      {r(policy.Options{When: `request.headers["x-a"] == "1"`}), nil, "the header X-A is not in the log"},
		"condition on a header told": {r(policy.Options{When: `request.headers["x-a"] == "1"`}), map[string]any{"headers": map[string]any{"X-A": []string{"1"}}}, "unchanged"},
		"condition on its absence":   {r(policy.Options{When: `"x-a" in request.headers`}), map[string]any{"headers": map[string]any{"X-A": []string{}}}, "refused when"},
		"network":                    {r(policy.Options{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}), map[string]any{"source": "198.51.100.1"}, "refused network"},
		"claim absent":               {r(policy.Options{Claims: map[string]policy.ClaimRule{"g": {AnyOf: []string{"x"}}}}), map[string]any{"caller.absent": []string{"g"}}, "refused claim_rule"},
		"claim there":                {r(policy.Options{Claims: map[string]policy.ClaimRule{"g": {AnyOf: []string{"x"}}}}), map[string]any{"caller.claims": map[string]any{"g": []string{"x"}}}, "unchanged"},
		"claim too long":             {r(policy.Options{Claims: map[string]policy.ClaimRule{"g": {AnyOf: []string{"x"}}}}), map[string]any{"caller.left_out": []string{"g"}}, "the claim g is not in the log"},
		"dotted claim":               {r(policy.Options{Claims: map[string]policy.ClaimRule{"a.b": {AnyOf: []string{"x"}}}}), map[string]any{"caller.claims": map[string]any{"a.b": "x"}}, "unchanged"},
		"exact claim":                {r(policy.Options{Claims: map[string]policy.ClaimRule{`a\.b.c`: {AnyOf: []string{"x"}}}}), map[string]any{"caller.claims": map[string]any{`a\.b.c`: "x", `a\.b.d`: "y"}}, "unchanged"},
		"claim that is always there": {r(policy.Options{Claims: map[string]policy.ClaimRule{"sub": {AnyOf: []string{"alice"}}}}), nil, "unchanged"},
		"client from another claim":  {r(policy.Options{Claims: map[string]policy.ClaimRule{"client_id": {AnyOf: []string{"shop"}}}}), map[string]any{"caller.from": map[string]any{"client_id": "azp"}}, "the claim client_id is not in the log"},
		"actor":                      {r(policy.Options{Actors: []string{"s"}}), map[string]any{"caller.act": map[string]any{"sub": "s"}}, "unchanged"},
		"actor of another":           {r(policy.Options{Actors: []string{"s"}}), map[string]any{"caller.act": map[string]any{"sub": "s", "iss": "x"}}, "refused actor"},
		"max_age as of its time":     {r(policy.Options{MaxAge: time.Hour}), map[string]any{"caller.auth_time": 1772365000}, "unchanged"},
		"max_age too old then":       {r(policy.Options{MaxAge: time.Minute}), map[string]any{"caller.auth_time": 1772365000}, "refused auth_time"},
		"expired then":               {r(policy.Options{}), map[string]any{"caller.exp": 1772366369}, "refused expired"},
		"no exp":                     {r(policy.Options{}), map[string]any{"caller.exp": nil}, "refused claim"},
		"other audience":             {r(policy.Options{}), map[string]any{"caller.aud": []string{"x"}}, "refused audience"},
		"unknown issuer":             {r(policy.Options{Claims: map[string]policy.ClaimRule{"g": {AnyOf: []string{"x"}}}}), map[string]any{"caller.iss": "https://other.example.com/"}, "refused issuer"},
		"opaque":                     {r(policy.Options{}), map[string]any{"caller.introspected": true}, "refused malformed"},
		"mtls wanted":                {r(policy.Options{Binding: policy.MTLSBinding}), nil, "refused binding"},
		"mtls":                       {r(policy.Options{Binding: policy.MTLSBinding}), map[string]any{"caller.binding": []string{"mtls"}}, "unchanged"},
		"dpop wanted":                {r(policy.Options{Binding: policy.DPoPBinding}), nil, "refused missing"},
		"dpop":                       {r(policy.Options{Binding: policy.DPoPBinding}), map[string]any{"caller.binding": []string{"dpop"}}, "unchanged"},
		"nonce wanted":               {r(policy.Options{Nonce: true}), map[string]any{"caller.binding": []string{"dpop"}}, string(noNonce)},
		"nonce":                      {r(policy.Options{Nonce: true}), map[string]any{"caller.binding": []string{"dpop"}, "caller.nonce": true}, "unchanged"},
		"nonce for a bearer":         {r(policy.Options{Nonce: true}), nil, "unchanged"},
		"public now":                 {r(policy.Options{Public: true}), nil, "public"},
		"gone":                       {policy.Options{Path: "/s"}, nil, "refused no_route"},
		"other host":                 {r(policy.Options{}), map[string]any{"host": "other.example.com"}, "refused host"},
		"second host":                {r(policy.Options{}), map[string]any{"host": "api.example.net"}, "unchanged"},
		"behind policy":              {r(policy.Options{}), map[string]any{"verdict": "refused", "reason": "max_body"}, "kept"},
		"behind policy, refused now": {r(policy.Options{Clients: []string{"x"}}), map[string]any{"verdict": "refused", "reason": "max_body"}, "refused client"},
		"claims that are none":       {r(policy.Options{}), map[string]any{"caller.acr": json.RawMessage(strings.Repeat("[", 30) + strings.Repeat("]", 30))}, string(badClaims)},
		"cut":                        {r(policy.Options{}), map[string]any{"path_cut": true}, string(cutPath)},
		"odd method":                 {r(policy.Options{}), map[string]any{"method": "other"}, string(noMethod)},
		"IPv6":                       {r(policy.Options{}), map[string]any{"source": "2001:db8::1"}, "unchanged"},
		"anonymous":                  {r(policy.Options{Optional: true}), without(map[string]any{"verdict": "anonymous", "credential": "none"}), "unchanged"},
		"anonymous no more":          {r(policy.Options{}), without(map[string]any{"verdict": "anonymous", "credential": "none"}), "refused missing"},
		"public":                     {r(policy.Options{Public: true}), without(map[string]any{"verdict": "public"}), "unchanged"},
		"public no more":             {r(policy.Options{}), without(map[string]any{"verdict": "public"}), string(noToken)},
		"no token, one wanted then":  {r(policy.Options{Optional: true}), without(map[string]any{"verdict": "refused", "reason": "missing", "credential": "none"}), "anonymous"},
		"scheme not served":          {r(policy.Options{Binding: policy.DPoPBinding}), without(map[string]any{"verdict": "refused", "reason": "missing"}), "unchanged"},
		"scheme served now":          {r(policy.Options{}), without(map[string]any{"verdict": "refused", "reason": "missing"}), string(noToken)},
		"bad token":                  {r(policy.Options{}), without(map[string]any{"verdict": "refused", "reason": "signature", "credential": "rejected"}), "kept"},
		"bad token, public now":      {r(policy.Options{Public: true}), without(map[string]any{"verdict": "refused", "reason": "signature", "credential": "rejected"}), "public"},
		"proof was used, no route":   {policy.Options{Path: "/s"}, without(map[string]any{"verdict": "refused", "reason": "dpop_replay", "credential": "rejected"}), "refused no_route"},
		"nobody could tell":          {policy.Options{Path: "/s"}, without(map[string]any{"verdict": "failed", "reason": "jwks_unavailable", "credential": "rejected"}), "kept"},
		"answered":                   {policy.Options{Path: "/s"}, without(map[string]any{"verdict": "answered"}), "kept"},
		"too many fields":            {r(policy.Options{}), without(map[string]any{"verdict": "refused", "reason": "header_section"}), "kept"},
		"held to now":                {r(policy.Options{All: token.Scopes{"b"}}), map[string]any{"verdict": "reported", "reason": "scope"}, "refused scope"},
		"bad token, held to now":     {r(policy.Options{}), without(map[string]any{"verdict": "reported", "reason": "signature", "credential": "rejected"}), "refused signature"},
		"no route, held to now":      {policy.Options{Path: "/s"}, without(map[string]any{"verdict": "reported", "reason": "no_route"}), "refused no_route"},
		"odd path":                   {r(policy.Options{}), without(map[string]any{"verdict": "refused", "reason": "path", "path": "/r//x"}), "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := became(t, newJudge(t, nil, c.route), line(t, c.change)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestJudgeByIssuersSettings(t *testing.T) {
	machines := map[string][]string{"gty": {"client-credentials"}}
	for name, c := range map[string]struct {
		settings func(*Options, *validator.Options)
		change   map[string]any
		want     string
	}{
		"required claim unknown": {func(o *Options, v *validator.Options) {
			v.Required, o.Issuers[issuer] = map[string][]string{"hd": {"x"}}, Issuer{Reads: []string{"hd"}}
		}, nil, "the claim hd is not in the log"},
		"required claim": {func(o *Options, v *validator.Options) {
			v.Required, o.Issuers[issuer] = map[string][]string{"hd": {"x"}}, Issuer{Reads: []string{"hd"}}
		}, map[string]any{"caller.claims": map[string]any{"hd": "y"}}, "refused claim"},
		"machines": {func(o *Options, v *validator.Options) {
			v.Machine, o.Issuers[issuer] = machines, Issuer{Machine: []string{"gty"}}
		}, map[string]any{"caller.claims": map[string]any{"gty": "client-credentials"}}, "refused subject"},
		"machines unknown": {func(o *Options, v *validator.Options) {
			v.Machine, o.Issuers[issuer] = machines, Issuer{Machine: []string{"gty"}}
		}, nil, "the claim gty is not in the log"},
		"other scope claim": {func(o *Options, _ *validator.Options) {
			o.Issuers[issuer] = Issuer{From: decisions.From{Scope: "scp"}}
		}, nil, "the issuer has another scope_claim than when it was recorded"},
		"audience in another claim": {func(o *Options, v *validator.Options) {
			v.AudienceClaim, o.Issuers[issuer] = "client_id", Issuer{From: decisions.From{Aud: "client_id"}}
		}, map[string]any{"caller.from": map[string]any{"aud": "client_id"}, "caller.aud": nil}, "its audience is in another claim than aud"},
		"leeway":                        {func(_ *Options, v *validator.Options) { v.Leeway = time.Minute }, map[string]any{"caller.exp": 1772366369}, "unchanged"},
		"max lifetime":                  {func(_ *Options, v *validator.Options) { v.MaxLifetime = time.Minute }, nil, "refused lifetime"},
		"opaque tokens":                 {func(_ *Options, v *validator.Options) { v.Introspection.Opaque = false }, map[string]any{"caller.introspected": true, "caller.jti": nil}, "refused malformed"},
		"other listener, same resource": {func(o *Options, _ *validator.Options) { o.Listen["api"] = ":8420" }, map[string]any{"listener": ":1"}, "unchanged"},
		"other listener, one left":      {nil, map[string]any{"listener": ":1", "resource": nil}, "unchanged"},
		"no listener":                   {func(o *Options, _ *validator.Options) { o.Table.Sites[":9"] = &proxy.Site{} }, map[string]any{"listener": ":1"}, string(noListener)},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudge(t, c.settings, policy.Options{Name: "r", Path: "/r", SubjectType: "user"})
			if got := became(t, j, line(t, c.change)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestAllReadsToTheEnd(t *testing.T) {
	route := policy.Options{Name: "r", Path: "/r"}
	good, long := line(t, nil), `{"v":1,"path":"`+strings.Repeat("a", decisions.MaxLine)+`"}`
	j := newJudge(t, func(o *Options, _ *validator.Options) { o.Lenient = true }, route)
	if err := j.All(context.Background(), "a", strings.NewReader(good+"\n\r\n"+long+"\n{}\n"+strings.TrimSpace(good))); err != nil {
		t.Fatal(err)
	}
	if r := j.Report(); r.Judged != 2 || r.Unchanged != 2 || r.Unread != 2 {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]string{
		good + "{}\n": "a:2 is of another version than 1", long: "a:1 is longer than 1024 KiB", good + good + "no": "a:3 is no decision: no JSON at octet 2",
	} {
		err := newJudge(t, nil, route).All(context.Background(), "a", strings.NewReader(text))
		if bad, ok := errors.AsType[*LineError](err); !ok || bad.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	broken := errors.New("gone")
	if err := j.All(context.Background(), "a", io.MultiReader(strings.NewReader(good), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if err := j.All(ended, "a", strings.NewReader(good)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestReportStaysSmall: whatever names a log holds, they are not all remembered.
func TestReportStaysSmall(t *testing.T) {
	j := newJudge(t, nil, policy.Options{Name: "r", Path: "/r", Clients: []string{"nobody"}})
	var text strings.Builder
	for i := range 3 * maxGroups {
		text.WriteString(line(t, map[string]any{"route": fmt.Sprint("r", i)}))
		text.WriteString(line(t, map[string]any{"route": fmt.Sprint("r", i), "path_cut": true}))
	}
	if err := j.All(context.Background(), "", strings.NewReader(text.String())); err != nil {
		t.Fatal(err)
	}
	r := j.Report()
	if r.Changed != 3*maxGroups || len(r.Changes) > maxGroups+1 || r.Unjudged != 3*maxGroups || len(r.Doubts) > maxGroups+1 {
		t.Errorf("%d changed in %d groups, %d not judged in %d", r.Changed, len(r.Changes), r.Unjudged, len(r.Doubts))
	}
	sum := 0
	for _, c := range r.Changes {
		sum += c.Count
		if len(c.Examples) > examples {
			t.Errorf("%d examples", len(c.Examples))
		}
	}
	if sum != r.Changed {
		t.Errorf("%d in all groups", sum)
	}
}

func TestTextIsSafeForATerminal(t *testing.T) {
	j := newJudge(t, nil, policy.Options{Name: "r", Path: "/r", Clients: []string{"nobody"}})
	if err := j.All(context.Background(), "", strings.NewReader(line(t, map[string]any{"caller.sub": "a\x1b[31m\u009b" + strings.Repeat("b", 500), "route": "\x1b]0;"}))); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	j.Report().Text(&out)
	for _, c := range []byte(out.String()) {
		if c != '\n' && (c < ' ' || c >= 0x7f) {
			t.Fatalf("octet %#x in %q", c, out.String())
		}
	}
}

func TestNewWantsItsOwnValidator(t *testing.T) {
	table := &proxy.Table{Sites: map[string]*proxy.Site{"l": {Only: &proxy.Gate{Name: "api"}}}}
	if _, err := New(Options{Table: table}); err == nil {
		t.Error("a gate without a validator of ours is judged by")
	}
}

func TestSteps(t *testing.T) {
	for path, want := range map[string][]string{"a": {"a"}, `a\.b.c`: {"a.b", "c"}, `a\\.b`: {`a\`, "b"}, `a\`: {`a\`}} {
		if got := token.Steps(path); !slices.Equal(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	j := newJudge(b, nil, policy.Options{Name: "r", Path: "/r", All: token.Scopes{"a"}, Claims: map[string]policy.ClaimRule{"groups": {AnyOf: []string{"ops"}}}})
	text := []byte(line(b, map[string]any{"caller.claims": map[string]any{"groups": []string{"dev", "ops"}}}))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := j.line(context.Background(), place{}, text, false); err != nil {
			b.Fatal(err)
		}
	}
	if j.Report().Unchanged == 0 {
		b.Fatal("nothing was judged")
	}
}
