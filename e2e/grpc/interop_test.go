package grpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/reflection"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// interopConfiguration has one API behind two kinds of upstream, told apart by
// the host.
const interopConfiguration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
%[6]s
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
resources:
  - {identifier: "https://h2c.example.com", audiences: ["` + identifier + `"], hosts: [h2c.example.com], behind_tls: true, upstream: "h2c://%[4]s"}
  - {identifier: "https://tls.example.com", audiences: ["` + identifier + `"], hosts: [tls.example.com], behind_tls: true, upstream: "https://%[5]s"}
drain: {delay: 0s, timeout: 1s}
`

// bearer adds a token to every call, whoever makes it.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// A certificate that the gate shows its clients, the service shows the gate,
// and both trust.
type certificate struct {
	certFile, keyFile string
	pair              tls.Certificate
	pool              *x509.CertPool
}

func newCertificate(t *testing.T) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"h2c.example.com", "tls.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := certificate{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"), pool: x509.NewCertPool()}
	shown, hidden := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, text := range map[string][]byte{c.certFile: shown, c.keyFile: hidden} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.pool.AppendCertsFromPEM(shown)
	if c.pair, err = tls.X509KeyPair(shown, hidden); err != nil {
		t.Fatal(err)
	}
	return c
}

// startInteropServer is the server of the gRPC interoperability suite, with the
// services that usually stand beside one.
func startInteropServer(t *testing.T, options ...grpc.ServerOption) (string, *health.Server) {
	t.Helper()
	server := grpc.NewServer(append(options, orca.CallMetricsServerOption(nil), grpc.MaxRecvMsgSize(64<<20))...)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	state := health.NewServer()
	healthpb.RegisterHealthServer(server, state)
	reflection.Register(server)
	return serve(t, server), state
}

func serve(t *testing.T, server *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Errorf("service: %v", err)
		}
	})
	return listener.Addr().String()
}

// passage is one way through a gate: how the client comes in, and what stands
// behind.
type passage struct {
	address string
	host    string
	creds   credentials.TransportCredentials
	state   *health.Server
}

func (p passage) dial(t *testing.T, raw string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(p.creds), grpc.WithAuthority(p.host),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if raw != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(raw)))
	}
	conn, err := grpc.NewClient("passthrough:///"+p.address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startPassages runs two gates, one with TLS, in front of two servers, one with
// TLS.
func startPassages(t *testing.T) (map[string]passage, *devissuer.Running) {
	t.Helper()
	issuer, certificate := startIssuer(t), newCertificate(t)
	plain, plainState := startInteropServer(t)
	secure, secureState := startInteropServer(t, grpc.Creds(credentials.NewServerTLSFromCert(&certificate.pair)))
	all := make(map[string]passage)
	for in, tlsKey := range map[string]string{"h2c": "", "TLS": fmt.Sprintf("tls: {cert_file: %q, key_file: %q}", certificate.certFile, certificate.keyFile)} {
		address, admin := process.Free(t), process.Free(t)
		run(t, address, fmt.Sprintf(interopConfiguration, address, admin, issuer.Identifier(), plain, secure, tlsKey), "SSL_CERT_FILE="+certificate.certFile)
		creds := insecure.NewCredentials()
		if tlsKey != "" {
			creds = credentials.NewTLS(&tls.Config{RootCAs: certificate.pool, MinVersion: tls.VersionTLS12})
		}
		all[in+" to h2c"] = passage{address: address, host: "h2c.example.com", creds: creds, state: plainState}
		all[in+" to TLS"] = passage{address: address, host: "tls.example.com", creds: creds, state: secureState}
	}
	return all, issuer
}

// suite is the cases of the suite that a proxy can make fail. They end the
// program when they do, through the logger.
func suite(conn *grpc.ClientConn) map[string]func(context.Context) {
	tc := testgrpc.NewTestServiceClient(conn)
	gzipped := grpc.UseCompressor(gzip.Name)
	on := func(do func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption), options ...grpc.CallOption) func(context.Context) {
		return func(ctx context.Context) { do(ctx, tc, options...) }
	}
	return map[string]func(context.Context){
		"empty_unary": on(interop.DoEmptyUnaryCall), "large_unary": on(interop.DoLargeUnaryCall),
		"client_streaming": on(interop.DoClientStreaming), "server_streaming": on(interop.DoServerStreaming),
		"ping_pong": on(interop.DoPingPong), "empty_stream": on(interop.DoEmptyStream),
		"client_compressed_unary": on(interop.DoLargeUnaryCall, gzipped), "client_compressed_streaming": on(interop.DoClientStreaming, gzipped),
		"server_compressed_streaming": on(interop.DoServerStreaming, gzipped), "compressed_ping_pong": on(interop.DoPingPong, gzipped),
		"timeout_on_sleeping_server": on(interop.DoTimeoutOnSleepingServer),
		"cancel_after_begin":         on(interop.DoCancelAfterBegin), "cancel_after_first_response": on(interop.DoCancelAfterFirstResponse),
		"status_code_and_message": on(interop.DoStatusCodeAndMessage), "special_status_message": on(interop.DoSpecialStatusMessage),
		"custom_metadata": on(interop.DoCustomMetadata), "custom_metadata_compressed": on(interop.DoCustomMetadata, gzipped),
		"unimplemented_method": func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, conn) },
		"unimplemented_service": func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		},
		"orca_per_rpc": func(ctx context.Context) { interop.DoORCAPerRPCTest(ctx, tc) },
	}
}

// TestInterop runs the suite of google.golang.org/grpc/interop through the gate,
// its own client and server at the ends.
func TestInterop(t *testing.T) {
	passages, issuer := startPassages(t)
	raw := mint(t, issuer, nil)
	for name, p := range passages {
		t.Run(name, func(t *testing.T) {
			conn := p.dial(t, raw, grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`))
			for name, do := range suite(conn) {
				t.Run(name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					failing.Store(t)
					defer failing.Store(nil)
					do(ctx)
				})
			}
			t.Run("neighbours", func(t *testing.T) { testNeighbours(t, conn, p.state) })
			t.Run("16 MiB", func(t *testing.T) { testLargeMessages(t, conn) })
			t.Run("no token", func(t *testing.T) { testNeedsToken(t, p) })
		})
	}
}

// failing is the test that a case ends when it fails.
var failing atomic.Pointer[testing.T]

// logger makes a failed case fail its test, and not the program.
type logger struct{ grpclog.LoggerV2 }

func (logger) Fatal(args ...any)   { fail(fmt.Sprint(args...)) }
func (logger) Fatalln(args ...any) { fail(fmt.Sprintln(args...)) }

func (logger) Fatalf(format string, args ...any) { fail(fmt.Sprintf(format, args...)) }

func fail(text string) {
	if t := failing.Load(); t != nil {
		t.Error(text)
		runtime.Goexit()
	}
	panic(text)
}
