package echo

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 names it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Frames of RFC 6455 section 5.2: one text each, or the close.
const (
	textFrame  = 0x81
	closeFrame = 0x88
	masked     = 0x80
)

const socketKey = "AAECAwQFBgcICQoLDA0ODw=="

func socketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

var errFrame = errors.New("no frame as it was sent")

// frame adds a frame to out. A client's is masked.
func frame(out []byte, kind byte, text string, client bool) []byte {
	head := byte(0)
	if client {
		head = masked
	}
	out = append(out, kind)
	if len(text) < 126 {
		out = append(out, head|byte(len(text)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, head|126), uint16(len(text))) //nolint:gosec // texts here are short
	}
	if !client {
		return append(out, text...)
	}
	mask := [4]byte{text[0], 0x55, 0xAA, text[1]}
	out = append(out, mask[:]...)
	for i := range len(text) {
		out = append(out, text[i]^mask[i%4])
	}
	return out
}

// readFrame reads one.
func readFrame(in *bufio.Reader) (kind byte, text []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(head[1] &^ masked)
	if size == 126 {
		var long [2]byte
		_, err = io.ReadFull(in, long[:])
		size = int(binary.BigEndian.Uint16(long[:]))
	}
	if err != nil || size == 127 {
		return 0, nil, errors.Join(err, errFrame)
	}
	var mask [4]byte
	if head[1]&masked != 0 {
		if _, err := io.ReadFull(in, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	text = make([]byte, size)
	_, err = io.ReadFull(in, text)
	for i := range text {
		text[i] ^= mask[i%4]
	}
	return head[0], text, err
}

// socket answers a handshake, and each text with itself.
func (c *rawConn) socket(x *exchange, r *http.Request) (more bool) {
	c.out = fmt.Appendf(c.out[:0], "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s: %s\r\n%s: %s\r\n\r\n",
		socketAccept(r.Header.Get("Sec-Websocket-Key")), idField, x.id, subjectField, r.Header.Get(toldField))
	if _, err := c.Write(c.out); err != nil {
		return false
	}
	for {
		kind, text, err := readFrame(c.in)
		if err != nil {
			return false
		}
		c.out = frame(c.out[:0], kind, string(text), false)
		if _, err := c.Write(c.out); err != nil || kind != textFrame {
			return false
		}
	}
}

// talk sends texts through an open WebSocket and wants them back. Some leave
// without a word.
func (w *wireClient) talk(x *exchange) {
	for range 1 + x.chance%4 {
		w.out = frame(w.out[:0], textFrame, x.id, true)
		if _, err := w.conn.Write(w.out); err != nil {
			w.ledger.amiss(missing, x, "a WebSocket broke: %v", err)
			return
		}
		kind, text, err := readFrame(w.in)
		switch {
		case err != nil:
			w.ledger.amiss(missing, x, "a WebSocket broke: %v", err)
			return
		case kind != textFrame || string(text) != x.id:
			w.ledger.amiss(foreign, x, "a WebSocket has a message of another")
			return
		}
	}
	if x.chance%3 == 0 {
		reset(w.conn)
		return
	}
	w.out = frame(w.out[:0], closeFrame, "\x03\xe8", true)
	_, _ = w.conn.Write(w.out)
	_, _, _ = readFrame(w.in) // the close, or the end
}
