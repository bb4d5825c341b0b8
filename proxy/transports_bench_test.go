package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkTransports is a request and its answer over a connection that is
// kept, of either transport. The upstream allocates nothing.
func BenchmarkTransports(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 21:00:00 GMT\r\nContent-Length: 256\r\n\r\n" + strings.Repeat("a", 256))
	content := strings.Repeat("b", 1000)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for name, own := range map[string]bool{"own": true, "std": false} {
			b.Run(method+"/"+name, func(b *testing.B) {
				w := newWorld(b, own, DefaultTimeouts)
				w.serve = func(k *talk) {
					end := map[string][]byte{http.MethodGet: []byte("\r\n\r\n"), http.MethodPost: []byte("bb\n")}[method]
					buffer, n := make([]byte, 64<<10), 0
					for {
						more, err := k.Read(buffer[n:])
						if err != nil {
							return
						}
						if n += more; bytes.HasSuffix(buffer[:n], end) {
							_, _ = k.Write(answer)
							n = 0
						}
					}
				}
				buffer := make([]byte, 4096)
				b.ReportAllocs()
				for b.Loop() {
					var body io.Reader
					if method == http.MethodPost {
						body = stream{strings.NewReader(content + "\n")}
					}
					r := w.request(b.Context(), method, "/some/path?query=1", body)
					if body != nil {
						r.ContentLength = int64(len(content) + 1)
					}
					r.Header["Authorization"] = []string{"Bearer abc"}
					resp, err := w.up.send(r, 0)
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						_, err = resp.Body.Read(buffer)
					}
					_ = resp.Body.Close()
				}
			})
		}
	}
}
