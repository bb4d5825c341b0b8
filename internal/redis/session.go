package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// buckets is how many parts the used identifiers are spread over in a cluster:
// enough for the nodes of a large one. All keys of a bucket share a slot.
const buckets = 64

// session is one client of rueidis, from the first connection to the first
// failure. Whatever it was connected to is looked at before it is trusted: the
// process at the other end of a new connection may have forgotten.
type session struct {
	client  rueidis.Client
	options *Options
	epochs  []string // the key of each bucket's epoch

	dials   atomic.Int64   // connections made to servers that hold data
	checked atomic.Int64   // the value of dials at which all epochs were judged
	behind  []atomic.Int64 // nanoseconds that the clock of each bucket's server is behind ours; 0 where it is ahead

	mu    sync.Mutex // guards what follows
	unfit []string   // for each bucket, what makes its server so
	conns map[*connection]struct{}
	peers map[string]bool // remote addresses of sentinels
}

func newSession(o *Options) *session {
	s := &session{options: o, conns: make(map[*connection]struct{}), peers: make(map[string]bool)}
	s.checked.Store(-1)
	for i := range parts(o.Cluster) {
		s.epochs = append(s.epochs, s.replayKey(i, "epoch"))
	}
	s.behind, s.unfit = make([]atomic.Int64, len(s.epochs)), make([]string, len(s.epochs))
	return s
}

// connect makes a session, or fails within about two seconds.
func (c *Client) connect() (*session, error) {
	s := newSession(&c.options)
	client, err := rueidis.NewClient(c.settings(s))
	s.client = client
	if err != nil {
		s.close()
		return nil, plain(err)
	}
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	if err := s.judge(ctx); err != nil {
		s.close()
		return nil, plain(err)
	}
	return s, nil
}

func parts(cluster bool) int {
	if cluster {
		return buckets
	}
	return 1
}

// settings are those of rueidis. One connection to each server, pipelined when
// several callers wait: more would spread the callers and shorten the pipelines.
func (c *Client) settings(s *session) rueidis.ClientOption {
	o := rueidis.ClientOption{
		InitAddress:         c.options.Addresses,
		SelectDB:            c.options.Database,
		TLSConfig:           c.options.TLS,
		Dialer:              net.Dialer{Timeout: patience, KeepAlive: -1},
		ConnWriteTimeout:    patience,
		PipelineMultiplex:   -1,
		RingScaleEachConn:   12,
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		ClientSetInfo:       rueidis.DisableClientSetInfo,
		DisableCache:        true,
		DisableRetry:        true,
		ForceSingleClient:   !c.options.Cluster && c.options.SentinelMaster == "",
		DialCtxFn: func(ctx context.Context, address string, _ *net.Dialer, t *tls.Config) (net.Conn, error) {
			return s.dial(ctx, c.ctx, address, t)
		},
	}
	if c.options.SentinelMaster != "" {
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: c.options.SentinelMaster, TLSConfig: c.options.TLS, Dialer: o.Dialer,
			TopologyRefreshInterval: 2 * time.Second,
		}
	}
	if c.options.Cluster {
		o.ClusterOption = rueidis.ClusterOption{ShardsRefreshInterval: 5 * time.Second, MaxMovedRedirections: 3}
	}
	o.AuthCredentialsFn = c.credentials(s)
	return o
}

// credentials reads the password again for each connection. Sentinels are asked
// without one.
func (c *Client) credentials(s *session) func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
	if c.options.Password == nil && c.options.Username == "" {
		return nil
	}
	return func(at rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
		if at.Address != nil && s.peer(at.Address.String()) {
			return rueidis.AuthCredentials{}, nil
		}
		credentials := rueidis.AuthCredentials{Username: c.options.Username}
		if c.options.Password == nil {
			return credentials, nil
		}
		password, err := c.options.Password()
		if err != nil {
			return credentials, fmt.Errorf("password: %w", err)
		}
		credentials.Password = password
		return credentials, nil
	}
}

// peer reports whether a connection's other end is a sentinel.
func (s *session) peer(remote string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[remote]
}

// sentinel reports whether the server at an address is one of the sentinels.
func (s *session) sentinel(address string) bool {
	return s.options.SentinelMaster != "" && slices.Contains(s.options.Addresses, address)
}

// dial makes a connection that ends with life and is known to s. Each one to
// a server with data takes away the trust in s until its epochs are judged again.
func (s *session) dial(ctx, life context.Context, address string, t *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	var conn net.Conn
	var err error
	if t != nil {
		conn, err = (&tls.Dialer{Config: t}).DialContext(ctx, network, address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	known := &connection{Conn: conn, session: s, raw: conn}
	if secure, ok := conn.(*tls.Conn); ok {
		known.raw = secure.NetConn() // closing it does not wait to say goodbye
	}
	known.stop = context.AfterFunc(life, func() { _ = known.raw.Close() })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[known] = struct{}{}
	if s.sentinel(address) {
		s.peers[conn.RemoteAddr().String()] = true
	} else {
		s.dials.Add(1)
	}
	return known, nil
}

// connection is one that its session can end.
type connection struct {
	net.Conn
	raw     net.Conn
	session *session
	stop    func() bool
}

func (c *connection) Close() error {
	c.stop()
	c.session.mu.Lock()
	delete(c.session.conns, c)
	c.session.mu.Unlock()
	return c.Conn.Close()
}

// cut ends the connections.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.raw.Close()
	}
}

// close ends the connections first, so that rueidis does not wait for answers
// of a server that gives none.
func (s *session) close() {
	s.cut()
	if s.client != nil {
		s.client.Close()
	}
}

// trusted reports whether no connection was made since the epochs were judged.
func (s *session) trusted() bool { return s.checked.Load() == s.dials.Load() }

// look asks for every epoch and judges them anew when one is gone or when
// a connection was made. It fails when an answer takes longer than an operation may.
func (s *session) look(ctx context.Context) error {
	if !s.trusted() {
		return s.judge(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	commands := make([]rueidis.Completed, 0, len(s.epochs))
	for _, key := range s.epochs {
		commands = append(commands, s.client.B().Get().Key(key).Build())
	}
	for _, answer := range s.client.DoMulti(ctx, commands...) {
		err := answer.Error()
		if rueidis.IsRedisNil(err) {
			return s.judge(ctx)
		}
		if err != nil {
			return err
		}
	}
	if !s.trusted() {
		return s.judge(ctx)
	}
	return nil
}

// begin is run where an epoch may be missing. The epoch is "<run> <second>":
// which process holds the memory, and since when. Another process under the
// same name began with a copy that may lack the last entries (a snapshot, a promoted
// replica), so its memory begins now. One step, since a time that was read
// before the memory was lost would claim to know what it does not.
const begin = `
local function info(section)
  local text = redis.pcall('INFO', section)
  if type(text) == 'string' then return text end
  return ''
end
local run = string.match(info('server'), 'run_id:(%w+)') or 'unknown'
local memory = info('memory')
local now = redis.call('TIME')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.match(epoch, '^%S+') ~= run then
  epoch = run .. ' ' .. now[1]
  redis.call('SET', KEYS[1], epoch)
end
return {epoch, string.match(memory, 'maxmemory:(%d+)') or '?', string.match(memory, 'maxmemory_policy:([%w-]+)') or '?', now[1], now[2]}
`

// judge has every epoch begun anew where it must be, until no connection was
// made meanwhile.
func (s *session) judge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range 5 {
		dials := s.dials.Load()
		for bucket := range s.epochs {
			if _, err := s.begin(ctx, bucket); err != nil {
				return err
			}
		}
		if s.dials.Load() == dials {
			s.checked.Store(dials)
			return nil
		}
	}
	return errors.New("redis: connections do not hold")
}

// begin returns since when the memory of one bucket remembers, by our clock.
func (s *session) begin(ctx context.Context, bucket int) (time.Time, error) {
	answer, err := s.client.Do(ctx, s.client.B().Eval().Script(begin).Numkeys(1).Key(s.epochs[bucket]).Build()).AsStrSlice()
	if err != nil {
		return time.Time{}, err
	}
	if len(answer) != 5 {
		return time.Time{}, errOdd
	}
	seconds, errS := strconv.ParseInt(answer[3], 10, 64)
	micros, errM := strconv.ParseInt(answer[4], 10, 64)
	if errS != nil || errM != nil {
		return time.Time{}, errOdd
	}
	s.assess(bucket, answer[1], answer[2], time.Since(time.Unix(seconds, micros*1000)))
	return s.second(bucket, answer[0])
}

// second reads the time of an epoch. Proofs are dated by clocks like ours: a
// server whose clock is behind would claim to remember what came before.
func (s *session) second(bucket int, epoch string) (time.Time, error) {
	_, text, _ := strings.Cut(epoch, " ")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}, errOdd
	}
	return time.Unix(seconds, s.behind[bucket].Load()), nil
}

// assess notes what makes the server unfit to remember, and how far its clock is
// behind ours.
func (s *session) assess(bucket int, maxMemory, policy string, behind time.Duration) {
	s.behind[bucket].Store(int64(max(behind, 0)))
	unfit := ""
	switch {
	case policy == "?":
		unfit = "INFO is refused, so nobody knows whether it evicts or was restarted from a copy"
	case policy != "noeviction" && maxMemory != "0":
		unfit = "maxmemory-policy is " + policy + ": used proofs may be evicted and pass again; set noeviction"
	case behind.Abs() > 2*time.Second:
		unfit = "its clock and ours differ by more than two seconds"
	}
	s.mu.Lock()
	s.unfit[bucket] = unfit
	s.mu.Unlock()
}

func (s *session) warning() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, unfit := range s.unfit {
		if unfit != "" {
			return unfit
		}
	}
	return ""
}
