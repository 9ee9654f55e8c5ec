package e2e

import (
	"regexp"
	"slices"
	"strings"
)

var command = regexp.MustCompile(`^\S+ (UID [A-Z]+|[A-Z]+)\b`)

// named lists the commands of these names. What follows a literal is no
// command of its own.
func named(heard []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(heard), func(line string) bool {
		m := command.FindStringSubmatch(strings.ToUpper(line))
		return m == nil || !slices.Contains(names, m[1])
	})
}

// writing lists the commands that change something on the server.
func writing(heard []string) []string {
	return named(heard, "APPEND", "COPY", "MOVE", "STORE", "UID COPY", "UID MOVE", "UID STORE", "UID EXPUNGE", "EXPUNGE", "CLOSE",
		"CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE")
}
