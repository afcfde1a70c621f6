package merchantfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// errVariable does not quote what stands between the braces: it may be a secret.
var errVariable = errors.New("want ${NAME} with the name of an environment variable; write $${ where ${ itself is meant")

// expand replaces every ${NAME} by the environment variable and every $${ by
// ${. What a variable holds is not expanded again. Its errors name variables
// and never hold a value.
func (r *reader) expand(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || !variableForm.MatchString(name) {
			return "", errVariable
		}
		value, err := r.variable(name)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = rest
	}
	return b.String() + s, nil
}

func (r *reader) variable(name string) (string, error) {
	value, ok := r.env(name)
	switch {
	case !ok:
		return "", fmt.Errorf("environment variable %s is not set", name)
	case value == "":
		return "", fmt.Errorf("environment variable %s is empty", name)
	}
	return value, nil
}
