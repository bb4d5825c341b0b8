package assertion

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/signer"
)

// keepPublished is how long a key stays published once it signs no more: longer
// than any assertion lives and any upstream waits before it reads the set again.
const keepPublished = 15 * time.Minute

// maxAge is how long a reader of the set may keep it, in seconds.
const maxAge = "60"

// A Ring lives as long as the process: it has the keys of the process's own and
// publishes what verifies assertions. The zero Ring is ready for use.
type Ring struct {
	mu        sync.Mutex // guards all below
	own       map[string]*signer.Key
	published []published
}

// published is a public key, as long as somebody may need it.
type published struct {
	id, alg, members string
	until            time.Time // zero while it is in use
}

// Own is this process's key for an algorithm, made when it is first asked for.
func (r *Ring) Own(alg string) (*signer.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.own[alg]; k != nil {
		return k, nil
	}
	k, err := signer.New(alg)
	if err != nil {
		return nil, err
	}
	if r.own == nil {
		r.own = make(map[string]*signer.Key)
	}
	r.own[alg] = k
	return k, nil
}

// Publish shows keys from now on. Those of before stay for a while, since
// assertions that they signed are still under way.
func (r *Ring) Publish(keys []*signer.Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.published
	r.published = nil
	for _, k := range keys {
		r.add(published{id: k.Thumbprint(), alg: k.Algorithm(), members: k.Members()})
	}
	for _, one := range before {
		if one.until.IsZero() {
			one.until = now.Add(keepPublished)
		}
		if now.Before(one.until) && r.find(one.id) == nil {
			r.add(one)
		}
	}
}

// add shows one key more. A key that is used in two ways names none: a set has
// each kid once.
func (r *Ring) add(one published) {
	if before := r.find(one.id); before == nil {
		r.published = append(r.published, one)
	} else if before.alg != one.alg {
		before.alg = ""
	}
}

func (r *Ring) find(id string) *published {
	for i := range r.published {
		if r.published[i].id == id {
			return &r.published[i]
		}
	}
	return nil
}

// set is the JWK Set as of now (RFC 7517 section 5).
func (r *Ring) set(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	b.WriteString(`{"keys":[`)
	separator := ""
	for _, one := range r.published {
		if !one.until.IsZero() && !now.Before(one.until) {
			continue
		}
		b.WriteString(separator + "{" + one.members + `,"kid":"` + one.id + `","use":"sig"`)
		if one.alg != "" {
			b.WriteString(`,"alg":"` + one.alg + `"`)
		}
		b.WriteString("}")
		separator = ","
	}
	b.WriteString("]}\n")
	return b.String()
}

// ServeHTTP implements http.Handler: it answers with the public keys.
func (r *Ring) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age="+maxAge)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(r.set(time.Now()))) // a client that has gone needs no answer
}
