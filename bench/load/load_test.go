package load_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/bench/load"
	"github.com/wicketgate/wicketgate/bench/upstream"
)

func TestRun(t *testing.T) {
	server, err := upstream.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, rate := range map[string]float64{"closed loop": 0, "fixed rate": 5000} {
		t.Run(name, func(t *testing.T) {
			clients, err := load.Open(server.Address(), load.Options{Connections: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = clients.Close() }()
			for range 2 {
				r, err := clients.Run(load.Plan{Requests: [][]byte{load.Get("a", "/"), load.Get("a", "/long", "X: "+strings.Repeat("x", 5000))}, Count: 501, Status: 200, Rate: rate})
				if err != nil {
					t.Fatal(err)
				}
				if r.Count != 501 || r.Statuses[200] != 501 || r.Latency.Count() != 501 || r.Latency.Quantile(0.99) <= 0 {
					t.Errorf("%+v", r)
				}
				if pace := time.Duration(500 * float64(time.Second) / max(rate, 1e6)); rate > 0 && r.Elapsed < pace {
					t.Errorf("all were sent within %v", r.Elapsed)
				}
			}
		})
	}
}

// answering is a server that gives each connection these texts, one for each
// request, and closes it after the last when it is told to.
func answering(t *testing.T, closes bool, answers ...string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for _, a := range answers {
					for line := " "; line != "\r\n"; {
						if line, err = in.ReadString('\n'); err != nil {
							return
						}
					}
					_, _ = io.WriteString(c, a)
				}
				if closes { // by halves, lest a request that comes nevertheless reset it
					_ = c.(*net.TCPConn).CloseWrite()
				}
				_, _ = io.Copy(io.Discard, in)
			})
		}
	})
	return l.Addr().String()
}

func TestAnswers(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\ncontent-length:  2 \r\n\r\nok"
	for name, c := range map[string]struct {
		answers []string
		closes  bool
		plan    load.Plan
		want    string // in the error; empty: none
	}{
		"good":                  {answers: []string{good, good}},
		"chunked":               {answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n", good}},
		"no content":            {answers: []string{"HTTP/1.1 204 No Content\r\n\r\n", good}, plan: load.Plan{Also: []int{204}}},
		"another status":        {answers: []string{good, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"}, want: "status 502, want 200"},
		"interim":               {answers: []string{"HTTP/1.1 100 Continue\r\n\r\n"}, want: "interim"},
		"old":                   {answers: []string{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"}, want: "no HTTP/1.1"},
		"no length":             {answers: []string{"HTTP/1.1 200 OK\r\n\r\n"}, want: "one length"},
		"two lengths":           {answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"}, want: "one length"},
		"both lengths":          {answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"}, want: "one length"},
		"negative":              {answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"}, want: "one length"},
		"bad chunk":             {answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"}, want: "one length"},
		"too much":              {answers: []string{good + "x", good}, want: "after the end"},
		"closes":                {answers: []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"}, closes: true, want: "closes"},
		"closed":                {answers: []string{good}, closes: true, want: "closed"},
		"closed within":         {answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"}, closes: true, want: "into an answer"},
		"closes, and may":       {answers: []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"}, closes: true, plan: load.Plan{Reconnect: true}},
		"says nothing":          {answers: []string{good, ""}, want: "no answer for"},
		"nothing to send":       {answers: []string{good}, plan: load.Plan{Requests: [][]byte{}}, want: "without requests"},
		"answers, nobody asked": {answers: []string{good + good}, want: "after the end"},
	} {
		t.Run(name, func(t *testing.T) {
			options := load.Options{Connections: 1}
			if slices.Contains(c.answers, "") {
				options.Silence = time.Second / 2
			}
			clients, err := load.Open(answering(t, c.closes, c.answers...), options)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = clients.Close() }()
			if c.plan.Status = 200; c.plan.Requests == nil {
				c.plan.Requests, c.plan.Count = [][]byte{load.Get("a", "/")}, 2
			}
			r, err := clients.Run(c.plan)
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.want == "" && r.Count != 2 {
				t.Errorf("%d answers", r.Count)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	var h, more load.Histogram
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	more.Add(time.Hour)
	h.Merge(&more)
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond, 1: time.Hour} {
		if got := h.Quantile(q); got < want || float64(got) > float64(want)*1.02 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.Count() != 1001 {
		t.Errorf("%d counted", h.Count())
	}
}
