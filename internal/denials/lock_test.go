package denials

import (
	"strconv"
	"sync"
	"testing"
)

// TestAddWhileRemoving wants no rule lost that is added while others are
// removed.
func TestAddWhileRemoving(t *testing.T) {
	name := File(t.TempDir() + "/rules.jsonl")
	const count = 200
	if err := name.Add(t.Context(), rule("first")); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		if err := name.Add(t.Context(), rule("old"+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		for i := range count {
			if err := name.Add(t.Context(), rule("new"+strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for i := range count {
			if found, err := name.Remove(t.Context(), rule("old"+strconv.Itoa(i)).Name()); !found || err != nil {
				t.Error(found, err)
			}
		}
	})
	both.Wait()
	set, err := readRules(string(name))
	if err != nil || set.Len() != count+1 {
		t.Errorf("%d rules of %d: %v", set.Len(), count+1, err)
	}
}
