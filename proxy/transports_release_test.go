package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/places"
)

// A client that does not go on with its body holds no place once the answer is over:
// the connection is closed.
func TestNoPlaceForABodyThatNobodyWants(t *testing.T) {
	for name, answer := range map[string]string{
		"that stays":     saysOK,
		"that closes":    "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"without a body": "HTTP/1.1 204 No Content\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				w.all.Bound(places.Bounds{Most: 1, Wait: patient})
				w.serve = func(k *talk) {
					_, _ = http.ReadRequest(k.in)
					k.say(answer)
					_, _ = io.Copy(io.Discard, k.in)
				}
				body, client := io.Pipe()
				defer func() { _ = client.Close() }()
				r := w.request(t.Context(), http.MethodPost, "/", body)
				go func() { _, _ = client.Write([]byte("the beginning")) }()
				resp, err := w.up.send(r, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				w.untilHeld(t, 0)
			})
		})
	}
}

// A status that is none makes net/http panic before anybody has read the answer.
func TestNoPlaceForAStatusThatIsNone(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Path: "/**", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, w *world) {
		w.all.Bound(places.Bounds{Most: 1, Wait: patient})
		w.serve = func(k *talk) {
			for k.next() {
				k.say("HTTP/1.1 099 \r\nContent-Length: 2\r\n\r\nok")
			}
		}
		w.begin.Do(func() { w.running.Go(w.accept) })
		gates := &Switch{}
		gates.Set(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Policy: set, Upstream: w.up, Forward: []*Forward{{}}}}}})
		gate := httptest.NewServer(NewReverse(ReverseOptions{Switch: gates}))
		defer gate.Close()
		for range 3 {
			resp, err := gate.Client().Get(gate.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusBadGateway {
				t.Errorf("answered %d", resp.StatusCode)
			}
			w.untilHeld(t, 0)
		}
	})
}

// Whoever panics with an answer in hand leaves its place.
func TestNoPlaceAfterAPanic(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Path: "/**", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, w *world) {
		w.all.Bound(places.Bounds{Most: 1, Wait: patient})
		w.serve = honest
		w.begin.Do(func() { w.running.Go(w.accept) })
		gates := &Switch{}
		gates.Set(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Policy: set, Upstream: w.up, Forward: []*Forward{{}}}}}})
		for range 3 {
			var outcome *Outcome
			v := NewReverse(ReverseOptions{Switch: gates, Decided: func(_ *http.Request, o *Outcome) { outcome = o }})
			func() {
				defer func() { _ = recover() }() // the answer is cut
				v.ServeHTTP(panicking{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context()))
			}()
			if outcome.Panic == "" {
				t.Error("nobody panicked")
			}
			w.untilHeld(t, 0)
		}
	})
}

// panicking is a writer of answers that takes no 200.
type panicking struct{ http.ResponseWriter }

func (p panicking) WriteHeader(status int) {
	if status == http.StatusOK {
		panic("a writer's fault")
	}
	p.ResponseWriter.WriteHeader(status)
}
