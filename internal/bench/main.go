// Command bench measures what the gate costs: processor time a request, of the
// gate's process alone, against a bare httputil.ReverseProxy tuned the usual
// way that forwards the same requests unchecked. All variants run in turns in
// one go, so that a busy machine slows them alike; compare the ratios of one
// run, never figures of two.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

var (
	requests    = flag.Int("requests", 4000, "requests of a variant in each round")
	rounds      = flag.Int("rounds", 5, "rounds; the median counts")
	connections = flag.Int("connections", 32, "connections, each with one request at a time")
	role        = flag.String("role", "", "for child processes: bare")
	target      = flag.String("target", "", "for child processes: the upstream")
)

func main() {
	flag.Parse()
	if *role == "bare" {
		serveBare(*target)
		return
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// serveBare is what most Go proxies are: no checks, but tuned. It prints its
// address.
func serveBare(upstream string) {
	at, err := url.Parse(upstream)
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(at); pr.Out.Host = pr.In.Host; pr.SetXForwarded() },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 512, DisableCompression: true, IdleConnTimeout: time.Minute,
		},
		BufferPool: &pool{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, proxy))
}

type pool struct{ sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.Pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.Pool.Put(&b) }

// variant is one way to ask: where, and with which header fields.
type variant struct {
	name   string
	url    string
	pid    int
	status int
	header func(i int) (http.Header, error) // of the i-th request ever made
	sent   int
	costs  []time.Duration // a request, by round
}

func run() error {
	dir, err := os.MkdirTemp("", "wicketgate-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := newBench(dir)
	if err != nil {
		return err
	}
	defer b.stop()
	for range *rounds {
		for _, v := range b.variants {
			if err := v.measure(); err != nil {
				return err
			}
		}
	}
	b.report()
	return nil
}

// measure makes one round of requests and notes what they cost the process
// that served them.
func (v *variant) measure() error {
	headers := make([]http.Header, *requests)
	for i := range headers {
		var err error
		if headers[i], err = v.header(v.sent); err != nil {
			return err
		}
		v.sent++
	}
	before, err := used(v.pid)
	if err != nil {
		return err
	}
	if err := v.send(headers); err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	after, err := used(v.pid)
	if err != nil {
		return err
	}
	v.costs = append(v.costs, (after-before)/time.Duration(len(headers)))
	return nil
}

func (v *variant) send(headers []http.Header) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *connections, MaxConnsPerHost: *connections}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var workers sync.WaitGroup
	for range *connections {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(headers); i = next.Add(1) - 1 {
				if err := v.ask(client, headers[i]); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	workers.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (v *variant) ask(client *http.Client, header http.Header) error {
	req, err := http.NewRequest(http.MethodGet, v.url, nil)
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var drain [512]byte
	for {
		if _, err := resp.Body.Read(drain[:]); err != nil {
			break
		}
	}
	if resp.StatusCode != v.status {
		return fmt.Errorf("status %d, want %d", resp.StatusCode, v.status)
	}
	return nil
}

// used is the processor time of a process, threads that ended excepted, to the
// nanosecond.
func used(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no processor time of process %d: this needs Linux", pid)
	}
	var total time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		var nanoseconds int64
		if _, err := fmt.Sscan(string(text), &nanoseconds); err != nil {
			return 0, err
		}
		total += time.Duration(nanoseconds)
	}
	return total, nil
}

// bench is the processes and what to ask of them.
type bench struct {
	issuer   *devissuer.Issuer
	upstream *http.Server
	children []*exec.Cmd
	variants []*variant
}

func (b *bench) stop() {
	for _, c := range b.children {
		_ = c.Process.Kill() // ours, and of no more use
		_ = c.Wait()
	}
	_ = b.upstream.Close()
}

func (b *bench) report() {
	bare := median(b.variants[0].costs)
	fmt.Printf("%d rounds of %d requests, %d connections, 256-byte answers; median processor time of the proxy's process\n\n", *rounds, *requests, *connections)
	fmt.Printf("%-34s %12s %8s %12s\n", "", "us/request", "ratio", "min..max us")
	for _, v := range b.variants {
		m := median(v.costs)
		fmt.Printf("%-34s %12.1f %8.2f %5.0f..%.0f\n", v.name, us(m), float64(m)/float64(bare), us(slices.Min(v.costs)), us(slices.Max(v.costs)))
	}
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func median(list []time.Duration) time.Duration {
	sorted := slices.SortedFunc(slices.Values(list), cmp.Compare)
	return sorted[len(sorted)/2]
}

func newBench(dir string) (*bench, error) {
	b := &bench{}
	var err error
	if b.issuer, err = devissuer.New(devissuer.Options{Identifier: "https://as.example.com"}); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	answer := []byte(strings.Repeat("x", 256))
	b.upstream = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = b.upstream.Serve(l) }()
	upstream := "http://" + l.Addr().String()
	bare, bareAddress, err := b.startBare(upstream)
	if err != nil {
		return b, err
	}
	gate, gateAddress, err := b.startGate(dir, upstream)
	if err != nil {
		return b, err
	}
	return b, b.addVariants(bare, "http://"+bareAddress+"/read", gate, "http://"+gateAddress)
}
