package revoke

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Members says which members a rule has.
type Members uint8

const (
	hasID Members = 1 << iota
	hasSubject
	hasClient
	hasSession
	hasKeyID
	hasEmail
	hasDate
)

var memberNames = [...]string{"jti", "sub", "client", "sid", "kid", "email", "issued_before"}

// String lists the members by their names.
func (m Members) String() string {
	var names []string
	for i, name := range memberNames {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (r *Rule) members() (m Members) {
	for i, text := range [...]string{r.ID, r.Subject, r.Client, r.Session, r.KeyID, r.Email} {
		if text != "" {
			m |= 1 << i
		}
	}
	if !r.IssuedBefore.IsZero() {
		m |= hasDate
	}
	return m
}

// A Token is what rules are compared with. What is empty matches no rule that
// names it.
type Token struct {
	Issuer                       string
	ID, Subject, Client, Session string
	KeyID                        string
	Email                        string    // as Fold gives it
	IssuedAt                     time.Time // zero when nobody says
}

// Fold is the form email addresses are compared in. Two addresses that differ
// in the case of letters can be two people; both are refused then.
func Fold(email string) string { return strings.ToLower(email) }

// key is the texts of a rule; those it does not name are empty.
type key struct{ id, subject, client, session, keyID, email string }

// span is the tokens a rule takes, by date, and its end, both in microseconds
// since the epoch; forever where there is no such limit.
type span struct{ before, until int64 }

const forever = math.MaxInt64

func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return forever
	}
	return t.UnixMicro()
}

func (s span) takes(issued, now int64) bool { return issued < s.before && now < s.until }

// entry is the rules with the same texts: of two where one takes all the other
// takes, and longer, only that one. So of those that are left one that takes more
// ends sooner, and many cost no more to look at than few.
type entry struct {
	one  span
	many []span // all of them, where there are several: dates fall, ends rise
}

func (e *entry) len() int { return max(1, len(e.many)) }

func (e *entry) spans() []span {
	if len(e.many) > 0 {
		return e.many
	}
	return []span{e.one}
}

func entryOf(spans []span) entry {
	if len(spans) == 1 {
		return entry{one: spans[0]}
	}
	return entry{many: spans}
}

// from finds the first of spans, of which dates fall, that takes no token issued
// at date or later.
func from(spans []span, date int64) int {
	at, _ := slices.BinarySearchFunc(spans, date, func(s span, date int64) int { return cmp.Compare(date, s.before) })
	return at
}

func (e *entry) with(s span) entry {
	spans := e.spans()
	at := from(spans, s.before)
	switch {
	case at > 0 && spans[at-1].until >= s.until:
		return *e
	case at < len(spans) && spans[at].before == s.before && spans[at].until >= s.until:
		return *e
	}
	end := at
	for end < len(spans) && spans[end].until <= s.until {
		end++
	}
	return entryOf(slices.Replace(spans, at, end, s))
}

// live is what has not ended.
func (e *entry) live(now int64) []span {
	spans := e.spans()
	for len(spans) > 0 && now >= spans[0].until {
		spans = spans[1:]
	}
	return spans
}

// takes finds the rule that takes a token longest of those that take it.
func (e *entry) takes(issued, now int64) (span, bool) {
	if len(e.many) == 0 {
		return e.one, e.one.takes(issued, now)
	}
	at := from(e.many, issued)
	if at == 0 {
		return span{}, false
	}
	return e.many[at-1], e.many[at-1].takes(issued, now)
}

// shape is the rules of one issuer that name the same members, so that one
// look finds those for a token, however many there are.
type shape struct {
	members Members // but the date
	entries map[key]entry
}

// A Set is the rules of one source. It is not changed once it is in use.
type Set struct {
	issuers map[string][]shape
	length  int
}

// NewSet makes a Set.
func NewSet(rules ...Rule) *Set {
	s := &Set{issuers: make(map[string][]shape)}
	for i := range rules {
		s.add(rules[i])
	}
	return s
}

// Len is how many rules are held. Of rules that say the same of tokens only the
// widest counts.
func (s *Set) Len() int { return s.length }

// Issuers lists whose tokens the rules are about.
func (s *Set) Issuers() []string {
	list := make([]string, 0, len(s.issuers))
	for name := range s.issuers {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (s *Set) add(r Rule) {
	k := key{r.ID, r.Subject, r.Client, r.Session, r.KeyID, Fold(r.Email)}
	s.put(r.Issuer, r.members()&^hasDate, k, span{microseconds(r.IssuedBefore), microseconds(r.Until)})
}

func (s *Set) put(issuer string, members Members, k key, one span) {
	shapes := s.issuers[issuer]
	at := slices.IndexFunc(shapes, func(f shape) bool { return f.members == members })
	if at < 0 {
		at = len(shapes)
		shapes = append(shapes, shape{members, make(map[key]entry)})
		s.issuers[issuer] = shapes
	}
	entries := shapes[at].entries
	old, found := entries[k]
	if !found {
		entries[k] = entry{one: one}
		s.length++
		return
	}
	now := old.with(one)
	s.length += now.len() - old.len()
	entries[k] = now
}

// with is a new Set with what both hold, less what has ended.
func (s *Set) with(o *Set, now int64) *Set {
	all := NewSet()
	for _, each := range [...]*Set{s, o} {
		for issuer, shapes := range each.issuers {
			for _, f := range shapes {
				for k, e := range f.entries {
					for _, one := range e.live(now) {
						all.put(issuer, f.members, k, one)
					}
				}
			}
		}
	}
	return all
}

// over reports whether something in the set has ended.
func (s *Set) over(now int64) bool {
	for _, shapes := range s.issuers {
		for _, f := range shapes {
			for _, e := range f.entries {
				if len(e.live(now)) < e.len() {
					return true
				}
			}
		}
	}
	return false
}

// denies looks once for each combination of members that rules of the token's
// issuer have.
func (s *Set) denies(t *Token, issued, now int64) (Members, bool) {
	for _, f := range s.issuers[t.Issuer] {
		e, found := f.entries[t.key(f.members)]
		if !found {
			continue
		}
		if one, taken := e.takes(issued, now); taken {
			return f.members | dated(one), true
		}
	}
	return 0, false
}

func dated(s span) Members {
	if s.before == forever {
		return 0
	}
	return hasDate
}

// key is the members that are asked for. Where the token lacks one it is in no
// map: the texts of a rule are never empty.
func (t *Token) key(members Members) (k key) {
	if members&hasID != 0 {
		k.id = t.ID
	}
	if members&hasSubject != 0 {
		k.subject = t.Subject
	}
	if members&hasClient != 0 {
		k.client = t.Client
	}
	if members&hasSession != 0 {
		k.session = t.Session
	}
	if members&hasKeyID != 0 {
		k.keyID = t.KeyID
	}
	if members&hasEmail != 0 {
		k.email = t.Email
	}
	return k
}
