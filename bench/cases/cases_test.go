package cases_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/bench/cases"
)

func TestRequests(t *testing.T) {
	w, err := cases.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	fresh := map[string]bool{"es256-once": true, "rs256-once": true, "dpop": true, "forged-es256": true, "forged-rs256": true, "forged-flood": true, "pool": true,
		"dpop-stale": true, "dpop-htu": true, "dpop-forged": true}
	for _, c := range w.Cases {
		t.Run(c.ID, func(t *testing.T) {
			first, err := c.Requests(3)
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.Requests(3)
			if err != nil {
				t.Fatal(err)
			}
			different := make(map[string]bool)
			for _, text := range append(first, second...) {
				r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
				if err != nil {
					t.Fatal(err)
				}
				if r.Host != cases.Host || r.Method != http.MethodGet {
					t.Errorf("%s %s", r.Method, r.Host)
				}
				different[r.Header.Get("Authorization")+r.Header.Get("DPoP")] = true
			}
			if want := map[bool]int{false: 1, true: 6}[fresh[c.ID]]; len(different) != want {
				t.Errorf("%d credentials in 6 requests, want %d", len(different), want)
			}
		})
	}
	if _, err := w.Find("pass", "what"); err == nil || !strings.Contains(err.Error(), `"what"`) {
		t.Errorf("finding an unknown case: %v", err)
	}
	if found, err := w.Find("none", "pass"); err != nil || len(found) != 2 || found[0].ID != "pass" {
		t.Errorf("found %v, %v", found, err)
	}
}
