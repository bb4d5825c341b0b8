package proxy

import "strings"

// prefersProblem reads Accept (RFC 9110 section 12.5.1) for one question: is
// application/problem+json named, and liked no less than application/json? A
// wildcard does not name it. A member that is malformed is left out.
func prefersProblem(accept []string) bool {
	problem, plain, closest := 0, 0, 0
	for _, line := range accept {
		for member := range strings.SplitSeq(line, ",") {
			name, q, ok := mediaRange(member)
			if !ok {
				continue
			}
			if name == "application/problem+json" {
				problem = max(problem, q)
				continue
			}
			switch near := nearJSON(name); {
			case near > closest:
				plain, closest = q, near
			case near == closest && near > 0:
				plain = max(plain, q)
			}
		}
	}
	return problem > 0 && problem >= plain
}

// nearJSON tells how specifically a range means application/json; 0 for not at
// all.
func nearJSON(name string) int {
	switch name {
	case "application/json":
		return 3
	case "application/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}

// mediaRange reads one member of Accept: the range in lower case and its
// weight in thousandths.
func mediaRange(member string) (name string, q int, ok bool) {
	name, parameters, _ := strings.Cut(member, ";")
	q = 1000
	for parameters != "" {
		var parameter string
		parameter, parameters, _ = strings.Cut(parameters, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "q") {
			if q, ok = weight(value); !ok {
				return "", 0, false
			}
			break
		}
	}
	return strings.ToLower(strings.TrimSpace(name)), q, true
}

// weight reads a qvalue, RFC 9110 section 12.4.2: 0 to 1 with up to three
// decimals.
func weight(text string) (thousandths int, ok bool) {
	whole, decimals, _ := strings.Cut(text, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	thousandths = int(whole[0]-'0') * 1000
	place := 100
	for _, c := range []byte(decimals) {
		if c < '0' || c > '9' {
			return 0, false
		}
		thousandths += int(c-'0') * place
		place /= 10
	}
	return thousandths, thousandths <= 1000
}
