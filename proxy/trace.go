package proxy

import "net/http"

// link makes the upstream's span a part of the exchange, where there is one. All
// other requests keep what they came with, octet by octet: what is wrong in it is
// not ours to repair.
func (ex *exchange) link(h http.Header) {
	traceparent, fresh, linked := ex.outcome.Trace.Asking()
	if !linked {
		return
	}
	h["Traceparent"] = ex.line(traceparent)
	if fresh {
		delete(h, "Tracestate") // of a trace that could not be read (W3C Trace Context section 3.3.1.5)
	}
}

// statusOf is 0 without an answer.
func statusOf(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}
