package signals

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBounds wants an event to deny no more than it is about.
func TestBounds(t *testing.T) {
	r := newRig(t)
	ahead := about("alice")
	ahead["iat"] = time.Now().Add(time.Hour).Unix()
	r.told(t, "dated ahead", r.mint(t, ahead), http.StatusBadRequest, "iat is in the future")
	r.told(t, "too long", strings.Repeat("a", MaxBody+1), http.StatusBadRequest, "longer than 64 KiB")

	device := about("alice")
	device["sub_id"] = map[string]any{
		"format": "complex", "user": device["sub_id"], "device": map[string]any{"format": "opaque", "id": "x"},
	}
	if r.told(t, "an unknown part", r.mint(t, device), http.StatusAccepted, ""); len(r.denied) != 0 {
		t.Errorf("all tokens of the user are denied: %v", r.denied)
	}

	late := about("alice")
	late["events"] = map[string]any{sessionRevoked: map[string]any{"event_timestamp": time.Now().Add(24 * time.Hour).Unix()}}
	r.told(t, "happens tomorrow", r.mint(t, late), http.StatusAccepted, "")
	if len(r.denied) != 1 || r.denied[0].IssuedBefore.After(time.Now().Add(2*time.Minute)) {
		t.Errorf("tokens are denied that are not made yet: %v", r.denied)
	}
}
