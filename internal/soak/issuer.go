package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// mode is how an issuer is away.
type mode string

const (
	up      mode = ""
	closed  mode = "closed"  // nobody listens
	hanging mode = "hanging" // it takes requests and never answers
	failing mode = "500"     // with a key set of an attacker under the bad status
	garbage mode = "garbage" // 200 and a page
)

type issuerOptions struct {
	name, alg string
	maxAge    int  // seconds, of the key set; 0: the issuer does not say
	client    bool // the gate may ask it about tokens
}

// issuer is an authorization server of ours, and its part of the oracle.
type issuer struct {
	issuerOptions
	*devissuer.Issuer
	url, address string
	attacker     crypto.Signer // a key of the issuer's kind that is nobody's
	timeline     timeline

	mu      sync.Mutex // guards all below
	server  *http.Server
	mode    mode
	release chan struct{} // closed when hanging ends
	newest  *key
	made    int
	away    time.Duration // of all outages that ended
	outages int
	rotated int
}

func newIssuer(o issuerOptions) (*issuer, error) {
	l, err := process.Listen()
	if err != nil {
		return nil, err
	}
	is := &issuer{issuerOptions: o, address: l.Addr().String(), url: "http://" + l.Addr().String(), timeline: timeline{fresh: 10 * time.Minute}}
	if o.maxAge > 0 {
		is.timeline.fresh = time.Duration(o.maxAge) * time.Second
	}
	if is.attacker, err = newSigner(o.alg); err != nil {
		return nil, err
	}
	first, err := newSigner(o.alg)
	if err != nil {
		return nil, err
	}
	is.newest = &key{id: o.alg + "-0", signer: first}
	options := devissuer.Options{
		Identifier: is.url, Audience: audience, Keys: []devissuer.Key{{ID: is.newest.id, Algorithm: o.alg, Signer: first}},
		MaxAge: time.Duration(o.maxAge) * time.Second,
	}
	if o.client {
		options.Clients = []devissuer.Client{{ID: "gate", Secret: secret}}
	}
	if is.Issuer, err = devissuer.New(options); err != nil {
		return nil, err
	}
	is.serve(l)
	return is, nil
}

func newSigner(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	return signer, err
}

func (is *issuer) serve(l net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(is.answer), ReadHeaderTimeout: time.Minute}
	is.mu.Lock()
	is.server = server
	is.mu.Unlock()
	go func() { _ = server.Serve(l) }() // it ends with close
}

// close stops listening. An answer under way still arrives, for the oracle holds
// that it did; then all connections are cut.
func (is *issuer) close() {
	is.mu.Lock()
	server := is.server
	is.mu.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = server.Shutdown(ctx)
	_ = server.Close()
}

// answer notes what the gate asks for and, before it is sent, what it is told:
// from then on the gate may act on it.
func (is *issuer) answer(w http.ResponseWriter, r *http.Request) {
	is.mu.Lock()
	how, release := is.mode, is.release
	is.mu.Unlock()
	keys := r.URL.Path == "/jwks"
	began := time.Now()
	if keys || strings.HasPrefix(r.URL.Path, "/.well-known/") {
		is.timeline.asked(began, keys)
	}
	switch how {
	case hanging:
		select {
		case <-release:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case failing:
		body, err := devissuer.JWK(is.attacker.Public(), is.current().id, is.alg)
		if err == nil {
			body = fmt.Appendf(nil, `{"keys":[%s],"active":true,"sub":"attacker","aud":%q}`, body, audience)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(body) // a gate that has gone needs no answer
		return
	case garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><body>Down for maintenance</body></html>")) // likewise
		return
	case up, closed:
	}
	honest := httptest.NewRecorder()
	is.ServeHTTP(honest, r)
	if keys {
		is.timeline.served(began, honest.Body.Bytes())
	}
	for name, values := range honest.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(honest.Code)
	_, _ = w.Write(honest.Body.Bytes()) // likewise
}

func (is *issuer) current() *key {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.newest
}

// rotate publishes a new key; with cut the one before is withdrawn at once.
func (is *issuer) rotate(cut bool) (old *key, err error) {
	signer, err := newSigner(is.alg)
	if err != nil {
		return nil, err
	}
	is.mu.Lock()
	is.made++
	is.rotated++
	old = is.newest
	next := &key{id: fmt.Sprintf("%s-%d", is.alg, is.made), signer: signer}
	is.mu.Unlock()
	if _, err := is.Add(devissuer.Key{ID: next.id, Algorithm: is.alg, Signer: signer}); err != nil {
		return nil, err
	}
	is.mu.Lock()
	is.newest = next
	is.mu.Unlock()
	if cut {
		is.withdraw(old)
	}
	return old, nil
}

func (is *issuer) withdraw(k *key) {
	is.timeline.cutting(k, time.Now())
	is.Withdraw(k.id)
	is.timeline.cut(k, time.Now())
}

// fail makes the issuer be away.
func (is *issuer) fail(how mode) {
	is.timeline.down(time.Now())
	is.mu.Lock()
	is.mode, is.release = how, make(chan struct{})
	is.outages++
	is.mu.Unlock()
	if how == closed {
		is.close()
	}
}

// recover ends an outage.
func (is *issuer) recover() error {
	is.mu.Lock()
	how := is.mode
	close(is.release)
	is.mode = up
	is.mu.Unlock()
	if how == closed {
		l, err := net.Listen("tcp", is.address)
		if err != nil {
			return fmt.Errorf("issuer %s cannot come back: %w", is.name, err)
		}
		is.serve(l)
	}
	lasted := is.timeline.up(time.Now())
	is.mu.Lock()
	is.away += lasted
	is.mu.Unlock()
	return nil
}
