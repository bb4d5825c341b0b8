package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/wicketgate/wicketgate/config"
)

// clientConnection is a TLS connection whose client showed certificates, in PEM,
// its own first. It fails where serve would not see them, or would end
// the handshake.
func clientConnection(c *config.File, text []byte) (*tls.ConnectionState, error) {
	shown, err := readShown(text)
	if err != nil {
		return nil, err
	}
	state := &tls.ConnectionState{PeerCertificates: shown}
	switch {
	case c.MTLS.From == "header": // whether to vouch for it is up to the proxy
		return state, nil
	case !c.TLS.On() || c.TLS.ClientAuth == "off":
		return nil, errors.New("nobody would see it: set tls.client_auth, or mtls.from: header where TLS ends in front of the gate")
	}
	if err := welcome(c, state); err != nil {
		return nil, fmt.Errorf("the handshake would end: %w", err)
	}
	return state, nil
}

// readShown passes over what is no certificate: clients keep the key in the
// same file.
func readShown(text []byte) (shown []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		shown = append(shown, one)
	}
	if len(shown) == 0 {
		return nil, errors.New("holds no certificate in PEM form")
	}
	return shown, nil
}

// welcome checks what serve leaves to crypto/tls, and what it does not.
func welcome(c *config.File, state *tls.ConnectionState) error {
	h, err := readHandshake(c)
	if err != nil || h.config.ClientCAs == nil {
		return err
	}
	o := x509.VerifyOptions{
		Roots: h.config.ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, one := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(one)
	}
	if state.VerifiedChains, err = state.PeerCertificates[0].Verify(o); err != nil || h.lists == nil {
		return err
	}
	return h.lists.Verify(*state)
}
