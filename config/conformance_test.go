package config

import "testing"

// TestConformance runs the rows of the conformance list that the configuration
// alone decides, under their names.
func TestConformance(t *testing.T) {
	t.Run("CRED-18", TestPlainListenerNamesBothSettings)
	t.Run("OPS-04", TestBadFiles)
}
