package echo

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// wrong is a kind of thing that must never happen.
type wrong int

const (
	foreign wrong = iota // an answer, a request or a part of one that is another's
	stray                // the upstream saw what no client sent
	twice                // it executed once more what must not be repeated
	whole                // the beginning of something was taken for all of it
	missing              // no answer, or not the one that is owed
	wrongs
)

var wrongNames = [wrongs]string{"of another", "never sent", "executed twice", "cut, taken for whole", "not as owed"}

// Ledger knows every exchange under way, from before it is sent.
type ledger struct {
	shards [64]shard

	counts  [wrongs]atomic.Int64
	planned [faults]atomic.Int64
	retried atomic.Int64 // executions of requests that may be repeated, beyond the first
	reached atomic.Int64 // requests that the gate took for certain
	perhaps atomic.Int64 // those it may have taken
	spared  atomic.Int64 // good requests that another's fault cost their answer: 502
	own     atomic.Int64 // answers of the gate itself, all told

	mu       sync.Mutex // guards all below
	failures []string
}

type shard struct {
	mu        sync.Mutex // guards all below
	open      map[string]*exchange
	lingering []lingering
}

// lingering is an exchange whose client has gone: it may still arrive.
type lingering struct {
	id    string
	until time.Time
}

// lingers is how long a request may take to arrive.
const lingers = time.Minute

func newLedger() *ledger {
	l := &ledger{}
	for i := range l.shards {
		l.shards[i].open = map[string]*exchange{}
	}
	return l
}

func (l *ledger) shard(id string) *shard {
	if len(id) < idLength {
		return &l.shards[0]
	}
	return &l.shards[(int(id[idLength-1])*16+int(id[idLength-2]))%len(l.shards)]
}

// expect notes that x is about to be sent.
func (l *ledger) expect(x *exchange) {
	l.planned[x.fault].Add(1)
	s := l.shard(x.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[x.id] = x
}

// forget notes that x is over. One that was answered may not arrive again.
func (l *ledger) forget(x *exchange, answered bool) {
	s := l.shard(x.id)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		delete(s.open, x.id)
	} else {
		s.lingering = append(s.lingering, lingering{x.id, now.Add(lingers)})
	}
	for len(s.lingering) > 0 && now.After(s.lingering[0].until) {
		delete(s.open, s.lingering[0].id)
		s.lingering = s.lingering[1:]
	}
}

func (l *ledger) find(id string) *exchange {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

const maxFailures = 25

// amiss notes what must not happen.
func (l *ledger) amiss(what wrong, x *exchange, format string, values ...any) {
	l.counts[what].Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) == maxFailures {
		return
	}
	of := ""
	if x != nil {
		of = fmt.Sprintf(" (%s, %s to %s, %d there, %d back)", x.fault, x.method, x.host, x.sends, x.gets)
	}
	l.failures = append(l.failures, wrongNames[what]+": "+fmt.Sprintf(format, values...)+of)
}

// arrived finds the exchange of a head that an upstream got; nil for one that
// nobody sent.
func (l *ledger) arrived(r *http.Request) *exchange {
	ids := r.Header[idField]
	if len(ids) != 1 {
		l.amiss(stray, nil, "%d ids in a request that arrived", len(ids))
		return nil
	}
	x := l.find(ids[0])
	if x == nil || x.fault == cutHead {
		l.amiss(stray, x, "a request that nobody sent arrived")
		return nil
	}
	x.seen.Add(1)
	if subjects := r.Header[toldField]; r.URL.Path != x.path() || r.Host != x.host || len(subjects) != 1 || subjects[0] != x.subject {
		l.amiss(foreign, x, "a request arrived with the id of another, or its subject, path or host")
	}
	return x
}

// execute takes a request that arrived whole, and tells whether it is the first
// time.
func (l *ledger) execute(x *exchange, body []byte) (first bool) {
	switch {
	case !filled(body, x.id):
		l.amiss(foreign, x, "a body arrived with octets of another")
	case x.fault == cutBody || len(body) != x.sends:
		l.amiss(whole, x, "%d octets of a body arrived as if they were all", len(body))
	}
	n := x.executed.Add(1)
	if n > 1 {
		l.retried.Add(1)
		if x.method == http.MethodPost {
			l.amiss(twice, x, "executed %d times", n)
		}
	}
	return n == 1
}
