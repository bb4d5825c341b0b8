package fetch

import (
	"errors"
	"net/http"
	"testing"
)

// The client's own token goes to its home and nowhere else.
func TestBearerStaysAtHome(t *testing.T) {
	const token = "own-token"
	for _, c := range []struct {
		home, address string
		sent          bool
	}{
		{"https://api.example.com/a", "https://api.example.com/b?c", true}, {"https://api.example.com", "https://API.example.com:443/", true}, {"https://[::1]:6443/", "https://[::1]:6443/x", true},
		{"https://api.example.com", "https://api.example.com:8443/", false}, {"https://api.example.com", "https://api.example.com.evil.example/", false},
		{"https://api.example.com", "https://evil.example/api.example.com", false}, {"https://api.example.com", "http://api.example.com/", false}, {"http://api.example.com", "http://api.example.com/", false},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/", true}, {"http://127.0.0.1:1", "http://localhost:1/", false}, {"", "https://api.example.com/", false}, {":", "https://api.example.com/", false},
	} {
		client := NewClient(ClientOptions{BearerHome: c.home, Bearer: func() (string, error) { return token, nil }})
		req, err := http.NewRequest(http.MethodGet, c.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.identify(req); err != nil {
			t.Error(err)
		}
		want := ""
		if c.sent {
			want = "Bearer " + token
		}
		if got := req.Header.Get("Authorization"); got != want {
			t.Errorf("home %s, %s: %q, want %q", c.home, c.address, got, want)
		}
	}
}

// Without its token the client does not ask.
func TestBearerUnreadable(t *testing.T) {
	broken := errors.New("broken")
	client := NewClient(ClientOptions{BearerHome: "http://127.0.0.1:1", Bearer: func() (string, error) { return "", broken }})
	if _, err := client.Get(t.Context(), "http://127.0.0.1:1/x", "application/json"); !errors.Is(err, broken) {
		t.Error(err)
	}
}
