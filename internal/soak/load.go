package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxOpen    = 2000 // requests under way; what would come on top is not sent
	maxFailure = 25   // wrong verdicts told one by one
)

// tally is what came of the requests of one class.
type tally struct {
	requests, ok, busy int // busy: permitted
	accepted, refused  int // wrongly
	notBusy, other     int // 503 not permitted; another refusal than permitted
	transport          int // no answer
	upstream           int // the upstream saw something else than the verdict
}

func (t *tally) wrong() int {
	return t.accepted + t.refused + t.notBusy + t.other + t.transport + t.upstream
}

// load sends requests at a fixed rate and judges the answers.
type load struct {
	stage  *stage
	mix    *mix
	rate   int
	client *http.Client
	open   atomic.Int64
	number atomic.Int64

	mu        sync.Mutex // guards all below
	tallies   map[string]*tally
	decisions map[string]int // as the gate counts them
	reasons   map[string]int
	failures  []string
	faults    []string // of the soak itself
	held      int      // not sent: too many were under way
	reloads   int      // asked for by a signal, of a good file
	spoilt    int      // likewise, of a bad one
	away      int      // busy, since an issuer was away or just had been
}

func newLoad(s *stage, o options) (*load, error) {
	m, err := newMix(s)
	return &load{
		stage: s, mix: m, rate: o.rate, tallies: map[string]*tally{}, decisions: map[string]int{}, reasons: map[string]int{},
		client: &http.Client{
			Timeout:       time.Minute,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, err
}

// fault notes what went wrong on this side.
func (l *load) fault(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < maxFailure {
		l.faults = append(l.faults, err.Error())
	}
}

// asked counts what the gate was asked to do.
func (l *load) asked(count *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*count++
}

// run sends until ctx ends, and waits for the last answers.
func (l *load) run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	began, sent := time.Now(), 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(l.rate)); sent < due; {
			list, err := l.mix.next()
			if err != nil {
				l.fault(err)
				return
			}
			if len(list) == 0 {
				continue
			}
			if l.open.Load() > maxOpen {
				l.mu.Lock()
				l.held++
				l.mu.Unlock()
				sent++
				continue
			}
			sent += len(list)
			l.open.Add(int64(len(list)))
			sending.Go(func() { l.exchange(list) })
		}
	}
}

// exchange sends requests at once and judges them.
func (l *load) exchange(list []*request) {
	defer l.open.Add(-int64(len(list)))
	if len(list) == 1 {
		l.one(list[0])
		return
	}
	got := make([]outcome, len(list))
	var both sync.WaitGroup
	for i, r := range list {
		both.Go(func() { got[i] = l.one(r) })
	}
	both.Wait()
	l.twins(list[0].class, got)
}

// twins judges the answers to one proof sent more than once: one passed if the
// proof was used up, and no more than one.
func (l *load) twins(class string, got []outcome) {
	count := map[outcome]int{}
	for _, o := range got {
		count[o]++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch t := l.tallies[class]; {
	case count[passed] > 1:
		t.accepted++
		l.fail("%s: WRONGLY ACCEPTED: the proof passed %d times", class, count[passed])
	case count[badProof] > 0 && count[passed] == 0 && count[0] == 0:
		t.refused++
		l.fail("%s: WRONGLY REFUSED: the proof passed never, and was refused as used", class)
	}
}

// fail notes a wrong verdict. The caller holds mu.
func (l *load) fail(format string, values ...any) {
	if len(l.failures) < maxFailure {
		l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, values...))
	}
}

// one sends a request and judges the answer; 0 when there is none.
func (l *load) one(r *request) outcome {
	id := strconv.FormatInt(l.number.Add(1), 10)
	l.stage.upstream.expect(id)
	sent := time.Now()
	if r.want.issuer != nil {
		r.want.issuer.timeline.strange(r.want.key, sent)
	}
	resp, err := l.send(r, id)
	received := time.Now()
	if err != nil {
		l.stage.upstream.take(id)
		l.mu.Lock()
		defer l.mu.Unlock()
		t := l.tallyOf(r.class)
		t.requests++
		t.transport++
		l.fail("%s: no answer: %v", r.class, err)
		return 0
	}
	text, errB := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	got := read(resp.StatusCode, resp.Header)
	v := r.want.judge(sent, received)
	if got&v.permitted != 0 {
		r.want.learn(got, v, sent, received)
	}
	seen := l.stage.upstream.take(id)
	l.settle(r, v, got, resp.StatusCode)
	if amiss := r.want.compare(got, seen); amiss != "" || errB != nil || got == passed && string(text) != id {
		l.mu.Lock()
		l.tallyOf(r.class).upstream++
		l.fail("%s: upstream of a request answered %s: %s (%d times, own answer %t)", r.class, got, amiss, seen.times, string(text) == id)
		l.mu.Unlock()
	}
	if r.told != nil {
		r.told(got)
	}
	return got
}

func (l *load) send(r *request, id string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, l.stage.gate.url+r.path, nil)
	if err != nil {
		return nil, err
	}
	// Everybody tries to be somebody else, too.
	req.Header = http.Header{idHeader: {id}, "X-Auth-Subject": {"admin"}, "X-Auth-Scope": {"admin"}, "X-Auth-Binding": {"mtls"}}
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	if r.proof != "" {
		req.Header.Set("Dpop", r.proof)
	}
	return l.client.Do(req)
}

// compare holds what the upstream saw against the verdict: once and with the
// right facts, or never.
func (e *expectation) compare(got outcome, seen arrival) string {
	switch {
	case got != passed && seen.times > 0:
		return "saw it"
	case got != passed:
		return ""
	case seen.times != 1:
		return "did not see it once"
	case seen.amiss != "":
		return seen.amiss
	case seen.facts != e.facts:
		return fmt.Sprintf("was told %+v, want %+v", seen.facts, e.facts)
	}
	return ""
}

func (l *load) tallyOf(class string) *tally {
	t := l.tallies[class]
	if t == nil {
		t = &tally{}
		l.tallies[class] = t
	}
	return t
}

// settle counts a judged answer.
func (l *load) settle(r *request, v verdict, got outcome, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(r, v, got)
	t := l.tallyOf(r.class)
	t.requests++
	what := ""
	switch {
	case got&v.permitted != 0 && got == busy:
		t.busy++
		if v.away {
			l.away++
		}
	case got&v.permitted != 0:
		t.ok++
	case got == passed:
		t.accepted++
		what = "WRONGLY ACCEPTED"
	case got == busy:
		t.notBusy++
		what = "BUSY not permitted"
	case v.permitted&passed != 0:
		t.refused++
		what = "WRONGLY REFUSED"
	default:
		t.other++
		what = "another answer"
	}
	if what != "" {
		l.fail("%s: %s: got %d (%s), permitted %s%s", r.class, what, status, got, v.permitted, r.want.origin())
	}
}

// origin says whose token it was; a kid is no secret.
func (e *expectation) origin() string {
	switch {
	case e.issuer != nil && e.key != nil:
		return ", issuer " + e.issuer.name + ", kid " + e.key.id
	case e.issuer != nil:
		return ", issuer " + e.issuer.name
	}
	return ""
}
