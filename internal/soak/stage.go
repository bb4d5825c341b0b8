package main

import (
	"context"
	"fmt"
	"sync"
)

// stage is the gate and all that surrounds it but the clients.
type stage struct {
	issuers  []*issuer
	opaque   *opaques
	upstream *upstream
	gate     *gate
}

// busyIssuer is the one that is flooded with kids nobody published. The others
// are asked for keys only when there is a reason, so that their fetches can be
// counted.
const busyIssuer = 0

// newStage returns what was started even when it fails.
func newStage(ctx context.Context, o options, dir string) (*stage, error) {
	s := &stage{}
	var err error
	if s.upstream, err = newUpstream(); err != nil {
		return s, err
	}
	for _, c := range []issuerOptions{
		{name: "corp", alg: "ES256", maxAge: 60},
		{name: "partner", alg: "RS256"},
		{name: "machine", alg: "EdDSA", maxAge: 60, client: true},
	} {
		is, err := newIssuer(c)
		if err != nil {
			return s, fmt.Errorf("issuer %s: %w", c.name, err)
		}
		s.issuers = append(s.issuers, is)
	}
	s.opaque = newOpaques(s.issuers[len(s.issuers)-1])
	s.gate, err = startGate(ctx, o.gate, dir, s.configuration)
	return s, err
}

// close stops all that runs still.
func (s *stage) close() {
	if s.gate != nil {
		s.gate.stop()
	}
	for _, is := range s.issuers {
		is.close()
	}
	if s.upstream != nil {
		s.upstream.close()
	}
}

// quiet takes away everybody the gate talks with, so that what it holds on to
// afterwards is its own.
func (s *stage) quiet(l *load) {
	l.client.CloseIdleConnections()
	for _, is := range s.issuers {
		is.close()
	}
	s.upstream.close()
}

// start runs each until ctx ends.
func start(ctx context.Context, all ...func(context.Context)) *sync.WaitGroup {
	var group sync.WaitGroup
	for _, run := range all {
		group.Go(func() { run(ctx) })
	}
	return &group
}
