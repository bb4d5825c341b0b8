package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
)

// A subcommand is what the program does under a name. The fields of does are its
// flags: strings, lists of them, switches and durations. Their tags: help; name, or
// else that of the field; short; default; placeholder; and required, the mark of a
// flag that must be there. A field with the tag operand, which says what it is
// called, is no flag: it takes what stands alone, a list of them all.
type subcommand struct {
	name, help string
	does       interface {
		Help() string
		Run(*app) error
	}
}

// option is a flag of a command.
type option struct {
	name, short, help, placeholder, preset string

	required, given bool
	operand         bool
	field           reflect.Value
}

// options lists the flags of a command, each with its default in its field.
func (c *subcommand) options() ([]*option, error) {
	var list []*option
	for field, value := range reflect.ValueOf(c.does).Elem().Fields() {
		o := &option{
			name: field.Tag.Get("name"), short: field.Tag.Get("short"), help: field.Tag.Get("help"),
			placeholder: field.Tag.Get("placeholder"), preset: field.Tag.Get("default"), field: value,
		}
		if called := field.Tag.Get("operand"); called != "" {
			o.operand, o.placeholder = true, called
		} else if o.name == "" {
			o.name = dashed(field.Name)
		}
		if o.placeholder == "" && !o.alone() {
			o.placeholder = strings.ToUpper(o.name)
		}
		_, o.required = field.Tag.Lookup("required")
		if o.preset != "" {
			if err := o.set(o.preset); err != nil {
				return nil, err
			}
			o.help += " Default: " + o.preset + "."
		}
		list = append(list, o)
	}
	return list, nil
}

// dashed writes the name of a field as that of a flag: IssuedBefore, issued-before.
func dashed(field string) string {
	var out strings.Builder
	for i := range len(field) {
		if i > 0 && 'A' <= field[i] && field[i] <= 'Z' && 'a' <= field[i-1] && field[i-1] <= 'z' {
			out.WriteByte('-')
		}
		out.WriteByte(field[i])
	}
	return strings.ToLower(out.String())
}

// alone says whether the flag may stand without a value.
func (o *option) alone() bool { return o.field.Kind() == reflect.Bool }

// set takes a value over. A list grows. No error repeats the value: it may be secret.
func (o *option) set(text string) (err error) {
	switch into := o.field.Addr().Interface().(type) {
	case *string:
		*into = text
	case **string: // nil when it is not given, which differs from empty
		*into = &text
	case *[]string:
		*into = append(*into, text)
	case *bool:
		if *into, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("write --%s, --%[1]s=true or --%[1]s=false", o.name)
		}
	case *time.Duration:
		if *into, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("give --%s a duration such as 90s or 10m", o.name)
		}
	default:
		return fmt.Errorf("--%s: no flag can be a %T", o.name, into)
	}
	return nil
}

// parse reads the arguments of a command into its fields. If they ask for help it
// is returned, and else "".
func (c *subcommand) parse(args []string) (help string, err error) {
	options, err := c.options()
	if err != nil {
		return "", err
	}
	for len(args) > 0 && err == nil {
		if isHelp(args[0]) {
			return c.usage(options), nil
		}
		args, err = c.take(options, args)
	}
	if err != nil {
		return "", err
	}
	var missing []string
	for _, o := range options {
		if o.required && !o.given {
			missing = append(missing, o.spelled())
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("add %s; see wicketgate %s --help", strings.Join(missing, " and "), c.name)
	}
	return "", nil
}

// spelled is how the flag and its value, or the operand, stand in a command line.
func (o *option) spelled() string {
	if o.operand {
		return o.placeholder
	}
	return "--" + o.name + " " + o.placeholder
}

// operandFor returns the option that takes an argument which stands alone, or nil.
func operandFor(options []*option, arg string) *option {
	for _, o := range options {
		if o.operand && (arg == "-" || !strings.HasPrefix(arg, "-")) && (!o.given || o.field.Kind() == reflect.Slice) {
			return o
		}
	}
	return nil
}

// take reads one flag with its value, or an operand, and returns what follows.
func (c *subcommand) take(options []*option, args []string) ([]string, error) {
	if o := operandFor(options, args[0]); o != nil {
		o.given = true
		return args[1:], o.set(args[0])
	}
	o, value, has := find(options, args[0])
	switch {
	case o == nil:
		return nil, c.unknown(options, args[0])
	case has:
	case o.alone():
		value = "true"
	case len(args) > 1:
		value, args = args[1], args[1:]
		// A value may begin with a dash: nonces and opaque tokens do.
		if !isFlag(options, value) {
			break
		}
		fallthrough
	default:
		return nil, fmt.Errorf("write --%s %s: the value is missing; see wicketgate %s --help", o.name, o.placeholder, c.name)
	}
	if err := o.set(value); err != nil {
		return nil, fmt.Errorf("%w; see wicketgate %s --help", err, c.name)
	}
	o.given = true
	return args[1:], nil
}

// isFlag says whether arg stands for a flag, and so for no value of one.
func isFlag(options []*option, arg string) bool {
	o, _, _ := find(options, arg)
	return isHelp(arg) || o != nil && (strings.HasPrefix(arg, "--") || len(arg) == 2)
}

func isHelp(arg string) bool { return arg == "--help" || arg == "-help" || arg == "-h" }

// find returns the flag that arg names, and the value in the same argument:
// --flag=value, -fvalue or -f=value. One dash does for a name as well.
func find(options []*option, arg string) (o *option, value string, has bool) {
	short, dash := strings.CutPrefix(arg, "-")
	if !dash {
		return nil, "", false
	}
	name, value, has := strings.Cut(strings.TrimPrefix(short, "-"), "=")
	for _, o := range options {
		if o.name == name && !o.operand {
			return o, value, has
		}
	}
	for _, o := range options {
		if rest, found := strings.CutPrefix(short, o.short); found && o.short != "" {
			return o, strings.TrimPrefix(rest, "="), rest != ""
		}
	}
	return nil, "", false
}

// unknown is the error of an argument that is no flag of the command. Only what
// is spelled like the name of a flag is repeated: else it may be a token.
func (c *subcommand) unknown(options []*option, arg string) error {
	name, long := strings.CutPrefix(arg, "--")
	if !long {
		return fmt.Errorf("see wicketgate %s --help for its flags: an argument is neither a flag nor the value of one", c.name)
	}
	names := []string{"help"}
	for _, o := range options {
		if !o.operand {
			names = append(names, o.name)
		}
	}
	name, _, _ = strings.Cut(name, "=")
	return fmt.Errorf("see wicketgate %s --help for its flags: there is no --%s%s", c.name, name, meant(name, "--", names))
}

// meant is the hint for a word that should be one of names.
func meant(word, dashes string, names []string) string {
	if near := config.Nearest(word, names); near != "" {
		return ", did you mean " + dashes + near + "?"
	}
	return ""
}
