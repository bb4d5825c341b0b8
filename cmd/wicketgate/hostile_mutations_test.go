package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/proxy"
)

// mutationsAll in the environment has TestHostileHTTP/H-13 try every mutation
// instead of every mutationStep-th. See `make smuggle`.
const (
	mutationsAll = "WICKETGATE_ALL_MUTATIONS"
	mutationStep = 13
)

// codings are spellings of the field that says a body is chunked, lengths of
// the one that says how long it is; to one reader or another.
var (
	codings = []string{
		"", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "transfer-encoding: chunked", "TRANSFER-ENCODING: CHUNKED", "Transfer-Encoding:chunked", "Transfer-Encoding:  chunked",
		"Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked ", "Transfer-Encoding: chunked\t", "Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked",
		"Transfer_Encoding: chunked", "Transfer.Encoding: chunked", "Transfer Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: chunk",
		"Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked;a=b", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: 'chunked'", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: chunked\x00",
		"Transfer-Encoding: \xffchunked", "Transfer-Encoding: chunked\xa0", "Transfer-Encoding: ch\xc4\xb1unked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding:\n chunked", "Transfer-Encoding: x\r\n chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
		"X: y\nTransfer-Encoding: chunked", "X: y\r\n\rTransfer-Encoding: chunked", "X: y\x00\r\nTransfer-Encoding: chunked", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "TE: chunked", "Transfer-Encoding", "Transfer-Encoding:",
		"Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding: c\\hunked", "Transfer-Encodin\xc2\xad: chunked", "Content-Encoding: chunked", ": chunked", "Transfer-Encoding: chunked\r\nExpect: 100-continue",
	}
	lengths = []string{
		"", "Content-Length: %d", "Content-Length: 0", "Content-Length: 1", "Content-Length: 6", "content-length: %d", "Content-Length : %d", " Content-Length: %d", "Content_Length: %d", "Content-Length: +%d", "Content-Length: -%d", "Content-Length: 0x%x",
		"Content-Length: 0%d", "Content-Length: %d, %[1]d", "Content-Length: %d\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: %d", "Content-Length: %d\r\nContent-Length: %[1]d", "Content-Length: %d ", "Content-Length: \x0b%d", "Content-Length: %d\x00",
		"Content-Length: %d\r\n 0", "Content-Length:", "Content-Length: 1844674407370955161%d", "Connection: Content-Length\r\nContent-Length: %d", "Content-Length: %d.0",
	}
	// The second request has no token: whoever sees it at the upstream was not
	// sent there by a decision.
	smuggled = "GET /any/smuggled HTTP/1.1\r\nHost: rs.example.com\r\nX-Auth-Subject: evil\r\n\r\n"
	bodies   = []string{smuggled, "0\r\n\r\n" + smuggled, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled), "1\r\na\r\n0\r\nX-Auth-Subject: evil\r\n\r\n" + smuggled, "0\n\n" + smuggled, "1;a\nb\r\n" + smuggled}
)

// mutations lists every pair of framings with every body, and then octets put
// into heads at places that a seed chooses.
func (w *wire) mutations() (list []string) {
	front := "POST /any/front HTTP/1.1\r\nHost: rs.example.com\r\n" + w.at + "\r\n"
	for _, coding := range codings {
		for _, length := range lengths {
			for i, body := range bodies {
				if strings.Contains(length, "%") {
					length = fmt.Sprintf(length, len(body))
				}
				lines := []string{coding, length}
				if i%2 == 1 {
					lines = []string{length, coding}
				}
				list = append(list, front+joined(lines)+"\r\n"+body)
			}
		}
	}
	random := rand.New(rand.NewPCG(13, 2026)) //nolint:gosec // chosen to come out the same each time
	heads := []string{
		front + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", front + "Transfer-Encoding: chunked\r\n\r\n", front + "Content-Length: 5\r\n\r\n", strings.Replace(front, "POST", "GET", 1) + "\r\n",
	}
	for _, head := range heads {
		for octet := range 256 {
			for range 6 {
				at := random.IntN(len(head) + 1)
				list = append(list, head[:at]+string([]byte{byte(octet)})+head[at:]+"0\r\n\r\n"+smuggled)
			}
		}
	}
	return list
}

func joined(lines []string) (text string) {
	for _, line := range lines {
		if line != "" {
			text += line + "\r\n"
		}
	}
	return text
}

var allowedSeries = regexp.MustCompile(`(?m)^wicketgate_requests_total\{[^}]*decision="allowed"[^}]*\} (\d+)$`)

// decidedAllowed is how many requests the gate has allowed.
func (w *wire) decidedAllowed(t *testing.T) (n int) {
	t.Helper()
	for _, line := range allowedSeries.FindAllStringSubmatch(w.adminDo("/metrics").body, -1) {
		one, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// threatH13: whatever the two ends make of a message's length, the upstream
// runs no request that was not decided about, and hears from the gate alone
// who asks.
func threatH13(t *testing.T) {
	w := newWire(t, settings("timeouts: {read_header: 200ms, idle: 200ms, body_stall: 200ms}"))
	all := w.mutations()
	if len(all) < 10_000 {
		t.Errorf("only %d mutations", len(all))
	}
	step := mutationStep
	if os.Getenv(mutationsAll) != "" {
		step = 1
	}
	next := make(chan string)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for text := range next {
				conn := w.dial(t)
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn) // a reset ends it too
				_ = conn.Close()
			}
		})
	}
	tried := 0
	for i := 0; i < len(all); i += step {
		next <- all[i]
		tried++
	}
	close(next)
	workers.Wait()
	for _, seen := range w.behind.requests() {
		if strings.Contains(seen, "smuggled") {
			t.Errorf("the upstream ran %q", seen)
		}
	}
	allowed := w.decidedAllowed(t)
	forwarded := len(w.behind.requests())
	if forwarded > allowed || forwarded < tried/50 {
		t.Errorf("of %d mutations the gate allowed %d requests, and the upstream ran %d", tried, allowed, forwarded)
	}
	for _, text := range w.behind.transcripts(w) {
		wantUnsplit(t, text)
	}
	t.Logf("%d mutations, %d allowed, %d run by the upstream", tried, allowed, forwarded)
}

var requestHead = regexp.MustCompile(`(?s)(?:POST|GET) /any/front[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n`)

// wantUnsplit looks at all that one connection carried: each head is framed in
// one way and names the caller once.
func wantUnsplit(t *testing.T, text string) {
	t.Helper()
	for _, head := range requestHead.FindAllString(text, -1) {
		count := map[string]int{}
		for _, line := range strings.Split(head, "\r\n")[1:] {
			name, value, _ := strings.Cut(line, ":")
			count[proxy.NormalName(name)]++
			if proxy.NormalName(name) == "x-auth-subject" && value != " user-1" {
				t.Errorf("the upstream saw %q", head)
			}
		}
		if count["x-auth-subject"] != 1 || count["content-length"]+count["transfer-encoding"] > 1 || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") {
			t.Errorf("the upstream saw %q", head)
		}
	}
}
