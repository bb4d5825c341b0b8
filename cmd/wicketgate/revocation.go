package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// revocations are the lists of revoked certificates (RFC 5280 section 5) by
// which clients are turned away.
type revocations struct {
	lists []*revocationList
	stale func() // told when nobody could tell, for want of a list of today
}

type revocationList struct {
	*x509.RevocationList
	revoked map[string]bool // by serial number, as text
}

// readRevocations reads lists in PEM. A list that needs more than reading is
// refused: a delta or a partial list would let revoked certificates pass.
func readRevocations(file string) (*revocations, error) {
	blocks, err := readBlocks(file, "X509 CRL")
	if err != nil {
		return nil, err
	}
	l := &revocations{stale: func() {}}
	for i, block := range blocks {
		list, err := x509.ParseRevocationList(block)
		if err != nil {
			return nil, fmt.Errorf("list %d: %w", i+1, err)
		}
		if list.NextUpdate.IsZero() {
			return nil, fmt.Errorf("list %d does not say when it ends", i+1)
		}
		for _, extension := range list.Extensions {
			if extension.Critical {
				return nil, fmt.Errorf("list %d has the critical extension %s; only complete lists are understood", i+1, extension.Id)
			}
		}
		one := &revocationList{list, make(map[string]bool, len(list.RevokedCertificateEntries))}
		for _, entry := range list.RevokedCertificateEntries {
			one.revoked[entry.SerialNumber.String()] = true
		}
		l.lists = append(l.lists, one)
	}
	return l, nil
}

var (
	errRevoked     = errors.New("the client's certificate, or one that vouches for it, is revoked")
	errNoList      = errors.New("tls.client_crl_file has no list of an authority of the client's certificate")
	errListNotTime = errors.New("the revocation list of an authority in tls.client_crl_file has ended, or has not begun")
)

// verify refuses a connection unless one chain of the client's certificate is
// known not to be revoked, whole but for its root. What nobody can tell is
// refused: a list that is missing or has ended says nothing about today.
func (l *revocations) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	err := errNoList
	for _, chain := range state.VerifiedChains {
		if err = l.verifyChain(chain, time.Now()); err == nil {
			return nil
		}
	}
	if !errors.Is(err, errRevoked) {
		l.stale()
	}
	return err
}

func (l *revocations) verifyChain(chain []*x509.Certificate, now time.Time) error {
	for i := range len(chain) - 1 {
		if err := l.verifyOne(chain[i], chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

// verifyOne wants one current list of the issuer, and the certificate in none.
func (l *revocations) verifyOne(cert, issuer *x509.Certificate, now time.Time) error {
	err := errNoList
	for _, list := range l.lists {
		if !bytes.Equal(list.RawIssuer, issuer.RawSubject) || list.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if list.revoked[cert.SerialNumber.String()] {
			return errRevoked
		}
		switch {
		case !now.Before(list.ThisUpdate) && now.Before(list.NextUpdate):
			err = nil
		case errors.Is(err, errNoList):
			err = errListNotTime
		}
	}
	return err
}
