package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Octets that come on an idle connection are the answer of nobody's request,
// also not of one whose body is written while the answer is read.
func TestOctetsBeforeABody(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"length":    func(r *http.Request) { r.ContentLength = 1 },
		"chunks":    func(r *http.Request) { r.ContentLength = -1 },
		"expecting": func(r *http.Request) { r.ContentLength = 1; r.Header.Set("Expect", "100-continue") },
		"no body":   func(r *http.Request) { r.Body = nil },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				answered, arrived := make(chan struct{}), make(chan struct{})
				w.serve = func(k *talk) {
					if k.nth == 1 {
						k.next()
						k.say(saysOK)
						<-answered
						k.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
						<-time.After(50 * time.Millisecond)
						close(arrived)
					}
					honest(k)
				}
				want(t, "first", w.get(t), "200 ok")
				close(answered)
				<-arrived
				r := w.request(t.Context(), http.MethodPost, "/", stream{strings.NewReader("b")})
				edit(r)
				got := w.ask(r)
				if !w.own && got == "error broken" {
					return
				}
				want(t, "second", got, "200 ok")
				body := "b"
				if r.Body == nil {
					body = ""
				}
				w.wants(t, "1 GET / ", "2 POST / "+body)
				if n := w.unasked.Load(); w.own && n != 1 { // net/http tells of them in its log
					t.Errorf("unasked octets told %d times", n)
				}
			})
		})
	}
}

// A body that was refused its leave does not cut the answer that refuses it.
func TestRefusedLeaveSparesTheAnswer(t *testing.T) {
	for name, length := range map[string]int64{"length": 4, "chunks": -1} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				w.serve = func(k *talk) {
					if _, err := http.ReadRequest(k.in); err != nil {
						return
					}
					k.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\n")
					<-time.After(50 * time.Millisecond)
					k.say("no")
					k.next()
				}
				r := w.request(t.Context(), http.MethodPost, "/", stream{strings.NewReader("body")})
				r.ContentLength = length
				r.Header.Set("Expect", "100-continue")
				want(t, "answer", w.ask(r), "417 no")
			})
		})
	}
}
