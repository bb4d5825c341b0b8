package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ClientOptions are the bounds of a Client. The zero value is strict.
type ClientOptions struct {
	Timeout   time.Duration  // of a whole exchange, the body included; default 5 s
	MaxBody   int64          // octets of a body; default 512 KiB
	RootCAs   *x509.CertPool // nil: the system's
	AllowHTTP bool           // plain http also to hosts that are not loopback

	CipherSuites []uint16 // of TLS 1.2, as crypto/tls has them; nil: those of Go

	Bearer      func() (string, error) // makes the token to send to the origin of BearerHome, and to no other; nil: none
	BearerHome  string                 // a URL
	Certificate *tls.Certificate       // shown to servers that ask for one; may be nil
	KeepAlive   bool                   // connections stay open between calls, until CloseIdle
}

// Client gets small documents from servers an operator named. It follows no
// redirect, uses no proxy from the environment, accepts no content coding and
// connects to no link-local, metadata, multicast or unspecified address,
// whatever a name resolves to.
type Client struct {
	http      *http.Client
	maxBody   int64
	allowHTTP bool
	bearer    func() (string, error)
	home      string // origin
}

// Body is a document that was received whole with status 200.
type Body struct {
	Bytes       []byte
	MaxAge      time.Duration // how much longer it may be held, RFC 9111 section 4.2; 0 for no-store and no-cache
	HasMaxAge   bool          // the server said so
	ContentType string        // media type in lower case without parameters; empty when absent or malformed
	Date        time.Time     // the server's clock; zero when it did not say
	Age         time.Duration // how long the document was held by caches on the way
	Ahead       time.Duration // by how much the server's clock is ahead of ours, give or take a second; 0 without Date
}

// StatusError is an answer with a status other than 200.
type StatusError struct {
	Code       int
	RetryAfter time.Duration // from Retry-After in seconds (RFC 9110 section 10.2.3); 0 when the server did not say
}

// Error says the status in words.
func (e *StatusError) Error() string {
	if e.Code >= 300 && e.Code < 400 {
		return fmt.Sprintf("status %d: redirects are not followed", e.Code)
	}
	return fmt.Sprintf("status %d, want 200", e.Code)
}

// NewClient makes a Client. It holds no connection open between two calls,
// unless KeepAlive is on.
func NewClient(o ClientOptions) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 512 << 10
	}
	dialer := &net.Dialer{Timeout: o.Timeout, Control: filterAddress}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, CipherSuites: o.CipherSuites}
	if o.Certificate != nil {
		config.Certificates = []tls.Certificate{*o.Certificate}
	}
	return &Client{
		maxBody:   o.MaxBody,
		allowHTTP: o.AllowHTTP,
		bearer:    o.Bearer,
		home:      originOf(o.BearerHome),
		http: &http.Client{
			Timeout: o.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
			Transport: &http.Transport{
				DialContext:            dialer.DialContext,
				TLSClientConfig:        config,
				DisableKeepAlives:      !o.KeepAlive,
				MaxIdleConnsPerHost:    maxIdle,
				IdleConnTimeout:        idleTimeout,
				DisableCompression:     true,
				MaxResponseHeaderBytes: 64 << 10,
			},
		},
	}
}

// Get fetches address, an absolute https URL (or http where that is allowed).
// The error says what was wrong, without a word of what the server sent; it
// wraps a *StatusError for a status other than 200.
func (c *Client) Get(ctx context.Context, address, accept string) (*Body, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	if err := c.permit(u); err != nil {
		return nil, fmt.Errorf("get %s: %w", shown(u), err)
	}
	body, err := c.exchange(ctx, u, accept)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", shown(u), err)
	}
	return body, nil
}

// Shown is address as it may be told: without a password and what is in its
// query, where keys are at times.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a malformed URL"
	}
	return shown(u)
}

func shown(u *url.URL) string {
	told := *u
	if told.RawQuery != "" {
		told.RawQuery = "redacted"
	}
	return told.Redacted()
}

func (c *Client) permit(u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil || u.Opaque != "":
		return errors.New("not an absolute URL without user information")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("scheme is neither https nor http")
	case c.allowHTTP || isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("plain http is allowed to loopback hosts only")
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func (c *Client) exchange(ctx context.Context, u *url.URL, accept string) (*Body, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header.Set("Accept", accept)
	return c.send(req)
}

// send takes no other answer than one with status 200, or one of also.
func (c *Client) send(req *http.Request, also ...int) (*Body, error) {
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "wicketgate")
	if err := c.identify(req); err != nil {
		return nil, err
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, inWords(err)
	}
	took := time.Since(began)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && !slices.Contains(also, resp.StatusCode) {
		return nil, &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, errors.New("body has a content coding that was not asked for")
	}
	bytes, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	if err != nil {
		return nil, inWords(err)
	}
	if int64(len(bytes)) > c.maxBody {
		return nil, fmt.Errorf("body is larger than %d octets", c.maxBody)
	}
	b := &Body{Bytes: bytes}
	b.ContentType, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	b.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	b.MaxAge, b.HasMaxAge = maxAge(resp.Header)
	b.Age = spent(resp.Header)
	if !b.Date.IsZero() {
		// A date has no fractions, and was written about half-way; a cache passes on
		// that of the origin (RFC 9111 section 4.2.3).
		b.Ahead = b.Date.Add(time.Second / 2).Add(b.Age).Sub(began.Add(took / 2))
	}
	return b, nil
}

// maxAge reads Cache-Control, and takes off what the document already spent in
// other caches.
func maxAge(h http.Header) (age time.Duration, said bool) {
	const longest = 365 * 24 * 3600
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "no-store", "no-cache":
				return 0, true
			case "max-age":
				n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 64)
				if err == nil || errors.Is(err, strconv.ErrRange) {
					age, said = time.Duration(min(n, longest))*time.Second, true
				}
			}
		}
	}
	return max(0, age-spent(h)), said
}

// spent is how long the document was in other caches.
func spent(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// ErrTimeout is wrapped by the error of a call that took too long.
var ErrTimeout = errors.New("no complete answer in time")

// inWords keeps the errors of the network and of TLS. Those of net/http's
// parser quote what the server sent, so they are replaced.
func inWords(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() && !errors.Is(err, context.Canceled) {
			return ErrTimeout
		}
		err = wrapped.Err
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return ErrTimeout
	}
	_, network := errors.AsType[*net.OpError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	text := err.Error()
	switch {
	case network, certificate, record, strings.HasPrefix(text, "tls: "), strings.HasPrefix(text, "http: server gave HTTP response"),
		errors.Is(err, context.Canceled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case text == "http: server closed idle connection":
		return errIdleClosed
	}
	return errors.New("the answer is not well-formed HTTP")
}

var errIdleClosed = errors.New("the server closed a connection that was kept")

var errAddress = errors.New("address is link-local, a metadata service, multicast or unspecified")

// filterAddress runs after the name was resolved and before the connection is
// made, so a name that resolves differently the second time gains nothing.
func filterAddress(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || isForbidden(at.Addr()) {
		return errAddress
	}
	return nil
}

// carriers are prefixes of IPv6 addresses that stand for an IPv4 address, and
// the octet at which that begins: translation (RFC 6052 section 2.1, RFC 8215),
// 6to4 (RFC 3056 section 2) and the old compatible form (RFC 4291 section
// 2.5.5.1).
var carriers = [...]struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// carried is the IPv4 address that a stands for, else a.
func carried(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.IsLoopback() {
		return a
	}
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			octets := a.As16()
			return netip.AddrFrom4([4]byte(octets[c.at:]))
		}
	}
	return a
}

// metadata holds the addresses of metadata services that no address class
// covers.
var metadata = [...]netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
}

func isForbidden(a netip.Addr) bool {
	a = carried(a)
	for _, m := range metadata {
		if a == m {
			return true
		}
	}
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
