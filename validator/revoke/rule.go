// Package revoke holds deny rules: which tokens are refused although all else
// about them is good, because somebody took them back before their end.
//
// It finds out whether a rule names a token. Where rules come from, and what is
// answered, is for others.
package revoke

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// Bounds on what is read.
const (
	MaxRules  = 1_000_000 // of one source
	MaxOctets = 64 << 20  // of one source's text
	maxLine   = 64 << 10
)

// A Rule refuses tokens of one issuer. All members that are not empty must
// match; a member that a token does not have matches nothing.
type Rule struct {
	Issuer string // iss, code point for code point
	ID     string // jti
	// Subject, Client and Session are what sub, the claim with the client and sid
	// must equal.
	Subject, Client, Session string
	KeyID                    string // kid of the key that signed the token
	Email                    string // email, whatever the case of its letters

	// IssuedBefore refuses only tokens whose iat is earlier, or not there: such
	// a token cannot prove that it is newer. Zero for tokens of any date.
	IssuedBefore time.Time
	Until        time.Time // when the rule ends; zero for never
}

var (
	errIssuer  = errors.New("iss is missing")
	errNoRule  = errors.New("nothing beside iss says which tokens: one of jti, sub, client, sid, kid, email and issued_before is needed")
	errMember  = errors.New("has a member that is none of iss, jti, sub, client, sid, kid, email, issued_before and until")
	errTooMany = fmt.Errorf("more than %d rules", MaxRules)
	errTooLong = fmt.Errorf("longer than %d MiB", MaxOctets>>20)
)

// texts lists the members that are text, by their names.
func (r *Rule) texts() [7]struct {
	name string
	to   *string
} {
	return [...]struct {
		name string
		to   *string
	}{
		{"iss", &r.Issuer}, {"jti", &r.ID}, {"sub", &r.Subject}, {"client", &r.Client}, {"sid", &r.Session}, {"kid", &r.KeyID}, {"email", &r.Email},
	}
}

func (r *Rule) dates() [2]struct {
	name string
	to   *time.Time
} {
	return [...]struct {
		name string
		to   *time.Time
	}{{"issued_before", &r.IssuedBefore}, {"until", &r.Until}}
}

// Valid says what keeps r from being a rule.
func (r *Rule) Valid() error {
	switch {
	case r.Issuer == "":
		return errIssuer
	case r.members() == 0:
		return errNoRule
	}
	return nil
}

// ParseRule reads a rule from one JSON object. Texts are not empty; dates are
// seconds since the epoch or RFC 3339. An unknown member is an error: it could
// have been meant to narrow the rule. No error holds a value of the text.
func ParseRule(text string) (Rule, error) {
	var r Rule
	o, err := token.ParseObject(text)
	if err != nil {
		return r, err
	}
	for _, m := range o.Members() {
		if err := r.read(m); err != nil {
			return r, err
		}
	}
	return r, r.Valid()
}

func (r *Rule) read(m token.Member) error {
	for _, t := range r.texts() {
		if t.name != m.Name {
			continue
		}
		value, ok := m.Value.Text()
		if !ok || value == "" {
			return fmt.Errorf("%s wants text that is not empty", t.name)
		}
		*t.to = value
		return nil
	}
	for _, d := range r.dates() {
		if d.name != m.Name {
			continue
		}
		var ok bool
		if *d.to, ok = date(m.Value); !ok {
			return fmt.Errorf("%s wants seconds since the epoch, or a date like 2026-01-31T12:00:00Z", d.name)
		}
		return nil
	}
	return errMember
}

func date(v token.Value) (time.Time, bool) {
	if text, ok := v.Text(); ok {
		at, err := time.Parse(time.RFC3339, text)
		return at, err == nil && at.Unix() > 0
	}
	at, ok := token.NumericDate(v)
	return at, ok && at.Unix() > 0
}

// String is the rule as one line of JSON, always the same for the same rule.
func (r Rule) String() string {
	var out strings.Builder
	separator := "{"
	put := func(name, value string) {
		if value == "" {
			return
		}
		text, _ := json.Marshal(value) // text always can be
		out.WriteString(separator + `"` + name + `":`)
		out.Write(text)
		separator = ","
	}
	for _, t := range r.texts() {
		put(t.name, *t.to)
	}
	for _, d := range r.dates() {
		if !d.to.IsZero() {
			put(d.name, d.to.UTC().Format(time.RFC3339Nano))
		}
	}
	return out.String() + "}"
}

// Name tells a rule from every other: it is made from what the rule says.
func (r Rule) Name() string {
	sum := sha256.Sum256([]byte(r.String()))
	return hex.EncodeToString(sum[:12]) // what begins with - would be taken for a flag
}

// Over reports whether the rule has ended.
func (r *Rule) Over(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// Lines reads rules, one JSON object a line, and gives each to keep. Empty
// lines and those that begin with # are passed over. Anything else that is no
// rule ends it with an error that names the line: half a list would let through
// what the other half was to stop.
func Lines(in io.Reader, keep func(Rule) error) error {
	limited := &io.LimitedReader{R: in, N: MaxOctets + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	count := 0
	for number := 1; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		r, err := ParseRule(string(line))
		if count++; err == nil && count > MaxRules {
			err = errTooMany
		}
		if err == nil && limited.N > 0 {
			err = keep(r)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if limited.N <= 0 {
		return errTooLong
	}
	return lines.Err()
}

// ReadSet reads what Lines reads, less what has ended.
func ReadSet(in io.Reader, now time.Time) (*Set, error) {
	s := NewSet()
	err := Lines(in, func(r Rule) error {
		if !r.Over(now) {
			s.add(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
