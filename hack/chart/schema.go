package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// definitions are what several values have in common: {$ref: "#/definitions/NAME"}.
const definitions = `{
  "quantities": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
  "resources": {
    "type": "object",
    "additionalProperties": false,
    "properties": {
      "requests": {"$ref": "#/definitions/quantities"},
      "limits": {"$ref": "#/definitions/quantities"},
      "claims": {"type": "array", "items": {"type": "object"}}
    }
  },
  "timing": {
    "type": "object",
    "additionalProperties": false,
    "properties": {
      "initialDelaySeconds": {"type": "integer", "minimum": 0},
      "periodSeconds": {"type": "integer", "minimum": 1},
      "timeoutSeconds": {"type": "integer", "minimum": 1},
      "failureThreshold": {"type": "integer", "minimum": 1}
    }
  }
}`

// schemaOf is the JSON schema of the values: what is not described is refused.
func schemaOf(values []value) (string, error) {
	root := branch()
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["definitions"] = json.RawMessage(definitions)
	// What Helm itself, or a chart that depends on this one, may add.
	root["properties"] = map[string]any{
		"global":  map[string]any{"type": "object", "description": "Values that a parent chart shares with all."},
		"enabled": map[string]any{"type": "boolean", "description": "For a parent chart's condition; means nothing here."},
	}
	for _, v := range values {
		parent := root
		for _, key := range v.path[:len(v.path)-1] {
			parent = parent["properties"].(map[string]any)[key].(map[string]any)
		}
		schema := branch()
		if !v.isBranch() {
			var err error
			if schema, err = leaf(v); err != nil {
				return "", fmt.Errorf("%s: %w", strings.Join(v.path, "."), err)
			}
		}
		if v.description != "" {
			schema["description"] = v.description
		}
		parent["properties"].(map[string]any)[v.path[len(v.path)-1]] = schema
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(root)
	return out.String(), err
}

func branch() map[string]any {
	return map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
}

// leaf infers the schema of a value from its default, and adds what its comment says.
func leaf(v value) (map[string]any, error) {
	schema := map[string]any{"default": v.standard}
	switch standard := v.standard.(type) {
	case nil: // its comment must say what it may be
	case bool:
		schema["type"] = "boolean"
	case float64:
		schema["type"] = "integer"
	case string:
		schema["type"] = "string"
	case []any:
		schema["type"] = "array"
	case map[string]any:
		schema["type"] = "object"
		if len(standard) == 0 {
			schema["additionalProperties"] = map[string]any{"type": "string"}
		}
	}
	maps.Copy(schema, v.schema)
	if _, ok := schema["$ref"]; ok {
		delete(schema, "type") // beside a reference it would not count
		return schema, nil
	}
	_, items := schema["items"]
	switch {
	case schema["type"] == nil:
		return nil, fmt.Errorf("has no type: write one after @schema")
	case schema["type"] == "array" && !items:
		return nil, fmt.Errorf("has no items: write them after @schema")
	}
	return schema, nil
}
