package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

var k8sRows = []conformanceRow{
	{"K8S-01", rowK8S01}, {"K8S-02", rowK8S02}, {"K8S-03", rowK8S03}, {"K8S-04", rowK8S04}, {"K8S-05", rowK8S05}, {"K8S-06", rowK8S06}, {"K8S-07", rowK8S07},
}

// clusterIssuer is what the tokens of the cluster name, at a host that nobody
// here can reach.
const clusterIssuer = "https://kubernetes.default.svc.cluster.local"

// cluster is an API server as far as service account tokens go: it answers over
// TLS, and only those who show a token it knows.
type cluster struct {
	*httptest.Server
	issuer *devissuer.Issuer
	token  string // the path of our own token
	ca     string

	mu       sync.Mutex // guards all below
	good     string     // the token that is taken
	shown    []string   // what came as Authorization, path first
	redirect map[string]string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: clusterIssuer, Algorithms: []string{"ES256"}, Metadata: devissuer.OIDC})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{issuer: issuer, good: "own-token-1", redirect: map[string]string{}}
	c.Server = httptest.NewTLSServer(c)
	t.Cleanup(c.Close)
	c.names(c.URL + "/openid/v1/jwks")
	dir := t.TempDir()
	c.token, c.ca = filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	c.put(t, c.token, "own-token-1\n")
	c.put(t, c.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})))
	return c
}

// names makes the metadata say where the keys are.
func (c *cluster) names(jwksURI string) {
	c.issuer.Change(func(o *devissuer.Options) {
		o.Members = map[string]json.RawMessage{"jwks_uri": json.RawMessage(fmt.Sprintf("%q", jwksURI))}
	})
}

// ServeHTTP implements http.Handler.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.shown = append(c.shown, r.URL.Path+" "+r.Header.Get("Authorization"))
	good, to := "Bearer "+c.good, c.redirect[r.URL.Path]
	c.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != good:
		http.Error(w, "who are you", http.StatusUnauthorized)
	case to != "":
		http.Redirect(w, r, to, http.StatusFound)
	default:
		if r.URL.Path == "/openid/v1/jwks" {
			r.URL.Path = "/jwks"
		}
		c.issuer.ServeHTTP(w, r)
	}
}

func (c *cluster) put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.shown)
}

// discovered is how the gate is told to ask the API server.
func (c *cluster) discovered() string {
	return fmt.Sprintf("discovery_url: %q, ca_file: %q, bearer_token_file: %q", c.URL+"/.well-known/openid-configuration", c.ca, c.token)
}

// guard is a gate in front of an API of the cluster. keys says where the keys
// come from.
func (c *cluster) guard(t *testing.T, keys string, edit func(string) string) *fixture {
	t.Helper()
	f := newFixture(t, func(text string) string {
		text = instead(t, text, `{name: a, issuer: "%[3]s", `, fmt.Sprintf("{name: a, provider: kubernetes, issuer: %q, %s, ", clusterIssuer, keys))
		text = instead(t, text, "    behind_tls: true\n", "    behind_tls: true\n    audiences_by_issuer: {a: [orders]}\n")
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	f.a = &devissuer.Running{Issuer: c.issuer}
	return f
}

// projected mints a token as the kubelet puts it into a pod of service account
// shop in namespace prod, with some claims changed.
func (f *fixture) projected(header, claims changes) string {
	f.t.Helper()
	all := changes{
		"aud": []string{"orders"}, "sub": "system:serviceaccount:prod:shop", "kubernetes.io": about("prod", "shop", "shop-7f9c"),
		"client_id": nil, "scope": nil,
	}
	return f.mint(f.a, devissuer.Token{Header: with(changes{"typ": nil}, header), Claims: with(all, claims)})
}

func about(namespace, account, pod string) changes {
	return changes{
		"namespace": namespace, "node": changes{"name": "node-1", "uid": "u1"}, "pod": changes{"name": pod, "uid": "u2"},
		"serviceaccount": changes{"name": account, "uid": "u3"}, "warnafter": 1,
	}
}

func rowK8S01(t *testing.T) {
	c := newCluster(t)
	s := besiege(c.guard(t, c.discovered(), nil))
	s.passes(t, s.sendToken(s.projected(nil, nil)))
	told := s.upstream.last().Header
	for name, want := range map[string]string{"X-Auth-Subject": "system:serviceaccount:prod:shop", "X-Auth-Subject-Type": "client", "X-Auth-Client-Id": "", "X-Auth-Scope": "", "X-Auth-Issuer": clusterIssuer} {
		if got := told.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, claims := range map[string]changes{
		"no end": {"exp": nil}, "no subject": {"sub": nil}, "a user": {"sub": "ada"}, "no name": {"sub": "system:serviceaccount:prod"}, "an empty name": {"sub": "system:serviceaccount:prod:"},
		"an empty namespace": {"sub": "system:serviceaccount::shop"}, "a name more": {"sub": "system:serviceaccount:prod:shop:x"}, "another prefix": {"sub": "x:system:serviceaccount:prod:shop"},
		"no kubernetes.io": {"kubernetes.io": nil}, "kubernetes.io in another form": {"kubernetes.io": "prod"}, "about another namespace": {"kubernetes.io": about("test", "shop", "p")},
		"about another account": {"kubernetes.io": about("prod", "other", "p")}, "about no account": {"kubernetes.io": changes{"namespace": "prod"}}, "no audience": {"aud": nil},
	} {
		t.Run(name, func(t *testing.T) { s.repels(t, s.sendToken(s.projected(nil, claims)), badToken, token.ReasonClaim) })
	}
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"no issuer": s.projected(nil, changes{"iss": nil})})
	s.tokensFor(t, token.ReasonType, map[string]string{"at+jwt": s.projected(changes{"typ": "at+jwt"}, nil), "another typ": s.projected(changes{"typ": "logout+jwt"}, nil)})
	s.tokensFor(t, token.ReasonKind, map[string]string{"an ID token": s.projected(nil, changes{"nonce": "x"})})
}

func rowK8S02(t *testing.T) {
	c := newCluster(t)
	s := besiege(c.guard(t, c.discovered(), nil))
	pod := changes{"aud": []string{clusterIssuer, "k3s"}}
	s.tokensFor(t, token.ReasonAudience, map[string]string{"of any pod": s.projected(nil, pod)})
	open := besiege(c.guard(t, c.discovered(), func(text string) string { return instead(t, text, "{a: [orders]}", "{a: ["+clusterIssuer+"]}") }))
	open.passes(t, open.sendToken(open.projected(nil, pod)))
}

func rowK8S03(t *testing.T) {
	c := newCluster(t)
	s := besiege(c.guard(t, c.discovered(), nil))
	legacy := changes{
		"iss": "kubernetes/serviceaccount", "aud": nil, "exp": nil, "iat": nil, "jti": nil, "kubernetes.io": nil, "kubernetes.io/serviceaccount/namespace": "prod",
		"kubernetes.io/serviceaccount/secret.name": "shop-token", "kubernetes.io/serviceaccount/service-account.name": "shop", "kubernetes.io/serviceaccount/service-account.uid": "u3",
	}
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"from a secret": s.projected(nil, legacy)})
	renamed := with(legacy, changes{"iss": clusterIssuer})
	dated := changes{"exp": time.Now().Unix() + 600, "aud": "orders"}
	s.tokensFor(t, token.ReasonClaim, map[string]string{"with the cluster's issuer": s.projected(nil, with(renamed, changes{"aud": "orders"})), "with an end too": s.projected(nil, with(renamed, dated))})
}

func rowK8S04(t *testing.T) {
	c := newCluster(t)
	f := c.guard(t, c.discovered(), nil)
	f.untilReady()
	wantPassed(t, f.sendToken(f.projected(nil, nil)))
	c.mu.Lock()
	c.good = "own-token-2"
	c.mu.Unlock()
	c.put(t, c.token, "own-token-2")
	if _, err := c.issuer.Rotate("ES256"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keys were fetched with the new token", func() bool { return f.sendToken(f.projected(nil, nil)).StatusCode == http.StatusOK })
	if seen := c.seen(); !slices.Contains(seen, "/openid/v1/jwks Bearer own-token-1") || !slices.Contains(seen, "/openid/v1/jwks Bearer own-token-2") {
		t.Errorf("asked with %v", seen)
	}
	if text := f.log.String() + f.metrics() + f.ask("GET", "/readyz?verbose").body; strings.Contains(text, "own-token") {
		t.Error("our own token is told")
	}
	file, path := c.live(t)
	for name, text := range map[string]string{"of somebody else": "wrong-token", "empty": "", "two lines": "own-token-2\nown-token-2"} {
		c.put(t, file, text)
		o := command(t, "check", "--live", "--config", path)
		if o.want(t, exitFailed, "FAILED issuer cluster"); strings.Contains(o.stdout+o.stderr, "-token") && text != "" && strings.Contains(o.stdout+o.stderr, strings.Fields(text)[0]) {
			t.Errorf("%s: the token is told:\n%s", name, o.stdout)
		}
	}
	c.put(t, file, "own-token-2")
	if o := command(t, "check", "--live", "--config", path); !strings.Contains(o.stdout, "issuer cluster: 1 usable key") {
		t.Errorf("check --live: %s", o.stdout)
	}
}

// live is a file for check, and the token it names.
func (c *cluster) live(t *testing.T) (own, path string) {
	t.Helper()
	own = filepath.Join(t.TempDir(), "own")
	c.put(t, own, "x")
	api := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(api.Close)
	return own, written(t, fmt.Sprintf("version: 1\nissuers:\n  - {name: cluster, provider: kubernetes, issuer: %q, discovery_url: %q, ca_file: %q, bearer_token_file: %q}\n"+
		"resources:\n  - {identifier: https://rs.example.com, name: api, upstream: %q}\n", clusterIssuer, c.URL+"/.well-known/openid-configuration", c.ca, own, api.URL))
}

func rowK8S05(t *testing.T) {
	c := newCluster(t)
	c.names("https://unreachable.invalid/openid/v1/jwks")
	direct := fmt.Sprintf("jwks_uri: %q, ca_file: %q, bearer_token_file: %q", c.URL+"/openid/v1/jwks", c.ca, c.token)
	s := besiege(c.guard(t, direct, nil))
	s.passes(t, s.sendToken(s.projected(nil, nil)))
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"the place asked": s.projected(nil, changes{"iss": c.URL})})
	if slices.ContainsFunc(c.seen(), func(one string) bool { return strings.HasPrefix(one, "/.well-known/") }) {
		t.Errorf("discovery though the place of the keys is known: %v", c.seen())
	}
}

// K8S-06: the keys may be elsewhere, but our own token stays at home.
func rowK8S06(t *testing.T) {
	const document, keys = "/.well-known/openid-configuration", "/openid/v1/jwks"
	for name, prepare := range map[string]func(c *cluster, elsewhere string){
		"keys elsewhere":      func(c *cluster, elsewhere string) { c.names(elsewhere + keys) },
		"metadata redirected": func(c *cluster, elsewhere string) { c.redirect[document] = elsewhere + document },
		"keys redirected":     func(c *cluster, elsewhere string) { c.redirect[keys] = elsewhere + keys },
	} {
		t.Run(name, func(t *testing.T) {
			c, other := newCluster(t), newCluster(t)
			pemOf := func(c *cluster) string {
				return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
			}
			c.put(t, c.ca, pemOf(c)+pemOf(other))
			c.mu.Lock()
			prepare(c, other.URL)
			c.mu.Unlock()
			listed := fmt.Sprintf(", hosts: [%q]", strings.TrimPrefix(other.URL, "https://"))
			f := c.guard(t, c.discovered()+listed, nil)
			before := f.upstream.count()
			f.wantUndecided(t, f.sendToken(f.projected(nil, nil)), before)
			for _, one := range other.seen() {
				if strings.Contains(one, "own-token") || name != "keys elsewhere" {
					t.Errorf("elsewhere saw %q", one)
				}
			}
			if name == "keys elsewhere" && len(other.seen()) == 0 {
				t.Error("elsewhere was not asked at all")
			}
			if !slices.Contains(c.seen(), document+" Bearer own-token-1") {
				t.Errorf("the API server saw %v", c.seen())
			}
		})
	}
}

// Without a word of the operator's, the metadata names no other host.
func TestForeignKeyHost(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	c.names(other.URL + "/openid/v1/jwks")
	f := c.guard(t, c.discovered(), nil)
	f.wantUndecided(t, f.sendToken(f.projected(nil, nil)), 0)
	if seen := other.seen(); len(seen) != 0 {
		t.Errorf("another host was asked: %v", seen)
	}
	if said := f.adminDo("/readyz?verbose").body; !strings.Contains(said, strings.TrimPrefix(other.URL, "https://")) || !strings.Contains(said, "issuers[].hosts") {
		t.Errorf("readyz does not say what to do: %s", said)
	}
}

func rowK8S07(t *testing.T) {
	c := newCluster(t)
	f := c.guard(t, c.discovered(), func(text string) string {
		text = instead(t, text, "X-Auth-Email: email, X-Auth-Roles: roles, X-Auth-Number: number",
			`X-Auth-Namespace: kubernetes\.io.namespace, X-Auth-Account: kubernetes\.io.serviceaccount.name, X-Auth-Pod: kubernetes\.io.pod.name`)
		return instead(t, text, "{name: any, path: /any/**}", `{name: any, path: /any/**, claims: {kubernetes\.io.namespace: [prod, stage]}}
      - {name: account, path: /account, claims: {kubernetes\.io.serviceaccount.name: [shop]}}
      - {name: pod, path: /pod, claims: {kubernetes\.io.pod.name: [shop-7f9c]}}
      - {name: subject, path: /subject, subjects: ["system:serviceaccount:prod:shop"], subject_type: client}`)
	})
	of := func(namespace, account, pod string) string {
		return f.projected(nil, changes{"sub": "system:serviceaccount:" + namespace + ":" + account, "kubernetes.io": about(namespace, account, pod)})
	}
	for _, c := range []struct {
		path, namespace, account, pod string
		status                        int
	}{
		{"/any/x", "prod", "shop", "shop-7f9c", http.StatusOK}, {"/any/x", "test", "shop", "shop-7f9c", http.StatusForbidden}, {"/any/x", "prod2", "shop", "shop-7f9c", http.StatusForbidden},
		{"/account", "prod", "shop", "p", http.StatusOK}, {"/account", "prod", "other", "p", http.StatusForbidden},
		{"/pod", "prod", "shop", "shop-7f9c", http.StatusOK}, {"/pod", "prod", "shop", "shop-0000", http.StatusForbidden},
		{"/subject", "prod", "shop", "p", http.StatusOK}, {"/subject", "test", "shop", "p", http.StatusForbidden},
	} {
		t.Run(strings.Join([]string{c.path, c.namespace, c.account, c.pod}, " "), func(t *testing.T) {
			before := f.upstream.count()
			r := f.do("GET", c.path, "Authorization", "Bearer "+of(c.namespace, c.account, c.pod))
			if c.status != http.StatusOK {
				f.wantRefusal(t, r, c.status, before)
				if bodyOf(t, r)["error"] != "forbidden" || r.Header["Www-Authenticate"] != nil {
					t.Errorf("body %s, header %v", r.body, r.Header)
				}
				return
			}
			wantPassed(t, r)
			for name, want := range map[string]string{"X-Auth-Namespace": c.namespace, "X-Auth-Account": c.account, "X-Auth-Pod": c.pod} {
				if got := f.upstream.last().Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}
