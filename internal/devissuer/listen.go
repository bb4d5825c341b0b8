package devissuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Loopback is a free port of the loopback address.
const Loopback = "127.0.0.1:0"

// Running is an issuer that listens until Close.
type Running struct {
	*Issuer
	URL string // scheme and address, no path

	server *http.Server
	done   chan struct{} // closed when the server has stopped
	ca     []byte        // DER; nil over plain HTTP
}

// Start makes an issuer that listens at Loopback.
func Start(o Options) (*Running, error) {
	is, err := New(o)
	if err != nil {
		return nil, err
	}
	return is.Listen(Loopback)
}

// Listen serves at a host and port, and completes an identifier that is empty
// or only a path. After Close it may be called again; with Options.TLS each
// call has a new certificate.
func (is *Issuer) Listen(address string) (*Running, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	run := &Running{Issuer: is, URL: "http://" + listener.Addr().String(), done: make(chan struct{})}
	if is.current().TLS {
		certificate, err := Throwaway()
		if err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		run.URL, run.ca = "https://"+listener.Addr().String(), certificate.Certificate[0]
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert})
	}
	is.Change(func(o *Options) {
		if o.Identifier == "" || o.Identifier[0] == '/' {
			o.Identifier = run.URL + o.Identifier
		}
	})
	// Cut connections and refused certificates are what tests are after: no log.
	run.server = &http.Server{Handler: is, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(run.done)
		run.server.Serve(listener) //nolint:errcheck // it ends with Close
	}()
	return run, nil
}

// Close stops listening and cuts all connections, held answers included.
func (run *Running) Close() error {
	err := run.server.Close()
	<-run.done
	return err
}

// CAFile writes the certificate authority as PEM into a folder and returns the
// file's path. Without Options.TLS there is none, which is an error.
func (run *Running) CAFile(dir string) (string, error) {
	if run.ca == nil {
		return "", errors.New("plain HTTP has no certificate authority")
	}
	path := filepath.Join(dir, "issuer-ca.pem")
	return path, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: run.ca}), 0o644)
}

// Throwaway makes a certificate for loopback that is its own authority. It
// holds from 1999 on, for the clock of testing/synctest starts in 2000.
func Throwaway() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "throwaway issuer " + rand.Text()},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
