package jwks

import "crypto/ecdsa"

// longestDER is the DER of a signature with P-521: a sequence, its length in two
// octets, and two integers of 66 octets with a zero before them and two more.
const longestDER = 3 + 2*(2+1+66)

// verifyECDSA checks r and s at full length (RFC 7518 section 3.4). The standard
// library takes them in DER, which is written on the stack here: by way of two
// big.Int it costs a dozen allocations.
func verifyECDSA(public *ecdsa.PublicKey, a *algorithm, signed string, signature []byte) bool {
	size := coordinateSize(public)
	if len(signature) != 2*size {
		return false
	}
	der := appendDER(make([]byte, 0, longestDER), signature[:size], signature[size:])
	return ecdsa.VerifyASN1(public, a.digest(signed), der)
}

// appendDER writes SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section 2.2.3).
func appendDER(out, r, s []byte) []byte {
	r, s = withoutZeros(r), withoutZeros(s)
	length := integerLength(r) + integerLength(s)
	out = append(out, 0x30)
	if length > 0x7f {
		out = append(out, 0x81)
	}
	out = append(out, byte(length))
	return appendInteger(appendInteger(out, r), s)
}

// withoutZeros cuts leading zeros, and leaves one octet of zero itself.
func withoutZeros(n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	return n
}

func integerLength(n []byte) int {
	if n[0] > 0x7f {
		return 3 + len(n)
	}
	return 2 + len(n)
}

func appendInteger(out, n []byte) []byte {
	out = append(out, 0x02, byte(integerLength(n)-2))
	if n[0] > 0x7f {
		out = append(out, 0) // else the number would be negative
	}
	return append(out, n...)
}
