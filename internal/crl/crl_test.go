package crl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"
)

type authority struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// certificate makes one; parent is nil for a root.
func certificate(t *testing.T, name string, serial int64, parent *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{key: key}
	signer, signKey := template, key
	if parent != nil {
		signer, signKey = parent.Certificate, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signKey)
	if err != nil {
		t.Fatal(err)
	}
	if a.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// list revokes serial numbers. It began and ends so far from now.
func (a *authority) list(t *testing.T, began, ends time.Duration, revoked ...int64) []byte {
	t.Helper()
	now := time.Now()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(began), NextUpdate: now.Add(ends)}
	for _, serial := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestVerify(t *testing.T) {
	root := certificate(t, "root", 1, nil)
	between := certificate(t, "between", 2, root)
	client := certificate(t, "client", 3, between)
	impostor := certificate(t, "between", 9, root) // of the same name, with another key
	const hour = time.Hour
	good, above := between.list(t, -hour, hour, 7), root.list(t, -hour, 2*hour)
	chain := []*x509.Certificate{client.Certificate, between.Certificate, root.Certificate}
	for name, c := range map[string]struct {
		lists [][]byte
		want  error
		stale bool
	}{
		"current lists":              {[][]byte{good, above}, nil, false},
		"client revoked":             {[][]byte{between.list(t, -hour, hour, 3), above}, errRevoked, false},
		"revoked in one of two":      {[][]byte{good, between.list(t, -hour, hour, 3), above}, errRevoked, false},
		"revoked, in a list of old":  {[][]byte{between.list(t, -2*hour, -hour, 3), above}, errRevoked, false},
		"authority revoked":          {[][]byte{good, root.list(t, -hour, hour, 2)}, errRevoked, false},
		"no list of the authority's": {[][]byte{good}, errNoList, true},
		"none at all":                {nil, errNoList, true},
		"list of an impostor":        {[][]byte{impostor.list(t, -hour, hour), above}, errNoList, true},
		"list has ended":             {[][]byte{between.list(t, -2*hour, -hour), above}, errListNotTime, true},
		"list has not begun":         {[][]byte{between.list(t, hour, 2*hour), above}, errListNotTime, true},
	} {
		l, err := Parse(c.lists)
		if err != nil {
			t.Fatal(err)
		}
		told := false
		l.OnStale = func() { told = true }
		state := tls.ConnectionState{PeerCertificates: chain[:1], VerifiedChains: [][]*x509.Certificate{chain}}
		if err := l.Verify(state); !errors.Is(err, c.want) || told != c.stale {
			t.Errorf("%s: %v, told of staleness: %v", name, err, told)
		}
		if err := l.Verify(tls.ConnectionState{}); err != nil {
			t.Errorf("%s: without a certificate: %v", name, err)
		}
	}
}

func TestParse(t *testing.T) {
	root := certificate(t, "root", 1, nil)
	critical := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}, // a delta
	}
	delta, err := x509.CreateRevocationList(rand.Reader, critical, root.Certificate, root.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string][]byte{"a delta": delta, "a certificate": root.Raw, "nothing": {}} {
		if _, err := Parse([][]byte{block}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	l, err := Parse([][]byte{root.list(t, 0, 2*time.Hour), root.list(t, 0, time.Hour)})
	if err != nil || time.Until(l.End()) > time.Hour {
		t.Errorf("the first list ends at %v: %v", l.End(), err)
	}
	if none, err := Parse(nil); err != nil || !none.End().IsZero() {
		t.Errorf("%v %v", none.End(), err)
	}
}
