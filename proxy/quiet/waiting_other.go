//go:build !unix

package quiet

import "net"

// waiting cannot be known here; what comes before the request is written is
// found by Read.
func waiting(net.Conn) bool { return false }
