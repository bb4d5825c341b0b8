package jwks

import "testing"

// TestConformanceSets runs the rows of the conformance list that take a set
// through time or a key through its forms, under their names.
func TestConformanceSets(t *testing.T) {
	for _, row := range []struct {
		id  string
		run func(*testing.T)
	}{
		{"JWK-04", TestConformanceSkipped},
		{"JWK-07", TestX5C},
		{"KEY-05", TestCacheGarbage},
		{"KEY-11", TestCacheSlowIssuer},
		{"KEY-12", TestCacheFile},
		{"KEY-14", TestCacheGarbage},
		{"KEY-14", TestCacheEmptySet},
		{"KEY-15", TestCacheSources},
		{"KEY-15", TestCacheFile},
		{"K8S-05", TestDiscoverOverride},
	} {
		t.Run(row.id, row.run)
	}
	t.Run("forms", TestReadKeyRefuses) // ALG-04, ALG-10
}
