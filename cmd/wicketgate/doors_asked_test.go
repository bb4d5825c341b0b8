package main

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy/forwardauth"
)

// onlyAsked makes the resource of the fixture one that is only asked about.
func onlyAsked(t testing.TB, more string) func(string) string {
	t.Helper()
	return func(text string) string {
		text = instead(t, text, "    upstream: \"%[5]s\"\n", "    metadata: true\n")
		return instead(t, text, "admin:", "forward_auth: {listen: \"%[6]s\", peers: [127.0.0.1]"+more+"}\nadmin:")
	}
}

// A question that does not say once what the client asked for is refused.
func TestQuestions(t *testing.T) {
	whole := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "rs.example.com", "X-Forwarded-Uri", "/open/x"}
	original := []string{"X-Original-Method", "GET", "X-Original-URL", "https://rs.example.com/open/x"}
	but := func(list []string, name string, values ...string) []string {
		list = slices.Clone(list)
		at := slices.Index(list, name)
		list = slices.Delete(list, at, at+2)
		for _, v := range values {
			list = append(list, name, v)
		}
		return list
	}
	for form, rows := range map[string]map[string]struct {
		status int
		header []string
	}{
		"x-forwarded": {
			"good":                 {200, whole},
			"capitals":             {200, but(whole, "X-Forwarded-Proto", "HTTPS")},
			"nothing":              {400, nil},
			"the other form":       {400, original},
			"both, the same":       {200, append(slices.Clone(whole), original...)},
			"both, another method": {400, append(slices.Clone(whole), "X-Original-Method", "POST")},
			"both, another URL":    {400, append(slices.Clone(whole), "X-Original-URL", "https://rs.example.com/read")},
			"both, another URI":    {400, append(slices.Clone(whole), "X-Original-URI", "/read")},
			"no method":            {400, but(whole, "X-Forwarded-Method")},
			"no proto":             {400, but(whole, "X-Forwarded-Proto")},
			"no host":              {400, but(whole, "X-Forwarded-Host")},
			"no target":            {400, but(whole, "X-Forwarded-Uri")},
			"empty target":         {400, but(whole, "X-Forwarded-Uri", "")},
			"two targets":          {400, but(whole, "X-Forwarded-Uri", "/open/x", "/open/x")},
			"two methods":          {400, but(whole, "X-Forwarded-Method", "GET", "GET")},
			"whole target":         {400, but(whole, "X-Forwarded-Uri", "https://rs.example.com/open/x")},
			"star":                 {400, but(whole, "X-Forwarded-Uri", "*")},
			"another protocol":     {400, but(whole, "X-Forwarded-Proto", "ws")},
			"odd method":           {400, but(whole, "X-Forwarded-Method", "G T")},
			"odd host":             {400, but(whole, "X-Forwarded-Host", "rs.example.com, evil")},
			"its own target":       {401, but(whole, "X-Forwarded-Uri", "/read")},
		},
		"x-original": {
			"good":                 {200, original},
			"the other form":       {400, whole},
			"both, another method": {400, append(slices.Clone(original), "X-Forwarded-Method", "POST")},
			"both, another target": {400, append(slices.Clone(original), "X-Forwarded-Uri", "/read")},
			"no host":              {400, but(original, "X-Original-URL", "https:///open/x")},
			"no path":              {400, but(original, "X-Original-URL", "https://rs.example.com?/open/x")},
			"no scheme":            {400, but(original, "X-Original-URL", "/open/x")},
			"user":                 {400, but(original, "X-Original-URL", "https://rs.example.com@evil.example.com/open/x")},
			"two":                  {400, but(original, "X-Original-URL", "https://rs.example.com/open/x", "https://rs.example.com/open/x")},
			"whole target":         {400, but(original, "X-Original-URL", "https://rs.example.comhttps://evil.example.com/open/x")},
		},
	} {
		f := newFixture(t, onlyAsked(t, ", form: "+form))
		for name, row := range rows {
			t.Run(form+"/"+name, func(t *testing.T) {
				got := exchangeAt(t, f.asks, &visit{"GET", "/auth", row.header})
				means := got.status
				if s := got.header.Get(forwardauth.HeaderStatus); s != "" {
					means = map[string]int{"400": 400, "401": 401}[s]
				}
				if means != row.status {
					t.Errorf("%d %v %s, want %d", got.status, got.header, got.body, row.status)
				}
			})
		}
	}
}

// What is no leave to forward is never told as one, and nginx is told what it knows.
func TestAnswersOfDoors(t *testing.T) {
	for form, rows := range map[string]map[string]struct{ status, means int }{
		"x-forwarded": {"/read": {401, 401}, "/nowhere": {404, 404}, "/.well-known/oauth-protected-resource": {403, 200}},
		"x-original":  {"/read": {401, 401}, "/nowhere": {403, 404}, "/.well-known/oauth-protected-resource": {403, 200}, "/a//b": {403, 400}},
	} {
		f := newFixture(t, onlyAsked(t, ", form: "+form))
		for target, want := range rows {
			take := map[string]func(*testing.T, *fixture, *visit) *seen{"x-forwarded": askForwarded, "x-original": askOriginal}[form]
			v := &visit{"GET", target, nil}
			q := []string{"X-Original-Method", "GET", "X-Original-URL", testIdentifier + target}
			if form == "x-forwarded" {
				q = []string{"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "rs.example.com", "X-Forwarded-Uri", target}
			}
			if got := exchangeAt(t, f.asks, &visit{"GET", "/", q}); got.status != want.status {
				t.Errorf("%s %s: %d %v, want %d", form, target, got.status, got.header, want.status)
			}
			if got := take(t, f, v); got.status != want.means || got.onward != nil {
				t.Errorf("%s %s: %d %v, want %d", form, target, got.status, got.header, want.means)
			}
		}
		if got := askOriginal(t, f, &visit{"GET", "/read", nil}); form == "x-original" && len(got.header["Www-Authenticate"]) != 1 {
			t.Errorf("challenges %q, want one line", got.header["Www-Authenticate"])
		}
		// A request that is no question is answered only where no token has a part in it.
		if got := exchangeAt(t, f.asks, &visit{"GET", "/.well-known/oauth-protected-resource", nil}); got.status != 200 || !strings.Contains(got.body, testIdentifier) {
			t.Errorf("metadata: %d %s", got.status, got.body)
		}
		if got := exchangeAt(t, f.asks, &visit{"GET", "/.well-known/oauth-protected-resource/other", nil}); got.status == 200 {
			t.Errorf("below the metadata: %d %s", got.status, got.body)
		}
		if got := exchangeAt(t, f.asks, &visit{"GET", "/open/x", nil}); got.status == 200 {
			t.Errorf("no question: %d %s", got.status, got.body)
		}
	}
}

// A handshake that proxies hide by leaving out Upgrade is seen, and refused where the
// route takes none.
func TestHandshakesAreAskedAbout(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return onlyAsked(t, "")(instead(t, text, "log:", "      - {name: ws, path: /ws, public: true, methods: [GET], websocket: true}\nlog:"))
	})
	key := []string{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "13"}
	for name, row := range map[string]struct {
		target string
		header []string
		status int
	}{
		"no WebSocket here":   {"/open/x", key, 400},
		"told in full":        {"/open/x", append([]string{"Connection", "Upgrade", "Upgrade", "websocket"}, key...), 400},
		"WebSocket":           {"/ws", key, 200},
		"WebSocket, as Caddy": {"/ws", append([]string{"Connection", "Upgrade", "Upgrade", "websocket"}, key...), 200},
		"WebSocket or h2c":    {"/ws", append([]string{"Connection", "Upgrade", "Upgrade", "h2c, websocket"}, key...), 400},
		"h2c":                 {"/open/x", []string{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"}, 400},
		"h2c, hidden":         {"/open/x", []string{"HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"}, 400},
		"another protocol":    {"/open/x", []string{"Connection", "Upgrade", "Upgrade", "TLS/1.0"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if got := askForwarded(t, f, &visit{"GET", row.target, row.header}); got.status != row.status || (got.onward == nil) != (row.status != 200) {
				t.Errorf("%d %v, want %d", got.status, got.header, row.status)
			}
		})
	}
}

// Who is not one of peers gets no verdict, and shows in the metrics; peers are read
// anew with the file.
func TestPeersOfDoors(t *testing.T) {
	f := newFixture(t, onlyAsked(t, ""))
	if addresses := f.gateway.servers.addresses(); !slices.Equal(addresses, []string{f.asks}) {
		t.Errorf("listens at %v, want %s only", addresses, f.asks)
	}
	if got := askForwarded(t, f, &visit{"GET", "/open/x", nil}); got.onward == nil {
		t.Fatalf("%d %v", got.status, got.header)
	}
	rewrite := func(old, with string) {
		text, err := os.ReadFile(f.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.config, []byte(instead(t, string(text), old, with)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite("peers: [127.0.0.1]", "peers: [192.0.2.1]")
	if !f.gateway.tryReload("test") {
		t.Fatal(f.log.String())
	}
	for _, target := range []string{"/open/x", "/read"} {
		if got := askForwarded(t, f, &visit{"GET", target, nil}); got.status != http.StatusForbidden || got.onward != nil || !strings.Contains(got.body, "this proxy may not ask here") {
			t.Errorf("%d %v %s", got.status, got.header, got.body)
		}
	}
	if metrics := f.adminDo("/metrics").body; !strings.Contains(metrics, `reason="asker"`) || !strings.Contains(f.log.String(), `"gate.reason":"asker"`) {
		t.Error("neither metrics nor log tell of it")
	}
	rewrite("peers: [192.0.2.1]", "peers: [192.0.2.1], form: x-original")
	if f.gateway.tryReload("test") || !strings.Contains(f.log.String(), "restart needed: forward_auth or ext_authz") {
		t.Error("another form was put in force, or not said to need a restart")
	}
}

// The client's address is what a peer wrote last, and no client's word.
func TestClientsOfQuestions(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return onlyAsked(t, "")(instead(t, text, "log:", "      - {name: office, path: /office, networks: [192.0.2.0/24]}\nlog:"))
	})
	raw := f.AT(nil)
	for header, want := range map[string]int{"": 403, "192.0.2.7": 200, "198.51.100.1, 192.0.2.7": 200, "192.0.2.7, 198.51.100.1": 403} {
		v := &visit{"GET", "/office", []string{"Authorization", "Bearer " + raw}}
		if header != "" {
			v.header = append(v.header, "X-Forwarded-For", header)
		}
		if got := askForwarded(t, f, v); got.status != want {
			t.Errorf("%q: %d, want %d", header, got.status, want)
		}
	}
}

// What explain, check and the policy tests say of a resource that is only asked about
// is what it is.
func TestOnlyAsked(t *testing.T) {
	const head = "version: 1\nissuers: [{issuer: https://login.example.com/}]\n"
	for name, test := range map[string]struct{ text, want string }{
		"no door":          {"resources: [{identifier: https://api.example.com}]\n", "resources[0].upstream: is missing"},
		"another's door":   {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1], resources: [b]}\nresources: [{identifier: https://api.example.com, name: a}, {identifier: https://b.example.com, name: b}]\n", "resources[0].upstream: is missing"},
		"listen":           {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1]}\nresources: [{identifier: https://api.example.com, listen: \":9\"}]\n", "resources[0].listen: needs upstream"},
		"no peers":         {"forward_auth: {listen: \"127.0.0.1:8430\"}\nresources: [{identifier: https://api.example.com}]\n", "forward_auth.peers: is missing"},
		"no peers either":  {"ext_authz: {listen: \"127.0.0.1:8430\"}\nresources: [{identifier: https://api.example.com}]\n", "ext_authz.peers: is missing"},
		"empty peers":      {"forward_auth: {listen: \"127.0.0.1:8430\", peers: []}\nresources: [{identifier: https://api.example.com}]\n", "forward_auth.peers: the list is empty"},
		"no such resource": {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1], resources: [c]}\nresources: [{identifier: https://api.example.com, upstream: \"http://127.0.0.1:1\"}]\n", "forward_auth.resources[0]: no resource has this name"},
		"no hosts":         {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1]}\nresources: [{identifier: https://a.example.com}, {identifier: https://b.example.com}]\n", "resources[0].hosts: is missing"},
		"one address":      {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1]}\next_authz: {listen: \":8430\", peers: [127.0.0.1]}\nresources: [{identifier: https://a.example.com}]\n", "overlaps the address of forward_auth.listen"},
		"that of traffic":  {"forward_auth: {listen: \":8420\", peers: [127.0.0.1]}\nresources: [{identifier: https://a.example.com, upstream: \"http://127.0.0.1:1\"}]\n", "overlaps the address of"},
		"that of admin":    {"forward_auth: {listen: \":8421\", peers: [127.0.0.1]}\nresources: [{identifier: https://a.example.com}]\n", "is the address of admin too"},
		"no certificate":   {"forward_auth: {listen: \"127.0.0.1:8430\", peers: [127.0.0.1], tls: true}\nresources: [{identifier: https://a.example.com}]\n", "forward_auth.tls: needs tls at the top"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(head+test.text), func(string) (string, bool) { return "", false })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
