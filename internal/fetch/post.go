package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Of a client that keeps connections: how many to one host, and how long.
const (
	maxIdle     = 64
	idleTimeout = 30 * time.Second
)

// Post sends form to address, under the bounds of Get and with its errors.
// header is laid over the fields of the request. The question must be one that
// may be asked twice: on a connection that the server had closed meanwhile it
// is.
func (c *Client) Post(ctx context.Context, address string, form url.Values, header http.Header) (*Body, error) {
	req, err := c.posting(ctx, address, "application/x-www-form-urlencoded", form.Encode())
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	body, err := c.send(req)
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", req.URL.Redacted(), err)
	}
	return body, nil
}

// PostJSON is Post for a question in JSON, which may be answered with status
// 201 too.
func (c *Client) PostJSON(ctx context.Context, address string, question []byte) (*Body, error) {
	req, err := c.posting(ctx, address, "application/json", string(question))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	body, err := c.send(req, http.StatusCreated)
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", req.URL.Redacted(), err)
	}
	return body, nil
}

func (c *Client) posting(ctx context.Context, address, contentType, text string) (*http.Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	if err := c.permit(u); err != nil {
		return nil, fmt.Errorf("post %s: %w", u.Redacted(), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(text))
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header["Idempotency-Key"] = []string{} // nothing is sent; net/http may then try another connection
	return req, nil
}

// CloseIdle closes the connections that are kept and not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// retryAfter reads a number of seconds; a date tells of two clocks and counts
// for nothing.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
