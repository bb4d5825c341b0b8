package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/process"
)

// A middle is a running proxy of others' making.
type middle struct{ http1, http2 string }

// A peer is a way to run one. Each is as lenient as its settings allow, so that
// as much as can be gets past it, reuses connections for different clients, and
// soon gives up on clients that send nothing.
type peer struct {
	name  string
	start func(t *testing.T, to string) middle
}

func peers() []peer {
	return []peer{
		{"haproxy", func(t *testing.T, to string) middle { return startHAProxy(t, to, "") }},
		{"haproxy-lenient", func(t *testing.T, to string) middle {
			return startHAProxy(t, to, "  option accept-invalid-http-request\n  option accept-invalid-http-response\n")
		}},
		{"nginx", startNginx},
		{"apache2", startApache},
	}
}

func written(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startHAProxy(t *testing.T, to, more string) middle {
	t.Helper()
	m := middle{process.Free(t), process.Free(t)}
	path := written(t, filepath.Join(t.TempDir(), "haproxy.cfg"), fmt.Sprintf(`global
  maxconn 500
defaults
  mode http
  timeout connect 5s
  timeout client 1s
  timeout server 10s
  timeout http-request 1s
  timeout http-keep-alive 1s
  http-reuse always
%sfrontend clients
  bind %s
  bind %s proto h2
  default_backend next
backend next
  server next %s
`, more, m.http1, m.http2, to))
	process.RunPart(t, process.Part{Program: "haproxy", Args: []string{"-db", "-f", path}, Listens: []string{m.http1, m.http2}})
	return m
}

func startNginx(t *testing.T, to string) middle {
	t.Helper()
	m, dir := middle{process.Free(t), process.Free(t)}, t.TempDir()
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("  %s_temp_path %s/%[1]s;\n", kind, dir)
	}
	path := written(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off;
%s  underscores_in_headers on;
  ignore_invalid_headers off;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 1s;
  lingering_timeout 1s;
  upstream next { server %s; keepalive 16; }
  server {
    listen %s;
    listen %s http2;
    merge_slashes off;
    location / {
      proxy_pass http://next;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }
}
`, dir, temporary, to, m.http1, m.http2))
	process.RunPart(t, process.Part{Program: "nginx", Args: []string{"-p", dir, "-e", "stderr", "-c", path}, Listens: []string{m.http1, m.http2}})
	return m
}

func startApache(t *testing.T, to string) middle {
	t.Helper()
	address, dir := process.Free(t), t.TempDir()
	lines := []string{
		"ServerRoot " + dir, "ServerName rs.example.com", "PidFile " + dir + "/apache2.pid", "DefaultRuntimeDir " + dir, "Mutex posixsem", "ErrorLog /dev/stderr", "LogLevel crit", "Listen " + address,
	}
	for _, module := range []string{"mpm_event", "authz_core", "proxy", "proxy_http", "http2", "reqtimeout"} {
		lines = append(lines, "LoadModule "+module+"_module /usr/lib/apache2/modules/mod_"+module+".so")
	}
	if os.Getuid() == 0 {
		lines = append(lines, "User www-data", "Group www-data")
	}
	lines = append(lines,
		"StartServers 1", "ServerLimit 1", "ThreadsPerChild 40", "MaxRequestWorkers 40", "Protocols h2c http/1.1", "HttpProtocolOptions Unsafe", "MergeSlashes Off", "AllowEncodedSlashes NoDecode",
		"Timeout 5", "KeepAliveTimeout 1", "RequestReadTimeout header=1 body=1", "ProxyPreserveHost On", "ProxyPass / http://"+to+"/ nocanon",
	)
	path := written(t, filepath.Join(dir, "apache2.conf"), strings.Join(lines, "\n")+"\n")
	process.RunPart(t, process.Part{Program: "apache2", Args: []string{"-DFOREGROUND", "-f", path}, Listens: []string{address}})
	return middle{address, address}
}
