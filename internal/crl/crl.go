// Package crl turns TLS clients away whose certificates are revoked by lists
// (RFC 5280 section 5) that somebody has fetched.
//
// It reads no files, asks nobody, and judges nothing but revocation: chains have
// been verified before.
package crl

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Lists are the lists of revoked certificates by which clients are turned away.
// They are not changed once they are in use.
type Lists struct {
	// OnStale is told when nobody could tell whether a client is revoked, for want
	// of a list of today. It may be nil; several goroutines call it.
	OnStale func()

	lists []*list
}

type list struct {
	*x509.RevocationList
	revoked map[string]bool // by serial number, as text
}

// Parse reads lists in DER. A list that needs more than reading is an error, as
// is one that does not say when it ends: a delta or a partial list would let
// revoked certificates pass.
func Parse(blocks [][]byte) (*Lists, error) {
	l := &Lists{}
	for i, block := range blocks {
		parsed, err := x509.ParseRevocationList(block)
		if err != nil {
			return nil, fmt.Errorf("list %d: %w", i+1, err)
		}
		if parsed.NextUpdate.IsZero() {
			return nil, fmt.Errorf("list %d does not say when it ends", i+1)
		}
		for _, extension := range parsed.Extensions {
			if extension.Critical {
				return nil, fmt.Errorf("list %d has the critical extension %s; only complete lists are understood", i+1, extension.Id)
			}
		}
		one := &list{parsed, make(map[string]bool, len(parsed.RevokedCertificateEntries))}
		for _, entry := range parsed.RevokedCertificateEntries {
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

// End is when the first of the lists ends; zero without lists.
func (l *Lists) End() time.Time {
	var end time.Time
	for _, one := range l.lists {
		if end.IsZero() || one.NextUpdate.Before(end) {
			end = one.NextUpdate
		}
	}
	return end
}

// Verify refuses a connection unless one chain of the client's certificate is
// known not to be revoked, whole but for its root. What nobody can tell is
// refused: a list that is missing or has ended says nothing about today. A
// client without a certificate passes. It fits tls.Config.VerifyConnection.
func (l *Lists) Verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	err := errNoList
	for _, chain := range state.VerifiedChains {
		if err = l.verifyChain(chain, time.Now()); err == nil {
			return nil
		}
	}
	if !errors.Is(err, errRevoked) && l.OnStale != nil {
		l.OnStale()
	}
	return err
}

func (l *Lists) verifyChain(chain []*x509.Certificate, now time.Time) error {
	for i := range len(chain) - 1 {
		if err := l.verifyOne(chain[i], chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

// verifyOne wants one current list of the issuer, and the certificate in none.
func (l *Lists) verifyOne(cert, issuer *x509.Certificate, now time.Time) error {
	err := errNoList
	for _, one := range l.lists {
		if !bytes.Equal(one.RawIssuer, issuer.RawSubject) || one.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if one.revoked[cert.SerialNumber.String()] {
			return errRevoked
		}
		switch {
		case !now.Before(one.ThisUpdate) && now.Before(one.NextUpdate):
			err = nil
		case errors.Is(err, errNoList):
			err = errListNotTime
		}
	}
	return err
}
