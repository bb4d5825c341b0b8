package telemetry

import "crypto/fips140"

// FIPS is the mode of this process as FIPS 140-3 names them: off, on, or only,
// in which what the standard does not approve of fails.
func FIPS() string {
	switch {
	case fips140.Enforced():
		return "only"
	case fips140.Enabled():
		return "on"
	}
	return "off"
}
