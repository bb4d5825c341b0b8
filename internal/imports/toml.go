package imports

import (
	"strings"
)

// setting is the value of a key: one text, or a list.
type setting struct {
	at     Place
	values []string
	places []Place // of the values, where they have their own
}

// place is where a value stands.
func (s setting) place(value int) Place {
	if value < len(s.places) {
		return s.places[value]
	}
	return s.at
}

// one is a setting that is no list.
func (s setting) one() string {
	if len(s.values) == 0 {
		return ""
	}
	return s.values[0]
}

// tomlReader reads what oauth2-proxy's files are made of: key = value with text,
// numbers, true, false and lists of these, and arguments (--key=value).
type tomlReader struct {
	file string
	rest string
	line int
	into map[string]setting

	repeated map[string]bool // keys of arguments that may come again
}

func (t *tomlReader) fail(message string) error {
	return &Error{Place{t.file, t.line}, message}
}

// read reads the whole file.
func (t *tomlReader) read() error {
	for t.line = 1; ; {
		t.blank(true)
		if t.rest == "" {
			return nil
		}
		at := Place{t.file, t.line}
		line, _, _ := strings.Cut(t.rest, "\n")
		bare := strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "- "), `"', `)
		if strings.HasPrefix(bare, "--") {
			if err := t.argument(at, strings.TrimPrefix(bare, "--")); err != nil {
				return err
			}
			t.rest = t.rest[len(line):]
			continue
		}
		if strings.HasPrefix(t.rest, "[") {
			return t.fail("has a table, which files of oauth2-proxy have not")
		}
		if err := t.pair(at); err != nil {
			return err
		}
	}
}

// argument reads --key=value as the key of a file.
func (t *tomlReader) argument(at Place, text string) error {
	key, text, given := strings.Cut(text, "=")
	key = strings.ReplaceAll(strings.TrimSpace(key), "-", "_")
	if !given {
		text = "true"
	}
	plural, many := plurals()[key]
	if many {
		key = plural
	}
	old, twice := t.into[key]
	if twice && !t.repeated[key] {
		return &Error{at, "has " + key + " for the second time; first in " + old.at.String()}
	}
	if t.repeated[key] = many; !twice {
		old.at = at
	}
	old.values, old.places = append(old.values, strings.Trim(text, `"'`)), append(old.places, at)
	t.into[key] = old
	return nil
}

// plurals are the keys of arguments that may be repeated.
func plurals() map[string]string {
	out := make(map[string]string)
	for _, one := range strings.Fields("upstream skip_auth_route allowed_group allowed_role email_domain extra_jwt_issuer cookie_domain whitelist_domain api_route trusted_ip oidc_extra_audience oidc_audience_claim") {
		out[one] = one + "s"
	}
	out["skip_auth_regex"] = "skip_auth_regex"
	return out
}

func (t *tomlReader) pair(at Place) error {
	end := strings.IndexFunc(t.rest, func(r rune) bool {
		return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end <= 0 {
		return t.fail("wants key = value")
	}
	key := t.rest[:end]
	t.rest = t.rest[end:]
	t.blank(false)
	if !strings.HasPrefix(t.rest, "=") {
		return t.fail("wants = behind " + key)
	}
	t.rest = t.rest[1:]
	t.blank(false)
	values, places, err := t.value()
	if err != nil {
		return err
	}
	if old, twice := t.into[key]; twice {
		return &Error{at, "has " + key + " for the second time; first in " + old.at.String()}
	}
	t.into[key] = setting{at, values, places}
	t.blank(false)
	if t.rest != "" && t.rest[0] != '\n' {
		return t.fail("has more behind the value of " + key)
	}
	return nil
}

// blank goes over spaces and comments, and over ends of lines if it may.
func (t *tomlReader) blank(lines bool) {
	for t.rest != "" {
		switch c := t.rest[0]; {
		case c == '#':
			_, after, more := strings.Cut(t.rest, "\n")
			if t.rest = ""; more {
				t.rest = "\n" + after
			}
			continue
		case c == '\n' && lines:
			t.line++
		case c != ' ' && c != '\t' && c != '\r':
			return
		}
		t.rest = t.rest[1:]
	}
}

func (t *tomlReader) value() (out []string, places []Place, err error) {
	if !strings.HasPrefix(t.rest, "[") {
		text, err := t.scalar()
		return []string{text}, nil, err
	}
	t.rest = t.rest[1:]
	for {
		t.blank(true)
		if strings.HasPrefix(t.rest, "]") {
			t.rest = t.rest[1:]
			return out, places, nil
		}
		text, err := t.scalar()
		if err != nil {
			return nil, nil, err
		}
		out, places = append(out, text), append(places, Place{t.file, t.line})
		if t.blank(true); strings.HasPrefix(t.rest, ",") {
			t.rest = t.rest[1:]
		} else if !strings.HasPrefix(t.rest, "]") {
			return nil, nil, t.fail("wants , or ] in a list")
		}
	}
}

func (t *tomlReader) scalar() (string, error) {
	if t.rest == "" {
		return "", t.fail("wants a value")
	}
	if quote := t.rest[0]; quote == '"' || quote == '\'' {
		if strings.HasPrefix(t.rest, strings.Repeat(string(quote), 3)) {
			return "", t.fail("has text over several lines, which is not read here")
		}
		return t.quoted(quote)
	}
	end := strings.IndexAny(t.rest, " \t\r\n,]#")
	if end < 0 {
		end = len(t.rest)
	}
	word := t.rest[:end]
	if word != "true" && word != "false" && (word == "" || strings.Trim(word, "+-_.0123456789") != "") {
		return "", t.fail("wants text in quotes, a number, true, false or a list")
	}
	t.rest = t.rest[end:]
	return word, nil
}

func (t *tomlReader) quoted(quote byte) (string, error) {
	var b strings.Builder
	for i := 1; i < len(t.rest) && t.rest[i] != '\n'; i++ {
		switch c := t.rest[i]; {
		case c == quote:
			t.rest = t.rest[i+1:]
			return b.String(), nil
		case c != '\\' || quote == '\'':
			b.WriteByte(c)
		case i+1 < len(t.rest) && strings.IndexByte(`"\`, t.rest[i+1]) >= 0:
			i++
			b.WriteByte(t.rest[i])
		default:
			return "", t.fail(`has an escape other than \" and \\; put the text in single quotes`)
		}
	}
	return "", t.fail("has text without its closing quote")
}
