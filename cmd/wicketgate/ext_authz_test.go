package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// envoyAsks is the line of a configuration that lets Envoy ask.
const envoyAsks = "ext_authz: {listen: \"%[7]s\", peers: [127.0.0.1]}\n"

func withEnvoy(t testing.TB) func(string) string {
	return func(text string) string { return instead(t, text, "admin:", envoyAsks+"admin:") }
}

// dialEnvoy is a connection as Envoy opens one.
func dialEnvoy(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// An envoy is a stand-in for Envoy: it asks about a request as Envoy does, and does
// with the answer what Envoy does.
type envoy struct {
	client authv3.AuthorizationClient
	raw    bool // encode_raw_headers
	older  bool // than 1.37: lines of a refusal are all kept, and those of a request set

	certificate string // of the client, with include_peer_certificate
}

// question is what Envoy says of a visit.
func (e *envoy) question(v *visit) *authv3.CheckRequest {
	said := &authv3.AttributeContext_HttpRequest{Id: "1", Method: v.method, Path: v.target, Host: "rs.example.com", Scheme: "https", Protocol: "HTTP/1.1"}
	lines := [][2]string{{":method", v.method}, {":path", v.target}, {":authority", said.Host}, {":scheme", "https"}}
	for i := 0; i+1 < len(v.header); i += 2 {
		lines = append(lines, [2]string{strings.ToLower(v.header[i]), v.header[i+1]})
	}
	if e.raw {
		said.HeaderMap = &corev3.HeaderMap{}
		for _, line := range lines {
			said.HeaderMap.Headers = append(said.HeaderMap.Headers, &corev3.HeaderValue{Key: line[0], RawValue: []byte(line[1])})
		}
	} else {
		said.Headers = make(map[string]string)
		for _, line := range lines {
			if before, there := said.Headers[line[0]]; there {
				line[1] = before + "," + line[1]
			}
			said.Headers[line[0]] = line[1]
		}
	}
	at := &corev3.SocketAddress{Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: at}}, Certificate: e.certificate,
		},
		Request: &authv3.AttributeContext_Request{Http: said},
	}}
}

// take makes a visit.
func (e *envoy) take(t *testing.T, _ *fixture, v *visit) *seen {
	t.Helper()
	answer, err := e.client.Check(t.Context(), e.question(v))
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{header: http.Header{}}
	if ok := answer.GetOkResponse(); (ok != nil) != (answer.GetStatus().GetCode() == int32(codes.OK)) {
		t.Fatalf("two minds: %v", answer)
	} else if ok != nil {
		s.status, s.onward = http.StatusOK, v.fields()
		e.mutate(s.onward, ok.Headers, false)
		for _, name := range ok.HeadersToRemove {
			if !strings.HasPrefix(name, ":") && name != "host" {
				s.onward.Del(name)
			}
		}
		e.mutate(s.header, ok.ResponseHeadersToAdd, true)
		return s
	}
	no := answer.GetDeniedResponse()
	s.status, s.body = int(no.GetStatus().GetCode()), no.GetBody()
	if v.method == http.MethodHead {
		s.body = ""
	}
	if e.older {
		for _, one := range no.Headers {
			s.header.Del(one.Header.Key)
		}
		for _, one := range no.Headers {
			s.header.Add(one.Header.Key, one.Header.Value)
		}
	} else {
		e.mutate(s.header, no.Headers, true)
	}
	if strings.HasPrefix(v.fields().Get("Content-Type"), "application/grpc") && !strings.HasPrefix(v.fields().Get("Content-Type"), "application/grpc-web") {
		s.status = http.StatusOK
	}
	return s
}

// mutate does to h what the options say, one after the other.
func (e *envoy) mutate(h http.Header, list []*corev3.HeaderValueOption, answer bool) {
	for _, one := range list {
		if one.AppendAction == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || e.older && !answer {
			h.Set(one.Header.Key, one.Header.Value)
		} else {
			h.Add(one.Header.Key, one.Header.Value)
		}
	}
}

func newEnvoy(t testing.TB, f *fixture) *envoy {
	return &envoy{client: authv3.NewAuthorizationClient(dialEnvoy(t, f.grpc)), raw: true}
}

// TestExtAuthz: a bearer token, a proof of possession that names the checked request
// and certificates, each good and bad; what the upstream is told and the client asked.
func TestExtAuthz(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, withEnvoy(t)(text), "log:", "      - {name: fresh, path: /fresh, binding: dpop, nonce: required}\n"+boundRoutes)
	})
	e := newEnvoy(t, f)
	take := func(v *visit) *seen { t.Helper(); return e.take(t, f, v) }
	s := take(&visit{"GET", "/ext/a%20b?c=d", []string{"Authorization", "Bearer " + f.AT(nil), "X_Auth_Subject", "root", "X-AUTH-ROLES", "root", "X-Request-Id", "1"}})
	if s.status != 200 || s.onward.Get(":path") != "/a%20b?c=d" || s.onward.Get("X-Auth-Subject") != "user-1" || s.onward.Get("X-Request-Id") != "1" {
		t.Errorf("good token: %+v", s)
	}
	for _, name := range []string{"Authorization", "X_auth_subject", "X-Auth-Roles"} {
		if s.onward[name] != nil {
			t.Errorf("%s goes on", name)
		}
	}
	if s := take(&visit{"GET", "/read", nil}); s.status != 401 || len(s.header["Www-Authenticate"]) != 2 || s.onward != nil {
		t.Errorf("no token: %+v", s)
	}
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	proof := f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})
	for _, row := range []struct {
		method, target string
		status         int
	}{{"GET", "/dpop/y", 401}, {"POST", "/dpop/x", 401}, {"GET", "/dpop/x?any", 200}, {"GET", "/dpop/x", 401}} {
		if s := take(&visit{row.method, row.target, []string{"Authorization", "DPoP " + raw, "DPoP", proof}}); s.status != row.status {
			t.Errorf("%s %s: %+v", row.method, row.target, s)
		}
	}
	s = take(&visit{"GET", "/fresh", []string{"Authorization", "DPoP " + raw, "DPoP", f.proof(key, raw, "GET", "/fresh", devissuer.Proof{})}})
	nonce := s.header.Get("Dpop-Nonce")
	if s.status != 401 || nonce == "" || !strings.Contains(strings.Join(s.header["Www-Authenticate"], ""), "use_dpop_nonce") {
		t.Errorf("no nonce: %+v", s)
	}
	if s := take(&visit{"GET", "/fresh", []string{"Authorization", "DPoP " + raw, "DPoP", f.proof(key, raw, "GET", "/fresh", devissuer.Proof{Nonce: nonce})}}); s.status != 200 {
		t.Errorf("its nonce: %+v", s)
	}

	cert := (*authority)(nil).issue(t, nil)
	bearer := []string{"Authorization", "Bearer " + f.boundTo(thumbprint(cert))}
	armour := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	for text, status := range map[string]int{url.PathEscape(armour): 200, "": 401, url.PathEscape(armour + armour): 400, url.PathEscape("x" + armour): 400, armour[:100]: 400, "%": 400} {
		e.certificate = text
		if s := take(&visit{"GET", "/mtls/x", bearer}); s.status != status {
			t.Errorf("certificate %.40q: %+v", text, s)
		}
	}
	e.certificate = url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: (*authority)(nil).issue(t, nil).Certificate[0]})))
	if s := take(&visit{"GET", "/mtls/x", bearer}); s.status != 401 {
		t.Errorf("another certificate: %+v", s)
	}
}

// TestExtAuthzSaysNo: what is no request, or more than one, is refused in a response;
// an error of the call would let it in where failure_mode_allow is on.
func TestExtAuthzSaysNo(t *testing.T) {
	f := newFixture(t, withEnvoy(t))
	e := newEnvoy(t, f)
	good := "Bearer " + f.AT(nil)
	for name, row := range map[string]struct {
		change func(*authv3.AttributeContext, *authv3.AttributeContext_HttpRequest)
		status int
	}{
		"as it is":        {func(*authv3.AttributeContext, *authv3.AttributeContext_HttpRequest) {}, 200},
		"no request":      {func(a *authv3.AttributeContext, _ *authv3.AttributeContext_HttpRequest) { a.Request = nil }, 400},
		"no HTTP":         {func(a *authv3.AttributeContext, _ *authv3.AttributeContext_HttpRequest) { a.Request.Http = nil }, 400},
		"two authorities": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Host = "other.example.com" }, 400},
		"two paths":       {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Path = "/open/x" }, 400},
		"query apart":     {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Query = "a=b" }, 400},
		"both forms": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			h.Headers = map[string]string{"a": "b"}
		}, 400},
		"another protocol": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Protocol = "SPDY" }, 400},
		"two tokens": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			more(h, "authorization", good)
		}, 400},
		"tokens, spelt": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			more(h, "Authorization", good)
		}, 400},
		"name with a space": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { more(h, "x auth", "a") }, 400},
		"line break": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			more(h, "x", "a\r\nx-auth-subject: root")
		}, 400},
		"pseudo-header": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { more(h, ":status", "200") }, 400},
		"another host": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			more(h, "host", "other.example.com")
		}, 400},
		"value twice": {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) {
			h.HeaderMap.Headers[0].Value = "x"
		}, 400},
		"body":      {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Body, h.Size = "part", 4 }, 200},
		"HTTP/3":    {func(_ *authv3.AttributeContext, h *authv3.AttributeContext_HttpRequest) { h.Protocol = "HTTP/3" }, 200},
		"no source": {func(a *authv3.AttributeContext, _ *authv3.AttributeContext_HttpRequest) { a.Source = nil }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			q := e.question(&visit{"GET", "/read", []string{"Authorization", good}})
			row.change(q.Attributes, q.Attributes.GetRequest().GetHttp())
			answer, err := e.client.Check(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got := int(answer.GetDeniedResponse().GetStatus().GetCode())
			if answer.GetOkResponse() != nil {
				got = 200
			}
			if got != row.status || (answer.GetStatus().GetCode() == 0) != (row.status == 200) {
				t.Errorf("%v", answer)
			}
		})
	}
	t.Run("joined", func(t *testing.T) {
		e.raw = false
		if s := e.take(t, f, &visit{"GET", "/read", []string{"Authorization", good, "Authorization", good}}); s.status/100 != 4 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("no message", func(t *testing.T) {
		answer := &authv3.CheckResponse{}
		q := &corev3.HeaderValue{Key: "not attributes"} // field 1 as well, of another type
		if err := dialEnvoy(t, f.grpc).Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, q, answer); err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != 400 {
			t.Errorf("%v, %v", answer, err)
		}
	})
}

func more(h *authv3.AttributeContext_HttpRequest, name, value string) {
	h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
}

// TestExtAuthzStrangers: who is no peer is refused, and counted.
func TestExtAuthzStrangers(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(withEnvoy(t)(text), "peers: [127.0.0.1]", "peers: [192.0.2.1]", 1)
	})
	e := newEnvoy(t, f)
	if s := e.take(t, f, &visit{"GET", "/open/x", nil}); s.status != 403 {
		t.Errorf("%+v", s)
	}
	if text := f.adminDo("/metrics").body; !strings.Contains(text, `reason="asker"`) {
		t.Error("nobody has counted it")
	}
	f.rewrite("peers: [192.0.2.1]", "peers: [127.0.0.0/8]")
	if !f.gateway.tryReload("test") {
		t.Fatal("not reloaded")
	}
	if s := e.take(t, f, &visit{"GET", "/open/x", nil}); s.status != 200 {
		t.Errorf("after a reload: %+v", s)
	}
}

// TestExtAuthzHealth: the service tells what readyz does.
func TestExtAuthzHealth(t *testing.T) {
	f := newFixture(t, withEnvoy(t))
	probe := healthv1.NewHealthClient(dialEnvoy(t, f.grpc))
	standing := func(service string) string {
		answer, err := probe.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil {
			return err.Error()
		}
		return answer.Status.String()
	}
	slowly(t, "serving", func() bool {
		return standing("") == "SERVING" && standing("envoy.service.auth.v3.Authorization") == "SERVING"
	})
	watch, err := probe.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if now, err := watch.Recv(); err != nil || now.Status != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", now, err)
	}
	f.gateway.unready()
	if got := standing(""); got != "NOT_SERVING" {
		t.Error(got)
	}
	if now, err := watch.Recv(); err != nil || now.Status != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v, %v", now, err)
	}
}

// TestExtAuthzDrains: what is asked is answered before the end.
func TestExtAuthzDrains(t *testing.T) {
	f := newFixture(t, withEnvoy(t))
	e := newEnvoy(t, f)
	visit := &visit{"GET", "/open/x", nil}
	if s := e.take(t, f, visit); s.status != 200 {
		t.Fatalf("%+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f.gateway.servers.finish(ctx)
	if ctx.Err() != nil {
		t.Error("an idle connection held it up")
	}
	if conn, err := net.Dial("tcp", f.grpc); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens")
	}
}

// TestExtAuthzTLS: the door has the certificates of tls, and wants those of proxies
// where client_auth says so.
func TestExtAuthzTLS(t *testing.T) {
	dir, theirs := t.TempDir(), newAuthority(t, "mesh", nil)
	server := writePair(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), 1)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(pemOf(theirs.Certificate)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(text string) string {
		keys := "tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_auth: require, client_ca_file: DIR/ca.pem}\n"
		return strings.Replace(instead(t, withEnvoy(t)(text), "admin:", strings.ReplaceAll(keys, "DIR", dir)+"admin:"), "peers:", "tls: true, peers:", 1)
	})
	pool := x509.NewCertPool()
	pool.AddCert(server)
	for name, own := range map[string][]tls.Certificate{"known": {*theirs.issue(t, nil)}, "none": nil} {
		conn, err := grpc.NewClient(f.grpc, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: own, MinVersion: tls.VersionTLS12})))
		if err != nil {
			t.Fatal(err)
		}
		e := &envoy{client: authv3.NewAuthorizationClient(conn)}
		answer, err := e.client.Check(t.Context(), e.question(&visit{"GET", "/open/x", nil}))
		if (err == nil && answer.GetOkResponse() != nil) != (own != nil) {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
		_ = conn.Close()
	}
}

// TestExtAuthzGRPC: Envoy makes an answer of gRPC from the status; ours says the same.
func TestExtAuthzGRPC(t *testing.T) {
	f := newFixture(t, withEnvoy(t))
	e := newEnvoy(t, f)
	for media, want := range map[string]int{"application/grpc": 401, "application/grpc+proto": 401, "application/grpc-web": 200, "application/json": 401} {
		q := e.question(&visit{"POST", "/any/x", []string{"Content-Type", media}})
		q.Attributes.Request.Http.Protocol = "HTTP/2"
		answer, err := e.client.Check(t.Context(), q)
		if err != nil || int(answer.GetDeniedResponse().GetStatus().GetCode()) != want || answer.GetStatus().GetCode() != int32(codes.Unauthenticated) {
			t.Errorf("%s: %v, %v", media, answer, err)
		}
		says := slices.ContainsFunc(answer.GetDeniedResponse().GetHeaders(), func(o *corev3.HeaderValueOption) bool {
			return o.Header.Key == "grpc-status" && o.Header.Value == strconv.Itoa(int(codes.Unauthenticated))
		})
		if says != strings.HasPrefix(media, "application/grpc") {
			t.Errorf("%s: %v", media, answer)
		}
	}
}

// BenchmarkExtAuthz is a check of a bearer token, by way of a real connection.
func BenchmarkExtAuthz(b *testing.B) {
	f := newFixture(b, func(text string) string {
		return instead(b, withEnvoy(b)(text), "log: {level: debug, access: all}", "log: {level: error}")
	})
	e := newEnvoy(b, f)
	q := e.question(&visit{"GET", "/read?a=b", []string{
		"Authorization", "Bearer " + f.AT(nil), "User-Agent", "curl/8.5.0", "Accept", "*/*", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Request-Id", "0b2f6f4e",
	}})
	b.ReportAllocs()
	for b.Loop() {
		answer, err := e.client.Check(b.Context(), q)
		if err != nil || answer.GetOkResponse() == nil {
			b.Fatal(answer, err)
		}
	}
}

// TestDoorsExtAuthz: the decisions of every door, by way of Envoy.
func TestDoorsExtAuthz(t *testing.T) {
	f := newFixture(t, doorsConfig(t, "x-forwarded", envoyAsks))
	client := authv3.NewAuthorizationClient(dialEnvoy(t, f.grpc))
	for name, e := range map[string]*envoy{"raw": {client: client, raw: true}, "joined": {client: client, older: true}} {
		d := frontDoor{take: e.take}
		for _, row := range doorRows {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				reverse := func(v *visit) *seen { return throughReverse(t, f, v) }
				reference := reverse(row.visit(t, f, reverse))
				take := func(v *visit) *seen { return d.take(t, f, v) }
				got := take(row.visit(t, f, take))
				if row.name == "two tokens" && name == "joined" && got.status == reference.status {
					return // they have become one that is none: another sentence
				}
				row.compare(t, "extauthz", d, got, reference)
			})
		}
	}
}
