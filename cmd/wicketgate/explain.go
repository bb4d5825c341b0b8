package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

type explainCommand struct {
	Config   string   `short:"c" help:"The configuration file." placeholder:"FILE"`
	Method   string   `default:"GET" help:"The request's method."`
	URL      string   `name:"url" help:"The request's URL as the client knows it. Default: the root of the first resource." placeholder:"URL"`
	Proof    string   `name:"dpop" help:"The DPoP proof that comes with the token." placeholder:"PROOF"`
	Cert     string   `help:"A file with the client's certificate in PEM, as the gate or, with mtls.from: header, the proxy in front sees it." placeholder:"FILE"`
	From     string   `help:"The client's address, for networks. Default: this host's own." placeholder:"ADDRESS"`
	Header   []string `short:"H" help:"A further header of the request, 'Name: value'." placeholder:"HEADER"`
	Resource string   `help:"The resource's name. Default: the one that the URL is of." placeholder:"NAME"`

	shown []byte // the content of Cert; nil for none
}

// Help is shown by explain --help.
func (explainCommand) Help() string {
	return "Reads a token on standard input, with or without its scheme, and says of each check what it saw and what came of it. Nothing is forwarded.\n" +
		"Exit code 0: the request would pass, or the gate itself would answer it well (metadata, a preflight). 1: it would not, or only since report_only is on.\n" +
		"Example: echo \"$TOKEN\" | wicketgate explain --config config.yaml --url https://api.example.com/orders/1"
}

// maxStdin bounds what is read as a token.
const maxStdin = 1 << 20

// Run decides as serve would, and tells how.
func (e *explainCommand) Run(a *app) error {
	path, err := a.configPath(e.Config)
	if err != nil {
		return err
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	stores := newStores(file, nil)
	stores.started = time.Time{} // a proof made before this process is no fault here
	compiled, err := build(file, stores)
	if err != nil {
		return a.complain(err)
	}
	stores.keys.Configure(compiled.sources)
	stores.answers.Configure(compiled.asked)
	defer stores.answers.Close()
	stores.statuses.Configure(compiled.statuses)
	defer stores.statuses.Close()
	if file.Revocation.Redis.On() {
		if shared, err := reachRules(a.ctx, file, stores.denials.Rules()); err == nil {
			shared.Close() // they have been read; where they could not be, the answer says so
		}
	}
	stores.nonces.Use(compiled.nonces, file.DPoP.NonceMaxAge)
	given, err := io.ReadAll(io.LimitReader(a.stdin, maxStdin))
	if err != nil {
		return err
	}
	if e.Cert != "" {
		if e.shown, err = os.ReadFile(e.Cert); err != nil {
			return fmt.Errorf("%s: %w", e.Cert, err)
		}
	}
	told, answer, err := e.explain(a.ctx, a.stdout, file, compiled, string(given))
	if err != nil {
		return err
	}
	if told.Reason() == token.ReasonDPoPNonce && compiled.nonces == nil {
		fmt.Fprintln(a.stdout, "note      a running gate makes nonces that are known to it alone, so none passes here; dpop.nonce_secret_file shares them")
	}
	answered := told.Decision.Verdict == proxy.Answered && answer.Status < http.StatusBadRequest
	if told.Decision.Would != nil || told.Decision.Verdict != proxy.Allowed && !answered {
		return exitError(exitFailed)
	}
	return nil
}

// explain decides about a request with the token given and tells how to w.
func (e *explainCommand) explain(ctx context.Context, w io.Writer, file *config.File, compiled *plan, given string) (*proxy.Explained, *rehearsal.Answer, error) {
	resource, req, err := e.request(file, given)
	if err != nil {
		return nil, nil, err
	}
	if e.shown != nil {
		compiled.table.Certificates = nil // it counts as if the proxy had written it
	}
	answer := &rehearsal.Answer{Fields: http.Header{}}
	told := compiled.table.Explain(answer, listenOf(file, *resource), req.WithContext(ctx))
	e.print(w, resource, req, told, answer)
	return told, answer, nil
}

// request builds the request as the client would have sent it.
func (e *explainCommand) request(file *config.File, given string) (*config.Resource, *http.Request, error) {
	resource, at, err := e.target(file)
	if err != nil {
		return nil, nil, err
	}
	req := &http.Request{
		Method: e.Method, URL: at, Host: at.Host, RequestURI: at.RequestURI(), Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: sender(file),
	}
	if from, err := netip.ParseAddr(e.From); err == nil {
		req.RemoteAddr = netip.AddrPortFrom(from, 1).String()
	} else if e.From != "" {
		return nil, nil, errors.New("--from wants an IP address")
	}
	if len(resource.Hosts) > 0 && e.URL == "" {
		req.Host = resource.Hosts[0]
	}
	for _, line := range e.Header {
		name, value, found := strings.Cut(line, ":")
		if !found {
			return nil, nil, errors.New("--header wants 'Name: value'")
		}
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	e.present(req, given)
	switch {
	case e.shown == nil && file.TLS.ClientAuth == "require" && file.MTLS.From != "header":
		return nil, nil, errors.New("tls.client_auth: require ends the handshake of a client without a certificate; name one with --cert")
	case e.shown != nil:
		if req.TLS, err = clientConnection(file, e.shown); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", cmp.Or(e.Cert, "certificate"), err)
		}
	}
	return resource, req, nil
}

// present adds the token and the proof to what --header says already.
func (e *explainCommand) present(req *http.Request, given string) {
	if credential := strings.TrimSpace(given); credential != "" {
		if !strings.Contains(credential, " ") {
			scheme := token.Bearer
			if e.Proof != "" {
				scheme = token.DPoP
			}
			credential = scheme.String() + " " + credential
		}
		req.Header.Add("Authorization", credential)
	}
	if e.Proof != "" {
		req.Header.Add("DPoP", e.Proof)
	}
}

// sender is the address at the other end of the connection: that of a trusted
// proxy where no other may pass a client's certificate on.
func sender(file *config.File) string {
	if file.MTLS.From == "header" && len(file.TrustedProxies) > 0 {
		return netip.AddrPortFrom(file.TrustedProxies[0].Addr(), 1).String()
	}
	return "127.0.0.1:1"
}

// target finds the resource and the URL of the request.
func (e *explainCommand) target(file *config.File) (*config.Resource, *url.URL, error) {
	at, err := url.Parse(e.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("--url: %w", err)
	}
	origin := at.Scheme + "://" + strings.ToLower(at.Host)
	for i := range file.Resources {
		r := &file.Resources[i]
		switch {
		case e.Resource != "" && r.Name != e.Resource:
			continue
		case e.URL == "":
			at, err = url.Parse(r.PublicOrigins[0] + "/")
			return r, at, err
		case e.Resource != "" || slices.Contains(r.PublicOrigins, origin):
			return r, at, nil
		}
	}
	if e.Resource != "" {
		return nil, nil, fmt.Errorf("no resource is called %s", e.Resource)
	}
	return nil, nil, errors.New("no resource has this origin in public_origins; name one with --resource")
}

// print tells the story: the request, each check, the answer.
func (e *explainCommand) print(w io.Writer, r *config.Resource, req *http.Request, told *proxy.Explained, answer *rehearsal.Answer) {
	at := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: told.Query} // and no user
	fmt.Fprintf(w, "request   %s %s\nresource  %s\n", req.Method, &at, r.Name)
	if d := told.Decision; d.Route != nil && d.Route.Matched() {
		fmt.Fprintf(w, "route     %s\n", d.Route.Name)
	}
	fmt.Fprintln(w)
	printSteps(w, told.Trace.Steps, told.Reason())
	answers := "answer    "
	if told.Decision.Would != nil {
		printReport(w, told)
		answers = "enforced  "
	} else if told.Decision.Verdict == proxy.Allowed {
		fmt.Fprintf(w, "\nanswer    forwarded to %s\n", cmp.Or(told.Upstream, "wherever the proxy that asks takes it"))
		for _, f := range told.Fields {
			fmt.Fprintf(w, "          %s\n", f)
		}
		return
	}
	fmt.Fprintf(w, "\n%s%d %s\n", answers, answer.Status, http.StatusText(answer.Status))
	for _, name := range slices.Sorted(maps.Keys(answer.Fields)) {
		for _, value := range answer.Fields[name] {
			fmt.Fprintf(w, "          %s: %s\n", name, value)
		}
	}
	if answer.Body.Len() > 0 {
		fmt.Fprintf(w, "          %s\n", answer.Body.String())
	}
	if cause := told.Cause(); cause != "" {
		fmt.Fprintf(w, "because   %s\n", cause)
	}
	if told.Hidden() {
		fmt.Fprintln(w, "hidden    routes[].hide: the client is answered as on a path that no route governs")
	}
}

// printSteps lists the checks in the order they ran. What is seen of a token
// before its signature held is marked: it only ever refuses.
func printSteps(w io.Writer, steps []token.Step, failed token.Reason) {
	last := -1
	for i, step := range steps {
		if step.Reason == failed {
			last = i
		}
	}
	if last < 0 && failed != token.ReasonNone {
		steps, last = append(slices.Clip(steps), token.Step{Reason: failed, Seen: textOf(failed)}), len(steps)
	}
	signed := slices.IndexFunc(steps, func(s token.Step) bool { return s.Reason == token.ReasonSignature })
	for i, step := range steps {
		verdict, r := "ok  ", rules[step.Reason]
		if i == last {
			verdict = "FAIL"
		}
		check := r.check
		if i < signed && slices.ContainsFunc(steps[signed:], func(s token.Step) bool { return s.Reason == step.Reason }) {
			check += ", unverified"
		}
		fmt.Fprintf(w, "%s  %-22s  %s\n", verdict, check, step.Seen)
		if i == last && step.Want != "" {
			fmt.Fprintf(w, "      %-22s  wanted: %s\n", "", step.Want)
		}
		if where := strings.Join(slices.DeleteFunc([]string{r.spec, r.setting}, func(s string) bool { return s == "" }), "; "); where != "" {
			fmt.Fprintf(w, "      %-22s  %s\n", "", where)
		}
		if i == last {
			break
		}
	}
}

// textOf is what a client is told of a check that noted nothing.
func textOf(reason token.Reason) string {
	for _, r := range token.Reasons {
		if r.Reason == reason {
			return r.Description
		}
	}
	return ""
}
