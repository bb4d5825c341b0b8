package live

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/jwks"
)

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"k1": "k1", "a b": `"a b"`, "": `""`, "x\x1b[2J": `"x\x1b[2J"`, "é": `"\u00e9"`, `a"b`: `"a\"b"`, strings.Repeat("x", 300): `"` + strings.Repeat("x", 200) + `"…`,
	} {
		if got := shown(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestAsk(t *testing.T) {
	server := miniredis.RunT(t)
	socket := t.TempDir() + "/api.sock"
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	store := Redis{At: "revocation.redis", Options: redis.Options{Addresses: []string{server.Addr()}, Timeout: 10 * time.Second}, Proofs: true, Answers: true, Rules: true}
	var out strings.Builder
	all := Ask(t.Context(), &out, []Question{
		Upstream("one", "http://"+gone.Addr().String()), store.Question(), Upstream("two", "unix:"+socket), Upstream("three", "unix:"+socket+"x"),
		Issuer(jwks.Source{Name: "corp", Issuer: "https://as.example.com", File: socket + ".json"}, nil),
	})
	if all.Failed != 4 || all.Warned != 0 || all.OK < 3 {
		t.Errorf("%+v\n%s", all, out.String())
	}
	rest := out.String()
	for _, want := range []string{
		"FAILED upstream of one: no connection to ", "\n       next: is it running", "FAILED redis of revocation.redis: INFO is refused", "redis of revocation.redis answers well within 10s\n", "ok     upstream of two accepts connections at ",
		"FAILED upstream of three: no connection", "FAILED issuer corp: ", "4 failed\n",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %q, or not where it belongs:\n%s", want, out.String())
		}
		rest = after
	}
	if keys := server.Keys(); len(keys) > 3 { // which end after a second, and the epoch
		t.Errorf("left behind: %v", keys)
	}
}
