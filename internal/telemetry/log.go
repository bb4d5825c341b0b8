package telemetry

import (
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger makes a logger that writes lines of JSON to w, each with a time in
// RFC 3339 form. level is debug, info, warn or error; empty is info. The level
// can be changed while it runs.
func NewLogger(level string, w io.Writer) (*zap.Logger, zap.AtomicLevel, error) {
	at := zap.NewAtomicLevel()
	switch level {
	case "", "info":
	case "debug":
		at.SetLevel(zap.DebugLevel)
	case "warn":
		at.SetLevel(zap.WarnLevel)
	case "error":
		at.SetLevel(zap.ErrorLevel)
	default:
		return nil, at, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", MessageKey: "msg", NameKey: "logger",
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	})
	out := zapcore.Lock(zapcore.AddSync(w))
	return zap.New(zapcore.NewCore(encoder, out, at), zap.ErrorOutput(out)), at, nil
}

// Of each kind of message of net/http, the first ten of a second are written,
// and then every hundredth.
const noisePerSecond = 10

// noise is what net/http and httputil have to say, by how their messages
// begin. Only the kind is logged: the text may quote what a client or an
// upstream sent.
var noise = []struct {
	begins, says string
	level        zapcore.Level
}{
	{"http: Accept error", "connections cannot be accepted", zapcore.ErrorLevel},
	{"http: panic serving", "panic while serving a connection", zapcore.ErrorLevel},
	{"http2: panic serving", "panic while serving a connection", zapcore.ErrorLevel},
	{"http: TLS handshake error", "TLS handshake failed", zapcore.DebugLevel},
	{"http: superfluous", "answer was begun twice", zapcore.WarnLevel},
	{"http: proxy error", "upstream failed", zapcore.DebugLevel},
	{"httputil: ReverseProxy read error", "answer was cut short", zapcore.DebugLevel},
	{"suppressing panic", "answer was cut short", zapcore.DebugLevel},
	{unsolicited, "upstream sent octets that answer no request", zapcore.WarnLevel},
	{"http2:", "HTTP/2 connection failed", zapcore.DebugLevel},
	{"", "message of the HTTP server", zapcore.DebugLevel},
}

// StdLog makes the ErrorLog of an http.Server or httputil.ReverseProxy. It
// keeps the kind of each message and drops its text.
func StdLog(l *zap.Logger) *log.Logger { return log.New(kindOnly{limited(l)}, "", 0) }

func limited(l *zap.Logger) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, noisePerSecond, thenEach)
	}))
}

type kindOnly struct{ log *zap.Logger }

// Write takes one message.
func (k kindOnly) Write(message []byte) (int, error) {
	for _, n := range noise {
		if strings.HasPrefix(string(message), n.begins) {
			k.log.Log(n.level, n.says)
			break
		}
	}
	return len(message), nil
}
