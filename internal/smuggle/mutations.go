package smuggle

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Smuggled is a request without a token, hidden in what may be the body of
// another: whoever sees it at an upstream was not sent there by a decision.
const Smuggled = "GET /any/smuggled HTTP/1.1\r\nHost: rs.example.com\r\nX-Auth-Subject: evil\r\n\r\n"

// codings are spellings of the field that says a body is chunked, to one reader
// or another.
func codings() []string {
	return []string{
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
}

// lengths are spellings of the field that says how long a body is.
func lengths() []string {
	return []string{
		"", "Content-Length: %d", "Content-Length: 0", "Content-Length: 1", "Content-Length: 6", "content-length: %d", "Content-Length : %d", " Content-Length: %d", "Content_Length: %d", "Content-Length: +%d", "Content-Length: -%d", "Content-Length: 0x%x",
		"Content-Length: 0%d", "Content-Length: %d, %[1]d", "Content-Length: %d\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: %d", "Content-Length: %d\r\nContent-Length: %[1]d", "Content-Length: %d ", "Content-Length: \x0b%d", "Content-Length: %d\x00",
		"Content-Length: %d\r\n 0", "Content-Length:", "Content-Length: 1844674407370955161%d", "Connection: Content-Length\r\nContent-Length: %d", "Content-Length: %d.0",
	}
}

func bodies() []string {
	return []string{
		Smuggled, "0\r\n\r\n" + Smuggled, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(Smuggled), Smuggled),
		"1\r\na\r\n0\r\nX-Auth-Subject: evil\r\n\r\n" + Smuggled, "0\n\n" + Smuggled, "1;a\nb\r\n" + Smuggled,
	}
}

// Mutations lists requests for /any/front with every pair of framings and every
// body, and then requests with one octet put into their heads at places that a
// seed chooses, the same each time. Each has the field line authorization.
func Mutations(authorization string) (list []string) {
	front := "POST /any/front HTTP/1.1\r\nHost: rs.example.com\r\n" + authorization + "\r\n"
	for _, coding := range codings() {
		for _, length := range lengths() {
			list = append(list, framings(front, coding, length)...)
		}
	}
	random := rand.New(rand.NewPCG(13, 2026)) //nolint:gosec // chosen to come out the same each time
	heads := []string{
		front + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", front + "Transfer-Encoding: chunked\r\n\r\n",
		front + "Content-Length: 5\r\n\r\n", strings.Replace(front, "POST", "GET", 1) + "\r\n",
	}
	for _, head := range heads {
		for octet := range 256 {
			for range 6 {
				at := random.IntN(len(head) + 1)
				list = append(list, head[:at]+string([]byte{byte(octet)})+head[at:]+"0\r\n\r\n"+Smuggled)
			}
		}
	}
	return list
}

func framings(front, coding, length string) (list []string) {
	for i, body := range bodies() {
		declared := length
		if strings.Contains(length, "%") {
			declared = fmt.Sprintf(length, len(body))
		}
		lines := []string{coding, declared}
		if i%2 == 1 {
			lines = []string{declared, coding}
		}
		list = append(list, front+joined(lines)+"\r\n"+body)
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
