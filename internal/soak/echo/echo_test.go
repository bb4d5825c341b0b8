package echo

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// broken is a proxy between the clients and the upstreams that does what no
// gate may. Each of its faults happens to some requests only.
type broken struct {
	echo    *Echo
	alter   func(r *http.Request, resp *http.Response) // of what comes back
	spoil   func(r *http.Request)                      // of what goes there
	twice   bool                                       // a POST is sent twice
	cut     bool                                       // a body loses its last octet
	endWell bool                                       // what came of a body is taken for all of it
	to      http.RoundTripper

	mu sync.Mutex // guards what alter keeps
}

func (b *broken) RoundTrip(r *http.Request) (*http.Response, error) {
	var text []byte
	if r.Body != nil { // httputil leaves none where there is none
		var err error
		if text, err = io.ReadAll(r.Body); err != nil && !b.endWell {
			return nil, err
		}
	}
	if b.cut && len(text) > 1 {
		text = text[:len(text)-1]
	}
	if b.cut || b.endWell {
		r.ContentLength = int64(len(text))
	}
	if b.endWell {
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	if b.spoil != nil {
		b.spoil(r)
	}
	for again := b.twice && r.Method == http.MethodPost; ; again = false {
		if r.Body != nil {
			r.Body = io.NopCloser(bytes.NewReader(text))
		}
		resp, err := b.to.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if again {
			_ = resp.Body.Close()
			continue
		}
		if b.alter != nil {
			b.mu.Lock()
			b.alter(r, resp)
			b.mu.Unlock()
		}
		return resp, nil
	}
}

// drive runs requests through a proxy and returns the checker.
func drive(t *testing.T, b *broken, only ...fault) *Echo {
	t.Helper()
	tokens := []Token{{"t-one", "one"}, {"t-two", "two"}, {"t-three", "three"}}
	e, err := New(Options{Requests: 300, Share: 1, Seed: 7, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	e.only, e.hosts = only, []string{PlainHost}
	b.echo = e
	b.to = &http.Transport{MaxIdleConnsPerHost: -1, DisableCompression: true} // none is kept
	at, err := url.Parse(e.Plain())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: b, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = at.Scheme, at.Host
		raw := strings.TrimPrefix(r.In.Header.Get("Authorization"), "Bearer ")
		for _, token := range tokens {
			if token.Raw == raw {
				r.Out.Header.Set(toldField, token.Subject)
			}
		}
	}}
	server := httptest.NewUnstartedServer(proxy)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	e.Run(context.Background(), server.Listener.Addr().String())
	server.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	return e
}

func replaceBody(resp *http.Response, text []byte) {
	resp.Body = io.NopCloser(bytes.NewReader(text))
	resp.ContentLength = int64(len(text))
	resp.Header["Content-Length"] = nil
}

// TestEachMixUpIsSeen breaks a proxy on purpose, in each way that the checker
// exists for.
func TestEachMixUpIsSeen(t *testing.T) {
	for name, c := range mixUps() {
		t.Run(name, func(t *testing.T) {
			e := drive(t, c.broken, c.only)
			if e.Report(io.Discard) == nil {
				t.Error("the report finds nothing")
			}
			if c.want != wrongs && e.ledger.counts[c.want].Load() == 0 {
				t.Errorf("not seen: %s; the checker says %v", wrongNames[c.want], e.ledger.failures)
			}
		})
	}
}

type mixUp struct {
	*broken
	only fault
	want wrong
}

func mixUps() map[string]mixUp {
	return map[string]mixUp{
		"the answer of another":          {swapAnswers(), none, foreign},
		"the body of another":            {swapBodies(), none, foreign},
		"one octet of another":           {alterBody(func(text []byte) []byte { text[len(text)-1] ^= 1; return text }), none, foreign},
		"an informational answer":        {&broken{alter: func(_ *http.Request, resp *http.Response) { resp.Header[idField] = []string{"x"} }}, interim, foreign},
		"the subject of another there":   {&broken{spoil: func(r *http.Request) { r.Header.Set(toldField, "two") }}, none, foreign},
		"the subject of another back":    {&broken{alter: func(_ *http.Request, resp *http.Response) { resp.Header.Set(subjectField, "two") }}, none, foreign},
		"two subjects":                   {&broken{spoil: func(r *http.Request) { r.Header.Add(toldField, "admin") }}, none, foreign},
		"the path of another":            {&broken{spoil: func(r *http.Request) { r.URL.Path = "/echo/another" }}, none, foreign},
		"the id of nobody":               {&broken{spoil: func(r *http.Request) { r.Header.Set(idField, strings.Repeat("0", idLength)) }}, none, stray},
		"no id":                          {&broken{spoil: func(r *http.Request) { r.Header.Del(idField) }}, none, stray},
		"a POST sent twice":              {&broken{twice: true}, none, twice},
		"a cut answer that ends well":    {alterBody(func(text []byte) []byte { return text[:len(text)-1] }), none, whole},
		"an answer that was lost":        {&broken{alter: loseAnswer}, none, missing},
		"a trailer that was lost":        {&broken{alter: loseTrailer}, trailer, foreign},
		"a status that is another's":     {&broken{alter: func(_ *http.Request, resp *http.Response) { resp.StatusCode = 202 }}, none, missing},
		"a body cut on its way there":    {&broken{cut: true}, none, whole},
		"a cut body that is made to end": {&broken{endWell: true}, cutBody, whole},
		"an answer to what nobody asked": {&broken{alter: forge}, none, foreign},
		"a WebSocket message of another": {&broken{alter: spoilSocket}, socket, foreign},
		"an upstream that is not asked":  {&broken{spoil: func(r *http.Request) { r.URL.Host = "127.0.0.1:1" }}, none, wrongs}, // too many 502s
	}
}

// swapAnswers gives each second request the answer of the first.
func swapAnswers() *broken {
	var kept http.Header
	return &broken{alter: func(_ *http.Request, resp *http.Response) {
		if kept != nil {
			resp.Header[idField] = kept[idField]
		}
		kept = resp.Header.Clone()
	}}
}

func swapBodies() *broken {
	var kept []byte
	return alterBody(func(text []byte) []byte {
		other := kept
		kept = text
		if len(other) >= len(text) {
			return other[:len(text)]
		}
		return text
	})
}

func alterBody(change func([]byte) []byte) *broken {
	return &broken{alter: func(_ *http.Request, resp *http.Response) {
		text, err := io.ReadAll(resp.Body)
		if err == nil && len(text) > 0 {
			replaceBody(resp, change(text))
		}
	}}
}

func loseAnswer(_ *http.Request, resp *http.Response) {
	resp.Header = http.Header{}
	resp.StatusCode = http.StatusServiceUnavailable
	replaceBody(resp, nil)
}

func loseTrailer(_ *http.Request, resp *http.Response) {
	text, _ := io.ReadAll(resp.Body)
	resp.Trailer = nil
	replaceBody(resp, text)
}

func forge(_ *http.Request, resp *http.Response) {
	resp.Header = http.Header{}
	replaceBody(resp, []byte(forged))
}

// spoilSocket changes an octet of each message that comes back.
func spoilSocket(_ *http.Request, resp *http.Response) {
	if stream, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = spoiler{stream}
	}
}

type spoiler struct{ io.ReadWriteCloser }

func (s spoiler) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	if n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

// TestAnHonestProxyPasses: with every fault that its connections can bear,
// nothing is found at one that opens a connection for each request.
func TestAnHonestProxyPasses(t *testing.T) {
	all := []fault{none}
	for f := none + 1; f < faults; f++ {
		all = append(all, f)
	}
	if err := drive(t, &broken{}, all...).Report(io.Discard); err != nil {
		t.Error(err)
	}
}
