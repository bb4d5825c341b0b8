package rivals

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// secured serves the issuer's key set and introspection endpoint over HTTPS,
// with a certificate that nobody knows: for peers that take no other addresses.
type secured struct {
	server *http.Server
	done   chan struct{}
}

// secure starts it, and changes the place to name it.
func secure(in *Place) (*secured, error) {
	keys, errK := url.Parse(in.JWKS)
	questions, errQ := url.Parse(in.Introspection)
	certificate, errC := devissuer.Throwaway()
	if err := errors.Join(errK, errQ, errC); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	paths := map[string]*url.URL{"/jwks": keys, "/introspect": questions}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = paths[r.In.URL.Path]
			r.Out.Host = ""
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	mux := http.NewServeMux()
	for path := range paths {
		mux.Handle(path, forward)
	}
	s := &secured{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})) //nolint:errcheck // it ends with Close
	}()
	in.JWKS, in.Introspection = "https://"+listener.Addr().String()+"/jwks", "https://"+listener.Addr().String()+"/introspect"
	return s, nil
}

// Close ends it; nil is one that never was.
func (s *secured) Close() error {
	if s == nil {
		return nil
	}
	err := s.server.Close()
	<-s.done
	return err
}
