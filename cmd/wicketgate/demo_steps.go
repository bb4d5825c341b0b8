package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// demoStep is a request of the demo: how a user would make it, and what must
// come of it.
type demoStep struct {
	title  string
	lines  []string // for a shell; {gate} and {wicketgate} stand for what they say
	status int
	want   []string // parts of the answer, its header included

	grant  url.Values // for the token; nil for none
	bound  bool       // to the client's key
	repeat bool       // the request before, once more
}

const demoPath = "/orders/1"

func demoGrant(scope, expires string) url.Values {
	return url.Values{"grant_type": {devissuer.DemoGrant}, "scope": {scope}, "expires_in": {expires}}
}

// demoSteps are the requests of the demo, in order.
var demoSteps = []demoStep{
	{
		title: "no token: 401, and what to bring", status: http.StatusUnauthorized,
		lines: []string{"curl -i {gate}" + demoPath},
		want:  []string{"Www-Authenticate: Bearer\n", "Www-Authenticate: DPoP algs="},
	},
	{
		title: "a good token: 200, with what the API was told about the caller", status: http.StatusOK,
		lines: []string{`curl -i -H "Authorization: Bearer $({wicketgate} token --scope orders.read)" {gate}` + demoPath},
		want:  []string{`"X-Auth-Subject": "user-1"`, `"X-Auth-Scope": "orders.read"`},
		grant: demoGrant("orders.read", "600"),
	},
	{
		title: "a token with another scope: 403, naming the scope it takes", status: http.StatusForbidden,
		lines: []string{`curl -i -H "Authorization: Bearer $({wicketgate} token --scope profile)" {gate}` + demoPath},
		want:  []string{`error="insufficient_scope"`, `scope="orders.read"`},
		grant: demoGrant("profile", "600"),
	},
	{
		title: "an expired token: 401", status: http.StatusUnauthorized,
		lines: []string{`curl -i -H "Authorization: Bearer $({wicketgate} token --expires-in=-5m)" {gate}` + demoPath},
		want:  []string{`error="invalid_token"`, "expired"},
		grant: demoGrant("orders.read", "-300"),
	},
	{
		title: "a token bound to the client's key, with a DPoP proof: 200", status: http.StatusOK,
		lines: []string{
			`TOKEN=$({wicketgate} token --dpop)`,
			`PROOF=$({wicketgate} proof --token "$TOKEN" --url {gate}` + demoPath + `)`,
			`curl -i -H "Authorization: DPoP $TOKEN" -H "DPoP: $PROOF" {gate}` + demoPath,
		},
		want:  []string{`"X-Auth-Binding": "dpop"`},
		grant: demoGrant("orders.read", "600"), bound: true,
	},
	{
		title: "the same proof again: 401", status: http.StatusUnauthorized,
		lines: []string{`curl -i -H "Authorization: DPoP $TOKEN" -H "DPoP: $PROOF" {gate}` + demoPath},
		want:  []string{`error="invalid_dpop_proof"`, "used before"}, repeat: true,
	},
}

// called is how a user calls the program.
func (a *app) called() string {
	switch {
	case strings.Contains(a.program, "go-build"):
		return "go run ./cmd/wicketgate"
	case strings.Contains(a.program, "/"):
		return a.program
	}
	return "wicketgate"
}

// printLines prints the requests for a user to copy.
func (d *demo) printLines(a *app) {
	fill := strings.NewReplacer("{gate}", d.gate, "{wicketgate}", a.called(), "token --", "token --issuer "+d.issuer+" --")
	if d.issuer == demoIssuer {
		fill = strings.NewReplacer("{gate}", d.gate, "{wicketgate}", a.called())
	}
	fmt.Fprintf(a.stdout, "The gate is at %s, its admin pages at http://%s, the issuer at %s.\nIn a browser: %s\nIn another terminal:\n",
		d.gate, d.gateway.file.Admin.Listen, d.issuer, d.gate+playgroundPath)
	for i, step := range demoSteps {
		fmt.Fprintf(a.stdout, "\n# %d. %s\n", i+1, step.title)
		for _, line := range step.lines {
			fmt.Fprintln(a.stdout, fill.Replace(line))
		}
	}
	fmt.Fprintln(a.stdout, "\nCtrl-C ends it.")
}

var errDemo = errors.New("an answer was not as it should be")

// tryAll makes the requests itself, prints the answers and compares them.
func (d *demo) tryAll(ctx context.Context, a *app) error {
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		return err
	}
	var request *http.Request
	failed := false
	for i, step := range demoSteps {
		if !step.repeat {
			if request, err = d.request(ctx, step, key); err != nil {
				return err
			}
		}
		status, answer, err := try(request)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "# %d. %s\n%s\n", i+1, step.title, answer)
		if why := step.compare(status, answer); why != "" {
			failed = true
			fmt.Fprintf(a.stderr, "wicketgate: request %d: %s\n", i+1, why)
		}
	}
	if err := d.tryPage(ctx); err != nil {
		failed = true
		fmt.Fprintf(a.stderr, "wicketgate: the playground: %v\n", err)
	}
	if failed {
		return errDemo
	}
	fmt.Fprintf(a.stdout, "All %d answers are as they should be. So is the page at %s.\n", len(demoSteps), playgroundPath)
	return nil
}

// tryPage fetches the page as a browser would, and compares it.
func (d *demo) tryPage(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.gate+playgroundPath, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch kind, policy := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Security-Policy"); {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d, want %d", resp.StatusCode, http.StatusOK)
	case kind != "text/html; charset=utf-8":
		return fmt.Errorf("the Content-Type is %q, want HTML", kind)
	case policy != d.page.policy:
		return fmt.Errorf("the Content-Security-Policy is %q, want %q", policy, d.page.policy)
	case string(body) != d.page.text:
		return errors.New("another page")
	}
	return nil
}

func (d *demo) request(ctx context.Context, step demoStep, key *devissuer.ClientKey) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.gate+demoPath, nil)
	if err != nil || step.grant == nil {
		return req, err
	}
	grant := maps.Clone(step.grant)
	if step.bound {
		grant.Set("jkt", key.Thumbprint())
	}
	raw, err := askToken(ctx, d.issuer, grant)
	if err != nil {
		return nil, err
	}
	if !step.bound {
		req.Header.Set("Authorization", "Bearer "+raw)
		return req, nil
	}
	proof, err := key.Proof(devissuer.Proof{Method: http.MethodGet, URL: d.gate + demoPath, AccessToken: raw})
	req.Header.Set("Authorization", "DPoP "+raw)
	req.Header.Set("DPoP", proof)
	return req, err
}

// try makes a request and writes the answer out as curl -i would.
func try(req *http.Request) (status int, answer string, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", resp.Proto, resp.Status)
	for _, name := range []string{"Www-Authenticate", "Content-Type"} {
		for _, value := range resp.Header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "\n%s", body)
	return resp.StatusCode, b.String(), nil
}

func (s demoStep) compare(status int, answer string) string {
	if status != s.status {
		return fmt.Sprintf("status %d, want %d", status, s.status)
	}
	for _, part := range s.want {
		if !strings.Contains(answer, part) {
			return fmt.Sprintf("the answer lacks %q", part)
		}
	}
	return ""
}
