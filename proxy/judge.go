package proxy

import (
	"context"
	"net/http"

	"github.com/wicketgate/wicketgate/token"
)

// Judge decides about r as the listener at the address listen would, by the same
// code. Nobody is answered, and no body is read. door is the refusal at the door,
// and then there is no decision. trace may be nil.
func (t *Table) Judge(ctx context.Context, listen string, r *http.Request, trace *token.Trace) (d Decision, door *token.Error) {
	ex := &exchange{table: t, trace: trace}
	ex.writer = &recorder{request: r, exchange: ex}
	if door = ex.enter(t.Sites[listen], r); door != nil {
		return Decision{}, door
	}
	if trace == nil && ex.gate.Report != nil {
		ex.request.Trace = &token.Trace{} // a share of report-only counts as all: what falls into it, another process knew
	}
	return ex.gate.Decide(ctx, &ex.request), nil
}
