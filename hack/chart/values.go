package main

import (
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// value is one value of the chart.
type value struct {
	// path of keys that leads to it.
	path []string
	// section of the README it is described in.
	section string
	// description of it, in one line.
	description string
	// schema is what its comment adds to its schema; nil if nothing.
	schema map[string]any
	// standard is its default.
	standard any
}

// isBranch reports whether it only holds other values, each described by itself.
func (v value) isBranch() bool {
	children, ok := v.standard.(map[string]any)
	return ok && len(children) > 0 && v.schema == nil
}

var keyLine = regexp.MustCompile(`^( *)([A-Za-z]+):(?: |$)`)

// parser reads values.yaml line by line: keys, their depth, and the comments right above them. The
// values themselves are the business of a real YAML parser.
type parser struct {
	values  []value
	section string
	comment []string
	schema  string
	// path of the key read last; leaf is how deep the innermost value lies that is described as a
	// whole, so that what is below it does not count. 0 if there is none.
	path []string
	leaf int
}

// parseValues returns every value in the order of the file. The error names one that is not described.
func parseValues(text string) ([]value, error) {
	var all map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &all); err != nil {
		return nil, err
	}
	var p parser
	for line := range strings.Lines(text) {
		if err := p.line(strings.TrimRight(line, "\n"), all); err != nil {
			return nil, err
		}
	}
	return p.values, nil
}

func (p *parser) line(line string, all map[string]any) error {
	trimmed := strings.TrimSpace(line)
	comment, isComment := strings.CutPrefix(trimmed, "# ")
	section, isSection := strings.CutPrefix(comment, "@section ")
	schema, isSchema := strings.CutPrefix(comment, "@schema ")
	switch {
	case isComment && isSection:
		p.section, p.comment, p.schema = section, nil, ""
	case isComment && isSchema:
		p.schema = schema
	case isComment:
		p.comment = append(p.comment, comment)
	case trimmed == "":
		p.comment, p.schema = nil, ""
	default:
		if key := keyLine.FindStringSubmatch(line); key != nil {
			return p.key(len(key[1])/2, key[2], all)
		}
	}
	return nil
}

// key ends the comments above a key with a value.
func (p *parser) key(depth int, name string, all map[string]any) error {
	if p.leaf > 0 && depth >= p.leaf {
		return nil
	}
	v := value{path: append(p.path[:depth:depth], name), section: p.section, description: strings.Join(p.comment, " ")}
	p.path, p.leaf = v.path, 0
	v.standard = any(all)
	for _, key := range v.path {
		parent, ok := v.standard.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not where its indentation says", strings.Join(v.path, "."))
		}
		v.standard = parent[key]
	}
	if p.schema != "" {
		if err := yaml.UnmarshalStrict([]byte(p.schema), &v.schema); err != nil {
			return fmt.Errorf("@schema of %s: %w", strings.Join(v.path, "."), err)
		}
	}
	p.comment, p.schema = nil, ""
	if !v.isBranch() {
		p.leaf = depth + 1
		if v.description == "" || v.section == "" {
			return fmt.Errorf("%s has no comment, or is in no section", strings.Join(v.path, "."))
		}
	}
	p.values = append(p.values, v)
	return nil
}
