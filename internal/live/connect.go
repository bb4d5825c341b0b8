package live

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// target is a server to connect to, as the gate does.
type target struct {
	location *url.URL
	filtered bool           // the gate connects to some addresses only
	roots    *x509.CertPool // nil: the system's
	settable bool           // by ca_file
	suites   []uint16
}

const (
	connectTimeout = 3 * time.Second
	expiresSoon    = 14 * 24 * time.Hour
)

// connect resolves the name, connects and shakes hands, and tells about each.
// It reports whether there is somebody to talk to.
func (r *report) connect(ctx context.Context, t target) bool {
	host, port := t.location.Hostname(), t.location.Port()
	secure := t.location.Scheme == "https"
	if port == "" {
		port = "80"
		if secure {
			port = "443"
		}
	}
	addresses, ok := r.resolve(ctx, host, t.filtered)
	if !ok {
		return false
	}
	conn, err := dialOne(ctx, addresses, port)
	if err != nil {
		r.fail("is it running, and may this machine reach it? A proxy of the environment is not used", ": no connection to %s: %s", net.JoinHostPort(host, port), networkError(err))
		return false
	}
	defer func() { _ = conn.Close() }()
	if !secure {
		r.good(" accepts connections at %s", conn.RemoteAddr())
		return true
	}
	return r.shakeHands(ctx, conn, host, t)
}

// resolve finds the addresses of a host that the gate would connect to.
func (r *report) resolve(ctx context.Context, host string, filtered bool) ([]netip.Addr, bool) {
	found, named := []netip.Addr(nil), false
	if literal, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{literal}
	} else {
		named = true
		if found, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			problem, _ := errors.AsType[*net.DNSError](err)
			if problem != nil && problem.IsNotFound {
				r.fail("is the name spelt right? This machine's resolver does not know it", ": %s has no address", host)
			} else {
				r.fail("look at this machine's resolver: nothing tells whether the name exists", ": %s cannot be resolved now", host)
			}
			return nil, false
		}
	}
	var open, refused []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); filtered && fetch.Refused(a) {
			refused = append(refused, a)
		} else {
			open = append(open, a)
		}
	}
	const never = "the gate never connects to link-local, metadata, multicast and unspecified addresses"
	switch {
	case len(open) == 0:
		r.fail(never, ": %s is %s only", host, addressList(refused))
		return nil, false
	case len(refused) > 0:
		r.warn(never+"; take them out of the DNS", ": %s is also %s", host, addressList(refused))
	}
	if named {
		r.good(": %s is %s", host, addressList(open))
	}
	return open, true
}

func addressList(list []netip.Addr) string {
	var text []string
	for _, a := range list {
		text = append(text, a.String())
	}
	return strings.Join(text, ", ")
}

// dialOne connects to the first address that answers.
func dialOne(ctx context.Context, addresses []netip.Addr, port string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	for _, a := range addresses {
		if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// networkError takes off what a line has said already.
func networkError(err error) string {
	if wrapped, ok := errors.AsType[*net.OpError](err); ok {
		if wrapped.Timeout() {
			return "no answer in time"
		}
		err = wrapped.Err
	}
	_, last, cut := strings.Cut(err.Error(), "connect: ")
	if !cut {
		return err.Error()
	}
	return last
}

func (r *report) shakeHands(ctx context.Context, conn net.Conn, host string, t target) bool {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: t.roots, CipherSuites: t.suites, NextProtos: []string{"http/1.1"}}
	_ = conn.SetDeadline(time.Now().Add(connectTimeout)) // a closed connection says so itself
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		next, finding := tlsError(err, t, time.Now())
		r.fail(next, ": %s", finding)
		return false
	}
	state := secured.ConnectionState()
	end := firstEnd(state.VerifiedChains[0])
	left, at := time.Until(end), conn.RemoteAddr()
	if left < expiresSoon {
		r.warn("have it renewed", " speaks %s at %s, but its certificate ends in %s, on %s", tls.VersionName(state.Version), at, days(left), end.UTC().Format(time.DateOnly))
		return true
	}
	r.good(" speaks %s at %s, its certificate is good for %s", tls.VersionName(state.Version), at, days(left))
	return true
}

// firstEnd is when the first certificate of a chain ends, but for its root,
// which is trusted by itself.
func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for i := 1; i < len(chain)-1; i++ {
		if chain[i].NotAfter.Before(end) {
			end = chain[i].NotAfter
		}
	}
	return end
}

func days(d time.Duration) string { return plural(int(d/(24*time.Hour)), "day") }

// tlsError says why there is no TLS connection, and what to do.
func tlsError(err error, t target, now time.Time) (next, finding string) {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "write http:// where that is meant, or switch TLS on there", "it speaks no TLS"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		who := "its certificate"
		if invalid.Cert.IsCA {
			who = "the authority " + authorityName(invalid.Cert.Subject.CommonName)
		}
		if now.Before(invalid.Cert.NotBefore) {
			return "is this machine's clock right?", fmt.Sprintf("%s begins only on %s", who, invalid.Cert.NotBefore.UTC().Format(time.DateOnly))
		}
		return "have it renewed; if the date is not over, this machine's clock is wrong", fmt.Sprintf("%s ended %s ago, on %s", who, days(now.Sub(invalid.Cert.NotAfter)), invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if other, ok := errors.AsType[x509.HostnameError](err); ok {
		names := strings.Join(other.Certificate.DNSNames, " ")
		return "use a name that the certificate has", fmt.Sprintf("its certificate is not for %s but for %s", other.Host, shown(cmp.Or(names, other.Certificate.Subject.CommonName)))
	}
	unverified, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); ok && unknown {
		last := unverified.UnverifiedCertificates[len(unverified.UnverifiedCertificates)-1]
		finding = "its certificate is vouched for by " + authorityName(last.Issuer.CommonName) + ", which "
		switch {
		case t.roots != nil:
			return "put that authority into ca_file, which replaces those of the system", finding + "ca_file does not hold"
		case t.settable:
			return "name a file with that authority in ca_file, or have the system trust it", finding + "this system does not trust"
		}
		return "have the system trust it: name a file with that authority in $SSL_CERT_FILE", finding + "this system does not trust"
	}
	return "look at the TLS settings of that server", "no TLS connection: " + networkError(err)
}

func authorityName(name string) string {
	if name == "" {
		return "an authority without a name"
	}
	return shown(name)
}
