package peers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// curl runs it and returns what it wrote: the body, and then what the format
// asked for. The token goes in by a file, since others can see arguments.
func (g *gate) curl(t *testing.T, args ...string) string {
	t.Helper()
	header := written(t, filepath.Join(t.TempDir(), "header"), "Authorization: Bearer "+g.token+"\n")
	text, code := output(t, 30*time.Second, "curl", append([]string{"-q", "-s", "-S", "--max-time", "20", "--noproxy", "*", "-H", "@" + header}, args...)...)
	if code != 0 {
		t.Errorf("curl %q ended with %d: %s", args, code, text)
	}
	return text
}

const wrote = "|%{http_code} %{http_version}"

// TestCurl asks in every way that curl can.
func TestCurl(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	content := strings.Repeat("0123456789abcdef", 4<<20/16)
	written(t, file, content)
	sum := sha256.Sum256([]byte(content))
	uploaded := fmt.Sprintf("%d %s", len(content), hex.EncodeToString(sum[:]))
	c := newCertificate(t)
	upstream := startDigests(t, "tcp", "127.0.0.1:0")
	g := startGate(t, "http://"+upstream, "")
	secure := startGate(t, "http://"+upstream, c.setting())
	socket := filepath.Join(t.TempDir(), "app.sock")
	startDigests(t, "unix", socket)
	local := startGate(t, "unix://"+socket, "")
	plainly, tls := "http://"+g.address, "https://"+secure.address
	for name, row := range map[string]struct {
		gate *gate
		want string
		args []string
	}{
		"HTTP/1.1":                {g, "GET /any/x 0 |200 1.1", []string{"--http1.1", plainly + "/any/x"}},
		"HTTP/1.0":                {g, "GET /any/x 0 |200 1", []string{"--http1.0", plainly + "/any/x"}},
		"prior knowledge":         {g, "GET /any/x 0 |200 2", []string{"--http2-prior-knowledge", plainly + "/any/x"}},
		"Upgrade: h2c":            {g, "GET /any/x 0 |200 1.1", []string{"--http2", plainly + "/any/x"}},
		"h2 over TLS":             {secure, "GET /any/x 0 |200 2", []string{"--http2", "--cacert", c.certFile, tls + "/any/x"}},
		"HTTP/1.1 over TLS":       {secure, "GET /any/x 0 |200 1.1", []string{"--http1.1", "--cacert", c.certFile, tls + "/any/x"}},
		"TLS 1.2":                 {secure, "GET /any/x 0 |200 2", []string{"--http2", "--tls-max", "1.2", "--cacert", c.certFile, tls + "/any/x"}},
		"upload":                  {g, "PUT /any/x " + uploaded + "|200 1.1", []string{"-T", file, plainly + "/any/x"}},
		"upload asked for first":  {g, "POST /any/x " + uploaded + "|200 1.1", []string{"-H", "Expect: 100-continue", "--expect100-timeout", "15", "-X", "POST", "-T", file, plainly + "/any/x"}},
		"chunked upload":          {g, "PUT /any/x " + uploaded + "|200 1.1", []string{"-H", "Transfer-Encoding: chunked", "-T", file, plainly + "/any/x"}},
		"upload over h2":          {g, "PUT /any/x " + uploaded + "|200 2", []string{"--http2-prior-knowledge", "-T", file, plainly + "/any/x"}},
		"upload over TLS":         {secure, "PUT /any/x " + uploaded + "|200 2", []string{"--http2", "--cacert", c.certFile, "-T", file, tls + "/any/x"}},
		"form":                    {g, "POST /any/x 3 " + digest("a=b") + "|200 1.1", []string{"-d", "a=b", plainly + "/any/x"}},
		"HEAD":                    {g, "|200 1.1", []string{"-I", "-o", "/dev/null", plainly + "/any/x"}},
		"HEAD over h2":            {g, "|200 2", []string{"-I", "-o", "/dev/null", "--http2-prior-knowledge", plainly + "/any/x"}},
		"range":                   {g, "23456|206 1.1", []string{"-r", "2-6", plainly + "/any/file"}},
		"range at the end":        {g, "def|206 2", []string{"-r", "-3", "--http2-prior-knowledge", plainly + "/any/file"}},
		"two ranges":              {g, "|206 1.1", []string{"-r", "0-0,15-15", "-o", "/dev/null", plainly + "/any/file"}},
		"range beyond":            {g, "|416 1.1", []string{"-r", "99-", "-o", "/dev/null", plainly + "/any/file"}},
		"Unix-socket upstream":    {local, "GET /any/x 0 |200 1.1", []string{"http://" + local.address + "/any/x"}},
		"upload to a Unix socket": {local, "PUT /any/x " + uploaded + "|200 2", []string{"--http2-prior-knowledge", "-T", file, "http://" + local.address + "/any/x"}},
		"two on one connection":   {g, "GET /any/x 0 |200 1.1GET /any/y 0 |200 1.1", []string{plainly + "/any/x", plainly + "/any/y"}},
		"compressed":              {g, "GET /any/x 0 |200 1.1", []string{"--compressed", plainly + "/any/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := row.gate.curl(t, append(row.args, "-w", wrote)...); got != row.want {
				t.Errorf("%.200q, want %.200q", got, row.want)
			}
		})
	}
	t.Run("refused upload", func(t *testing.T) {
		t.Parallel()
		text, _ := output(t, 30*time.Second, "curl", "-q", "-s", "-H", "Expect: 100-continue", "--expect100-timeout", "15", "-T", file, "-w", "|%{http_code} %{size_upload}", "-o", "/dev/null", plainly+"/any/x")
		if text != "|401 0" {
			t.Errorf("a refused upload: %q", text)
		}
	})
	t.Run("path as it is", func(t *testing.T) {
		t.Parallel()
		pathsAsTheyAre(t, g)
	})
}

// pathsAsTheyAre: what curl would tidy up goes out as it stands, and is refused
// or reaches the upstream as it stands.
func pathsAsTheyAre(t *testing.T, g *gate) {
	for path, want := range map[string]string{
		"/any/../admin/x": "400", "/any/./x": "400", "/any/%2e%2e/admin/x": "400", "/any//x": "400", "/any/..;/admin/x": "400", "/any/%2fx": "400", `/any/..\admin`: "400", "/any/%00": "400",
		"/any/a;b": "400", "/admin/x": "403", "/%61dmin/x": "403", "/none": "404", "/any/%252e%252e/x": "200", "/any/%61": "200", "/any/x?a=/../b;c": "200",
	} {
		for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
			got := g.curl(t, "--path-as-is", "-g", version, "-w", "|%{http_code}", "http://"+g.address+path)
			if !strings.HasSuffix(got, "|"+want) || want == "200" && !strings.HasPrefix(got, "GET "+path+" ") {
				t.Errorf("%s %s: %q, want %s", version, path, got, want)
			}
		}
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// startDigests serves, behind the gate, what was asked for and the length and
// digest of what was sent; at /any/file sixteen octets in ranges.
func startDigests(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/any/file" {
			http.ServeContent(w, r, "file", time.Unix(1, 0), strings.NewReader("0123456789abcdef"))
			return
		}
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			http.Error(w, "the body has no end", http.StatusBadRequest)
			return
		}
		sum := ""
		if n > 0 {
			sum = hex.EncodeToString(hash.Sum(nil))
		}
		_, _ = fmt.Fprintf(w, "%s %s %d %s", r.Method, r.RequestURI, n, sum)
	})}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		_ = os.Remove(address) // of a socket; an address is no file
	})
	return l.Addr().String()
}
