package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// identify puts the client's own token on a request to its home. The token
// goes nowhere else (RFC 8725 section 3.10): not to another host, scheme or
// port, and not over plain text that leaves the machine.
func (c *Client) identify(req *http.Request) error {
	switch {
	case c.bearer == nil || c.home == "" || originOf(req.URL.String()) != c.home:
		return nil
	case req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()):
		return nil
	}
	token, err := c.bearer()
	if err != nil {
		return fmt.Errorf("own token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// originOf is scheme, host and port of a URL in a form to compare, or empty.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
