//go:build wycheproof

package wycheproof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// head is what a vector's header says.
type head struct{ Alg, Kid string }

func headOf(t *testing.T, text string) head {
	t.Helper()
	var h head
	first, _, _ := strings.Cut(text, ".")
	unmarshal(t, decode(first), &h)
	return h
}

// fault finds what is wrong with a vector and carries it over. A vector with
// nothing wrong comes out as a good token.
func (b *bench) fault(t *testing.T, v vector) fault {
	t.Helper()
	if f, found := formFaults[strings.TrimSuffix(v.Comment, "s")]; found && b.valid != "" {
		return fault{f.kind, func(t *testing.T, c *carrier) string {
			return f.apply(c.good(t, c.key.Alg, map[string]any{"alg": c.key.Alg, "kid": c.key.Kid}))
		}}
	}
	switch {
	case b.valid == "":
		return b.keyFault(t, v)
	case b.symmetric.Kty != "":
		return b.textFault(t, v)
	case strings.HasPrefix(v.Comment, "rejectsSymmetry"):
		return b.confusion(t)
	case v.Comment == "rejectsAttackerProvidedEmbeddedJwk":
		return embedded()
	case strings.EqualFold(headOf(t, v.text()).Alg, "none"):
		return fault{badForm, func(t *testing.T, c *carrier) string {
			return c.unsigned(t, map[string]any{"alg": headOf(t, v.text()).Alg, "kid": headOf(t, v.text()).Kid}).String()
		}}
	}
	return b.signatureFault(t, v)
}

// keyFault is for a vector whose fault is the key: it signs something good.
func (b *bench) keyFault(t *testing.T, v vector) fault {
	t.Helper()
	h := headOf(t, v.text())
	kind := badKey
	if h.Alg[:2] == "HS" {
		kind = badAlgorithm
	}
	return fault{kind, func(t *testing.T, c *carrier) string {
		p := c.good(t, h.Alg, map[string]any{"alg": h.Alg, "kid": h.Kid})
		if v.Comment == "rejectsModifiedSignature" {
			p.signature = other(p.signature)
		}
		return p.String()
	}}
}

// other changes the first character.
func other(text string) string {
	if text[0] == 'X' {
		return "Y" + text[1:]
	}
	return "X" + text[1:]
}

// spoiled changes the first character of a member's text value.
func spoiled(part, member string) string {
	text := string(decode(part))
	at := strings.Index(text, `"`+member+`":"`) + len(member) + 4
	return encode([]byte(text[:at] + other(text[at:])))
}

// formFaults are those in the parts of a serialization, by the comment of the
// vector without a plural s.
var formFaults = map[string]struct {
	kind  kind
	apply func(parts) string
}{
	"rejectsModifiedSignature": {badSignature, func(p parts) string { return p.signed() + "." + other(p.signature) }},
	"rejectsModifiedPayload": {badSignature, func(p parts) string {
		return p.header + "." + spoiled(p.payload, "jti") + "." + p.signature
	}},
	"rejectsModifiedHeader": {badKeyID, func(p parts) string {
		return spoiled(p.header, "kid") + "." + p.payload + "." + p.signature
	}},
	"rejectsMissingSignature":                   {badForm, func(p parts) string { return p.signed() + "." }},
	"rejectsMissingSignatureAndSeparator":       {badForm, func(p parts) string { return p.signed() }},
	"rejectsMissingPayload":                     {badForm, func(p parts) string { return p.header + ".." + p.signature }},
	"rejectsMissingPayloadAndSeparator":         {badForm, func(p parts) string { return p.header + "." + p.signature }},
	"rejectsMissingHeader":                      {badForm, func(p parts) string { return "." + p.payload + "." + p.signature }},
	"rejectsMissingHeaderAndSeparator":          {badForm, func(p parts) string { return p.payload + "." + p.signature }},
	"rejectsMissingHeaderAndSignature":          {badForm, func(p parts) string { return "." + p.payload + "." }},
	"rejectsMissingHeaderSignatureAndSeparator": {badForm, func(p parts) string { return p.payload }},
	"rejectsEmptyString":                        {badForm, func(parts) string { return "" }},
	"rejectsExtraEmptyComponent":                {badForm, func(p parts) string { return p.String() + "." }},
	"rejectsExtraComponent":                     {badForm, func(p parts) string { return p.String() + "." + p.payload }},
	"rejectsNoneAlgorithmAndMissingSignature": {badForm, func(p parts) string {
		return encode(bytes.Replace(decode(p.header), []byte("ES256"), []byte("none"), 1)) + "." + p.payload + "."
	}},
	"rejectsValidJsonSerialization": {badForm, func(p parts) string {
		return `{"payload":"` + p.payload + `","signatures":[{"protected":"` + p.header + `","signature":"` + p.signature + `"}]}`
	}},
}

// textFault is for a vector whose fault, if any, is in how its parts are
// written: the same characters are put in or left out at the same place. It is
// signed before or after, as the vector is.
func (b *bench) textFault(t *testing.T, v vector) fault {
	t.Helper()
	wrong, right := split(v.text()), split(b.valid)
	after := string(b.symmetric.sign(t, "HS256", wrong.signed())) == string(decode(wrong.signature))
	more := map[string]any{"alg": "ES256", "kid": "stand"}
	return fault{badForm, func(t *testing.T, c *carrier) string {
		p := c.good(t, "ES256", more)
		switch {
		case v.Result == "valid" && strings.Contains(v.Comment, "SpacesInJson"):
			p.header = encode(bytes.ReplaceAll(decode(p.header), []byte(`":`), []byte(`" : `)))
		case v.Result == "valid" && strings.Contains(v.Comment, "WhiteSpace"):
			p.header = encode(bytes.ReplaceAll(decode(p.header), []byte(`,`), []byte(",\n\t")))
		// The two vectors about padding have lost it in the files.
		case v.Comment == "invalidBase64Padding":
			p.header += "=="
		case v.Comment == "invalidBase64PaddingInPayload":
			p.payload += "=="
		case strings.Contains(v.Comment, "UnusedBits"), strings.Contains(v.Comment, "IncorrectlyEncoded"):
			p.payload = sparse(p.payload)
		default:
			p.header, p.payload = edited(p.header, right.header, wrong.header), edited(p.payload, right.payload, wrong.payload)
			p.signature = edited(p.signature, right.signature, wrong.signature)
		}
		if after {
			p.signature = encode(c.key.sign(t, "ES256", p.signed()))
		}
		return p.String()
	}}
}

func split(text string) parts {
	p := strings.SplitN(text, ".", 3)
	return parts{p[0], p[1], p[2]}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// edited puts those characters of wrong into text that have no place in a part,
// where wrong has them: near the beginning, or at the very end.
func edited(text, right, wrong string) string {
	if wrong == right {
		return text
	}
	for i := 0; i < len(wrong); i++ {
		end := i
		for end < len(wrong) && !strings.Contains(alphabet, wrong[end:end+1]) {
			end++
		}
		if end == len(wrong) {
			return text + wrong[i:]
		}
		if end > i {
			at := min(i, len(text))
			return text[:at] + wrong[i:end] + text[at:]
		}
	}
	return text
}

// sparse writes a part so that its last character has unused bits, and sets one.
func sparse(part string) string {
	octets := decode(part)
	for len(octets)%3 == 0 {
		octets = append(octets[:len(octets)-1], " }"...)
	}
	text := encode(octets)
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + alphabet[last^1:last^1+1]
}

// confusion is a MAC under the octets of a public key.
func (b *bench) confusion(t *testing.T) fault {
	t.Helper()
	point := slices.Concat([]byte{4}, decode(b.point(t).X), decode(b.point(t).Y))
	return fault{badAlgorithm, func(t *testing.T, c *carrier) string {
		p := c.unsigned(t, map[string]any{"alg": "HS256", "kid": c.key.Kid})
		p.signature = encode(privateKey{K: encode(point)}.sign(t, "HS256", p.signed()))
		return p.String()
	}}
}

func (b *bench) point(t *testing.T) (p struct{ X, Y string }) {
	t.Helper()
	unmarshal(t, b.jwk, &p)
	return p
}

// embedded is a signature by an attacker's key. A token brings that key along;
// a proof names the victim's, since the one in it is what it is checked with.
func embedded() fault {
	return fault{badSignature, func(t *testing.T, c *carrier) string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, errP := key.PublicKey.Bytes()
		d, errD := key.Bytes()
		if errP != nil || errD != nil {
			t.Fatal(errP, errD)
		}
		more := map[string]any{"alg": "ES256", "kid": c.key.Kid}
		if c.header["jwk"] == nil {
			more["jwk"] = map[string]any{"kty": "EC", "crv": "P-256", "kid": c.key.Kid, "x": encode(point[1:33]), "y": encode(point[33:])}
		}
		p := c.unsigned(t, more)
		p.signature = encode(privateKey{D: encode(d)}.sign(t, "ES256", p.signed()))
		return p.String()
	}}
}

// signatureFault is for a vector whose fault, if any, is in the octets of its
// signature: the same is done to the signature of something else.
func (b *bench) signatureFault(t *testing.T, v vector) fault {
	t.Helper()
	p, h := split(v.text()), headOf(t, v.text())
	kind := badSignature
	if h.Alg != b.key.Alg {
		kind = badKey // it says so in its header as well
	}
	primitive := h.Alg
	if used, found := strings.CutPrefix(v.Comment, "Using"); found {
		primitive = used
	}
	return fault{kind, func(t *testing.T, c *carrier) string {
		made := c.good(t, primitive, map[string]any{"alg": h.Alg, "kid": h.Kid})
		signature := decode(p.signature)
		switch {
		case h.Alg == "ES256":
			made.signature = encode(b.point256(decode(made.signature), signature, decode(split(b.valid).signature)))
		case primitive != h.Alg || h.Alg == "ES512" || strings.HasPrefix(v.Comment, "Figure"):
		case b.unencoded(v.Comment):
			made.signature = encode(b.integer(v.Comment, decode(made.signature), signature))
		default:
			made.signature = encode(b.encoding(t, h.Alg, made.signed(), p.signed(), signature))
		}
		return made.String()
	}}
}

// point256 does to an ES256 signature what was done to the group's own: to each
// half an addend, zeros after it, or another width; or it is a number altogether.
func (b *bench) point256(made, wrong, valid []byte) []byte {
	order := elliptic.P256().Params().N
	overflow := new(big.Int).Lsh(big.NewInt(1), 256)
	out := make([]byte, 0, len(wrong))
	for i := range 2 {
		width := len(wrong) / 2
		half := new(big.Int).SetBytes(wrong[i*width : (i+1)*width])
		ours := new(big.Int).SetBytes(made[i*32 : (i+1)*32])
		base := new(big.Int).SetBytes(valid[i*32 : (i+1)*32])
		// The group made its long signatures from the other root of s.
		if i == 1 && width > 32 {
			base.Sub(order, base)
			ours.Sub(order, ours)
		}
		switch {
		case half.Cmp(base) == 0:
		case half.Cmp(new(big.Int).Add(base, order)) == 0:
			ours.Add(ours, order)
		case half.Cmp(new(big.Int).Add(base, overflow)) == 0:
			ours.Add(ours, overflow)
		case half.Cmp(new(big.Int).Lsh(base, 8)) == 0:
			ours.Lsh(ours, 8)
		default:
			ours = half
		}
		out = append(out, ours.FillBytes(make([]byte, width))...)
	}
	return out
}

// unencoded tells vectors whose fault is in an RSA signature as a number.
func (b *bench) unencoded(comment string) bool {
	return strings.HasPrefix(comment, "SignatureIs") || strings.HasSuffix(comment, "Signature") && comment != "modifiedSignature"
}

func (b *bench) integer(comment string, made, wrong []byte) []byte {
	switch comment {
	case "SignatureIsnotReduced":
		return new(big.Int).Add(new(big.Int).SetBytes(made), number(b.key.N)).FillBytes(make([]byte, len(made)+1))
	case "prependingZerosToSignature":
		return slices.Concat(make([]byte, len(wrong)-len(made)), made)
	case "appendingZerosToSignature":
		return slices.Concat(made, make([]byte, len(wrong)-len(made)))
	case "truncatedSignature":
		return made[:len(wrong)]
	}
	return wrong // 0, 1, the modulus and the like
}

// encoding opens the signature of a vector, puts the hash of another message
// into what it finds and closes it again.
func (b *bench) encoding(t *testing.T, alg, made, wrong string, signature []byte) []byte {
	t.Helper()
	h := hashOf(alg)
	em, old, now := b.key.opened(signature), digest(h, []byte(wrong)), digest(h, []byte(made))
	if alg[:2] == "PS" {
		return b.key.power(takenApart(h, em, old).encoded(now))
	}
	at, from, length := overlap(em, old)
	if length < 8 && bytes.Equal(em, b.key.pkcs1(t, h, old)) {
		t.Fatal("the hash was not found in a good signature")
	}
	copy(em[at:at+length], now[from:from+length])
	return b.key.power(em)
}

// overlap finds the longest piece of sum in em.
func overlap(em, sum []byte) (at, from, length int) {
	for i := range sum {
		for n := len(sum) - i; n > length; n-- {
			if found := bytes.Index(em, sum[i:i+n]); found >= 0 {
				at, from, length = found, i, n
			}
		}
	}
	return at, from, length
}
