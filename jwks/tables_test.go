package jwks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// withTables is a key of ours for alg, as an issuer's or a client's, that uses t.
func withTables(t *testing.T, tables *Tables, alg string, client bool) *Key {
	t.Helper()
	k := *keyFor(t, alg)
	k.tables, k.client = tables, client
	return &k
}

// settled waits for the table that is being made.
func (t *Tables) settled() {
	t.building.Lock()
	defer t.building.Unlock()
}

func (t *Tables) ready(k *Key) bool {
	u, known := t.of(k).Peek(k.thumbprint)
	return known && u.table.Load() != nil
}

// TestTables follows a key from its first signature on: its verdicts are the same
// before it has a table and after, and only good signatures bring it one.
func TestTables(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "PS256"} {
		for _, client := range []bool{false, true} {
			tables := NewTables(func(string) { t.Errorf("%s: a table is wrong", alg) })
			k := withTables(t, tables, alg, client)
			good := sign(alg, input)
			bad := slices.Clone(good)
			bad[len(bad)-1] ^= 1
			for range issuerPatience + 10 {
				if err := k.Verify(alg, input, bad); !errors.Is(err, ErrSignature) {
					t.Fatalf("%s: a bad signature: %v", alg, err)
				}
			}
			tables.settled()
			if got := tables.ready(k); got != (tables.InUse() && k.patience() == 0) {
				t.Errorf("%s: after bad signatures, a table: %t", alg, got)
			}
			for i := range k.patience() + 300 {
				if got := tables.ready(k); got && i < k.patience() {
					t.Fatalf("%s: a table after %d good signatures", alg, i)
				}
				if err := k.Verify(alg, input, good); err != nil {
					t.Fatalf("%s: signature %d: %v", alg, i, err)
				}
				if err := k.Verify(alg, input+"x", good); i%8 == 0 && !errors.Is(err, ErrSignature) {
					t.Fatalf("%s: of another text: %v", alg, err)
				}
				tables.settled()
			}
			if got := tables.ready(k); got != tables.InUse() {
				t.Errorf("%s: in the end, a table: %t", alg, got)
			}
		}
	}
}

// TestTablesKeepToTheirKeys is of keys and algorithms that there are no tables for.
func TestTablesKeepToTheirKeys(t *testing.T) {
	for _, alg := range []string{"RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "EdDSA"} {
		tables := NewTables(nil)
		k := withTables(t, tables, alg, true)
		good := sign(alg, input)
		for range clientPatience + 3 {
			if err := k.Verify(alg, input, good); err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
		}
		if tables.clients.Len() > 0 {
			t.Errorf("%s is counted", alg)
		}
	}
}

// TestTablesOff is of gates that are told to do without, and of FIPS 140-3.
func TestTablesOff(t *testing.T) {
	tables := NewTables(nil)
	if want := !fips140.Enabled() && !neverTables; tables.InUse() != want {
		t.Errorf("in use: %t, want %t", tables.InUse(), want)
	}
	tables.Use(false)
	k, good := withTables(t, tables, "ES256", true), sign("ES256", input)
	for range clientPatience + 3 {
		if err := k.Verify("ES256", input, good); err != nil {
			t.Fatal(err)
		}
	}
	if tables.InUse() || tables.clients.Len() > 0 {
		t.Error("a key was counted")
	}
}

// wrongTable gives k the table of another key.
func wrongTable(t *testing.T, tables *Tables, k *Key) *ecdsa.PrivateKey {
	t.Helper()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u := &uses{}
	u.table.Store(precompute(&Key{public: &other.PublicKey, client: true}))
	tables.of(k).Add(k.thumbprint, u)
	return other
}

// TestTablesWrong puts a table of another key in place. What it accepts is
// refused, and nobody asks it again.
func TestTablesWrong(t *testing.T) {
	var told []string
	tables := NewTables(func(alg string) { told = append(told, alg) })
	if !tables.InUse() {
		return // there is nothing that could be wrong
	}
	k := withTables(t, tables, "ES256", true)
	other := wrongTable(t, tables, k)
	r, s, err := ecdsa.Sign(rand.Reader, other, lookup("ES256").digest(input))
	if err != nil {
		t.Fatal(err)
	}
	forged := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	if err := k.Verify("ES256", input, forged); !errors.Is(err, ErrSignature) {
		t.Errorf("the signature of another: %v", err)
	}
	if strings.Join(told, " ") != "ES256" || tables.InUse() {
		t.Errorf("told %q, in use: %t", told, tables.InUse())
	}
	tables.Use(true)
	for range 1000 {
		if err := k.Verify("ES256", input, sign("ES256", input)); err != nil || tables.InUse() {
			t.Fatalf("afterwards: %v, in use: %t", err, tables.InUse())
		}
		if err := k.Verify("ES256", input, forged); !errors.Is(err, ErrSignature) {
			t.Fatalf("the signature of another, afterwards: %v", err)
		}
	}
	if len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
}

// TestTablesSampled has a table refuse what is good: a refusal is looked at again
// sometimes only, but soon.
func TestTablesSampled(t *testing.T) {
	wrong := 0
	tables := NewTables(func(string) { wrong++ })
	k, good := withTables(t, tables, "ES256", true), sign("ES256", input)
	if !tables.InUse() {
		return
	}
	wrongTable(t, tables, k)
	tries := 0
	for ; tables.InUse() && tries < 100*auditEvery; tries++ {
		_ = k.Verify("ES256", input, good)
	}
	if wrong != 1 || tables.InUse() {
		t.Errorf("a wrong table is in use after %d verdicts", tries)
	}
	if err := k.Verify("ES256", input, good); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestTablesOfClientsAreBounded has more clients than are remembered.
func TestTablesOfClientsAreBounded(t *testing.T) {
	tables := NewTables(nil)
	k, good := withTables(t, tables, "ES256", true), sign("ES256", input)
	for i := range clientTables + 100 {
		one := *k
		one.thumbprint = string(rune(i))
		if err := one.Verify("ES256", input, good); err != nil {
			t.Fatal(err)
		}
	}
	if n := tables.clients.Len(); n > clientTables || tables.issuers.Len() > 0 {
		t.Errorf("%d clients and %d issuers are remembered", n, tables.issuers.Len())
	}
}

// TestTablesTogether has many check by one key while its table is made.
func TestTablesTogether(t *testing.T) {
	tables := NewTables(func(string) { t.Error("a table is wrong") })
	k, good := withTables(t, tables, "ES256", false), sign("ES256", input)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range issuerPatience/4 + 10 {
				if err := k.Verify("ES256", input, good); err != nil {
					t.Error(err)
				}
				if err := k.Verify("ES256", input+"x", good); err == nil {
					t.Error("good for another text")
				}
			}
		})
	}
	all.Wait()
	tables.settled()
	_ = k.Verify("ES256", input, good)
	tables.settled()
	if tables.ready(k) != tables.InUse() {
		t.Error("there is no table in the end")
	}
}

// TestKeysJoinTables is of the two ways by which a key comes to tables.
func TestKeysJoinTables(t *testing.T) {
	if everywhere() != nil {
		return // all keys use those
	}
	tables := NewTables(nil)
	proof, err := NewProofKeys(1).With(tables).Parse(jwkFor("ES256").text())
	if err != nil || proof.tables != tables || !proof.client {
		t.Errorf("a client's key: %v", err)
	}
	c := NewCache(Options{Tables: tables})
	set, _, err := c.parse(Source{Name: "as"}, setOf(jwkFor("ES256").with(members{"kid": "k"}).text()), nil)
	if err != nil || set.Find("k", "ES256")[0].tables != tables || set.Find("k", "ES256")[0].client {
		t.Errorf("an issuer's key: %v", err)
	}
}

// TestTablesAreBounded: no more clients have tables than there is room for, and
// those that came last.
func TestTablesAreBounded(t *testing.T) {
	tables := NewTables(nil)
	if !tables.InUse() {
		if most := TablesMemory(true); most != 0 {
			t.Errorf("unused tables take %d octets", most)
		}
		return
	}
	if most := TablesMemory(true); most < 16<<20 || most > 18<<20 || TablesMemory(false) != 0 {
		t.Errorf("%d octets at most, and %d when they are off", most, TablesMemory(false))
	}
	fill := func() int {
		for i := range 2 * clientTables {
			tables.clients.Add(strconv.Itoa(i), &uses{})
		}
		return tables.clients.Len()
	}
	for octets, want := range map[int64]int{TablesMemory(true): clientTables, 1 << 40: clientTables, TablesMemory(true) - 900*ofClientTable: 100, 0: 16} {
		if tables.Bound(octets); fill() != want {
			t.Errorf("in %d octets there are %d tables, want %d", octets, tables.clients.Len(), want)
		}
	}
	tables.issuers.Add("an issuer", &uses{})
	if tables.Bound(0); tables.issuers.Len() != 1 {
		t.Error("an issuer's table made room")
	}
}
