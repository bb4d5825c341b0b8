// Package spans knows what a request says of the trace it belongs to (W3C Trace
// Context), decides whether the gate adds spans of its own, and holds what they
// will be made from. It sends nothing and formats no span: package tracing does.
//
// It stands below all others, so that whoever waits for somebody can say so.
package spans

import "encoding/hex"

// Parent is a valid traceparent (W3C Trace Context section 3.2).
type Parent struct {
	Trace [16]byte
	Span  [8]byte // who sent the request
	Flags byte
}

// The flags of a traceparent that are known (section 3.2.2.5, and Level 2 for the
// second).
const (
	Sampled = 1
	Random  = 2
)

// The places of the fields in a traceparent.
const (
	traceAt, traceEnd   = 3, 35
	parentAt, parentEnd = 36, 52
	flagsAt, flagsEnd   = 53, 55
)

// Parse reads the lines of the traceparent field. It is not ok for anything but
// one valid line: a field that came twice, or was joined by somebody on the way,
// names no parent. It does not allocate.
func Parse(lines []string) (p Parent, ok bool) {
	if len(lines) != 1 {
		return p, false
	}
	text := lines[0]
	if len(text) < flagsEnd || text[traceAt-1] != '-' || text[traceEnd] != '-' || text[parentEnd] != '-' {
		return p, false
	}
	var version, flags [1]byte
	if !decode(version[:], text[:traceAt-1]) || !decode(p.Trace[:], text[traceAt:traceEnd]) ||
		!decode(p.Span[:], text[parentAt:parentEnd]) || !decode(flags[:], text[flagsAt:flagsEnd]) {
		return Parent{}, false
	}
	// A later version may say more, after another hyphen (section 3.2.3).
	if version[0] == 0xff || len(text) > flagsEnd && (version[0] == 0 || text[flagsEnd] != '-') {
		return Parent{}, false
	}
	if p.Trace == [16]byte{} || p.Span == [8]byte{} {
		return Parent{}, false
	}
	p.Flags = flags[0]
	return p, true
}

// decode reads hexadecimal digits in lower case: the others are none here.
func decode(to []byte, text string) bool {
	for i := range to {
		high, low := digit(text[2*i]), digit(text[2*i+1])
		if high|low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// TraceID is the trace as hexadecimal digits in lower case.
func (p Parent) TraceID() string { return hex.EncodeToString(p.Trace[:]) }

// String writes the traceparent, of version 00.
func (p Parent) String() string {
	var text [flagsEnd]byte
	copy(text[:], "00-")
	hex.Encode(text[traceAt:], p.Trace[:])
	text[traceEnd] = '-'
	hex.Encode(text[parentAt:], p.Span[:])
	text[parentEnd] = '-'
	hex.Encode(text[flagsAt:], []byte{p.Flags})
	return string(text[:])
}
