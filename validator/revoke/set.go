package revoke

import (
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

func (s span) covers(o span) bool { return s.before >= o.before && s.until >= o.until }

// entry is the rules with the same texts: of two where one takes all the other
// takes, and longer, only that one.
type entry struct {
	span
	more []span
}

func (e entry) with(s span) entry {
	if e.covers(s) || slices.ContainsFunc(e.more, func(o span) bool { return o.covers(s) }) {
		return e
	}
	kept := []span{s}
	for _, o := range append([]span{e.span}, e.more...) {
		if !s.covers(o) {
			kept = append(kept, o)
		}
	}
	return entry{kept[0], kept[1:]}
}

// live is e without what has ended, if anything is left.
func (e entry) live(now int64) (entry, bool) {
	var kept []span
	for _, o := range append([]span{e.span}, e.more...) {
		if now < o.until {
			kept = append(kept, o)
		}
	}
	if len(kept) == 0 {
		return entry{}, false
	}
	return entry{kept[0], kept[1:]}, true
}

func (s span) takes(issued, now int64) bool { return issued < s.before && now < s.until }

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
		entries[k] = entry{span: one}
		s.length++
		return
	}
	now := old.with(one)
	s.length += len(now.more) - len(old.more)
	entries[k] = now
}

// with is a new Set with what both hold, less what has ended.
func (s *Set) with(o *Set, now int64) *Set {
	all := NewSet()
	for _, from := range [...]*Set{s, o} {
		for issuer, shapes := range from.issuers {
			for _, f := range shapes {
				for k, e := range f.entries {
					if e, left := e.live(now); left {
						all.put(issuer, f.members, k, e.span)
						for _, one := range e.more {
							all.put(issuer, f.members, k, one)
						}
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
				if now >= e.until || slices.ContainsFunc(e.more, func(o span) bool { return now >= o.until }) {
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
		if e.takes(issued, now) {
			return f.members | dated(e.span), true
		}
		for _, one := range e.more {
			if one.takes(issued, now) {
				return f.members | dated(one), true
			}
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
