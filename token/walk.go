package token

import "iter"

// Each yields the elements of an array, and nothing of any other type. Unlike
// Elements it copies nothing, for what is asked on every request.
func (v Value) Each() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if len(v) < 2 || v[0] != '[' {
			return
		}
		for from := v.gap(1); from < len(v); {
			to := v.past(from)
			if to == from || !yield(v[from:to]) {
				return
			}
			from = v.gap(to)
		}
	}
}

// count is how many elements Each yields.
func (v Value) count() (n int) {
	for range v.Each() {
		n++
	}
	return n
}

// Member returns the member of an object called name, compared code point for
// code point; found is false for any other type.
func (v Value) Member(name string) (member Value, found bool) {
	return v.member(func(other string) bool { return other == name })
}

// member returns the first member of an object whose name is wanted.
func (v Value) member(wanted func(string) bool) (member Value, found bool) {
	if len(v) < 2 || v[0] != '{' {
		return "", false
	}
	for from := v.gap(1); from < len(v) && v[from] == '"'; {
		colon := v.past(from)
		begin := v.gap(colon)
		end := v.past(begin)
		if wanted(unquote(string(v[from:colon]))) {
			return v[begin:end], true
		}
		from = v.gap(end)
	}
	return "", false
}

// gap returns where the next value begins, at or after at.
func (v Value) gap(at int) int {
	for at < len(v) {
		switch v[at] {
		case ' ', '\t', '\n', '\r', ',', ':':
			at++
		default:
			return at
		}
	}
	return at
}

// past returns where the value that begins at at has ended. The text was
// validated as a whole, so brackets are known to match.
func (v Value) past(at int) int {
	depth := 0
	for ; at < len(v); at++ {
		switch v[at] {
		case '"':
			for at++; at < len(v) && v[at] != '"'; at++ {
				if v[at] == '\\' {
					at++
				}
			}
			if depth == 0 {
				return min(at+1, len(v))
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ' ', '\t', '\n', '\r', ',', ':':
			if depth == 0 {
				return at
			}
		}
	}
	return len(v)
}
