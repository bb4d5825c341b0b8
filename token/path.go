package token

import "strings"

// A path that holds a backslash says for itself where its names end: \. is a
// dot within a name, \\ a backslash, and every other dot is a step.

// lookupExact follows such a path.
func (o *Object) lookupExact(path string) (Value, bool) {
	name, rest, more := cutPath(path)
	v, found := o.find(func(member string) bool { return isWritten(member, name) })
	if found && more {
		return v.lookupExact(rest)
	}
	return v, found
}

func (v Value) lookupExact(path string) (Value, bool) {
	for more := true; more; {
		var name string
		var found bool
		name, path, more = cutPath(path)
		if v, found = v.member(func(member string) bool { return isWritten(member, name) }); !found {
			return "", false
		}
	}
	return v, true
}

// cutPath cuts path at its first step.
func cutPath(path string) (name, rest string, more bool) {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '.':
			return path[:i], path[i+1:], true
		}
	}
	return path, "", false
}

// Steps lists the names on such a path.
func Steps(path string) (steps []string) {
	var name strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			name.WriteByte(path[i])
		case c == '.':
			steps = append(steps, name.String())
			name.Reset()
		default:
			name.WriteByte(c)
		}
	}
	return append(steps, name.String())
}

// isWritten reports whether name is what a path writes as written. It copies
// nothing, as it is asked on every request.
func isWritten(name, written string) bool {
	at := 0
	for i := 0; i < len(written); i++ {
		if written[i] == '\\' && i+1 < len(written) {
			i++
		}
		if at == len(name) || name[at] != written[i] {
			return false
		}
		at++
	}
	return at == len(name)
}
