package introspect

import (
	"testing"
	"testing/synctest"

	"github.com/wicketgate/wicketgate/token"
)

// A panic while asking is an answer that says nothing, to this question alone.
func TestPanicIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, e := newTest(t, Server{})
		c.servers["as"].post = nil
		want(t, c, "a", token.ReasonIntrospectionUnavailable)
		c.servers["as"].post = e.post
		want(t, c, "b", token.ReasonNone)
		c.options.OnAsked = func(Asked) { panic("a fault of ours") }
		want(t, c, "c", token.ReasonIntrospectionUnavailable)
		c.options.OnAsked = nil
		want(t, c, "d", token.ReasonNone)
	})
}
