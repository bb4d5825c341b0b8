package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// outcome is one answer of the gate, or a set of them.
type outcome uint8

const (
	passed   outcome = 1 << iota // 200
	badToken                     // 401 invalid_token
	badProof                     // 401 invalid_dpop_proof
	asked                        // 401 without an error: no token came
	tooSmall                     // 403 insufficient_scope
	busy                         // 503 with Retry-After
	odd                          // anything else
)

func (o outcome) String() string {
	var names []string
	for i, name := range [...]string{"200", "401 invalid_token", "401 invalid_dpop_proof", "401", "403 insufficient_scope", "503", "another answer"} {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// read tells what an answer is. An answer that only looks like one of them is odd.
func read(status int, header http.Header) outcome {
	codes := map[string]bool{}
	for _, line := range header.Values("WWW-Authenticate") {
		for _, part := range strings.Split(line, `error="`)[1:] {
			code, _, _ := strings.Cut(part, `"`)
			codes[code] = true
		}
	}
	wait, err := strconv.Atoi(header.Get("Retry-After"))
	challenged := header.Get("WWW-Authenticate") != ""
	switch {
	case status == http.StatusOK:
		return passed
	case status == http.StatusUnauthorized && challenged && len(codes) == 0:
		return asked
	case status == http.StatusUnauthorized && len(codes) == 1 && codes["invalid_token"]:
		return badToken
	case status == http.StatusUnauthorized && len(codes) == 1 && codes["invalid_dpop_proof"]:
		return badProof
	case status == http.StatusForbidden && len(codes) == 1 && codes["insufficient_scope"]:
		return tooSmall
	case status == http.StatusServiceUnavailable && err == nil && wait > 0 && !challenged:
		return busy
	}
	return odd
}

// expectation is what decides about one request, from the outside.
type expectation struct {
	// early is decided before any key is looked for; nothing else matters then.
	early outcome
	// final is decided when key, signature and time are good.
	final outcome

	issuer *issuer   // whose key matters
	key    *key      // with issuer; nil: a kid nobody published
	issued time.Time // the token's iat

	asks   *opaques // who knows the token
	opaque *opaque  // with asks; nil: a token nobody made

	from, until time.Time // of the token, leeway included; zero: no bound
	facts       facts     // told to the upstream when passed
	reason      string    // the metric's label for early and final
}

// verdict is what is permitted of a request, and what each answer means.
type verdict struct {
	permitted outcome
	// keyed: badToken can have no other cause than the key, or the issuer's word.
	keyed bool
	// named: a refusal has no other cause than the reason of the expectation.
	named bool
	// away: busy is permitted since the issuer is away, or just was.
	away bool
}

// judge works out what was permitted between sent and received. The gate decides
// at some moment between them; where time, key or issuer changed meanwhile, the
// verdict before and the one after are both good.
func (e *expectation) judge(sent, received time.Time) verdict {
	if e.early != 0 {
		return verdict{permitted: e.early, named: true}
	}
	// An expired token is refused for that, whatever its key.
	if e.asks == nil && !e.until.IsZero() && !sent.Before(e.until) {
		return verdict{permitted: badToken}
	}
	f := e.find(sent, received)
	timely := (e.until.IsZero() || sent.Before(e.until)) && (e.from.IsZero() || !received.Before(e.from))
	untimely := !e.until.IsZero() && !received.Before(e.until) || !e.from.IsZero() && sent.Before(e.from)
	v := verdict{keyed: !untimely && e.final != badToken, named: !untimely && !f.refused, away: f.away}
	if f.held && timely {
		v.permitted |= e.final
	}
	if f.refused || f.held && untimely {
		v.permitted |= badToken
	}
	if f.busy {
		v.permitted |= busy
	}
	return v
}

func (e *expectation) find(sent, received time.Time) finding {
	switch {
	case e.asks != nil:
		return e.asks.find(e.opaque, sent, received)
	case e.issuer != nil:
		return e.issuer.timeline.find(e.key, e.issued, sent, received)
	}
	return finding{held: true}
}

// learn takes from a permitted answer what the gate knew.
func (e *expectation) learn(got outcome, v verdict, sent, received time.Time) {
	switch {
	case e.issuer == nil || e.key == nil:
	case got == e.final && got == passed, got == tooSmall:
		e.issuer.timeline.accepted(e.key, received)
	case got == badToken && v.keyed:
		e.issuer.timeline.refused(e.key, sent, received)
	}
}
