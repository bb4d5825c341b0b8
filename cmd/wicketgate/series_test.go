package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

// seriesBudget is for five issuers and twenty routes (docs/metrics.md).
const seriesBudget = 2000

// newWideFixture is a gate of that size, where one issuer is asked about its
// tokens, one has status lists, and there are deny rules.
func newWideFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "a secret of the gate", "denied.jsonl": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	text.WriteString(`version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", status_list: {allow: ["%[3]s/status/"]}}
  - {name: b, issuer: "%[4]s", introspection: {client_id: gate, client_secret_file: "` + filepath.Join(dir, "secret") + `", prefix: opaque_}}
`)
	for i := range 3 {
		fmt.Fprintf(&text, "  - {name: issuer-%d, issuer: %q}\n", i, startIssuer(t).Identifier())
	}
	text.WriteString("revocation: {file: " + filepath.Join(dir, "denied.jsonl") + "}\nresources:\n  - identifier: https://rs.example.com\n    name: rs\n    behind_tls: true\n    upstream: \"%[5]s\"\n    routes:\n")
	for i := range 20 {
		kind := []string{"", ", optional: true", ", public: true", ", scopes: [read]", ", binding: dpop"}[i%5]
		fmt.Fprintf(&text, "      - {name: route-%d, path: /r%d/**%s}\n", i, i, kind)
	}
	text.WriteString("log: {access: \"off\"}\ndrain: {delay: 0s, timeout: 1s}\ncache: {refused: 0}\n")
	return newFixture(t, func(string) string { return text.String() })
}

// seriesOf is a scrape: the name and labels of each series.
func (f *fixture) seriesOf(t *testing.T) []string {
	t.Helper()
	var series []string
	for line := range strings.Lines(f.ask("GET", "/metrics").body) {
		if !strings.HasPrefix(line, "#") {
			series = append(series, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return series
}

// TestSeriesOfClosedLists looks at the first scrape of a gate that nobody has
// sent anything to: every value of every closed list must be there, or rate() is
// blind for the first of its kind.
func TestSeriesOfClosedLists(t *testing.T) {
	f := newWideFixture(t)
	series := f.seriesOf(t)
	var reasons []string
	for _, r := range token.Reasons {
		reasons = append(reasons, string(r.Reason))
	}
	okFail := []string{"ok", "fail"}
	for _, c := range []struct {
		metric, label string
		want          []string
	}{
		{"requests_total", "decision", []string{"allowed", "denied", "error", "public"}},
		{"requests_total", "code", []string{"2xx", "3xx", "4xx", "5xx", "401", "403", "429", "502", "503", "504"}},
		{"request_duration_seconds_count", "decision", []string{"allowed", "denied", "error", "public"}},
		{"refusals_total", "reason", reasons},
		{"streams", "kind", []string{"websocket", "sse", "grpc"}},
		{"streams_ended_total", "ending", []string{"expired", "revoked", "silent", "drain"}},
		{"upstream_requests_total", "result", []string{"ok", "server_error", "cut", "timeout", "error", "canceled"}},
		{"validations_total", "result", okFail},
		{"validations_total", "kind", []string{"bearer", "dpop", "opaque", "none"}},
		{"validations_total", "issuer", []string{"a", "b", "issuer-0", "issuer-1", "issuer-2", "unknown"}},
		{"validation_duration_seconds_count", "kind", []string{"bearer", "dpop", "opaque"}},
		{"token_cache_requests_total", "result", []string{"hit", "miss"}},
		{"signature_checks_total", "of", []string{"token", "proof"}},
		{"signature_checks_total", "result", okFail},
		{"dpop_replay_store_errors_total", "store", []string{"memory", "redis"}},
		{"jwks_fetches_total", "result", []string{"changed", "unchanged", "error"}},
		{"jwks_unknown_key_total", "action", []string{"refetched", "held_back"}},
		{"jwks_copies_total", "result", jwks.CopyResults()},
		{"introspection_requests_total", "result", introspect.Results()},
		{"introspection_cache_requests_total", "result", []string{"hit", "miss"}},
		{"introspection_shared_requests_total", "result", introspect.SharedResults()},
		{"status_list_fetches_total", "result", []string{"ok", "timeout", "error"}},
		{"revocation_updates_total", "result", []string{"ok", "error", "skipped", "unknown_issuer"}},
		{"config_reloads_total", "result", []string{"ok", "error"}},
		{"clock_jumps_total", "direction", []string{"forward", "back"}},
	} {
		if got := valuesOf(series, "wicketgate_"+c.metric, c.label); !slices.Equal(got, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("%s has %s %q, want %q", c.metric, c.label, got, c.want)
		}
	}
}

// valuesOf is the values that a label of a metric has, in order.
func valuesOf(series []string, metric, label string) []string {
	pattern := regexp.MustCompile(`^` + metric + `\{(?:.*,)?` + label + `="([^"]*)"`)
	seen := map[string]bool{}
	for _, s := range series {
		if found := pattern.FindStringSubmatch(s); found != nil {
			seen[found[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// hostileMark is in everything that a hostile client chooses.
const hostileMark = "zqx"

// hostileRequests is how many are sent; each has new values everywhere.
const hostileRequests = 10_000

// TestHostileValuesStayInTheBudget sends a whole gate 10,000 requests in which
// methods, paths, hosts, issuers, key names, clients, subjects, schemes, proofs
// and traceparents are new each time.
func TestHostileValuesStayInTheBudget(t *testing.T) {
	f := newWideFixture(t)
	f.untilReady()
	signed := signedByIssuers(t, f)
	var senders sync.WaitGroup
	for first := range 4 {
		senders.Go(func() {
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			for i := first; i < hostileRequests; i += 4 {
				if err := sendHostile(t, transport, f.url, i, signed[i%len(signed)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	series := f.seriesOf(t)
	t.Logf("%d series", len(series))
	if len(series) > seriesBudget {
		t.Errorf("%d series, budget %d", len(series), seriesBudget)
	}
	for _, s := range series {
		if strings.Contains(strings.ToLower(s), hostileMark) || strings.Contains(s, hostileTrace) {
			t.Errorf("a client chose %s", s)
		}
	}
	if f.metric("wicketgate_overhead_seconds_count") != "10000" {
		t.Errorf("%s requests were counted", f.metric("wicketgate_overhead_seconds_count"))
	}
	wantExemplarsBounded(t, f)
}

// wantExemplarsBounded reads the format with exemplars: one a bucket at most, and
// of the form that a trace-id has.
func wantExemplarsBounded(t *testing.T, f *fixture) {
	t.Helper()
	r := mustRequest(t, f.admin+"/metrics")
	r.Header.Set("Accept", "application/openmetrics-text")
	body := f.send(r).body
	if strings.Contains(strings.ToLower(body), hostileMark) {
		t.Error("what a client chose is in the metrics")
	}
	exemplar := regexp.MustCompile(`^wicketgate_(request_duration|overhead)_seconds_bucket\{[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\} `)
	found := 0
	for line := range strings.Lines(body) {
		if !strings.Contains(line, "trace_id") {
			continue
		}
		if found++; !exemplar.MatchString(line) {
			t.Errorf("no exemplar of ours: %s", line)
		}
	}
	if found == 0 {
		t.Error("no sampled trace is told")
	}
}

// signedByIssuers is tokens that are good but for what their claims say of a
// client.
func signedByIssuers(t *testing.T, f *fixture) []string {
	t.Helper()
	var signed []string
	for i := range 100 {
		name := fmt.Sprintf("%s-%d", hostileMark, i)
		raw, err := []*devissuer.Running{f.a, f.b}[i%2].Mint(devissuer.Token{Alg: "ES256", Claims: map[string]any{"client_id": name, "sub": name, "jti": name, "scope": name}})
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, raw)
	}
	return signed
}

const hostileTrace = "deadbeefdeadbeef"

func sendHostile(t *testing.T, transport *http.Transport, url string, i int, signed string) error {
	name := fmt.Sprintf("%s%d", hostileMark, i)
	path := []string{fmt.Sprintf("/r%d/%s", i%20, name), "/" + name, "/r1//" + name, "/r1/" + name + "%2f"}[i%4]
	method := "GET"
	if i%3 == 0 {
		method = strings.ToUpper(name)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
	if err != nil {
		return err
	}
	if i%5 == 0 {
		r.Host = name + ".example"
	}
	r.Header.Set("Traceparent", []string{
		fmt.Sprintf("00-%s%016x-00f067aa0ba902b7-01", hostileTrace, i), name, fmt.Sprintf(`00-%032s-00f067aa0ba902b7-01`, name), fmt.Sprintf("00-%s%016x-%016s-01", hostileTrace, i, name),
	}[i/4%4])
	r.Header.Set("X-"+name, name)
	scheme := []string{"Bearer ", "DPoP ", name + " "}[i/3%3]
	switch i / 8 % 5 {
	case 0:
		r.Header.Set("Authorization", scheme+signed)
	case 1, 2:
		r.Header.Set("Authorization", scheme+unsigned(name, "https://"+name+".example"))
	case 3:
		r.Header.Set("Authorization", scheme+"opaque_"+name)
	}
	if i%7 == 0 {
		r.Header.Set("Dpop", unsigned(name, name))
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return cmp.Or(err, resp.Body.Close())
}

// unsigned is a JWT that nobody signed.
func unsigned(name, issuer string) string {
	part := func(members map[string]any) string {
		text, err := json.Marshal(members)
		if err != nil {
			return ""
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": name}) + "." +
		part(map[string]any{"iss": issuer, "sub": name, "client_id": name, "aud": name, "jti": name, "exp": 4102444800, "iat": 1}) + "." +
		base64.RawURLEncoding.EncodeToString(make([]byte, 64))
}
