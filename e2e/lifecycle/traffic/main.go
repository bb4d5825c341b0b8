// Command traffic is an upstream and the clients of a gate in front of it, for
// whoever ends that gate: it sends requests until readyz turns from 200, goes on
// for as long as a balancer takes to notice, and counts what failed.
//
//	traffic -gate 127.0.0.1:8420 -ready http://127.0.0.1:8421/readyz -upstream 127.0.0.1:3000 -path /open/x
//
// It prints "under way" when every kind of client has been answered, and one line
// at its end. It exits with 1 when a request failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds a request, and the wait for the gate to end.
const patience = 30 * time.Second

const answer = "an answer of the upstream\n"

func main() {
	gate := flag.String("gate", "", "host:port of the gate")
	ready := flag.String("ready", "", "URL that answers 200 until the gate is told to end")
	upstream := flag.String("upstream", "", "host:port to answer the gate at")
	path := flag.String("path", "/", "path that needs no token")
	stale := flag.Duration("stale", 500*time.Millisecond, "how long clients still come when readyz no longer says 200")
	flag.Parse()
	if err := run(*gate, *ready, *upstream, *path, *stale); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

func run(gate, ready, upstream, path string, stale time.Duration) error {
	listener, err := net.Listen("tcp", upstream)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }() // ends with the process
	c := &crowd{url: "http://" + gate + path, ready: ready, stop: make(chan struct{})}
	c.start()
	if err := c.underWay(); err != nil {
		return err
	}
	fmt.Println("under way")
	before, err := c.untilNotReady()
	if err != nil {
		return err
	}
	time.Sleep(stale) // what a balancer takes to act is the matter here
	close(c.stop)
	c.clients.Wait()
	answered, failed := c.answered.Load(), c.failed.Load()
	fmt.Printf("%d requests answered, %d of them since readyz said no; %d failed\n", answered, answered-before, failed)
	if failed > 0 || answered == before {
		return fmt.Errorf("%d requests failed, the first: %v", failed, c.first.Load())
	}
	return nil
}

// serve takes its time for some requests, so that there are always some under way.
func serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Query().Has("slow") {
		time.Sleep(200 * time.Millisecond)
	}
	_, _ = io.WriteString(w, answer)
}

// crowd is all clients. None sends a request twice: a lost one is a failure.
type crowd struct {
	url, ready       string
	stop             chan struct{}
	clients          sync.WaitGroup
	kinds            []*atomic.Int64 // answers of each kind of client
	answered, failed atomic.Int64
	first            atomic.Value // of the failures
}

func (c *crowd) start() {
	for range 4 {
		c.send("", 10*time.Millisecond, &http.Transport{MaxIdleConnsPerHost: 1})          // connections that are kept
		c.send("", 20*time.Millisecond, &http.Transport{DisableKeepAlives: true})         // new ones
		c.send("?slow", 10*time.Millisecond, &http.Transport{MaxIdleConnsPerHost: 1})     // requests under way
		c.send("?slow", 20*time.Millisecond, &http.Transport{Protocols: http2Protocol()}) // streams under way
	}
}

func http2Protocol() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (c *crowd) send(query string, pause time.Duration, transport *http.Transport) {
	count := new(atomic.Int64)
	c.kinds = append(c.kinds, count)
	client := &http.Client{Transport: transport, Timeout: patience}
	c.clients.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-c.stop: // also when it is time for another
				return
			default:
			}
			if err := post(client, c.url+query); err != nil {
				c.failed.Add(1)
				c.first.CompareAndSwap(nil, err.Error())
			} else {
				c.answered.Add(1)
				count.Add(1)
			}
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
		}
	})
}

// post sends a body that cannot be had again, so that the transport cannot hide a
// connection that was closed under the request.
func post(client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, io.NopCloser(strings.NewReader("a body")))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(body) != answer {
		return fmt.Errorf("status %d, %d octets", resp.StatusCode, len(body))
	}
	return nil
}

// underWay waits until each client has ten answers.
func (c *crowd) underWay() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		least := c.kinds[0].Load()
		for _, k := range c.kinds {
			least = min(least, k.Load())
		}
		if least >= 10 {
			return nil
		}
	}
	return fmt.Errorf("clients are not answered; %d failures, the first: %v", c.failed.Load(), c.first.Load())
}

// untilNotReady tells how many requests were answered when readyz stopped to say 200.
func (c *crowd) untilNotReady() (int64, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := client.Get(c.ready)
		if err != nil {
			return 0, fmt.Errorf("readyz was not there before it said no: %w", err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return c.answered.Load(), nil
		}
	}
	return 0, fmt.Errorf("readyz says 200 after %v", patience)
}
