package doors

import (
	"bufio"
	"fmt"
	"io"
	"net"
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
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

// configuration has no upstream: the resource is only asked about.
const configuration = `version: 1
admin: {listen: "%[1]s"}
forward_auth: {listen: "%[2]s", peers: [127.0.0.1], form: %[3]s}
issuers:
  - {name: a, issuer: "%[4]s"}
resources:
  - identifier: ` + identifier + `
    name: rs
    hosts: [rs.example.com]
    metadata: true
    cors: {origins: ["https://app.example.com"]}
    routes:
      - {name: orders, path: /orders/**, scopes: [orders.read]}
      - {name: fresh, path: /fresh, binding: dpop, nonce: required}
      - {name: open, path: /open/**, public: true}
      - {name: office, path: /office, public: true}
      - {name: lan, path: /lan, networks: [192.0.2.0/24]}
  - {identifier: "https://pub.example.com", name: pub, hosts: [pub.example.com], routes: [{name: all, path: /**, public: true}]}
drain: {delay: 0s, timeout: 1s}
`

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// stage is a gate at which proxies ask, and an API that notes what it sees.
type stage struct {
	asks   string // address
	issuer *devissuer.Running
	api    *httptest.Server

	mu   sync.Mutex // guards seen
	seen []*http.Request
}

func newStage(t *testing.T, form string) *stage {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	s := &stage{asks: process.Free(t), issuer: issuer}
	s.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		fmt.Fprintf(w, "api %s", body)
	}))
	t.Cleanup(s.api.Close)
	admin := process.Free(t)
	text := fmt.Sprintf(configuration, admin, s.asks, form, issuer.Identifier())
	process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text, Admin: admin, Log: &process.Log{}})
	return s
}

// last is the request that the API saw last, and how many it saw.
func (s *stage) last() (*http.Request, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		return nil, 0
	}
	return s.seen[len(s.seen)-1], len(s.seen)
}

func (s *stage) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	raw, err := s.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// send sends octets to a proxy as a client of rs.example.com, unless header says Host.
func send(t *testing.T, proxy, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	text := method + " " + target + " HTTP/1.1\r\n"
	if !slices.Contains(header, "Host") {
		text += "Host: rs.example.com\r\n"
	}
	if body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if !strings.Contains(strings.Join(header, "\n"), "Connection") {
		header = append(header, "Connection", "close")
	}
	for i := 0; i+1 < len(header); i += 2 {
		text += header[i] + ": " + header[i+1] + "\r\n"
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

func written(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// guide is the configuration that the page of the manual shows for a proxy, with the
// addresses of the page replaced.
func guide(t *testing.T, heading string, addresses ...string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/guide/forward-auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "## "+heading+"\n")
	_, rest, opened := strings.Cut(rest, "\n```")
	_, rest, named := strings.Cut(rest, "\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !opened || !named || !closed {
		t.Fatalf("the page has no configuration below %s", heading)
	}
	return strings.NewReplacer(addresses...).Replace(block) + "\n"
}

// startNginx runs nginx with the site that the manual shows.
func startNginx(t *testing.T, s *stage) string {
	t.Helper()
	address, dir := process.Free(t), t.TempDir()
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("  %s_temp_path %s/%[1]s;\n", kind, dir)
	}
	site := guide(t, "nginx", "listen 443 ssl;", "listen "+address+";", "ssl_certificate     /etc/nginx/tls.crt;", "", "ssl_certificate_key /etc/nginx/tls.key;", "",
		"127.0.0.1:8430", s.asks, "127.0.0.1:3000", s.api.Listener.Addr().String(), "$scheme", "https")
	path := written(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr crit;\nevents { worker_connections 256; }\nhttp {\n  access_log off;\n%s%s}\n", dir, temporary, site))
	process.RunPart(t, process.Part{Program: "nginx", Args: []string{"-p", dir, "-e", "stderr", "-c", path}, Listens: []string{address}})
	return address
}

// startCaddy runs Caddy with the site that the manual shows.
func startCaddy(t *testing.T, s *stage) string {
	t.Helper()
	address, dir := process.Free(t), t.TempDir()
	site := guide(t, "Caddy", "rs.example.com {", "http://rs.example.com:"+address[strings.LastIndexByte(address, ':')+1:]+" {\n\tbind 127.0.0.1",
		"127.0.0.1:8430", s.asks, "127.0.0.1:3000", s.api.Listener.Addr().String())
	path := written(t, filepath.Join(dir, "Caddyfile"), "{\n\tadmin off\n\tauto_https off\n}\n"+site)
	process.RunPart(t, process.Part{
		Program: "caddy", Args: []string{"run", "--adapter", "caddyfile", "--config", path}, Listens: []string{address},
		Env: []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir},
	})
	return address
}
