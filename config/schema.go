package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A schema is what a value of the file may be, read off the raw types.
type schema struct {
	is    string             // what a person calls it: "a string", "a table"
	kind  unstable.Kind      // of the value; InlineTable for tables
	keys  map[string]*schema // of a table with fixed keys
	names []string           // the keys in the order of the raw type
	any   *schema            // of a table whose keys are the user's
	elem  *schema            // of a list
}

func schemaOf(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return &schema{is: "a string", kind: unstable.String}
	case reflect.Int64:
		return &schema{is: "a whole number", kind: unstable.Integer}
	case reflect.Bool:
		return &schema{is: "true or false", kind: unstable.Bool}
	case reflect.Slice:
		return &schema{is: "a list of strings", kind: unstable.Array, elem: schemaOf(t.Elem())}
	case reflect.Map:
		return &schema{is: "a table", kind: unstable.InlineTable, any: schemaOf(t.Elem())}
	}
	s := &schema{is: "a table", kind: unstable.InlineTable, keys: map[string]*schema{}}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("toml")
		s.keys[name] = schemaOf(t.Field(i).Type)
		s.names = append(s.names, name)
	}
	return s
}

// kindName is what a person calls a value of this kind.
func kindName(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "a string"
	case unstable.Integer:
		return "a number"
	case unstable.Float:
		return "a fraction"
	case unstable.Bool:
		return "true or false"
	case unstable.Array:
		return "a list"
	case unstable.InlineTable, unstable.Table, unstable.ArrayTable:
		return "a table"
	}
	return "a date or time"
}

// A position counts lines and columns from 1.
type position struct{ line, column int }

// A reader walks the syntax tree: it checks every key and the type of every
// value against the schema, and notes where each key stands.
type reader struct {
	parser unstable.Parser
	file   string
	at     map[string]position // by dotted key; elements of lists as key[0]
	order  []string            // the keys of at, as they came
	errs   Errors
}

// read walks data, which is valid TOML.
func (r *reader) read(data []byte) {
	r.at = map[string]position{}
	r.parser.Reset(data)
	root := schemaOf(reflect.TypeFor[rawFile]())
	table, prefix := root, ""
	for r.parser.NextExpression() {
		e := r.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			key := ""
			table, key = r.descend(root, "", e.Key())
			prefix = key
			if table != nil && (e.Kind == unstable.ArrayTable || table.kind != unstable.InlineTable) {
				what := kindName(e.Kind)
				if e.Kind == unstable.ArrayTable {
					what = "a list of tables"
				}
				r.fail(r.at[key], key, "must be %s, not %s", table.is, what)
				table = nil
			}
		case unstable.KeyValue:
			r.keyValue(table, prefix, e)
		}
	}
}

// descend follows a dotted key from s, and notes each part's position. The
// schema is nil if a part is not known; that was reported.
func (r *reader) descend(s *schema, prefix string, keys unstable.Iterator) (*schema, string) {
	for keys.Next() {
		node := keys.Node()
		name := string(node.Data)
		prefix = joinKey(prefix, name)
		at := r.positionOf(node)
		if _, seen := r.at[prefix]; !seen {
			r.order = append(r.order, prefix)
			r.at[prefix] = at
		}
		if s == nil {
			continue
		}
		switch {
		case s.any != nil:
			s = s.any
		case s.keys[name] != nil:
			s = s.keys[name]
		case s.keys == nil:
			r.fail(at, prefix, "unknown key %q: what it stands below must be %s", name, s.is)
			s = nil
		default:
			r.unknown(at, prefix, name, s)
			s = nil
		}
	}
	return s, prefix
}

func (r *reader) unknown(at position, key, name string, s *schema) {
	if near := nearest(name, s.names); near != "" {
		r.fail(at, key, "unknown key %q, did you mean %q?", name, near)
		return
	}
	known := slices.Sorted(slices.Values(s.names))
	r.fail(at, key, "unknown key %q: the keys here are %s", name, strings.Join(known, ", "))
}

func (r *reader) keyValue(s *schema, prefix string, e *unstable.Node) {
	s, key := r.descend(s, prefix, e.Key())
	if s == nil {
		return
	}
	r.value(s, key, r.at[key], e.Value())
}

func (r *reader) value(s *schema, key string, at position, v *unstable.Node) {
	if v.Kind != s.kind {
		r.fail(at, key, "must be %s, not %s", s.is, kindName(v.Kind))
		return
	}
	children := v.Children()
	switch v.Kind {
	case unstable.InlineTable:
		for children.Next() {
			r.keyValue(s, key, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			node := children.Node()
			elemAt := at
			if node.Raw.Length > 0 {
				elemAt = r.positionOf(node)
			}
			elemKey := fmt.Sprintf("%s[%d]", key, i)
			r.at[elemKey] = elemAt
			r.value(s.elem, elemKey, elemAt, node)
		}
	}
}

func (r *reader) positionOf(node *unstable.Node) position {
	start := r.parser.Shape(node.Raw).Start
	return position{start.Line, start.Column}
}

func (r *reader) fail(at position, key, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Line: at.line, Column: at.column, Key: key, Text: fmt.Sprintf(format, args...)})
}

// joinKey adds name to a dotted key, in quotes where TOML wants them.
func joinKey(prefix, name string) string {
	bare := name != ""
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			bare = false
		}
	}
	if !bare {
		name = fmt.Sprintf("%q", name)
	}
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
