package clientcert

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

var (
	errXFCCElements = errors.New("the certificate's field has several elements, and mtls.element wants one only")
	errXFCCNothing  = errors.New("the element that counts has neither Hash nor Cert")
	errXFCCHash     = errors.New("the key Hash holds no SHA-256 in hexadecimal")
	errXFCCBorders  = errors.New("an element holds names that are not quoted, so mtls.element: last cannot tell whether the proxy or the client ended it")
	errXFCCDisagree = errors.New("the keys Hash and Cert are not of one certificate")
)

// xfccElement is what one proxy says about its client: of all its keys, the two
// that name the certificate.
type xfccElement struct {
	hash, cert string
	loose      bool // a value that the client may have chosen is not quoted
}

// readXFCC reads the field X-Forwarded-Client-Cert as Envoy writes it: elements
// separated by commas, one for each proxy on the way, of pairs separated by
// semicolons. The whole field has to be well-formed, whichever element counts,
// or quotes that end too early could move what belongs to one into another.
//
// Envoy quotes no names of type URI and DNS, whatever is in them. What a client
// puts there comes behind the hash in its own element, so the first and the only
// element keep their hash; the last may be one of the client's making.
func readXFCC(text, which string) (digest [sha256.Size]byte, err error) {
	list, err := parseXFCC(text)
	switch {
	case err != nil:
		return digest, err
	case which == "only" && len(list) > 1:
		return digest, errXFCCElements
	case which == "last":
		if slices.ContainsFunc(list[:len(list)-1], func(e xfccElement) bool { return e.loose }) {
			return digest, errXFCCBorders
		}
		return list[len(list)-1].digest()
	}
	return list[0].digest()
}

func (e xfccElement) digest() (digest [sha256.Size]byte, err error) {
	if e.hash == "" && e.cert == "" {
		return digest, errXFCCNothing
	}
	if e.hash != "" {
		if len(e.hash) != hex.EncodedLen(len(digest)) {
			return digest, errXFCCHash
		}
		if _, err := hex.Decode(digest[:], []byte(e.hash)); err != nil {
			return digest, errXFCCHash
		}
	}
	if e.cert == "" {
		return digest, nil
	}
	of, err := readEscapedPEM(e.cert)
	if err == nil && e.hash != "" && of != digest {
		err = errXFCCDisagree
	}
	return of, err
}

// parseXFCC returns at least one element, or an error.
func parseXFCC(text string) ([]xfccElement, error) {
	var list []xfccElement
	var e xfccElement
	for {
		key, rest, found := strings.Cut(text, "=")
		key = strings.TrimLeft(key, " ")
		if !found || !isLetters(key) {
			return nil, errCertificateForm
		}
		quoted := strings.HasPrefix(rest, `"`)
		value, rest, ok := cutXFCCValue(rest)
		e.loose = e.loose || !quoted && !strings.EqualFold(key, "By") && !strings.EqualFold(key, "Hash")
		if !ok || !e.set(key, value) {
			return nil, errCertificateForm
		}
		if rest == "" {
			return append(list, e), nil
		}
		if rest[0] == ',' {
			list, e = append(list, e), xfccElement{}
		}
		text = rest[1:]
	}
}

// set is not ok when the certificate is named twice: of what a certificate can
// bring into the other keys, none may speak for it.
func (e *xfccElement) set(key, value string) bool {
	to := &e.hash
	switch {
	case strings.EqualFold(key, "Hash"):
	case strings.EqualFold(key, "Cert"):
		to = &e.cert
	default:
		return true
	}
	if *to != "" {
		return false
	}
	*to = value
	return true
}

// cutXFCCValue cuts a value off text; what is left is empty or begins with a
// semicolon or a comma. Between quotes a backslash takes the next octet as it
// is.
func cutXFCCValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `;,"`)
		switch {
		case end < 0:
			return text, "", true
		case text[end] == '"':
			return "", "", false
		}
		return text[:end], text[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			rest = text[i+1:]
			return b.String(), rest, rest == "" || rest[0] == ';' || rest[0] == ','
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

func isLetters(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return text != ""
}
