// Package clientcert reads the certificate of a client from the field in which
// the proxy that ended its TLS connection passes it on (RFC 9440, and what came
// before it). It says which certificate that is, by its digest; who may say so,
// and what the certificate is good for, is decided elsewhere.
package clientcert

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// maxCertificate bounds the field a certificate is read from, in octets.
const maxCertificate = 16 << 10

// A Reader reads the certificate of a client from the field in which
// the proxy that ended its TLS connection writes it. It is immutable.
type Reader struct {
	name string // as net/http keys it
	read func(text string) ([sha256.Size]byte, error)
}

// certificateForms are the ways to write a certificate, by their name in the
// configuration, each with the field it usually comes in.
var certificateForms = map[string]struct {
	name string
	read func(text string) ([sha256.Size]byte, error)
}{
	"client-cert": {"Client-Cert", readByteSequence},
	"nginx":       {"X-Ssl-Client-Cert", readEscapedPEM},
	"haproxy":     {"X-Ssl-Client-Der", readBareBase64},
	"alb":         {"X-Amzn-Mtls-Clientcert", readEscapedChain},
	"traefik":     {"X-Forwarded-Tls-Client-Cert", readBareChain},
	"xfcc":        {"X-Forwarded-Client-Cert", nil},
}

// New makes the Reader of a form: client-cert (RFC 9440),
// xfcc, nginx, haproxy, alb or traefik. An empty name is the form's own. element
// says which element of X-Forwarded-Client-Cert counts: only, first or last.
func New(form, name, element string) (*Reader, error) {
	known, found := certificateForms[form]
	if !found {
		return nil, fmt.Errorf("unknown form of a certificate %q", form)
	}
	c := &Reader{name: http.CanonicalHeaderKey(name), read: known.read}
	if name == "" {
		c.name = known.name
	}
	if form == "xfcc" {
		switch element {
		case "only", "first", "last":
		default:
			return nil, fmt.Errorf("unknown element %q", element)
		}
		c.read = func(text string) ([sha256.Size]byte, error) { return readXFCC(text, element) }
	}
	return c, nil
}

// What is wrong with a field. The texts are fixed: they go into the log.
var (
	errCertificateLines  = errors.New("the certificate's field comes more than once")
	errCertificateLong   = errors.New("the certificate's field is longer than 16 KiB")
	errCertificateForm   = errors.New("the certificate's field does not have the form that mtls.header names")
	errCertificateBase64 = errors.New("the certificate is not strictly base64")
	errCertificateDER    = errors.New("what the field holds is no single certificate in DER")
)

// Read returns the x5t#S256 (RFC 8705 section 3.1) of the certificate that h
// names, or "" when it names none. The error says why a field that is there is
// not believed, without quoting it; there is no certificate then.
//
// The octets are held to be one certificate by their outermost structure only.
// The terminator has parsed it, by rules that need not be ours, and its client
// has proven to hold the key; what binds the token is that the digest of these
// very octets is the one the issuer wrote into it.
func (c *Reader) Read(h http.Header) (string, error) {
	lines := h[c.name]
	switch {
	case len(lines) == 0 || len(lines) == 1 && lines[0] == "":
		return "", nil
	case len(lines) > 1:
		return "", errCertificateLines
	case len(lines[0]) > maxCertificate:
		return "", errCertificateLong
	}
	digest, err := c.read(lines[0])
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(digest[:]), nil
}

// Thumbprint is the x5t#S256 of a certificate in DER (RFC 8705 section 3.1).
func Thumbprint(der []byte) string {
	digest := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// readByteSequence reads the byte sequence of RFC 8941 section 3.3.5 that is
// the whole of a Client-Cert field (RFC 9440 section 2.2).
func readByteSequence(text string) (digest [sha256.Size]byte, err error) {
	inner, opened := strings.CutPrefix(text, ":")
	inner, closed := strings.CutSuffix(inner, ":")
	if !opened || !closed {
		return digest, errCertificateForm
	}
	return readBareBase64(inner)
}

// readBareBase64 reads one certificate in base64 and nothing around it.
func readBareBase64(text string) (digest [sha256.Size]byte, err error) {
	// The decoder passes over line breaks, which an escape can bring in.
	if strings.ContainsAny(text, "\r\n") {
		return digest, errCertificateBase64
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return digest, errCertificateBase64
	}
	if !isCertificate(der) {
		return digest, errCertificateDER
	}
	return sha256.Sum256(der), nil
}

// isCertificate tells the outermost structure of RFC 5280 section 4.1, with
// nothing behind it.
func isCertificate(der []byte) bool {
	var c struct {
		ToBeSigned, Algorithm asn1.RawValue
		Signature             asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &c)
	return err == nil && len(rest) == 0 && isSequence(c.ToBeSigned) && isSequence(c.Algorithm)
}

func isSequence(v asn1.RawValue) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSequence && v.IsCompound
}

// readBareChain reads the chain that Traefik writes: base64 without its armour,
// in some versions percent-encoded, separated by commas, the client's first.
func readBareChain(text string) (leaf [sha256.Size]byte, err error) {
	plain, ok := unescapeStrictly(text)
	if !ok {
		return leaf, errCertificateForm
	}
	first, others, several := strings.Cut(plain, ",")
	leaf, err = readBareBase64(first)
	for several && err == nil {
		var one string
		one, others, several = strings.Cut(others, ",")
		_, err = readBareBase64(one)
	}
	return leaf, err
}

// readEscapedPEM reads one certificate in PEM, percent-encoded.
func readEscapedPEM(text string) (digest [sha256.Size]byte, err error) {
	plain, ok := unescapeStrictly(text)
	if !ok {
		return digest, errCertificateForm
	}
	digest, rest, err := readPEM(plain)
	if err == nil && rest != "" {
		err = errCertificateForm
	}
	return digest, err
}

// readEscapedChain reads certificates in PEM, percent-encoded, the client's
// first.
func readEscapedChain(text string) (leaf [sha256.Size]byte, err error) {
	plain, ok := unescapeStrictly(text)
	if !ok {
		return leaf, errCertificateForm
	}
	leaf, rest, err := readPEM(plain)
	for rest != "" && err == nil {
		_, rest, err = readPEM(rest)
	}
	return leaf, err
}

// readPEM reads the certificate that text begins with, in the strict form of
// RFC 7468 section 3: no headers, nothing before or between.
func readPEM(text string) (digest [sha256.Size]byte, rest string, err error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	body, opened := strings.CutPrefix(text, "-----BEGIN CERTIFICATE-----\n")
	body, rest, closed := strings.Cut(body, "\n-----END CERTIFICATE-----")
	if !opened || !closed {
		return digest, "", errCertificateForm
	}
	if rest != "" {
		var ended bool
		if rest, ended = strings.CutPrefix(rest, "\n"); !ended {
			return digest, "", errCertificateForm
		}
	}
	digest, err = readBareBase64(strings.ReplaceAll(body, "\n", ""))
	return digest, rest, err
}

// unescapeStrictly undoes percent-encoding once. A plus sign is a plus sign:
// base64 has them. It is not ok when a percent sign is no escape.
func unescapeStrictly(text string) (string, bool) {
	if strings.IndexByte(text, '%') < 0 {
		return text, true
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			octet, ok := token.PercentOctet(text, i)
			if !ok {
				return "", false
			}
			c = octet
			i += 2
		}
		out = append(out, c)
	}
	return string(out), true
}
