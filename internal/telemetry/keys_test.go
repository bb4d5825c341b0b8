package telemetry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
)

func TestCopiesAndClocks(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log})
	m.Bind(nil, []string{"corp", "other"})
	at := time.Unix(1_750_000_000, 0)
	m.KeysCopied("corp", jwks.Copied{Result: jwks.CopyRestored, Keys: 3, Loaded: at})
	m.KeysCopied("corp", jwks.Copied{Result: jwks.CopyWritten, Keys: 4, Loaded: at})
	m.KeysCopied("corp", jwks.Copied{Result: jwks.CopyFailed, Err: errors.New("disk full"), Loaded: at})
	m.KeysCopied("other", jwks.Copied{Result: jwks.CopyIgnored, Err: errors.New("bits fell over")})
	m.KeysCopied("stranger", jwks.Copied{Result: jwks.CopyWritten})
	m.KeysLoaded("corp", jwks.Load{Keys: 3, At: at, Skew: jwks.Skew{Known: true, Ahead: 90 * time.Second, Beyond: true, News: true}})
	m.KeysLoaded("other", jwks.Load{Keys: 3, At: at, Skew: jwks.Skew{Known: true, Ahead: -time.Second}})
	m.MetadataDiffers("corp", "two documents name different keys")
	m.ClockJumped(time.Hour)
	m.ClockJumped(-3 * time.Second)
	m.ClockJumped(-3 * time.Second)
	for series, want := range map[string]string{
		`jwks_copies_total{issuer="corp",result="restored"}`:    "1",
		`jwks_copies_total{issuer="corp",result="written"}`:     "1",
		`jwks_copies_total{issuer="corp",result="failed"}`:      "1",
		`jwks_copies_total{issuer="corp",result="ignored"}`:     "0",
		`jwks_copies_total{issuer="other",result="ignored"}`:    "1",
		`jwks_copies_total{issuer="stranger",result="written"}`: "",
		`jwks_keys{issuer="corp"}`:                              "3",
		`jwks_last_success_timestamp_seconds{issuer="corp"}`:    "1.75e+09",
		`issuer_clock_skew_seconds{issuer="corp"}`:              "90",
		`issuer_clock_skew_seconds{issuer="other"}`:             "-1",
		`clock_jumps_total{direction="forward"}`:                "1",
		`clock_jumps_total{direction="back"}`:                   "2",
	} {
		wantValue(t, m, "wicketgate_"+series, want)
	}
	for _, want := range []string{"restored from disk", "disk full", "bits fell over", "more than the leeway", `"ahead_s":90`, "two documents", `"by_s":-3`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log does not say %q: %s", want, out)
		}
	}
	if n := strings.Count(out.String(), "issuer's clock"); n != 1 {
		t.Errorf("clocks were told of %d times", n)
	}
	m.KeysLoaded("corp", jwks.Load{Keys: 3, At: at, Skew: jwks.Skew{Known: true, News: true}})
	if !strings.Contains(out.String(), "within the leeway again") {
		t.Error("nobody is told that it is right again")
	}
	m.Bind(nil, []string{"other"})
	wantValue(t, m, `wicketgate_issuer_clock_skew_seconds{issuer="corp"}`, "")
	wantValue(t, m, `wicketgate_jwks_copies_total{issuer="corp",result="written"}`, "")
}
