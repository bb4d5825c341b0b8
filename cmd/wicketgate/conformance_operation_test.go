package main

import "testing"

// TestConformanceOperation runs the rows about reloading, under their name.
func TestConformanceOperation(t *testing.T) {
	t.Run("OPS-05/refused", TestReloadRefused)
	t.Run("OPS-05/under load", TestReloadUnderLoad)
}
