package onward_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/proxy/onward"
)

// Who is told of octets that nobody asked for may use the transport: it is told by
// the sweep too, and without its lock.
func TestUnaskedMayUseTheTransport(t *testing.T) {
	said := make(chan struct{})
	u := newUpstream(t, func(_ int, conn net.Conn) {
		<-said
		_, _ = io.WriteString(conn, "more")
	})
	told := make(chan struct{}, 1)
	var tr *onward.Transport
	tr = u.transport(t, 3*time.Second, 8, func() {
		tr.CloseIdleConnections()
		told <- struct{}{}
	})
	read(t, send(t, tr)) //nolint:bodyclose // read closes it
	close(said)
	<-told
	<-u.ended
}

var errFaulty = errors.New("the reader is at fault")

// faulty is a body that can be had again, and breaks when some of it was read.
type faulty struct{ io.Reader }

func (f faulty) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errFaulty
	}
	return n, err
}

// A body that cannot be read is no fault of the connection: nobody waits for an
// answer to half a request.
func TestABrokenBodyIsToldAtOnce(t *testing.T) {
	u := newUpstream(t, nil)
	tr := u.transport(t, time.Minute, 8, nil)
	const said = 12 << 10
	body := func() (io.ReadCloser, error) {
		return io.NopCloser(faulty{strings.NewReader(strings.Repeat("x", said/2))}), nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // less than the answer is waited for
	defer cancel()
	first, _ := body()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://upstream/", first)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength, r.GetBody = said, body
	resp, err := tr.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), errFaulty.Error()) { // net/http wraps it in a type that does not tell
		t.Errorf("the error is %v", err)
	}
	<-u.ended
}
