package load

import (
	"bytes"
	"errors"
	"strconv"
)

var (
	errLong   = errors.New("an answer longer than anybody makes here")
	errAnswer = errors.New("no HTTP/1.1 answer with one length")
	errStatus = errors.New("an interim answer, or no status")
)

// An answer is where a whole one ends and what it says. Length 0: it is not
// all there.
type answer struct {
	status int
	length int
	closes bool
}

// parse reads the front of b. It is strict about what it looks at: the status
// line, and that the end of the body is said once (RFC 9112 section 6.3).
func parse(b []byte) (answer, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return answer{}, nil
	}
	head := b[:end]
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 13 || string(line[:9]) != "HTTP/1.1 " || line[12] != ' ' {
		return answer{}, errAnswer
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 200 || status > 599 {
		return answer{}, errStatus
	}
	body, chunked, closes := -1, false, false
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, found := bytes.Cut(field, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch {
		case !found || len(name) == 0:
			return answer{}, errAnswer
		case bytes.EqualFold(name, []byte("Content-Length")):
			if body, err = number(value, 10, body); err != nil {
				return answer{}, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return answer{}, errAnswer
			}
			chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	a := answer{status: status, closes: closes}
	switch rest := b[end+4:]; {
	case (status == 204 || status == 304) && !chunked && body < 1:
		a.length = end + 4
	case chunked == (body >= 0):
		return answer{}, errAnswer
	case chunked:
		n, err := chunks(rest)
		if err != nil || n == 0 {
			return answer{}, err
		}
		a.length = end + 4 + n
	case len(rest) >= body:
		a.length = end + 4 + body
	}
	return a, nil
}

// number reads an unsigned number; before is what the field said already, -1
// for nothing.
func number(text []byte, base, before int) (int, error) {
	n, err := strconv.ParseUint(string(text), base, 31)
	if err != nil || before >= 0 {
		return 0, errAnswer
	}
	return int(n), nil
}

// chunks finds the end of a chunked body (RFC 9112 section 7.1) without
// trailers; 0: it is not all there.
func chunks(b []byte) (int, error) {
	at := 0
	for {
		line := bytes.Index(b[at:], []byte("\r\n"))
		if line < 0 {
			return 0, nil
		}
		size, _, _ := bytes.Cut(b[at:at+line], []byte(";"))
		n, err := number(size, 16, -1)
		if err != nil {
			return 0, err
		}
		at += line + 2 + n + 2
		if at > len(b) {
			return 0, nil
		}
		if string(b[at-2:at]) != "\r\n" {
			return 0, errAnswer
		}
		if n == 0 {
			return at, nil
		}
	}
}
