package telemetry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestNewLogger(t *testing.T) {
	for level, want := range map[string]string{"debug": "dbg inf wrn err", "": "inf wrn err", "info": "inf wrn err", "warn": "wrn err", "error": "err"} {
		out := &output{}
		log, _, err := NewLogger(level, out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("dbg")
		log.Info("inf")
		log.Warn("wrn")
		log.Error("err")
		var got []string
		for line := range strings.Lines(out.String()) {
			var fields struct {
				Time, Level, Msg string
			}
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if _, err := time.Parse(time.RFC3339, fields.Time); err != nil || fields.Level == "" {
				t.Errorf("%s: time or level: %v", line, err)
			}
			got = append(got, fields.Msg)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %q: logged %q, want %q", level, got, want)
		}
	}
	if _, _, err := NewLogger("loud", &output{}); err == nil {
		t.Error("level loud is accepted")
	}
}

func TestLevelCanChange(t *testing.T) {
	out := &output{}
	log, level, err := NewLogger("error", out)
	if err != nil {
		t.Fatal(err)
	}
	level.SetLevel(zap.InfoLevel)
	log.Info("now")
	if !strings.Contains(out.String(), "now") {
		t.Error("the level did not change")
	}
}

func TestStdLogKeepsTheKindOnly(t *testing.T) {
	for message, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:5: secret":                 "TLS handshake failed",
		"http: Accept error: secret; retrying in 5ms":                        "connections cannot be accepted",
		"http: panic serving 192.0.2.1:5: secret\ngoroutine 1":               "panic while serving a connection",
		"http2: server connection error from 192.0.2.1:5: secret":            "HTTP/2 connection failed",
		"httputil: ReverseProxy read error during body copy: secret":         "answer was cut short",
		"http: superfluous response.WriteHeader call from secret":            "answer was begun twice",
		"Unsolicited response received on idle HTTP channel with \"secret\"": "upstream sent octets that answer no request",
		"": "message of the HTTP server",
	} {
		log, out := logger(t)
		StdLog(log).Print(message)
		text := out.String()
		if !strings.Contains(text, want) || strings.Contains(text, "secret") || strings.Contains(text, "192.0.2.1") {
			t.Errorf("%q is logged as %s", message, text)
		}
	}
}

func TestStdLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logger(t)
		std := StdLog(log)
		for range 1000 {
			std.Print("http: TLS handshake error from x: y")
		}
		if n := strings.Count(out.String(), "\n"); n != 10+9 {
			t.Errorf("%d lines of 1000, want 19", n)
		}
	})
}

// TestServerSpeaksThroughStdLog sends a request to a TLS port in plain text:
// net/http says so, and quotes nothing of it here.
func TestServerSpeaksThroughStdLog(t *testing.T) {
	log, out := logger(t)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = StdLog(log)
	server.StartTLS()
	resp, err := http.Get("http" + strings.TrimPrefix(server.URL, "https") + "/secret")
	if err == nil {
		_ = resp.Body.Close()
	}
	server.Close()
	if text := out.String(); !strings.Contains(text, "TLS handshake failed") || strings.Contains(text, "secret") {
		t.Errorf("logged %q", text)
	}
}
