package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/validator/revoke"
	"github.com/wicketgate/wicketgate/validator/signals"
)

// signalsPath is where events are pushed to.
const signalsPath = "/events"

const shortestSecret = 16 // characters

// Transmitters are few, and wait for an answer. Beyond these bounds somebody else
// is at the door.
const (
	signalsAtOnce      = 32 // requests
	signalsConnections = 128
)

// sparing answers what comes beyond a number of requests at once with 503.
func sparing(atOnce int, h http.Handler) http.Handler {
	places := make(chan struct{}, atOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			h.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// crowd closes connections beyond a number: http.Server.ConnState.
func crowd(most int64) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > most {
				_ = c.Close() // the server sees it, and tells of its end
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
}

var errShortSecret = errors.New("wants a token of 16 characters or more")

// receiver is the receiver of events, and what it needs to know who pushes.
type receiver struct {
	*signals.Receiver
	keys        *jwks.Cache // of the transmitters
	certificate atomic.Pointer[tls.Certificate]
}

// newReceiver makes the receiver of events whose rules go to deny; nil where none
// are received.
func newReceiver(s config.Signals, deny func(context.Context, []revoke.Rule) error, metrics *telemetry.Telemetry) *receiver {
	if s.Listen == "" {
		return nil
	}
	o := signals.Options{Keep: s.Keep, Deny: deny}
	keys := jwks.Options{}
	if metrics != nil {
		o.OnReceived, keys.OnLoad = metrics.Signal, metrics.KeysLoaded
	}
	for _, t := range s.Transmitters {
		o.Transmitters = append(o.Transmitters, signals.Transmitter{Issuer: t.Issuer, Audience: t.Audience, SubjectIssuers: t.SubjectIssuers})
	}
	r := &receiver{keys: jwks.NewCache(keys)}
	o.Keys = r.keys
	r.Receiver = signals.New(o)
	return r
}

// signalsPlan is what files say about the receiver, read at each reload.
type signalsPlan struct {
	secret      string
	certificate *tls.Certificate // nil for plain HTTP
	sources     []jwks.Source
}

// signalsOf reads the files. The error has its place in the file.
func signalsOf(c *config.File) (*signalsPlan, error) {
	s, at := c.Revocation.Signals, "revocation.signals."
	if s.Listen == "" {
		return nil, nil
	}
	p := &signalsPlan{}
	var problems []error
	var err error
	if p.secret, err = readSecret(s.TokenFile); err == nil && len(p.secret) < shortestSecret {
		err = errShortSecret
	}
	if err != nil {
		problems = append(problems, c.ErrorAt(at+"token_file", err.Error()))
	}
	if s.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.TLS.CertFile, s.TLS.KeyFile)
		if err != nil {
			problems = append(problems, pairError(c, at+"tls", err))
		}
		p.certificate = &pair
	}
	for i, t := range s.Transmitters {
		source, err := sourceOf(config.Issuer{
			Name: t.Issuer, Issuer: t.Issuer, DiscoveryURL: t.DiscoveryURL, JWKSURI: t.JWKSURI, JWKSFile: t.JWKSFile, CAFile: t.CAFile,
		})
		source.Name, source.CipherSuites = t.Issuer, cipherSuites(c)
		if err != nil {
			problems = append(problems, c.ErrorAt(fmt.Sprintf("%stransmitters[%d].ca_file", at, i), err.Error()))
		}
		p.sources = append(p.sources, source)
	}
	return p, errors.Join(problems...)
}

// use puts what was read in force.
func (r *receiver) use(p *signalsPlan) {
	if p == nil {
		return
	}
	r.certificate.Store(p.certificate)
	r.keys.Configure(p.sources)
	r.Expect(p.secret)
}

// signalsServer is a listener for nothing but events: no route of a resource
// leads there, and from there none to a resource.
func (g *gateway) signalsServer() (*server, error) {
	mux := http.NewServeMux()
	mux.Handle(signalsPath, g.stores.receiver)
	h := &http.Server{
		Handler: sparing(signalsAtOnce, mux), ConnState: crowd(signalsConnections), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: telemetry.StdLog(g.log),
	}
	one, err := g.bind(g.file.Revocation.Signals.Listen, h)
	if err != nil || g.stores.receiver.certificate.Load() == nil {
		return one, err
	}
	h.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: servedSuites(g.file),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return g.stores.receiver.certificate.Load(), nil
		},
	}
	return one, nil
}
