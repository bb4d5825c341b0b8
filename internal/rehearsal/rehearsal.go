// Package rehearsal decides about requests that nobody sent, by the code that
// serves, from the parsing of the request on. Tokens are made here with claims
// as somebody wants them and signed by a key of this process, which the gate was
// built to take for its issuer's; so every check runs. It asks nobody anything,
// and knows nothing of where requests and expectations come from.
package rehearsal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

// A Resource is what requests can be for.
type Resource struct {
	Name      string
	Listen    string   // of its listener, the key of proxy.Table.Sites
	Host      string   // that it answers to, for scenes with a path only; empty for that of the origin
	Origins   []string // its public origins
	Audiences []string // the first is whom tokens are for
	ByIssuer  map[string][]string
}

// A Rehearsal decides about Scenes. It is for one goroutine.
type Rehearsal struct {
	Stage     *Stage // the table was built with
	Table     *proxy.Table
	Resources []Resource // the first is that of a path without an origin

	ProofAlgorithm string // of DPoP proofs; default ES256
	Shows          bool   // clients can show a certificate where the gate sees it
	Needs          bool   // a client without one gets no connection
}

// A Scene is one request as its client would send it. Without Claims and Token
// it comes without a token.
type Scene struct {
	Resource string // its name; default that of the URL's origin, or the first
	Method   string // default GET
	URL      string // as the client knows it, or its path
	Host     string // the Host field; default that of the URL
	Header   http.Header
	Source   netip.Addr // who connects; default 127.0.0.1
	At       time.Time  // when; default now

	Token   string // sent as it is
	Claims  Claims // laid over those of a good token; null takes one out
	Issuer  string // the name of who makes the token; needed where there are several
	Binding string // "dpop" or "mtls": what the token made is bound to, and proved; else empty
	Revoked bool   // the issuer says so, if it is asked
}

// Told is what became of a Scene.
type Told struct {
	*proxy.Explained
	Resource *Resource
	URL      *url.URL
	Status   int         // of the gate's own answer; 0 where there is none
	Header   http.Header // of that answer
	Body     string

	// Judged is the decision as if nothing were only reported. Reported says that
	// report-only lets it pass all the same.
	Judged   proxy.Decision
	Reported bool

	// Findings tell of each requirement of the route; none where no caller was
	// held against it.
	Findings []policy.Finding
}

// Decide plays a scene. It fails where the scene makes no sense here: no such
// resource or issuer, or a URL that is none.
func (r *Rehearsal) Decide(ctx context.Context, scene *Scene) (*Told, error) {
	r.Stage.at = scene.At
	defer func() { r.Stage.at = time.Time{} }()
	clear(r.Stage.made)
	resource, at, err := r.target(scene)
	if err != nil {
		return nil, err
	}
	p := props{scene: scene, url: at}
	if err := r.credential(&p, resource); err != nil {
		return nil, err
	}
	told, err := r.play(ctx, resource, &p)
	if err == nil && told.Judged.Reason() == token.ReasonDPoPNonce && scene.Binding == "dpop" {
		// What a client does that is told a nonce (RFC 9449 section 8).
		if p.nonce = told.Header.Get("DPoP-Nonce"); p.nonce != "" {
			return r.play(ctx, resource, &p)
		}
	}
	return told, err
}

// props is what a scene is played with.
type props struct {
	scene       *Scene
	url         *url.URL
	token       string
	key         *devissuer.ClientKey // of the client; nil for none
	nonce       string
	certificate *x509.Certificate
}

func (r *Rehearsal) target(scene *Scene) (*Resource, *url.URL, error) {
	at, err := url.Parse(scene.URL)
	if err != nil {
		return nil, nil, errors.New("the URL is none")
	}
	for i := range r.Resources {
		one := &r.Resources[i]
		switch {
		case scene.Resource != "" && one.Name != scene.Resource:
			continue
		case at.Host == "":
			at, err = url.Parse(one.Origins[0] + scene.URL)
			return one, at, err
		case scene.Resource != "" || slices.Contains(one.Origins, at.Scheme+"://"+strings.ToLower(at.Host)):
			return one, at, nil
		}
	}
	if scene.Resource != "" {
		return nil, nil, fmt.Errorf("no resource is called %s", scene.Resource)
	}
	return nil, nil, errors.New("no resource has the origin of the URL in public_origins; name the resource")
}

// credential makes the token, and what it is bound to.
func (r *Rehearsal) credential(p *props, resource *Resource) (err error) {
	cnf := make(map[string]string)
	if p.scene.Binding == "dpop" {
		if p.key, err = devissuer.NewClientKey(cmp.Or(r.ProofAlgorithm, "ES256")); err != nil {
			return err
		}
		cnf["jkt"] = p.key.Thumbprint()
	}
	if p.scene.Binding == "mtls" || r.Needs {
		if p.certificate, err = certificate(); err != nil {
			return err
		}
	}
	if p.scene.Binding == "mtls" {
		cnf["x5t#S256"] = clientcert.Thumbprint(p.certificate.Raw)
	}
	if p.token = p.scene.Token; p.token != "" || p.scene.Claims == nil {
		return nil
	}
	issuer, err := r.Stage.issuer(p.scene.Issuer, p.scene.Claims.text("tid"))
	if err != nil {
		return err
	}
	audiences := resource.Audiences
	if own, found := resource.ByIssuer[issuer.Name]; found {
		audiences = own
	}
	claims := completed(p.scene.Claims, issuer, audiences, r.Stage.Now())
	if _, said := p.scene.Claims["cnf"]; len(cnf) > 0 && !said {
		claims["cnf"], _ = json.Marshal(cnf) // strings always marshal
	}
	p.token, err = r.Stage.mint(issuer, claims, p.scene.Revoked)
	return err
}

// mint makes a token: one of the issuer's own form that only it can read, where
// it is asked about no other.
func (s *Stage) mint(o validator.Options, claims Claims, revoked bool) (text string, err error) {
	payload := encoded(claims)
	if o.Introspection.Opaque && !o.Introspection.JWT {
		text = o.Introspection.Prefix + "rehearsal-" + rand.Text()
	} else {
		own, err := s.signer(cmp.Or(o.Keys, o.Name))
		if err != nil {
			return "", err
		}
		kind := "JWT"
		if o.Profile == validator.RFC9068 {
			kind = "at+jwt"
		}
		header, err := json.Marshal(map[string]string{"typ": kind, "alg": own.alg, "kid": own.id})
		if err != nil {
			return "", err
		}
		if text, err = devissuer.Sign(own.alg, own.key, header, payload); err != nil {
			return "", err
		}
	}
	answer := made{revoked: revoked}
	if object, err := token.ParseObject(string(payload)); err == nil {
		if answer.claims, err = token.ReadClaims(object); err != nil {
			answer.refusal = err
		}
	}
	s.made[text] = answer
	return text, nil
}

// certificate makes one that vouches for itself.
func certificate() (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(0, 0).AddDate(200, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// play has the gate decide.
func (r *Rehearsal) play(ctx context.Context, resource *Resource, p *props) (*Told, error) {
	req, err := r.request(resource, p)
	if err != nil {
		return nil, err
	}
	table := r.Table
	if p.certificate != nil && r.Shows {
		own := *table
		own.Certificates = nil // it counts as if the proxy in front had written it
		table, req.TLS = &own, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{p.certificate}}
	}
	answer := &Answer{Fields: http.Header{}}
	told := &Told{Resource: resource, URL: p.url, Header: answer.Fields}
	told.Explained = table.Explain(answer, resource.Listen, req.WithContext(ctx))
	told.Status, told.Body = answer.Status, answer.Body.String()
	told.Judged = told.Decision
	if would := told.Decision.Would; would != nil {
		told.Judged, told.Reported = *would, true
	}
	if d := &told.Judged; d.Principal != nil && told.Request != nil {
		told.Findings = d.Route.Findings(told.Request, d.Principal, r.Stage.Now())
	}
	return told, nil
}

// request is what net/http would make of the client's message.
func (r *Rehearsal) request(resource *Resource, p *props) (*http.Request, error) {
	source := p.scene.Source
	if !source.IsValid() {
		source = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	host := p.url.Host
	if strings.HasPrefix(p.scene.URL, "/") {
		host = cmp.Or(resource.Host, host)
	}
	req := &http.Request{
		Method: cmp.Or(p.scene.Method, http.MethodGet), URL: p.url, Host: cmp.Or(p.scene.Host, host), RequestURI: p.url.RequestURI(),
		Header: p.scene.Header.Clone(), Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		RemoteAddr: netip.AddrPortFrom(source, 1).String(),
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if p.token == "" {
		return req, nil
	}
	scheme := token.Bearer
	if p.key != nil {
		scheme = token.DPoP
		proof, err := p.key.Proof(devissuer.Proof{
			Method: req.Method, URL: p.url.String(), AccessToken: p.token, Nonce: p.nonce, IssuedAt: r.Stage.Now(),
		})
		if err != nil {
			return nil, err
		}
		req.Header.Add("DPoP", proof)
	}
	req.Header.Add("Authorization", scheme.String()+" "+p.token)
	return req, nil
}

// An Answer keeps what a client would be told. Fields must not be nil.
type Answer struct {
	Fields http.Header
	Status int // 0 until there is an answer
	Body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *Answer) Header() http.Header { return a.Fields }

// WriteHeader implements http.ResponseWriter.
func (a *Answer) WriteHeader(status int) { a.Status = status }

// Write implements http.ResponseWriter.
func (a *Answer) Write(p []byte) (int, error) { return a.Body.Write(p) }
