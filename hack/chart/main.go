// Command chart writes what in the Helm chart follows from something else: the copies of the CRDs,
// of the operator's role and of the admission policies, values.schema.json and the tables of README.md, both from the values and
// comments of values.yaml. Run it from the repository's root, by `make chart`.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dir is the chart's folder.
var dir = filepath.Join("charts", "mta-sts-operator")

func main() {
	files, err := generate(".")
	if err == nil {
		err = write(".", files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// generate returns the content of every generated file by its path below root.
func generate(root string) (map[string]string, error) {
	files := map[string]string{}
	for to, from := range map[string]string{
		filepath.Join("files", "crds"):      filepath.Join("config", "crd", "bases", "*.yaml"),
		filepath.Join("files", "rbac"):      filepath.Join("config", "rbac", "role.yaml"),
		filepath.Join("files", "admission"): filepath.Join("config", "admission", "bases", "*.yaml"),
	} {
		sources, err := filepath.Glob(filepath.Join(root, from))
		if err != nil || len(sources) == 0 {
			return nil, errors.Join(fmt.Errorf("%s: no such file", from), err)
		}
		for _, source := range sources {
			data, err := os.ReadFile(source)
			if err != nil {
				return nil, err
			}
			files[filepath.Join(dir, to, filepath.Base(source))] = string(data)
		}
	}
	values, err := os.ReadFile(filepath.Join(root, dir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	described, err := parseValues(string(values))
	if err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	if files[filepath.Join(dir, "values.schema.json")], err = schemaOf(described); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	readme := filepath.Join(dir, "README.md")
	text, err := os.ReadFile(filepath.Join(root, readme))
	if err != nil {
		return nil, err
	}
	if files[readme], err = fillReadme(string(text), described); err != nil {
		return nil, fmt.Errorf("README.md: %w", err)
	}
	return files, nil
}

// write writes the files below root that differ.
func write(root string, files map[string]string) error {
	for path, content := range files {
		path = filepath.Join(root, path)
		if old, err := os.ReadFile(path); err == nil && string(old) == content {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
