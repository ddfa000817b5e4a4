package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"chronik/kafka/kerr"
)

// value is a parsed config value; which field holds it follows from the type.
type value struct {
	kind   Type
	bool   bool
	int    int64
	double float64
	text   string
	list   []string
}

// Valid is a rule beyond a config's type. Text says it in Kafka's notation, "[1,...]"; the zero Valid allows everything.
type Valid struct {
	Text  string
	check func(name string, v value) (problem string)
}

// parse reads raw as Kafka does: spaces around it, and around a list's commas, do not count.
func (d *Def) parse(raw string) (value, error) {
	v, problem := parseType(d.Type, strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' }))
	if problem != "" {
		return value{}, invalid(d.Name, raw, problem)
	}
	if d.Valid.check != nil {
		if problem := d.Valid.check(d.Name, v); problem != "" {
			return value{}, kerr.Detail(kerr.InvalidConfig, "%s", problem)
		}
	}
	return v, nil
}

func parseType(t Type, s string) (v value, problem string) {
	v.kind = t
	switch t {
	case Boolean:
		v.bool = strings.EqualFold(s, "true")
		if !v.bool && !strings.EqualFold(s, "false") {
			return v, "Expected value to be either true or false"
		}
	case Short, Int, Long:
		i, err := strconv.ParseInt(s, 10, bits(t))
		if err != nil {
			return v, "Not a number of type " + t.String()
		}
		v.int = i
	case Double:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) {
			return v, "Not a number of type DOUBLE"
		}
		v.double = f
	case List:
		v.list = Split(s)
	default:
		v.text = s
	}
	return v, ""
}

func bits(t Type) int { return map[Type]int{Short: 16, Int: 32, Long: 64}[t] }

// Split is the entries of a list's value; an empty value has none.
func Split(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// String is the value as Kafka prints it.
func (v value) String() string {
	switch v.kind {
	case Boolean:
		return strconv.FormatBool(v.bool)
	case Short, Int, Long:
		return strconv.FormatInt(v.int, 10)
	case Double:
		s := strconv.FormatFloat(v.double, 'G', -1, 64)
		if !strings.ContainsAny(s, ".E") {
			s += ".0"
		}
		return strings.Replace(s, "E+", "E", 1)
	case List:
		return strings.Join(v.list, ",")
	}
	return v.text
}

func invalid(name string, raw any, problem string) error {
	return kerr.Detail(kerr.InvalidConfig, "%s", invalidText(name, raw, problem))
}

func invalidText(name string, raw any, problem string) string {
	return fmt.Sprintf("Invalid value %v for configuration %s: %s", raw, name, problem)
}

func atLeast(least int64) Valid { return between(least, math.MaxInt64) }

func between(least, most int64) Valid {
	text := fmt.Sprintf("[%d,...,%d]", least, most)
	if most == math.MaxInt64 {
		text = fmt.Sprintf("[%d,...]", least)
	}
	return Valid{text, func(name string, v value) string {
		if v.int < least {
			return invalidText(name, v, fmt.Sprintf("Value must be at least %d", least))
		}
		if v.int > most {
			return invalidText(name, v, fmt.Sprintf("Value must be no more than %d", most))
		}
		return ""
	}}
}

// fraction is a ratio of something to its whole.
var fraction = Valid{"[0,...,1]", func(name string, v value) string {
	if v.double < 0 {
		return invalidText(name, v, "Value must be at least 0")
	}
	if v.double > 1 {
		return invalidText(name, v, "Value must be no more than 1")
	}
	return ""
}}

func oneOf(words ...string) Valid {
	all := strings.Join(words, ", ")
	return Valid{"[" + all + "]", func(name string, v value) string {
		given := v.list
		if v.kind != List {
			given = []string{v.text}
		}
		for _, s := range given {
			if !slices.Contains(words, s) {
				return invalidText(name, s, "String must be one of: "+all)
			}
		}
		return ""
	}}
}

// anyCase is oneOf whatever the case of the letters.
func anyCase(words ...string) Valid {
	all := strings.ToUpper(strings.Join(words, ", "))
	return Valid{"(case insensitive) [" + all + "]", func(name string, v value) string {
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, v.text) }) {
			return ""
		}
		return invalidText(name, v, "String must be one of (case insensitive): "+all)
	}}
}

// setOf is oneOf for a list in which nothing stands twice.
func setOf(words ...string) Valid {
	in := oneOf(words...)
	return Valid{in.Text, func(name string, v value) string {
		if problem := in.check(name, v); problem != "" {
			return problem
		}
		for i, s := range v.list {
			if slices.Contains(v.list[:i], s) {
				return "Configuration '" + name + "' values must not be duplicated."
			}
		}
		return ""
	}}
}

// someOf is setOf for a list that may not be empty.
func someOf(words ...string) Valid {
	in := setOf(words...)
	return Valid{in.Text, func(name string, v value) string {
		if len(v.list) == 0 {
			return "Configuration '" + name + "' must not be empty. Valid values include: any non-empty value"
		}
		return in.check(name, v)
	}}
}

// tags is a list without repetitions.
var tags = Valid{"", func(name string, v value) string {
	for i, s := range v.list {
		if slices.Contains(v.list[:i], s) {
			return name + " must not contain duplicate tag keys."
		}
	}
	return ""
}}

// gzipLevels are zlib's: -1 is its own default, and 0, no compression, makes no sense here.
var gzipLevels = Valid{"[1,...,9] or -1", func(name string, v value) string {
	if v.int == -1 || v.int >= 1 && v.int <= 9 {
		return ""
	}
	return invalidText(name, v, "Value must be between 1 and 9 or equal to -1")
}}

// unlimitedOrPositive is Kafka's rule for how long records are kept.
var unlimitedOrPositive = Valid{"-1 or [1,...]", func(name string, v value) string {
	if v.int == -1 || v.int >= 1 {
		return ""
	}
	return name + " must be unlimited (-1) or, equal or greater than 1"
}}

// only refuses every value but one, for what is not served.
func only(allowed bool, problem string) Valid {
	return Valid{fmt.Sprintf("[%v]", allowed), func(_ string, v value) string {
		if v.bool == allowed {
			return ""
		}
		return problem
	}}
}
