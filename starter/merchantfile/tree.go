package merchantfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds on a file, so that a hostile one costs nothing: the YAML parser's time
// grows with the square of the brackets.
const (
	maxBytes    = 64 << 10
	maxBrackets = 1000
	maxDepth    = 8
)

// place is where something is written, from 1.
type place struct{ line, column int }

// kind is what a node is.
type kind string

const (
	nothing  kind = "nothing"
	scalar   kind = "text"
	mapping  kind = "a mapping"
	sequence kind = "a list"
	refused  kind = "something refused" // a fault says why
)

// node is a value of the file: YAML without anchors, tags and merges.
type node struct {
	place
	kind    kind
	text    string  // of a scalar, as written
	entries []entry // of a mapping, each key once
	items   []*node // of a sequence
}

// entry is one key of a mapping and its value.
type entry struct {
	place // of the key
	key   string
	value *node
}

// String says what the node is, never what it holds.
func (n *node) String() string {
	if n.kind == sequence && len(n.items) == 0 {
		return "an empty list"
	}
	return string(n.kind)
}

// tree reads the file's one document; nil when it has a fault that leaves nothing to read.
func (r *reader) tree(data []byte) *node {
	start := place{1, 1}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxBytes:
		r.fault(start, "", "the file has %d bytes: want %d at most", len(data), maxBytes)
		return nil
	case !utf8.Valid(data):
		r.fault(notUTF8(data), "", "not UTF-8 text")
		return nil
	case bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets:
		r.fault(start, "", "more than %d brackets", maxBrackets)
		return nil
	}
	file, err := parseYAML(data)
	if err != nil {
		r.syntax(err, data)
		return nil
	}
	body := r.document(file)
	if body == nil {
		return nil
	}
	n := r.convert(body, "", 0)
	if n.kind == mapping {
		return n
	}
	if n.kind != refused {
		r.fault(n.place, "", "want a mapping with id, carts and warehouse, got %s", n)
	}
	return nil
}

// parseYAML turns a panic of the parser into an error: the file is outside input.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not YAML")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// syntax reports what the YAML parser refused, without the source lines that it
// would show and without anything that it quotes: either may hold a credential.
func (r *reader) syntax(err error, data []byte) {
	var e yaml.Error
	if !errors.As(err, &e) {
		r.fault(place{1, 1}, "", "not YAML")
		return
	}
	p := place{1, 1}
	if t := e.GetToken(); t != nil && t.Position != nil {
		p = place{t.Position.Line, t.Position.Column}
	}
	if at, ok := indentingTab(data, p.line); ok {
		r.fault(at, "", "not YAML: a tab: indent with blanks")
		return
	}
	message, _, quoted := strings.Cut(e.GetMessage(), `"`)
	if quoted {
		message = strings.TrimRight(message, ": ")
	}
	r.fault(p, "", "not YAML: %s", message)
}

// indentingTab finds a tab among what a line is indented with.
func indentingTab(data []byte, line int) (place, bool) {
	lines := bytes.Split(data, []byte("\n"))
	if line > len(lines) {
		return place{}, false
	}
	text := lines[line-1]
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	i := bytes.IndexByte(indent, '\t')
	return place{line, i + 1}, i >= 0
}

// document returns the body of the file's only document.
func (r *reader) document(file *ast.File) ast.Node {
	var body ast.Node
	for _, d := range file.Docs {
		switch {
		case d.Body == nil:
		case d.Body.Type() == ast.DirectiveType:
			r.fault(placeOf(d.Body), "", "directives are not accepted")
			return nil
		case body != nil:
			r.fault(placeOf(d.Body), "", "a second document: want one merchant a file")
			return nil
		default:
			body = d.Body
		}
	}
	if body == nil {
		r.fault(place{1, 1}, "", "the file says nothing: want id, carts and warehouse")
	}
	return body
}

// convert turns the parser's tree into ours. What is not accepted becomes a
// fault and a refused node.
func (r *reader) convert(n ast.Node, field string, depth int) *node {
	at := placeOf(n)
	if depth > maxDepth {
		return r.refuse(at, field, "nested too deep")
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.convertMapping(at, n.Values, field, depth)
	case *ast.MappingValueNode:
		return r.convertMapping(at, []*ast.MappingValueNode{n}, field, depth)
	case *ast.SequenceNode:
		out := &node{place: at, kind: sequence}
		for i, v := range n.Values {
			out.items = append(out.items, r.convert(v, fmt.Sprintf("%s[%d]", field, i), depth+1))
		}
		return out
	case *ast.NullNode:
		return &node{place: at, kind: nothing}
	case *ast.BoolNode:
		return &node{place: at, kind: scalar, text: fmt.Sprint(n.Value)}
	case *ast.LiteralNode:
		return r.scalar(at, field, n.Value.Value)
	case *ast.StringNode:
		return r.scalar(at, field, n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return r.scalar(at, field, n.GetToken().Value) // as written: 0123 may be a code
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return r.refuse(at, field, noAnchors)
	case *ast.TagNode:
		return r.refuse(at, field, "tags are not accepted")
	}
	return r.refuse(at, field, "want text, a mapping or a list")
}

const noAnchors = "anchors, aliases and merges are not accepted: write it out"

func (r *reader) refuse(at place, field, message string) *node {
	r.fault(at, field, "%s", message)
	return &node{place: at, kind: refused}
}

func (r *reader) scalar(at place, field, text string) *node {
	if strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
		return r.refuse(at, field, "holds a control character")
	}
	return &node{place: at, kind: scalar, text: text}
}

func (r *reader) convertMapping(at place, values []*ast.MappingValueNode, field string, depth int) *node {
	out := &node{place: at, kind: mapping}
	first := map[string]place{}
	for i, v := range values {
		p := placeOf(v.Key)
		if i == 0 && p.line <= at.line {
			out.place = p // the parser names the colon
		}
		key, ok := r.key(v.Key, field)
		if !ok {
			continue
		}
		value := r.convert(v.Value, join(field, short(key)), depth+1)
		if before, twice := first[key]; twice {
			r.fault(p, join(field, short(key)), "given twice: also on line %d", before.line)
			continue
		}
		first[key] = p
		out.entries = append(out.entries, entry{place: p, key: key, value: value})
	}
	return out
}

func (r *reader) key(k ast.MapKeyNode, field string) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode:
		return k.GetToken().Value, true // a location's id, as written
	case *ast.MergeKeyNode:
		r.fault(placeOf(k), field, noAnchors)
	default:
		r.fault(placeOf(k), field, "want a word as key")
	}
	return "", false
}

func placeOf(n ast.Node) place {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

func notUTF8(data []byte) place {
	p := place{1, 1}
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		if c == utf8.RuneError && size == 1 {
			break
		}
		p.column++
		if c == '\n' {
			p = place{p.line + 1, 1}
		}
		data = data[size:]
	}
	return p
}

// section is a mapping of the file on its way to being read.
type section struct {
	r       *reader
	at      place // of the key that holds it
	path    string
	all     []entry
	broken  bool            // no mapping at all; a fault says so
	spoiled map[string]bool // keys whose values have been refused already
}

// section takes a node for a mapping. Nothing counts as an empty one. Where the
// keys are known beforehand, others are faults.
func (r *reader) section(n *node, at place, path string, keys ...string) section {
	s := section{r: r, at: at, path: path, spoiled: map[string]bool{}}
	s.broken = n.kind != mapping && n.kind != nothing
	if s.broken && n.kind != refused {
		r.fault(at, path, "want a mapping, got %s", n)
	}
	s.all = n.entries
	for _, e := range s.all {
		if len(keys) > 0 && !slices.Contains(keys, e.key) {
			r.fault(e.place, s.field(short(e.key)), "unknown: %s", wantOneOf(keys))
		}
	}
	return s
}

// section reads a section within this one; it is empty where the file has none.
func (s section) section(key string, keys ...string) section {
	if e, ok := s.entry(key); ok {
		return s.r.section(e.value, e.place, s.field(key), keys...)
	}
	return section{r: s.r, at: s.at, path: s.field(key), spoiled: map[string]bool{}}
}

func (s section) entry(key string) (entry, bool) {
	i := slices.IndexFunc(s.all, func(e entry) bool { return e.key == key })
	if i < 0 {
		return entry{}, false
	}
	return s.all[i], true
}

// text returns the key's value where it is text; anything else is a fault.
func (s section) text(key string) (*node, bool) {
	e, ok := s.entry(key)
	if !ok || s.spoiled[key] {
		return nil, false
	}
	if e.value.kind == scalar && strings.TrimSpace(e.value.text) != "" {
		return e.value, true
	}
	s.spoiled[key] = true
	switch e.value.kind {
	case refused:
	case scalar, nothing:
		s.r.fault(e.place, s.field(short(key)), "empty: give it a value or leave it out")
	default:
		s.r.fault(e.place, s.field(short(key)), "want text, got %s", e.value)
	}
	return nil, false
}

func (s section) textOr(key, otherwise string) string {
	if t, ok := s.text(key); ok {
		return t.text
	}
	return otherwise
}

// missing reports that the section lacks a key, unless its value was refused already.
func (s section) missing(key, what string) {
	if !s.spoiled[key] {
		s.r.fault(s.at, s.field(key), "missing: %s", what)
	}
}

func (s section) field(key string) string { return join(s.path, key) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
