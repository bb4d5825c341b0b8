package redis

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s"}
resources:
  - {identifier: ` + identifier + `, name: rs, behind_tls: true, upstream: "%[4]s"}
dpop:
  replay:
    store: redis
    on_unavailable: %[5]s
    redis: {addresses: ["%[6]s"], username: ` + user + `, password_file: "%[7]s", timeout: %[8]s}
drain: {delay: 0s, timeout: 1s}
log: {access: "off"}
`

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// stand is gates in front of one upstream that share a Redis behind a proxy
// that can spoil the way to it.
type stand struct {
	t      *testing.T
	redis  *server
	proxy  *toxiproxy.Proxy
	issuer *devissuer.Running
	key    *devissuer.ClientKey
	bound  string // a token for key
	bearer string
	gates  []gate
	client *http.Client

	counts *counts
}

type gate struct{ url, admin string }

func newStand(t *testing.T, gates int, onUnavailable, timeout string) *stand {
	t.Helper()
	s := &stand{t: t, redis: startServer(t), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}}
	t.Cleanup(s.client.CloseIdleConnections)
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	s.proxy = toxiproxy.NewProxy(proxies, "redis", "127.0.0.1:0", s.redis.address())
	if err := s.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proxy.Stop)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(upstream.Close)
	var err error
	if s.issuer, err = devissuer.Start(devissuer.Options{Audience: identifier}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.issuer.Close() })
	if s.key, err = devissuer.NewClientKey("ES256"); err != nil {
		t.Fatal(err)
	}
	s.bound = s.mint(map[string]any{"cnf": map[string]any{"jkt": s.key.Thumbprint()}})
	s.bearer = s.mint(nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range gates {
		listen, admin := process.Free(t), process.Free(t)
		text := fmt.Sprintf(configuration, listen, admin, s.issuer.Identifier(), upstream.URL, onUnavailable, s.proxy.Listen, password, timeout)
		process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text})
		s.gates = append(s.gates, gate{"http://" + listen, "http://" + admin})
	}
	for _, g := range s.gates {
		until(t, "the gate is ready", func() bool { return s.get(g.admin+"/readyz", "", "") == http.StatusOK })
		until(t, "the gate takes proofs", func() bool { return s.send(g, s.proof()) == http.StatusOK })
	}
	return s
}

func (s *stand) mint(claims map[string]any) string {
	s.t.Helper()
	raw, err := s.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

func (s *stand) proof() string {
	proof, err := s.key.Proof(devissuer.Proof{Method: "GET", URL: identifier + "/x", AccessToken: s.bound})
	if err != nil {
		s.t.Error(err)
	}
	return proof
}

// send presents a proof and returns the status; 0 for no answer.
func (s *stand) send(g gate, proof string) int { return s.get(g.url+"/x", "DPoP "+s.bound, proof) }

func (s *stand) get(url, authorization, proof string) int {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// spoil adds a toxic in both directions and heal takes all away.
func (s *stand) spoil(kind, attributes string) {
	s.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"type":%q,"stream":%q,"name":%q,"attributes":%s}`, kind, stream, kind+stream, attributes)
		if _, err := s.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stand) heal() { s.proxy.Toxics.ResetToxics(context.Background()) }
