package token

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// packAll packs texts one after the other, twice, and holds each object against
// what it was.
func packAll(t *testing.T, d *Dictionary, texts []string) {
	t.Helper()
	for _, text := range append(slices.Clone(texts), texts...) {
		o, err := ParseObject(text)
		if err != nil {
			t.Fatal(err)
		}
		p := d.pack(o)
		if !slices.Equal(p.Members(), o.Members()) {
			t.Errorf("%s: packed, the members are %q", text, p.Members())
		}
		for _, m := range o.Members() {
			for _, path := range []string{m.Name, m.Name + ".a", m.Name + "x", strings.ReplaceAll(m.Name, ".", `\.`)} {
				want, found := o.Lookup(path)
				if got, ok := p.Lookup(path); got != want || ok != found {
					t.Errorf("%s: packed, %s is %q %v, want %q %v", text, path, got, ok, want, found)
				}
			}
		}
		if _, found := p.Get("absent"); found {
			t.Errorf("%s: packed, it has a member more", text)
		}
	}
}

func TestDictionary(t *testing.T) {
	texts := []string{
		`{}`, `{"":""}`, `{"a":1}`, `{"a":2}`, `{"a":1,"b":2}`, `{"b":2,"a":1}`, `{"ab":1}`, `{"a":{"a":"x","b":[1,{"c":null}]},"a.a":true,"b.c":{"a":0}}`,
		`{"a":"x","b":"\u00e9\\"}`, `{"long":"` + strings.Repeat("y", 1000) + `","a":"` + strings.Repeat("z", 200) + `","b":[` + strings.Repeat("1,", 2000) + `1]}`,
		membersOf(256),
	}
	for n := range 600 { // more than a claim has words
		texts = append(texts, fmt.Sprintf(`{"iss":"i","jti":"%d","scope":"s%d","exp":%d}`, n, n%3, n/2))
	}
	for n := range 2 * maxShapes {
		texts = append(texts, fmt.Sprintf(`{"%d":"x","sub":"%d"}`, n, n))
	}
	packAll(t, &Dictionary{}, texts)
}

// What a Dictionary holds has a bound, whatever is packed.
func TestDictionaryIsBounded(t *testing.T) {
	d := &Dictionary{}
	for n := range 4000 {
		o, err := ParseObject(fmt.Sprintf(`{"%d":"x","sub":"%0500d"}`, n, n))
		if err != nil {
			t.Fatal(err)
		}
		d.pack(o)
		d.Scopes(fmt.Sprint(n))
	}
	if len(d.shapes) != maxShapes || d.octets > maxVocabulary || len(d.scopes) > maxWords {
		t.Errorf("%d shapes, %d octets, %d lists", len(d.shapes), d.octets, len(d.scopes))
	}
}

// A scope that is written like an audience is a scope all the same, and the other
// way round.
func TestListsAreApart(t *testing.T) {
	d := &Dictionary{}
	const text = `["a","b"]`
	for range 2 {
		o, err := ParseObject(`{"aud":` + text + `}`)
		if err != nil {
			t.Fatal(err)
		}
		c, err := decodeClaims(d.pack(o))
		if err != nil || !slices.Equal(c.Audience, []string{"a", "b"}) {
			t.Errorf("the audience is %q, %v", c.Audience, err)
		}
		if got := d.Scopes(text); !slices.Equal(got, Scopes{text}) {
			t.Errorf("the scope is %q", got)
		}
	}
}

// A packed object keeps nothing of the text it was parsed from, and claims that
// are made again are the same.
func TestPackedClaims(t *testing.T) {
	d := &Dictionary{}
	for n := range 300 {
		payload := fmt.Sprintf(`{"iss":"i","sub":"s%d","aud":["a","b"],"client_id":"c","jti":"%d","exp":%d,"nbf":1.5,"iat":3,"cnf":{"jkt":%q},"scope":"x y"}`,
			n, n, n+5, strings.Repeat("A", 43))
		u, err := ParseJWT(compact(sampleHeader, payload), MaxLength)
		if err != nil {
			t.Fatal(err)
		}
		want, err := u.Open(anySignature{})
		if err != nil {
			t.Fatal(err)
		}
		kept, err := u.OpenInto(d, anySignature{})
		if err != nil {
			t.Fatal(err)
		}
		p, ok := kept.Packed()
		again, err := p.Claims()
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		for _, got := range []*Claims{kept, again} {
			if !slices.Equal(got.Members(), want.Members()) || !slices.Equal(got.AppendMembers(nil), want.AppendMembers(nil)) {
				t.Errorf("members: %q, want %q", got.Members(), want.Members())
			}
			bare, other := *got, *want
			bare.object, other.object = nil, nil
			if !reflect.DeepEqual(bare, other) {
				t.Errorf("got %+v, want %+v", bare, other)
			}
		}
		if _, ok := want.Packed(); ok {
			t.Error("claims that nobody packed can be made again")
		}
	}
}

// Of what an issuer told there is no object to pack.
func TestToldClaimsAreNotPacked(t *testing.T) {
	if _, ok := (&Claims{Issuer: "i"}).Packed(); ok {
		t.Error("packed")
	}
}

type anySignature struct{}

func (anySignature) Verify(string, string, []byte) error { return nil }

// Whoever packs and whoever reads may do so at the same time.
func TestDictionaryIsShared(t *testing.T) {
	d := &Dictionary{}
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for n := range 300 {
				text := fmt.Sprintf(`{"iss":"i","jti":"%d of %d","scope":"s%d"}`, n, worker, n%40)
				o, err := ParseObject(text)
				if err != nil {
					t.Error(err)
					return
				}
				if p := d.pack(o); !slices.Equal(p.Members(), o.Members()) {
					t.Errorf("%s became %q", text, p.Members())
				}
			}
		})
	}
	wait.Wait()
}

func FuzzDictionary(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":"d"}}`, `{"a":1,"b":[]}`)
	f.Add(`{"":""}`, `{}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var texts []string
		for _, text := range []string{a, b} {
			if _, err := ParseObject(text); err == nil {
				texts = append(texts, text)
			}
		}
		packAll(t, &Dictionary{}, texts)
	})
}
