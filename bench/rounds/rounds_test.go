package rounds_test

import (
	"os"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/rounds"
	"github.com/wicketgate/wicketgate/bench/upstream"
)

func TestRun(t *testing.T) {
	w, err := cases.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	server, err := upstream.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	list, err := w.Find("opaque", "none")
	if err != nil {
		t.Fatal(err)
	}
	target := func(name string) rounds.Target {
		return rounds.Target{Name: name, Address: server.Address(), PID: os.Getpid(), Unchecked: true}
	}
	some := target("some")
	some.Status = func(c cases.Case) (int, []int, bool) { return 200, nil, c.ID == "none" }
	o := rounds.Options{Rounds: 3, Requests: 40, Connections: 4}
	rows, err := rounds.Run(t.Context(), o, list, []rounds.Target{target("all"), some})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].Case.ID != "opaque" || rows[2].Target != "some" {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if len(r.Costs) != 3 || r.Cost() <= 0 || r.Statuses[200] != 120 || r.Ratio() <= 0 || r.Target == "all" && r.Ratio() != 1 {
			t.Errorf("%+v", r)
		}
	}
	checks := target("checks")
	checks.Unchecked = false
	if _, err := rounds.Run(t.Context(), o, list, []rounds.Target{checks}); err == nil || !strings.Contains(err.Error(), "checks: none: ") {
		t.Errorf("200 where 401 is planned: %v", err)
	}
}
