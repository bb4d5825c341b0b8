package rivals

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Findings is what a peer does otherwise than it should, by kind of door.
type Findings struct {
	Kind   Kind
	Passes []string // what it does not refuse
	Turns  []string // what it refuses though it is good
}

// String is one line: "jwt: does not refuse nbf in the future; refuses aud as an array".
func (f Findings) String() string {
	var parts []string
	if len(f.Passes) > 0 {
		parts = append(parts, "does not refuse: "+strings.Join(f.Passes, ", "))
	}
	if len(f.Turns) > 0 {
		parts = append(parts, "refuses though it is good: "+strings.Join(f.Turns, ", "))
	}
	if len(parts) == 0 {
		parts = append(parts, "every trial ends as it should")
	}
	return string(f.Kind) + ": " + strings.Join(parts, "; ")
}

// Try sends every trial to the doors that there are, by address, and returns
// the findings in the order of Kinds. It fails when an essential trial ends
// otherwise than it should: then the peer is not set up, and nothing that is
// measured on it means anything.
func Try(ctx context.Context, doors map[Kind]string, m *Minter) ([]Findings, error) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var all []Findings
	for _, kind := range Kinds() {
		address, there := doors[kind]
		if !there || kind == Unchecked {
			continue
		}
		found := Findings{Kind: kind}
		for _, t := range Trials() {
			if t.Kind != kind {
				continue
			}
			passed, err := t.send(ctx, client, address, m)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", kind, t.Name, err)
			}
			if passed != t.Good && t.Essential {
				return nil, fmt.Errorf("%s, %s: let through is %t, want %t", kind, t.Name, passed, t.Good)
			}
			found.note(t, passed)
		}
		all = append(all, found)
	}
	return all, nil
}

func (f *Findings) note(t Trial, passed bool) {
	switch {
	case passed && !t.Good:
		f.Passes = append(f.Passes, t.Name)
	case !passed && t.Good:
		f.Turns = append(f.Turns, t.Name)
	}
}

// send reports whether the request was let through. Any answer but 200 and a
// refusal is an error.
func (t Trial) send(ctx context.Context, client *http.Client, address string, m *Minter) (passed bool, err error) {
	header, err := t.make(m)
	if err != nil {
		return false, err
	}
	if t.again {
		if passed, err = ask(ctx, client, address, m.Origin, header); err != nil || !passed {
			return false, fmt.Errorf("the first time: let through is %t: %w", passed, err)
		}
	}
	for range t.crowd {
		other, err := t.make(m)
		if err != nil {
			return false, err
		}
		if passed, err = ask(ctx, client, address, m.Origin, other); err != nil || !passed {
			return false, fmt.Errorf("one of the others: let through is %t: %w", passed, err)
		}
	}
	return ask(ctx, client, address, m.Origin, header)
}

func ask(ctx context.Context, client *http.Client, address, origin string, header http.Header) (passed bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+trialPath, nil)
	if err != nil {
		return false, err
	}
	_, req.Host, _ = strings.Cut(origin, "://")
	req.Header = header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false, nil
	}
	return false, fmt.Errorf("status %d", resp.StatusCode)
}
