package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/admin"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// demoAudience is what the demo's tokens are for, demoIssuer where token looks for
// them.
const (
	demoAudience = "urn:wicketgate:demo"
	demoIssuer   = "http://127.0.0.1:8422"
)

type demoCommand struct {
	Once   bool   `help:"Make the requests, print the answers, and exit: 0 if all are as they should be. On free ports."`
	Listen string `help:"The gate. Default: 127.0.0.1:8420." placeholder:"ADDRESS"`
	Admin  string `help:"Probes and metrics. Default: 127.0.0.1:8421." placeholder:"ADDRESS"`
	Issuer string `help:"The issuer. Default: 127.0.0.1:8422." placeholder:"ADDRESS"`
	API    string `name:"api" help:"The API behind the gate. Default: 127.0.0.1:8423." placeholder:"ADDRESS"`
}

// Help is shown by demo --help.
func (demoCommand) Help() string { return "Example: wicketgate demo, then copy the lines it prints." }

// demo is a whole deployment in one process.
type demo struct {
	gate, issuer string // URLs
	page         *playground
	gateway      *gateway
	close        []func()
}

// Run runs the demo until it is stopped, or once.
func (c *demoCommand) Run(a *app) error {
	d, err := c.start(a)
	if err != nil {
		return err
	}
	defer d.stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(a.ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.gateway.serve(ctx, signals) }()
	if c.Once {
		err = d.tryAll(ctx, a)
		cancel()
		return errors.Join(err, <-ended)
	}
	defer cancel()
	d.printLines(a)
	return <-ended
}

// start opens everything on loopback. The ports are bound before they are
// written into the configuration, so any of them may be 0.
func (c *demoCommand) start(a *app) (_ *demo, err error) {
	d := &demo{}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	gate, err := d.listen(c.address(c.Listen, "8420"))
	if err != nil {
		return nil, err
	}
	pages, err := d.listen(c.address(c.Admin, "8421"))
	if err != nil {
		return nil, err
	}
	d.gate = "http://" + gate.Addr().String()
	hosts := demoHosts(gate.Addr())
	if err := d.startIssuer(c.address(c.Issuer, "8422"), hosts); err != nil {
		return nil, err
	}
	api, err := d.listen(c.address(c.API, "8423"))
	if err != nil {
		return nil, err
	}
	if d.page, err = newPlayground(hosts, d.issuer, a.called()); err != nil {
		return nil, err
	}
	echo := &http.Server{Handler: demoAPI(d.page), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = echo.Serve(api) }() // it ends with Close
	d.close = append(d.close, func() { _ = echo.Close() })
	file, err := config.Parse("demo", []byte(demoConfig(gate.Addr(), pages.Addr(), api.Addr(), d.issuer, hosts)), a.env)
	if err != nil {
		return nil, a.complain(err)
	}
	if d.gateway, err = newGateway(a, "", file); err != nil {
		return nil, err
	}
	d.gateway.bound = map[string]net.Listener{gate.Addr().String(): gate, pages.Addr().String(): pages}
	return d, nil
}

// startIssuer starts the issuer, which the page asks from the gate's origins.
func (d *demo) startIssuer(address string, hosts []string) error {
	address, err := loopback(address)
	if err != nil {
		return err
	}
	issuer, err := devissuer.New(devissuer.Options{Audience: demoAudience, Origins: origins(hosts)})
	if err != nil {
		return err
	}
	running, err := issuer.Listen(address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; see wicketgate demo --help for other ports", address, err)
	}
	d.close = append(d.close, func() { _ = running.Close() })
	d.issuer = running.URL
	return nil
}

func (c *demoCommand) address(given, port string) string {
	if c.Once {
		port = "0"
	}
	return cmp.Or(given, "127.0.0.1:"+port)
}

// loopback is the address to listen on, if it is loopback's: the demo gives tokens
// to all who ask.
func loopback(address string) (string, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", fmt.Errorf("cannot listen on %s: %w; see wicketgate demo --help", address, err)
	}
	if !at.IP.IsLoopback() {
		return "", fmt.Errorf("give the demo an address of loopback, such as 127.0.0.1:%d, for it gives tokens to all who ask: %s is none", at.Port, address)
	}
	return at.String(), nil
}

func (d *demo) listen(address string) (net.Listener, error) {
	address, err := loopback(address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; see wicketgate demo --help for other ports", address, err)
	}
	d.close = append(d.close, func() { _ = l.Close() })
	return l, nil
}

func (d *demo) stop() {
	for _, end := range d.close {
		end()
	}
}

// demoHosts are the names by which a browser on this machine finds the gate. A
// page that was led to it by another, which its DNS said is loopback, gets 421.
func demoHosts(gate net.Addr) []string {
	own, port, _ := net.SplitHostPort(gate.String())
	var hosts []string
	for _, name := range []string{own, "127.0.0.1", "localhost", "::1"} {
		host := strings.TrimSuffix(net.JoinHostPort(name, port), ":80") // as browsers write it
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func origins(hosts []string) []string {
	list := make([]string, len(hosts))
	for i, host := range hosts {
		list[i] = "http://" + host
	}
	return list
}

// demoConfig is what a user would write for the demo.
func demoConfig(gate, admin, api net.Addr, issuer string, hosts []string) string {
	return fmt.Sprintf(`version: 1
listen: "%s"
admin: {listen: "%s"}
issuers:
  - {name: demo, issuer: "%s"}
resources:
  - identifier: %s
    name: demo
    hosts: ["%s"]
    public_origins: ["%s"]
    upstream: "http://%s"
    routes:
      - {name: health, path: /healthz, public: true}
      - {name: playground, path: %s, methods: [GET, HEAD], public: true}
      - {name: orders, path: /orders/**, methods: [GET, HEAD], scopes: [orders.read]}
      - {name: change-orders, path: /orders/**, scopes: [orders.write]}
      - {name: payments, path: /payments/**, scopes: [payments], binding: dpop}
log: {level: error, access: "off"}
drain: {delay: 0s, timeout: 2s}
`, gate, admin, issuer, demoAudience, strings.Join(hosts, `", "`), strings.Join(origins(hosts), `", "`), api, playgroundPath)
}

// demoAPI is the API behind the gate, and the page beside it.
func demoAPI(page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+playgroundPath, page)
	mux.HandleFunc("/", echoAPI)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !devissuer.LoopbackHost(r.Host) {
			admin.Text(w, http.StatusMisdirectedRequest, "this API answers to names of loopback only\n")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// echoAPI answers with what it was told about the caller.
func echoAPI(w http.ResponseWriter, r *http.Request) {
	seen := make(map[string]string)
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Auth-") || name == "Authorization" || name == "Dpop" || name == "Via" {
			seen[name] = strings.Join(values, ", ")
		}
	}
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	_ = out.Encode(struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
	}{r.Method, r.URL.Path, seen}) // a client that has gone needs no answer
}
