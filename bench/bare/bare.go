// Package bare runs the proxies that check nothing, each in a process of its own:
// what the gate is compared with.
package bare

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/bench/rounds"
)

// The kinds of Start.
const (
	Reference = "reference" // httputil.NewSingleHostReverseProxy with idle connections raised, all else as it comes
	Tuned     = "tuned"     // a buffer pool besides, Rewrite, and no compression of its own
)

const variable = "WICKETGATE_BENCH_BARE" // "KIND URL" makes a child of a program that calls Child

// Child serves, and never returns, in a process that Start began. A program that
// calls Start calls it first of all; a test, in TestMain.
func Child() {
	kind, upstream, found := strings.Cut(os.Getenv(variable), " ")
	if !found {
		return
	}
	if err := serve(kind, upstream); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve prints its address, and ends when standard input does, as it does with
// the parent.
func serve(kind, upstream string) error {
	proxy, err := New(kind, upstream)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	if err := http.Serve(l, proxy); !errors.Is(err, net.ErrClosed) { //nolint:gosec // a server for clients of our own
		return err
	}
	return nil
}

// New makes the handler of a kind.
func New(kind, upstream string) (http.Handler, error) {
	to, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	switch kind {
	case Reference:
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http says that it is one
		transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 4096
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.Transport = transport
		return proxy, nil
	case Tuned:
		return &httputil.ReverseProxy{
			Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(to); pr.Out.Host = pr.In.Host; pr.SetXForwarded() },
			Transport:  &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true, IdleConnTimeout: time.Minute},
			BufferPool: &pool{},
		}, nil
	}
	return nil, fmt.Errorf("no kind %q", kind)
}

type pool struct{ buffers sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.buffers.Put(&b) }

// A Proxy is one that runs.
type Proxy struct {
	Address string

	child *exec.Cmd
	stdin io.Closer
}

// Start runs a proxy of a kind before an upstream, given as http://host:port.
func Start(kind, upstream string) (*Proxy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), variable+"="+kind+" "+upstream)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, errI := child.StdinPipe()
	out, errO := child.StdoutPipe()
	if err := errors.Join(errI, errO, child.Start()); err != nil {
		return nil, err
	}
	p := &Proxy{child: child, stdin: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.Address = strings.TrimSpace(line)
	return p, nil
}

// PID is the number of its process.
func (p *Proxy) PID() int { return p.child.Process.Pid }

// Target is the proxy as something to measure.
func (p *Proxy) Target(name string) rounds.Target {
	return rounds.Target{Name: name, Address: p.Address, PID: p.PID(), Unchecked: true}
}

// Close ends it.
func (p *Proxy) Close() error { return errors.Join(p.stdin.Close(), p.child.Wait()) }
