package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// A conversation is what a client sends, piece by piece, each in a segment of
// its own.
type conversation struct {
	name  string
	sent  [][]byte
	ended uint16 // the code that the library ends it with; 0 for whatever it makes of it
}

// say is a conversation of frames that ends in good order.
func say(name string, frames ...frame) conversation {
	c := conversation{name: name, ended: 1000}
	for _, f := range frames {
		f.masked = true
		c.sent = append(c.sent, f.bytes())
	}
	c.sent = append(c.sent, goodbye(1000, "").bytes())
	return c
}

// offend is one that the library breaks off.
func offend(name string, code uint16, frames ...frame) conversation {
	c := say(name, frames...)
	c.sent, c.ended = c.sent[:len(c.sent)-1], code
	return c
}

// chopped sends all in pieces of n octets.
func (c conversation) chopped(n int) conversation {
	all := bytes.Join(c.sent, nil)
	c.name, c.sent = fmt.Sprintf("%s in pieces of %d", c.name, n), nil
	for len(all) > 0 {
		c.sent, all = append(c.sent, all[:min(n, len(all))]), all[min(n, len(all)):]
	}
	return c
}

func goodbye(code uint16, reason string) frame {
	return frame{fin: true, opcode: closing, masked: true, payload: append(binary.BigEndian.AppendUint16(nil, code), reason...)}
}

func data(opcode byte, payload string) frame {
	return frame{fin: true, opcode: opcode, payload: []byte(payload)}
}

func part(opcode byte, payload string) frame { return frame{opcode: opcode, payload: []byte(payload)} }

// conversations are made after the chapters of the Autobahn test suite.
func conversations() (all []conversation) {
	for _, chapter := range []func() []conversation{framing, pings, reserved, opcodes, fragments, characters, closes, sizes} {
		all = append(all, chapter()...)
	}
	return all
}

func framing() (all []conversation) {
	for _, opcode := range []byte{text, binaryData} {
		for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 70_000} {
			all = append(all, say(fmt.Sprintf("1.%d/%d", opcode, n), data(opcode, strings.Repeat("*", n))))
		}
		all = append(all, say(fmt.Sprintf("1.%d/65536", opcode), data(opcode, strings.Repeat("*", 65536))).chopped(997))
	}
	return all
}

func pings() []conversation {
	many := make([]frame, 10)
	for i := range many {
		many[i] = data(ping, fmt.Sprint("payload-", i))
	}
	return []conversation{
		say("2.1", data(ping, "")), say("2.2", data(ping, "Hello, world!")), say("2.3", data(ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		say("2.4", data(ping, strings.Repeat("\xfe", 125))), offend("2.5", 1002, data(ping, strings.Repeat("\xfe", 126))),
		say("2.6", data(ping, strings.Repeat("\xfe", 125))).chopped(1), say("2.7", data(pong, "")), say("2.8", data(pong, "unsolicited")),
		say("2.9", data(pong, "unsolicited"), data(ping, "ping")), say("2.10", many...), say("2.11", many...).chopped(1),
	}
}

func reserved() (all []conversation) {
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, opcode := range []byte{text, binaryData, ping, closing} {
			all = append(all, offend(fmt.Sprintf("3.%d/%d", rsv, opcode), 1002, frame{fin: true, rsv: rsv, opcode: opcode, payload: []byte("\x03\xe8*")}))
		}
		all = append(all, offend(fmt.Sprintf("3.%d/second", rsv), 1002, data(text, "good"), frame{fin: true, rsv: rsv, opcode: text, payload: []byte("bad")}))
	}
	return all
}

func opcodes() (all []conversation) {
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all, offend(fmt.Sprintf("4/%d", opcode), 1002, data(opcode, "")),
			offend(fmt.Sprintf("4/%d/second", opcode), 1002, data(text, "good"), data(opcode, "reserved")))
	}
	return all
}

func fragments() []conversation {
	return []conversation{
		offend("5.1", 1002, part(ping, "frag"), data(continuation, "ment")), offend("5.2", 1002, part(pong, "frag"), data(continuation, "ment")),
		say("5.3", part(text, "frag"), data(continuation, "ment")), say("5.4", part(text, "frag"), data(continuation, "ment")).chopped(4),
		say("5.5", part(text, "frag"), data(continuation, "ment")).chopped(1),
		say("5.6", part(text, "frag"), data(ping, "ping"), data(continuation, "ment")), say("5.7", part(text, "frag"), data(ping, "ping"), data(continuation, "ment")).chopped(1),
		say("5.8", part(text, ""), part(continuation, ""), part(continuation, "middle"), data(continuation, "")),
		offend("5.9", 1002, data(continuation, "nothing to continue")), offend("5.10", 1002, part(continuation, "nothing to continue")),
		offend("5.11", 1002, part(text, "frag"), data(text, "another")), offend("5.12", 1002, data(text, "whole"), data(continuation, "ment")),
		say("5.13", part(text, "1"), part(continuation, "2"), data(ping, "a"), part(continuation, "3"), part(continuation, "4"), data(ping, "b"), data(continuation, "5")),
	}
}

// characters are UTF-8 and what looks like it. What the service makes of them is
// its own business; none may be changed or refused on the way.
func characters() (all []conversation) {
	for i, s := range []string{
		"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\U0010FFFF", "\uFFFD", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\U00010000", "\uD7FF", "\uE000", "\uFFFE\uFFFF\uFDD0",
		"κόσμε\xed\xa0\x80edited", "\xf4\x90\x80\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
		"\x80", "\xbf", "\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xfe", "\xff", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xc1\xbf", "a\xf5\x80\x80\x80b",
	} {
		c := say(fmt.Sprintf("6/%d", i), data(text, s))
		split := say(fmt.Sprintf("6/%d/split", i), part(text, s[:len(s)/2]), data(continuation, s[len(s)/2:]))
		c.ended, split.ended = 0, 0
		all = append(all, c, split, c.chopped(1))
	}
	return all
}

func closes() (all []conversation) {
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, offend(fmt.Sprintf("7.7/%d", code), code, goodbye(code, "bye")))
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, offend(fmt.Sprintf("7.9/%d", code), 0, goodbye(code, "")))
	}
	return append(all,
		offend("7.1.2", 1000, goodbye(1000, ""), goodbye(1000, "")), offend("7.1.3", 1000, goodbye(1000, ""), data(ping, "late")),
		offend("7.1.4", 1000, goodbye(1000, ""), data(text, "late")), offend("7.1.5", 1000, part(text, "frag"), goodbye(1000, ""), data(continuation, "ment")),
		offend("7.1.6", 1000, goodbye(1000, ""), data(binaryData, strings.Repeat("late", 64<<10))),
		offend("7.3.1", 0, data(closing, "")), offend("7.3.2", 0, data(closing, "\x03")), offend("7.3.5", 1000, goodbye(1000, strings.Repeat("*", 123))),
		offend("7.3.6", 1002, goodbye(1000, strings.Repeat("*", 124))), offend("7.5", 0, goodbye(1000, "\xce\xba\xff")),
	)
}

// sizes go up to 16 MiB, whole, in many frames and in small pieces.
func sizes() (all []conversation) {
	random := make([]byte, 16<<20)
	for i := range len(random) / 8 {
		binary.LittleEndian.PutUint64(random[8*i:], rand.Uint64())
	}
	for _, n := range []int{64 << 10, 1 << 20, 16 << 20} {
		all = append(all, say(fmt.Sprintf("9.1/%d", n), frame{fin: true, opcode: binaryData, payload: random[:n]}))
	}
	for _, n := range []int{256, 4 << 10, 64 << 10} {
		frames := []frame{{opcode: binaryData, payload: random[:n]}}
		for at := n; at < 1<<20; at += n {
			frames = append(frames, frame{opcode: continuation, payload: random[at : at+n]})
		}
		all = append(all, say(fmt.Sprintf("9.3/%d", n), append(frames, frame{fin: true, opcode: continuation})...))
	}
	for _, n := range []int{64, 1024} {
		all = append(all, say("9.5", frame{fin: true, opcode: binaryData, payload: random[:64<<10]}).chopped(n))
	}
	small := make([]frame, 1000)
	for i := range small {
		small[i] = frame{fin: true, opcode: binaryData, payload: random[i : i+i%300]}
	}
	return append(all, say("9.7", small...))
}

// run has a conversation, and returns all that came back, in what order the
// kernel likes.
func (c *client) run(sent [][]byte, half bool) []byte {
	var sending sync.WaitGroup
	sending.Go(func() {
		for _, piece := range sent {
			if _, err := c.Write(piece); err != nil {
				return // the service has ended it: what it said is compared
			}
		}
		if end, can := c.Conn.(interface{ CloseWrite() error }); half && can {
			_ = end.CloseWrite()
		}
	})
	received, _ := io.ReadAll(c.Reader) // a reset is an end too
	_ = c.Close()
	sending.Wait()
	return received
}

// TestTransparent: octets arrive as they were sent, whatever WebSocket would say
// to them, and the answers of a library come back as it gave them.
func TestTransparent(t *testing.T) {
	g := startGate(t)
	bearer := "Authorization: Bearer " + g.mint(t, nil) + "\r\n"
	failed := 0
	for _, talk := range conversations() {
		if failed == 3 {
			t.Fatal("the rest would wait as long")
		}
		good := t.Run(talk.name, func(t *testing.T) {
			sent := bytes.Join(talk.sent, nil)
			mirrored := g.shake(t, "/mirror", bearer, "")
			mirrored.wantStatus(t, 101)
			got := mirrored.run(talk.sent, true)
			mirror := <-g.conns
			<-mirror.ended
			if in, _ := mirror.sides(); !bytes.Equal(in, sent) {
				t.Errorf("of %d octets %d came to the upstream, or others", len(sent), len(in))
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("of %d octets %d came back, or others", len(sent), len(got))
			}

			shaken := g.shake(t, "/echo", bearer, "")
			shaken.wantStatus(t, 101)
			got = shaken.run(talk.sent, false)
			library := <-g.conns
			<-library.ended
			in, out := library.sides()
			if !bytes.HasPrefix(sent, in) || talk.ended == 1000 && len(in) == 0 {
				t.Errorf("of %d octets %d came to the library, or others", len(sent), len(in))
			}
			if !bytes.Equal(got, out) {
				t.Errorf("of %d octets of the library %d came back, or others", len(out), len(got))
			}
			if code := lastClose(got); talk.ended != 0 && code != talk.ended {
				t.Errorf("the library ends it with %d, want %d", code, talk.ended)
			}
		})
		if !good {
			failed++
		}
	}
}

// lastClose is the code of the last frame; 0 when that says none.
func lastClose(octets []byte) (code uint16) {
	for r := bytes.NewReader(octets); ; {
		f, err := readFrame(r)
		if errors.Is(err, io.EOF) {
			return code
		}
		if err != nil {
			return 0
		}
		code = f.closeCode()
	}
}

// TestCompressed has the library at both ends: chapters 12 and 13. What is
// negotiated is theirs, and the compressed octets pass as they are.
func TestCompressed(t *testing.T) {
	g := startGate(t)
	for name, mode := range map[string]websocket.CompressionMode{
		"12 context takeover": websocket.CompressionContextTakeover, "13 no context takeover": websocket.CompressionNoContextTakeover, "off": websocket.CompressionDisabled,
	} {
		t.Run(name, func(t *testing.T) {
			c, rec, ctx := g.dial(t, nil, mode)
			service := <-g.conns
			sum := 0
			for _, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 128 << 10} {
				for i := range 10 {
					message := []byte(strings.Repeat(fmt.Sprintf("%d:wicket gate;", i), n/13+1)[:n])
					if err := c.Write(ctx, websocket.MessageText, message); err != nil {
						t.Fatal(err)
					}
					if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageText || !bytes.Equal(got, message) {
						t.Fatalf("%d octets came back otherwise: %v", n, err)
					}
					sum += n
				}
			}
			if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
			<-service.ended
			in, out := service.sides()
			received, sent := rec.sides()
			if !bytes.Equal(in, sent) || !bytes.Equal(received, out) {
				t.Error("octets were changed on the way")
			}
			if smaller := len(sent) < sum/2; smaller != (mode != websocket.CompressionDisabled) {
				t.Errorf("%d octets of messages became %d", sum, len(sent))
			}
		})
	}
}
