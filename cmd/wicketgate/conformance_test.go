package main

import (
	"slices"
	"testing"
)

// TestConformance runs the rows of the conformance list that are about the
// whole gate, each under its name there.
func TestConformance(t *testing.T) {
	for _, r := range slices.Concat(frontRows, tokenRows, nonceRows, policyRows, answerRows, fapiRows, metadataRows, sourceRows, lateRows, mtlsRows, k8sRows, introspectionRows, statusRows, revocationRows, reviewRows, hopRows) {
		t.Run(r.id, r.run)
	}
}
