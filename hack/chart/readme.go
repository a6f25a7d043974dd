package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// What is between these lines of the README is generated.
const (
	begin = "<!-- values: written by `make chart` from the comments of values.yaml -->\n"
	end   = "<!-- end of values -->\n"
)

// fillReadme puts a table for every section of values between the two lines.
func fillReadme(text string, values []value) (string, error) {
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", errors.New("it has no lines between which the values go")
	}
	var tables strings.Builder
	section := ""
	for _, v := range values {
		if v.description == "" {
			continue // a branch that needs no words
		}
		if v.section != section {
			section = v.section
			fmt.Fprintf(&tables, "\n### %s\n\n| Value | Default | Meaning |\n|---|---|---|\n", section)
		}
		standard, err := cell(v)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&tables, "| `%s` | %s | %s |\n", strings.Join(v.path, "."), standard, strings.ReplaceAll(v.description, "|", `\|`))
	}
	return before + begin + tables.String() + "\n" + end + after, nil
}

// cell is a default as it stands in a table.
func cell(v value) (string, error) {
	if v.isBranch() {
		return "", nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v.standard); err != nil {
		return "", err
	}
	return "`" + strings.TrimSpace(out.String()) + "`", nil
}
