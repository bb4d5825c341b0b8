package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestSignalsCrowd wants those who come beyond the bounds sent away, and the
// rest served.
func TestSignalsCrowd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(sparing(1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	})))
	server.Config.ConnState = crowd(2)
	server.Start()
	t.Cleanup(server.Close)
	first := make(chan int)
	go func() {
		r, err := http.Get(server.URL)
		if err != nil {
			t.Error(err)
			first <- 0
			return
		}
		_ = r.Body.Close()
		first <- r.StatusCode
	}()
	<-entered
	second, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Body.Close()
	if second.StatusCode != http.StatusServiceUnavailable || second.Header.Get("Retry-After") != "1" {
		t.Errorf("a second request: %d", second.StatusCode)
	}
	third, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if n, err := third.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a third connection: %d, %v; want %v", n, err, io.EOF)
	}
	close(leave)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first request: %d", got)
	}
}
