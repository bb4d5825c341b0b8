package live

import (
	"context"
	"net"
	"net/url"
)

// Upstream connects to the upstream of a resource and sends it nothing. Location
// is a URL with the scheme http, https or unix.
func Upstream(resource, location string) Question {
	return Question{"upstream of " + resource, func(ctx context.Context, r *report) { askUpstream(ctx, r, location) }}
}

func askUpstream(ctx context.Context, r *report, location string) {
	at, err := url.Parse(location)
	if err != nil { // build has read it
		r.fail("", ": %v", err)
		return
	}
	if at.Scheme != "unix" {
		r.connect(ctx, target{location: at})
		return
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "unix", at.Path)
	if err != nil {
		r.fail("is it running, and may the gate's user write to the socket?", ": no connection to %s: %s", at.Path, networkError(err))
		return
	}
	_ = conn.Close()
	r.good(" accepts connections at %s", at.Path)
}
