package bound

import "math"

// What a process holds of each, in octets, as measured with room to spare: the
// goroutines and buffers of net/http on both sides, and an entry with its part
// of the map it is in.
const (
	ofProgram    = 28 << 20 // without any client
	ofConnection = 20 << 10
	ofHandshake  = 36 << 10 // more for TLS
	ofRequest    = 48 << 10
	ofToken      = 2 << 10
	ofProof      = 128
	ofHead       = 4 // times what was read: it is copied while it grows

	tablesShare = 16 // the part of all memory that tables of keys may take
)

// Room is how much of each a process can hold at once.
type Room struct {
	Connections, Requests, Tokens, Proofs int

	Heads  int64 // octets of heads that are not complete
	Tables int64 // octets of tables of keys
}

// RoomIn divides a memory limit, in octets: what the program takes and what tables
// of keys may (as much as they can, up to a sixteenth of all) goes first; of the
// rest a third each to connections and to requests, a sixth to heads that are not
// complete, a twelfth each to tokens and to proofs. math.MaxInt64 is no limit.
func RoomIn(memory int64, tls bool, tables int64) Room {
	if memory == math.MaxInt64 {
		return Room{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt64, tables}
	}
	tables = min(tables, memory/tablesShare)
	spare := max(memory-ofProgram-tables, memory/4)
	connection := int64(ofConnection)
	if tls {
		connection += ofHandshake
	}
	return Room{
		Connections: int(max(1, spare/3/connection)),
		Requests:    int(max(1, spare/3/ofRequest)),
		Tokens:      int(max(1, spare/12/ofToken)),
		Proofs:      int(max(4, spare/12/ofProof)),
		Heads:       spare / 6 / ofHead,
		Tables:      tables,
	}
}
