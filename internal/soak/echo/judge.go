package echo

import (
	"bytes"
	"net/http"
)

// reply is what a client got.
type reply struct {
	err      error // there was no answer
	status   int
	header   http.Header
	interims []string // the ids of informational answers
	body     []byte   // as far as it was read
	ended    bool     // the answer ended as an answer does
	cut      error    // why it did not, as the client sees it
	left     bool     // the client did not wait for its end
	trailer  string
}

// judge holds an answer against what the exchange is owed.
func (l *ledger) judge(x *exchange, r *reply) {
	defer l.forget(x, r.err == nil && r.header[idField] != nil && !r.left)
	l.perhaps.Add(1)
	if r.err == nil || x.seen.Load() > 0 {
		l.reached.Add(1)
	}
	for _, id := range r.interims {
		if id != x.id {
			l.amiss(foreign, x, "an informational answer is another's")
		}
	}
	switch {
	case r.err != nil:
		l.unanswered(x, r)
	case r.header[idField] == nil:
		l.refused(x, r)
	default:
		l.answered(x, r)
	}
}

// unanswered judges that there was no answer.
func (l *ledger) unanswered(x *exchange, r *reply) {
	switch x.fault {
	case cutHead, cutBody, dropRequest, dropAnswer:
		return
	case early: // the connection may break while the body is written
		return
	case resetInBody, longLength: // nothing of it had been passed on yet
		return
	}
	l.amiss(missing, x, "no answer: %v", r.err)
}

// refused judges an answer of the gate itself.
func (l *ledger) refused(x *exchange, r *reply) {
	l.own.Add(1)
	if bytes.Contains(r.body, []byte(forged)) || r.header.Get(forged) != "" {
		l.amiss(foreign, x, "an answer that was nobody's came to a client")
		return
	}
	gone := x.fault == resetFirst || x.fault == resetInHead || x.fault == early
	cut := x.fault == cutBody && (r.status == http.StatusBadRequest || r.status == http.StatusRequestTimeout)
	switch {
	case cut || r.status == http.StatusBadGateway && gone:
	case r.status == http.StatusBadGateway: // whoever had the connection before has spoilt it
		l.spared.Add(1)
	default:
		l.amiss(missing, x, "the gate answered %d", r.status)
	}
}

// answered judges an answer of an upstream.
func (l *ledger) answered(x *exchange, r *reply) {
	ids, subjects := r.header[idField], r.header[subjectField]
	if len(ids) != 1 || ids[0] != x.id || len(subjects) != 1 || subjects[0] != x.subject {
		l.amiss(foreign, x, "the head of an answer is another's")
		return
	}
	if !filled(r.body, x.id) {
		l.amiss(foreign, x, "an answer has octets of another")
		return
	}
	broken := x.fault == resetInBody || x.fault == longLength
	switch {
	case r.status != x.status() && x.executed.Load() < 2:
		l.amiss(missing, x, "status %d", r.status)
	case r.left:
	case r.ended && (len(r.body) != x.body() || broken && x.executed.Load() < 2):
		l.amiss(whole, x, "%d of %d octets of an answer came as if they were all", len(r.body), x.body())
	case !r.ended && !broken && x.fault != early && x.fault != cutBody:
		l.amiss(missing, x, "an answer was cut after %d octets of %d: %v", len(r.body), x.body(), r.cut)
	case r.ended && x.fault == trailer && r.trailer != x.id:
		l.amiss(foreign, x, "the trailer is missing or another's")
	case x.fault != early && x.executed.Load() == 0:
		l.amiss(stray, x, "an answer to what no upstream executed")
	}
}
