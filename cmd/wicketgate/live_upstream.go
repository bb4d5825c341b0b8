package main

import (
	"context"
	"net"
	"net/url"
)

// liveUpstream connects to an upstream and sends it nothing.
func liveUpstream(ctx context.Context, r *liveReport, location string) {
	at, err := url.Parse(location)
	if err != nil { // build has read it
		r.fail("", ": %v", err)
		return
	}
	if at.Scheme != "unix" {
		r.connect(ctx, liveTarget{location: at})
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
