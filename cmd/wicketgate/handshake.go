package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/crl"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
)

// handshake is what TLS connections are opened with, and when the certificates
// in it end, by their name in metrics.
type handshake struct {
	config *tls.Config
	ends   map[string]time.Time
	lists  *crl.Lists // nil for none
}

// readHandshake reads the files that tls names. The error has its place in the
// file.
func readHandshake(c *config.File) (*handshake, error) {
	pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return nil, pairError(c, "tls", err)
	}
	h := &handshake{ends: map[string]time.Time{"server": pair.Leaf.NotAfter}}
	h.config = &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		CipherSuites: servedSuites(c),
		Certificates: []tls.Certificate{pair}, ClientAuth: clientAuth(c.TLS.ClientAuth),
		// A session that is taken up again would bring back a client that the
		// authorities of today no longer vouch for.
		SessionTicketsDisabled: c.TLS.ClientAuth != "off",
	}
	if c.TLS.ClientCAFile == "" {
		return h, nil
	}
	authorities, err := readAuthorities(c.TLS.ClientCAFile)
	if err != nil {
		return nil, c.ErrorAt("tls.client_ca_file", err.Error())
	}
	h.config.ClientCAs = x509.NewCertPool()
	for _, authority := range authorities {
		h.config.ClientCAs.AddCert(authority)
		h.ends["client_ca"] = earlier(h.ends["client_ca"], authority.NotAfter)
	}
	if c.TLS.ClientCRLFile == "" {
		return h, nil
	}
	blocks, err := readBlocks(c.TLS.ClientCRLFile, "X509 CRL")
	if err == nil {
		h.lists, err = crl.Parse(blocks)
	}
	if err != nil {
		return nil, c.ErrorAt("tls.client_crl_file", err.Error())
	}
	h.ends["client_crl"] = h.lists.End()
	h.config.VerifyConnection = h.lists.Verify
	return h, nil
}

func clientAuth(setting string) tls.ClientAuthType {
	switch setting {
	case "request_any":
		return tls.RequestClientCert
	case "request":
		return tls.VerifyClientCertIfGiven
	case "require":
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// buildWhole is build with a look at the certificate of the listeners, so that
// all that is wrong is told at once.
func buildWhole(c *config.File, s *stores) (*plan, error) {
	compiled, err := build(c, s)
	if c.TLS.On() {
		_, problem := readHandshake(c)
		err = errors.Join(err, problem)
	}
	return compiled, err
}

// pairError is about the certificate and key below at.
func pairError(c *config.File, at string, err error) error {
	key := "cert_file"
	if strings.Contains(err.Error(), "key") {
		key = "key_file"
	}
	return c.ErrorAt(at+"."+key, strings.TrimPrefix(err.Error(), "tls: "))
}

// readAuthorities reads certificates in PEM. A block that is none of them, or
// none at all, is an error: a pool that came out smaller than the file would
// shut clients out, and an empty one has been taken for no check before.
func readAuthorities(file string) ([]*x509.Certificate, error) {
	blocks, err := readBlocks(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	list := make([]*x509.Certificate, len(blocks))
	for i, block := range blocks {
		if list[i], err = x509.ParseCertificate(block); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	return list, nil
}

// readBlocks reads a PEM file that holds blocks of one type only, at least one.
func readBlocks(file, kind string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	begun := bytes.Count(text, []byte("-----BEGIN "))
	var blocks [][]byte
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != kind {
			return nil, fmt.Errorf("block %d is no %s", len(blocks)+1, kind)
		}
		blocks = append(blocks, block.Bytes)
	}
	switch len(blocks) {
	case 0:
		return nil, fmt.Errorf("holds no %s in PEM form", kind)
	case begun:
		return blocks, nil
	}
	return nil, errors.New("holds a block that is broken") // the decoder passes over it
}

// certificateHeader makes the reader of the field that names client
// certificates, or nil where the TLS connection does.
func certificateHeader(c *config.File) (*clientcert.Reader, error) {
	if c.MTLS.From != "header" {
		return nil, nil
	}
	reader, err := clientcert.New(c.MTLS.Header, c.MTLS.Name, c.MTLS.Element)
	if err != nil {
		return nil, c.ErrorAt("mtls.header", err.Error())
	}
	return reader, nil
}
