package proxy

import (
	"context"
	"hash/maphash"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy/report"
	"github.com/wicketgate/wicketgate/token"
)

type broken struct{}

func (broken) Validate(context.Context, token.Credential) (*token.Principal, error) { panic("broken") }

// TestReportOnlyOutlastsPanics: a fault of our own would refuse, too.
func TestReportOnlyOutlastsPanics(t *testing.T) {
	set, err := policy.Compile([]policy.Options{{Name: "a", Path: "/a"}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Policy: set, Validator: broken{}}
	req := &Request{Request: policy.Request{Method: "GET", Path: "/a"}, RawPath: "/a", Authorization: []string{"Bearer abc"}}
	enforced := g.Decide(t.Context(), req)
	if enforced.Verdict != Failed || enforced.Would != nil || enforced.Panicked() == "" {
		t.Errorf("enforced: %+v", enforced)
	}
	g.Report = report.New(maphash.MakeSeed(), report.Settings{File: report.Setting{Said: true, Percent: 100}, Routes: make([]report.Setting, 1)})
	d := g.Decide(t.Context(), req)
	if d.Verdict != Allowed || d.Principal != nil || d.Would == nil || d.Would.Verdict != Failed || d.Panicked() == "" || d.credential.Present() {
		t.Errorf("reported: %+v", d)
	}
}
