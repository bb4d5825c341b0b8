package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Of a client that keeps connections: how many to one host, and how long.
const (
	maxIdle     = 64
	idleTimeout = 30 * time.Second
)

// ErrUnanswered is wrapped by the error of a Post when the connection could not
// be made, or ended before the first octet of an answer. The question may have
// been read all the same.
var ErrUnanswered = errors.New("no answer began")

// Post sends form to address, under the bounds of Get and with its errors.
// header is laid over the fields of the request. Whatever happens, it is sent
// once.
func (c *Client) Post(ctx context.Context, address string, form url.Values, header http.Header) (*Body, error) {
	req, err := c.posting(ctx, address, "application/x-www-form-urlencoded", form.Encode())
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	var began atomic.Bool // set by a goroutine of the connection
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { began.Store(true) }}
	body, err := c.send(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	switch {
	case err == nil:
		return body, nil
	case !began.Load() && isLost(err):
		return nil, fmt.Errorf("post %s: %w: %w", shown(req.URL), ErrUnanswered, err)
	}
	return nil, fmt.Errorf("post %s: %w", shown(req.URL), err)
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
		return nil, fmt.Errorf("post %s: %w", shown(req.URL), err)
	}
	return body, nil
}

func (c *Client) posting(ctx context.Context, address, contentType, text string) (*http.Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	if err := c.permit(u); err != nil {
		return nil, fmt.Errorf("post %s: %w", shown(u), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(text))
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header.Set("Content-Type", contentType)
	return req, nil
}

// isLost tells the failure of a connection from a server or a name that is not
// the right one, and from a time that ran out.
func isLost(err error) bool {
	if errors.Is(err, ErrTimeout) || errors.Is(err, errAddress) || errors.Is(err, context.Canceled) {
		return false
	}
	op, network := errors.AsType[*net.OpError](err)
	return network && (op.Op == "dial" || op.Op == "read" || op.Op == "write") || errors.Is(err, io.EOF) || errors.Is(err, errIdleClosed)
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
