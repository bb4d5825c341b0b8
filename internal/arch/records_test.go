package arch

import (
	"go/ast"
	"slices"
	"testing"
)

// TestOnlyReplayJudgesRecords: a gate whose validator takes records for proof would
// let everybody in. No package but the one that replays decisions names what
// makes one; commands reach it through that package only.
func TestOnlyReplayJudgesRecords(t *testing.T) {
	module := loadModule(t)
	may := []string{"validator", "internal/replay"}
	seen := 0
	for _, p := range module.packages {
		for _, f := range p.product() {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "Recorded" && s.Sel.Name != "WithRecord" {
					return true
				}
				if seen++; !slices.Contains(may, p.path) {
					t.Errorf("%s: %s judges records; only %v may", module.at(f, n.Pos()), p, may)
				}
				return true
			})
		}
	}
	if seen == 0 {
		t.Error("nobody judges records: the names have changed")
	}
}
