package echo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// streamClient speaks HTTP/2 in plain text, over a connection that it shares.
type streamClient struct {
	*planner
	ledger *ledger
	target string // the gate's address
	client *http.Transport
	body   bytes.Buffer
}

// newStreams makes connections for stream clients.
func newStreams() *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, ResponseHeaderTimeout: patience}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// run sends requests for as long as there are any.
func (s *streamClient) run(ctx context.Context, more func() bool) {
	for ctx.Err() == nil && more() {
		x := s.next(true)
		if x.fault == cutHead { // a head is one frame
			x.fault = none
		}
		s.ledger.expect(x)
		s.ledger.judge(x, s.exchange(x))
	}
}

func limited(r io.Reader, n int) io.Reader { return io.LimitReader(r, int64(n)) }

var errCut = errors.New("the body ends here")

// cutReader ends with an error, which resets the stream.
type cutReader struct{ io.Reader }

func (c cutReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

func (s *streamClient) exchange(x *exchange) *reply {
	got := &reply{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch x.fault {
	case interim:
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			got.interims = append(got.interims, h.Get(idField))
			return nil
		}})
	case dropRequest:
		stop := time.AfterFunc(time.Duration(x.chance%8)*100*time.Microsecond, cancel)
		defer stop.Stop()
	}
	resp, err := s.client.RoundTrip(s.request(x).WithContext(ctx))
	if err != nil {
		return &reply{err: err, interims: got.interims}
	}
	defer func() { _ = resp.Body.Close() }()
	got.status, got.header = resp.StatusCode, resp.Header
	s.body.Reset()
	if x.fault == dropAnswer {
		_, _ = s.body.ReadFrom(limited(resp.Body, 1+x.chance%x.gets))
		got.body, got.left = s.body.Bytes(), true
		return got
	}
	_, err = s.body.ReadFrom(resp.Body)
	got.body, got.ended, got.cut, got.trailer = s.body.Bytes(), err == nil, err, resp.Trailer.Get(trailerField)
	got.left = x.fault == dropRequest && err != nil
	return got
}

// request makes what net/http is to send.
func (s *streamClient) request(x *exchange) *http.Request {
	r, err := http.NewRequest(x.method, "http://"+s.target+x.path(), nil)
	if err != nil { // of our own making
		panic(err)
	}
	r.Host = x.host
	r.Header = http.Header{"Authorization": {"Bearer " + x.raw}, idField: {x.id}, toldField: {"admin"}}
	if x.method != http.MethodPost {
		return r
	}
	sends := x.sends
	if x.fault == cutBody {
		sends = x.chance % x.sends
	}
	// A stream that ends early may still be read from: the octets are its own.
	text := bytes.NewReader(fill(make([]byte, 0, sends), x.id, sends))
	var body io.Reader = text
	if x.fault == cutBody {
		body = cutReader{text}
	}
	r.Body, r.ContentLength = io.NopCloser(body), int64(x.sends)
	if x.chunked || x.fault == cutBody && x.chance%2 == 0 {
		r.ContentLength = -1
	}
	if x.sends == 0 {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}
