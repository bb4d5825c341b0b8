package peers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/smuggle"
)

// stream wants the stream to end in some way, and the next on the connection, if
// that stays open, to be answered with what it asked for, which it reports.
func (p *pair) stream(s smuggle.Stream) (served bool) {
	conn := p.dial(p.http2)
	if conn == nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	c := newFrames(conn)
	c.request(1, s.Fields, s.Body)
	first, text, err := c.outcome(1)
	p.note(first, text)
	if isTimeout(err) {
		p.t.Errorf("%s: no end of %.300q", s.ID, p.redacted(fmt.Sprint(s.Fields)))
	}
	if err != nil {
		return false
	}
	target := p.target()
	c.request(3, []string{":method", "GET", ":scheme", "http", ":path", target, ":authority", "rs.example.com", "authorization", "Bearer " + p.token}, "")
	status, body, err := c.outcome(3)
	if err != nil || status != "200" {
		return false // the connection was to end
	}
	p.kept.Add(1)
	if body != "GET "+target {
		p.t.Errorf("%s: after %.300q, %s was answered with %q", s.ID, p.redacted(fmt.Sprint(s.Fields)), target, body)
	}
	return true
}

// frames is a client that says over HTTP/2 what no library would.
type frames struct {
	*http2.Framer
	decoder *hpack.Decoder
	status  string // of the field block that is being read
}

func newFrames(conn net.Conn) *frames {
	c := &frames{Framer: http2.NewFramer(conn, conn)}
	c.AllowIllegalWrites = true
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			c.status = f.Value
		}
	})
	_, _ = io.WriteString(conn, http2.ClientPreface) // what goes wrong shows in the answer
	_ = c.WriteSettings()
	return c
}

// request writes a stream from its first frame to its last.
func (c *frames) request(id uint32, fields []string, body string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}) // into memory
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: body == "", EndHeaders: true})
	if body != "" {
		_ = c.WriteData(id, true, []byte(body))
	}
}

// outcome reads to the end of a stream: its final status, "reset" for one that
// was reset, and its body.
func (c *frames) outcome(id uint32) (status, body string, err error) {
	var text strings.Builder
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return "", "", err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "", "", io.ErrUnexpectedEOF
			}
		case *http2.HeadersFrame:
			c.status = ""
			if _, err := c.decoder.Write(f.HeaderBlockFragment()); err != nil {
				return "", "", err
			}
			if f.StreamID == id && c.status != "" && c.status[0] != '1' {
				status = c.status
			}
		case *http2.DataFrame:
			if f.StreamID == id {
				text.Write(f.Data())
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id && (f.ErrCode != http2.ErrCodeNo || status == "") {
				status = "reset"
			}
		}
		head := frame.Header()
		ended := head.Type == http2.FrameRSTStream || (head.Type == http2.FrameData || head.Type == http2.FrameHeaders) && head.Flags.Has(http2.FlagDataEndStream)
		if head.StreamID == id && ended {
			return status, text.String(), nil
		}
	}
}
