//go:build !unix

package bound

import "math"

// Descriptors is how many files the process may have open.
func Descriptors() uint64 { return math.MaxUint64 }
