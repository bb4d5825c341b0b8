package devissuer

import (
	"bytes"
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// A Fault spoils answers. What it leaves at zero stays as the honest answer
// has it, so Fault{Status: 500} sends good keys under a bad status.
type Fault struct {
	Path  string // the one path it strikes; empty: every path
	Times int    // how many answers it strikes; 0: all until Heal

	Status      int
	ContentType string
	Header      http.Header // laid over the honest one
	Body        []byte
	Redirect    string // Location, with status 302 unless Status says otherwise

	Until    <-chan struct{} // nothing is sent until it is closed or the client leaves
	Drip     time.Duration   // the body goes byte by byte, with this pause after each
	Truncate int             // only so many bytes of the promised body arrive, then the connection is cut
	Reset    bool            // the connection is cut without an answer
}

// Fail makes a fault due from now on. Of several for a path the newest wins.
func (is *Issuer) Fail(f Fault) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.faults = append(is.faults, &f)
}

// Heal ends all faults; an answer that one already holds stays held.
func (is *Issuer) Heal() {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.faults = nil
}

// play asks for the honest answer only after the wait: what is released is as
// of then.
func (f *Fault) play(w http.ResponseWriter, r *http.Request, honest func(*http.Request) answer) {
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-r.Context().Done():
		}
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	a := f.alter(honest(r))
	if f.Drip == 0 && f.Truncate == 0 {
		a.write(w)
		return
	}
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	pieces := [][]byte{a.body[:min(cmp.Or(f.Truncate, len(a.body)), len(a.body))]}
	if f.Drip > 0 {
		pieces = bytes.SplitAfter(pieces[0], nil)
	}
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(f.Drip):
		case <-r.Context().Done():
		}
	}
	// After less than the promised length net/http cuts the connection itself.
}

func (f *Fault) alter(a answer) answer {
	if f.Redirect != "" {
		a.status = http.StatusFound
		a.header.Set("Location", f.Redirect)
	}
	if a.status = cmp.Or(f.Status, a.status); f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	if f.Body != nil {
		a.body = f.Body
	}
	maps.Copy(a.header, f.Header)
	return a
}
