// Package cases makes the requests that are measured: an issuer, the tokens and
// proofs of each kind, and what a proxy has to answer. The same octets go to
// every proxy, and all are made before a run.
package cases

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/wicketgate/wicketgate/bench/load"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// Who issues tokens, for whom, and where: what a proxy is configured with.
const (
	Issuer         = "https://as.example.com"
	Audience       = "https://rs.example.com"
	Host           = "rs.example.com"
	Scope          = "read"
	Open           = "/open" // no token is needed there
	Read           = "/read" // a token with Scope is needed there
	OpaquePrefix   = "op_"   // how opaque tokens begin
	ClientID       = "gate"  // who may introspect, by HTTP Basic
	ClientSecret   = "bench-secret-0123456789"
	PoolSize       = 20000
	TrustedAddress = "127.0.0.2" // a client there says with X-Forwarded-For who asks; loopback itself has no budget
)

// A Case is one kind of request.
type Case struct {
	ID     string // short, and stable: what -only names
	Title  string
	Status int        // of a proxy that checks
	Also   []int      // what it may answer instead
	Local  netip.Addr // where the clients come from; zero: anywhere
	Target Target
	Reason string // of the gate's refusal, in its metrics; empty: none, or one of several

	requests func(n int) ([][]byte, error)
	warm     func() ([][]byte, error) // nil: nothing
}

// Warm is what is sent to each proxy once, before the first round.
func (c Case) Warm() ([][]byte, error) {
	if c.warm == nil {
		return nil, nil
	}
	return c.warm()
}

// A Target is the ratio to the bare proxy that is not to be exceeded; 0: none.
type Target struct {
	Ratio     float64
	Untabled  float64 // without tables for repeated keys; 0: the same
	Otherwise string  // said in words
}

// Requests makes n requests. Those of one call may be sent to several proxies,
// to each once.
func (c Case) Requests(n int) ([][]byte, error) { return c.requests(n) }

// A World is the issuer and all cases.
type World struct {
	Issuer *devissuer.Running // its keys by JWKS, its introspection endpoint at URL + "/introspect"
	Cases  []Case

	client *devissuer.ClientKey
	bound  string
	pool   func() ([][]byte, error)
	turn   int // where in the pool the next round begins
	source int // of forged tokens, the last
}

// New starts the issuer and makes what is used again and again.
func New() (*World, error) {
	w := &World{}
	var err error
	w.Issuer, err = devissuer.Start(devissuer.Options{
		Identifier: Issuer, Audience: Audience, Clients: []devissuer.Client{{ID: ClientID, Secret: ClientSecret}},
	})
	if err != nil {
		return nil, err
	}
	if w.client, err = devissuer.NewClientKey("ES256"); err != nil {
		return nil, err
	}
	if w.bound, err = w.mint("ES256", map[string]any{"cnf": map[string]any{"jkt": w.client.Thumbprint()}}); err != nil {
		return nil, err
	}
	w.Cases, err = w.all()
	return w, err
}

// Close ends the issuer.
func (w *World) Close() error { return w.Issuer.Close() }

// Find returns the cases with these IDs, in their own order; none means all.
func (w *World) Find(ids ...string) ([]Case, error) {
	if len(ids) == 0 {
		return w.Cases, nil
	}
	wanted := make(map[string]bool)
	for _, id := range ids {
		wanted[id] = true
	}
	var found []Case
	for _, c := range w.Cases {
		if wanted[c.ID] {
			found = append(found, c)
			delete(wanted, c.ID)
		}
	}
	for id := range wanted {
		return nil, fmt.Errorf("no case %q; there are %s", id, strings.Join(w.ids(), ", "))
	}
	return found, nil
}

func (w *World) ids() (ids []string) {
	for _, c := range w.Cases {
		ids = append(ids, c.ID)
	}
	return ids
}

// Bearer is a request for Read with a token.
func Bearer(raw string, fields ...string) []byte {
	return load.Get(Host, Read, append([]string{"Authorization: Bearer " + raw}, fields...)...)
}

// Token makes a good token that no other is like, 640 octets of claims as
// access tokens have them.
func (w *World) Token(alg string) (string, error) { return w.mint(alg, nil) }

func (w *World) mint(alg string, changes map[string]any) (string, error) {
	claims := map[string]any{
		"auth_time": 1790000000, "acr": "urn:example:gold", "amr": []string{"pwd", "otp"}, "sid": "c1b5a0d2f6d94c7e8a0b3d5f7a9c1e30",
		"email": "someone.with.a.name@example.com", "name": "Someone With A Name", "preferred_username": "someone", "tenant": "acme",
		"groups": []string{"engineering", "on-call", "release-managers", "readers"}, "locale": "en-GB", "zoneinfo": "Europe/Vienna",
	}
	for name, value := range changes {
		claims[name] = value
	}
	return w.Issuer.Mint(devissuer.Token{Alg: alg, Claims: claims})
}

// Many makes requests with a token each, of as many clients and users as come
// to an API that is that busy.
func (w *World) Many(n int) ([][]byte, error) {
	return each(n, func(i int) ([]byte, error) {
		raw, err := w.mint("ES256", map[string]any{"client_id": "client-" + strconv.Itoa(i%50), "sub": "user-" + strconv.Itoa(i/2)})
		return Bearer(raw), err
	})
}

// Proof makes a fresh DPoP proof for a GET of Read with the bound token, and
// returns both.
func (w *World) Proof() (token, proof string, err error) {
	proof, err = w.client.Proof(devissuer.Proof{Method: "GET", URL: Audience + Read, AccessToken: w.bound})
	return w.bound, proof, err
}

// Opaque makes an opaque token that the issuer's introspection endpoint knows.
func (w *World) Opaque() (string, error) {
	return w.Issuer.Opaque(OpaquePrefix, devissuer.Token{Alg: "ES256"})
}

// Forged makes n tokens that differ from good ones in their signatures only,
// which are as long and as large as signatures are.
func (w *World) Forged(alg string, n int) ([]string, error) {
	good, err := w.mint(alg, nil)
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		out[i] = forgedSignature(good)
	}
	return out, nil
}

// forgedSignature is a JWT with a signature that is as long and as large as the
// good one, and random.
func forgedSignature(good string) string {
	end := strings.LastIndexByte(good, '.') + 1
	signature := make([]byte, base64.RawURLEncoding.DecodedLen(len(good)-end))
	_, _ = rand.Read(signature) // it never fails
	signature[0] &= 0x7f        // below the modulus, and the order of the curve
	signature[len(signature)/2] &= 0x7f
	return good[:end] + base64.RawURLEncoding.EncodeToString(signature)
}

// each makes n requests on all processors.
func each(n int, one func(i int) ([]byte, error)) ([][]byte, error) {
	const workers = 4
	out, errs := make([][]byte, n), make([]error, workers)
	var group sync.WaitGroup
	for k := range workers {
		group.Go(func() {
			for i := k; i < n && errs[k] == nil; i += workers {
				out[i], errs[k] = one(i)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// same sends one request over and over.
func same(request []byte) func(int) ([][]byte, error) {
	return func(n int) ([][]byte, error) {
		out := make([][]byte, n)
		for i := range out {
			out[i] = request
		}
		return out, nil
	}
}

// elsewhere is the field that tells of the i-th client behind TrustedAddress.
func elsewhere(i int) string {
	return "X-Forwarded-For: 10." + strconv.Itoa(i>>16&0xff) + "." + strconv.Itoa(i>>8&0xff) + "." + strconv.Itoa(i&0xff)
}
