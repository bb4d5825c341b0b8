package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wicketgate/wicketgate/jwks/repeated"
)

// How many keys of issuers and of clients are counted and may have a table: 1 MB
// and 16 MB when all of them do.
const (
	issuerTables  = 32
	clientTables  = 1000
	ofIssuerTable = 34 << 10 // octets, with the count of uses
	ofClientTable = 17 << 10
)

// How often the standard library is asked as well: for the first signatures that
// a table accepts, and for one verdict of so many after them.
const (
	firstAudits = 8
	auditEvery  = 256
)

// Tables checks signatures by keys that are seen again with what was computed of
// such a key before (package repeated). It counts good signatures only, so that
// nobody can have a table made who holds no key. It holds a sample of its
// verdicts to those of the standard library, and is never used again after one
// that is wrong. It is safe for concurrent use, and nil is good for none.
type Tables struct {
	issuers, clients *lru.Cache[string, *uses] // by thumbprint
	onMismatch       func(alg string)          // may be nil

	on, wrong atomic.Bool
	building  sync.Mutex // one table is made at a time
}

// uses is how often a key was of use, and its table.
type uses struct {
	count    atomic.Uint32 // of good signatures without a table
	accepted atomic.Uint32 // by it
	table    atomic.Pointer[precomputed]
}

// precomputed is one of the two.
type precomputed struct {
	p256 *repeated.P256
	rsa  *repeated.RSA
}

// NewTables makes Tables that are on, but where FIPS 140-3 is: there the
// standard library's module has to do all of it. onMismatch is called at most
// once, and may be nil.
func NewTables(onMismatch func(alg string)) *Tables {
	t := &Tables{onMismatch: onMismatch}
	t.issuers, _ = lru.New[string, *uses](issuerTables) // fails for a size below 1 only
	t.clients, _ = lru.New[string, *uses](clientTables)
	t.Use(true)
	return t
}

// Use turns t on or off. Once a verdict was wrong, it stays off.
func (t *Tables) Use(on bool) { t.on.Store(on && !neverTables && !fips140.Enabled()) }

// TablesMemory is how many octets Tables take at most when they are wanted: none
// where FIPS 140-3 is on.
func TablesMemory(wanted bool) int64 {
	if !wanted || neverTables || fips140.Enabled() {
		return 0
	}
	return issuerTables*ofIssuerTable + clientTables*ofClientTable
}

// Bound has t take so many octets at most. Tables of issuers' keys, and those of
// sixteen clients, it may always have.
func (t *Tables) Bound(octets int64) {
	room := (octets - issuerTables*ofIssuerTable) / ofClientTable
	t.clients.Resize(int(max(16, min(clientTables, room))))
}

// InUse reports whether t is on.
func (t *Tables) InUse() bool { return t.on.Load() && !t.wrong.Load() }

// join has a key that nobody uses yet use t, unless it uses others.
func (k *Key) join(t *Tables) {
	if k.tables == nil && t != nil {
		k.tables = t
	}
}

// verify reports whether signature is good by k and a, which fit.
func (t *Tables) verify(k *Key, a *algorithm, signed string, signature []byte) bool {
	if t == nil || !t.InUse() || !repeatable(k, a) {
		return k.verify(a, signed, signature)
	}
	u, known := t.of(k).Get(k.thumbprint)
	if !known {
		u = &uses{}
	}
	if u.table.Load() == nil && u.count.Load() >= k.patience() {
		t.make(k, u)
	}
	if ready := u.table.Load(); ready != nil {
		return t.audited(k, u, a, signed, signature, ready.verify(a, signed, signature))
	}
	if !k.verify(a, signed, signature) {
		return false
	}
	if !known {
		if other, found, _ := t.of(k).PeekOrAdd(k.thumbprint, u); found {
			u = other // of two at once; the table of the other must stay
		}
	}
	u.count.Add(1)
	return true
}

// repeatable reports whether there are tables for keys like k with a.
func repeatable(k *Key, a *algorithm) bool {
	if a.hash != crypto.SHA256 {
		return false
	}
	public, is := k.public.(*rsa.PublicKey)
	return !is || public.E == 65537 && public.N.BitLen() <= maxProofRSA
}

func (t *Tables) of(k *Key) *lru.Cache[string, *uses] {
	if k.client {
		return t.clients
	}
	return t.issuers
}

// patience is after how many good signatures the key gets its table.
func (k *Key) patience() uint32 {
	if k.client {
		return clientPatience
	}
	return issuerPatience
}

// make makes the table of k, unless another is being made. That of a client's
// key takes as long as a few checks; for those of issuers nobody waits.
func (t *Tables) make(k *Key, u *uses) {
	if !t.building.TryLock() {
		return
	}
	u.count.Store(0) // nothing is made twice in a row, should it come to nothing
	t.of(k).ContainsOrAdd(k.thumbprint, u)
	build := func() {
		defer t.building.Unlock()
		if u.table.Load() == nil {
			u.table.Store(precompute(k))
		}
	}
	if k.client || issuerPatience == 0 {
		build()
	} else {
		go build()
	}
}

func precompute(k *Key) *precomputed {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if made := repeated.NewRSA(public); made != nil {
			return &precomputed{rsa: made}
		}
	case *ecdsa.PublicKey:
		of := repeated.Issuer
		if k.client {
			of = repeated.Client
		}
		if made := of(public); made != nil {
			return &precomputed{p256: made}
		}
	}
	return nil
}

func (t *precomputed) verify(a *algorithm, signed string, signature []byte) bool {
	digest := sha256.Sum256([]byte(signed))
	switch {
	case a.family == fixed:
		return t.p256.Verify(&digest, signature)
	case a.family == pss:
		return t.rsa.VerifyPSS(&digest, signature)
	}
	return t.rsa.VerifyPKCS1v15(&digest, signature)
}

// audited is what a table said, or the standard library where that is asked too.
func (t *Tables) audited(k *Key, u *uses, a *algorithm, signed string, signature []byte, said bool) bool {
	first := said && u.accepted.Load() < firstAudits && u.accepted.Add(1) <= firstAudits
	if !first && !auditAll && rand.Uint32N(auditEvery) > 0 {
		return said
	}
	right := k.verify(a, signed, signature)
	if right != said && t.wrong.CompareAndSwap(false, true) && t.onMismatch != nil {
		t.onMismatch(a.name)
	}
	return right
}
