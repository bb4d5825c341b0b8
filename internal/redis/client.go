// Package redis is the one door to Redis or Valkey, which replicas share: used
// proofs, small values, fields and messages. It knows nothing of what they mean.
//
// Nobody is asked when a Client is made. It connects in the background, again
// and again; while there is no connection every operation fails at once, and
// no operation takes longer than Options.Timeout. Its errors name no key and no
// value, so they may be logged.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/wicketgate/wicketgate/internal/spans"
)

// Defaults, and what the background allows itself.
const (
	DefaultTimeout = 50 * time.Millisecond
	DefaultPrefix  = "wicketgate:"

	patience = time.Second            // for a connection to be made, TLS and login included
	shortest = 100 * time.Millisecond // pause between two attempts, doubled each time
	longest  = time.Second
	interval = time.Second // between two looks at a connection that works
	thorough = 10          // of so many looks one is at the server's settings and clock too
)

// What is read of one answer at most.
const (
	MaxValue  = 1 << 20 // octets of a value or a message
	MaxFields = 10_000  // fields under one key
)

// Errors of every operation. All mean: nobody knows.
var (
	ErrUnavailable = errors.New("redis: no connection")
	ErrClosed      = errors.New("redis: client is closed")
	ErrTooLarge    = errors.New("redis: the answer is larger than allowed")
)

// Options says where Redis is. The zero value of a field but Addresses is its
// default.
type Options struct {
	Addresses      []string // host:port, or the path of a Unix socket; of the sentinels with SentinelMaster
	SentinelMaster string   // name of the master the sentinels watch
	Cluster        bool
	Username       string                 // of the ACL; "" is the default user
	Password       func() (string, error) // asked for each connection; nil is none
	Database       int
	TLS            *tls.Config // nil is plain text
	Prefix         string      // of every key and channel
	Timeout        time.Duration

	// OnError is told why there is no connection, once for each new reason, and
	// of settings of the server that are unsafe. It is called by one goroutine.
	OnError func(error)

	// OnState is told how the client stands, first and whenever that changes, by
	// the same goroutine.
	OnState func(connected, unsafe bool)
}

// Client talks to one Redis, sentinel group or cluster. It is safe for
// concurrent use.
type Client struct {
	options Options
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	current atomic.Pointer[session] // nil while there is no connection
	wake    chan struct{}

	mu      sync.Mutex // guards what follows
	trouble error
	warning string
	told    string    // the news OnError got last
	stood   *standing // what OnState got last
}

type standing struct{ connected, unsafe bool }

// New checks the options and begins to connect. It asks nobody and does not
// wait; Close ends what it begins.
func New(o Options) (*Client, error) {
	switch {
	case len(o.Addresses) == 0:
		return nil, errors.New("redis: no address")
	case o.SentinelMaster != "" && o.Cluster:
		return nil, errors.New("redis: sentinels watch no cluster")
	case o.Cluster && o.Database != 0:
		return nil, errors.New("redis: a cluster has one database")
	case len(o.Addresses) > 1 && o.SentinelMaster == "" && !o.Cluster:
		return nil, errors.New("redis: several addresses need sentinels or a cluster")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	c := &Client{options: o, wake: make(chan struct{}, 1), trouble: ErrUnavailable}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.running.Go(c.run)
	return c, nil
}

// Close ends every connection and waits until nothing of c runs.
func (c *Client) Close() {
	c.cancel()
	c.running.Wait()
}

// State is how a Client stands.
type State struct {
	Connected bool
	Err       error  // why not
	Warning   string // a setting of the server that makes it unsafe; "" for none
}

// State tells how c stands now. It asks nobody.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Err: c.trouble, Warning: c.warning}
	if current := c.current.Load(); current != nil && current.trusted() && c.trouble == nil {
		s.Connected = true
	} else if s.Err == nil {
		s.Err = ErrUnavailable
	}
	return s
}

// run holds one session after the other.
func (c *Client) run() {
	pause := shortest
	for c.ctx.Err() == nil {
		s, err := c.connect()
		if err == nil {
			pause = shortest
			c.current.Store(s)
			c.note(nil, s.warning())
			err = c.watch(s)
			c.current.Store(nil)
			s.close()
		}
		if c.ctx.Err() != nil {
			return
		}
		c.note(err, "")
		rest(c.ctx, pause+rand.N(pause/4))
		pause = min(2*pause, longest*3/4)
	}
}

// rest waits for a while, or until ctx ends.
func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// watch looks at s from time to time, and at once when an operation failed. It
// returns why s is of no more use.
func (c *Client) watch(s *session) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for looks := 1; ; looks++ {
		select {
		case <-ticker.C:
		case <-c.wake:
		case <-c.ctx.Done():
			return ErrClosed
		}
		err := s.look(c.ctx)
		if err == nil && looks%thorough == 0 {
			err = s.judge(c.ctx)
		}
		if err != nil {
			return plain(err)
		}
		c.note(nil, s.warning())
	}
}

// note keeps how c stands and tells of news once.
func (c *Client) note(err error, warning string) {
	news := warning
	if err != nil {
		news = err.Error()
	}
	c.mu.Lock()
	c.trouble = err
	if err == nil {
		c.warning = warning
	}
	told, stood := c.told, c.stood
	now := standing{connected: err == nil, unsafe: c.warning != ""}
	c.told, c.stood = news, &now
	c.mu.Unlock()
	if c.options.OnState != nil && (stood == nil || *stood != now) {
		c.options.OnState(now.connected, now.unsafe)
	}
	if news == told || news == "" || c.options.OnError == nil {
		return
	}
	if err == nil {
		err = errors.New("redis: " + warning)
	}
	c.options.OnError(err)
}

// do runs one operation within its time and has the session looked at when it
// failed for another reason than the server's answer.
func (c *Client) do(ctx context.Context, operation func(context.Context, *session) error) error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	s := c.current.Load()
	if s == nil || !s.trusted() {
		c.awake()
		return ErrUnavailable
	}
	limited, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	ended := spans.Waiting(ctx, "redis")
	err := operation(limited, s)
	if ended != nil {
		ended(err)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && !answered(err) {
		c.awake()
	}
	return plain(err)
}

func (c *Client) awake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// answered reports whether err is an answer about one operation that says
// nothing about the connection.
func answered(err error) bool {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, errOdd) {
		return true
	}
	refusal, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	switch code(refusal.Error()) {
	case "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED", "NOAUTH":
		return false
	}
	return true
}

// plain takes everything out of a server's refusal but its code: some echo the
// arguments, which are keys, values or a password.
func plain(err error) error {
	if refusal, ok := rueidis.IsRedisErr(err); ok {
		if refusal.IsNil() {
			return errOdd
		}
		return fmt.Errorf("redis answered %s", code(refusal.Error()))
	}
	if on, ok := errors.AsType[*net.OpError](err); ok {
		err = fmt.Errorf("%s: %w", on.Op, on.Err) // without our own port, which makes each attempt news
	}
	return fmt.Errorf("redis: %w", err)
}

// code is the first word of a refusal: capitals by convention.
func code(refusal string) string {
	word, _, _ := strings.Cut(refusal, " ")
	if word == "" || len(word) > 20 || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return word
}

// errOdd is an answer of another shape than the operation has.
var errOdd = errors.New("redis: an answer that makes no sense")
