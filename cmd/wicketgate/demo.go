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
	"strings"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// demoAudience is what the demo's tokens are for.
const demoAudience = "urn:wicketgate:demo"

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
	issuer, err := devissuer.New(devissuer.Options{Audience: demoAudience})
	if err != nil {
		return nil, err
	}
	running, err := issuer.Listen(c.address(c.Issuer, "8422"))
	if err != nil {
		return nil, err
	}
	d.close = append(d.close, func() { _ = running.Close() })
	d.issuer = running.URL
	api, err := d.listen(c.address(c.API, "8423"))
	if err != nil {
		return nil, err
	}
	echo := &http.Server{Handler: http.HandlerFunc(echoAPI), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = echo.Serve(api) }() // it ends with Close
	d.close = append(d.close, func() { _ = echo.Close() })
	gate, err := d.listen(c.address(c.Listen, "8420"))
	if err != nil {
		return nil, err
	}
	admin, err := d.listen(c.address(c.Admin, "8421"))
	if err != nil {
		return nil, err
	}
	d.gate = "http://" + gate.Addr().String()
	file, err := config.Parse("demo", []byte(demoConfig(gate.Addr(), admin.Addr(), api.Addr(), d.issuer)), a.env)
	if err != nil {
		return nil, a.complain(err)
	}
	if d.gateway, err = newGateway(a, "", file); err != nil {
		return nil, err
	}
	d.gateway.bound = map[string]net.Listener{gate.Addr().String(): gate, admin.Addr().String(): admin}
	return d, nil
}

func (c *demoCommand) address(given, port string) string {
	if c.Once {
		port = "0"
	}
	return cmp.Or(given, "127.0.0.1:"+port)
}

func (d *demo) listen(address string) (net.Listener, error) {
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

// demoConfig is what a user would write for the demo.
func demoConfig(gate, admin, api net.Addr, issuer string) string {
	return fmt.Sprintf(`version: 1
listen: "%s"
admin: {listen: "%s"}
issuers:
  - {name: demo, issuer: "%s"}
resources:
  - identifier: %s
    name: demo
    public_origins: ["http://%s"]
    upstream: "http://%s"
    routes:
      - {name: health, path: /healthz, public: true}
      - {name: orders, path: /orders/**, scopes: [orders.read]}
log: {level: error, access: "off"}
drain: {delay: 0s, timeout: 2s}
`, gate, admin, issuer, demoAudience, gate, api)
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
