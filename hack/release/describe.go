package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/template"
)

//go:embed krew.yaml.tmpl
var krewTemplate string

// component is what a program is made of, in the terms of CycloneDX 1.6.
type component struct {
	Type     string              `json:"type"`
	Ref      string              `json:"bom-ref"`
	Name     string              `json:"name"`
	Version  string              `json:"version"`
	PURL     string              `json:"purl"`
	Licenses []map[string]any    `json:"licenses,omitempty"`
	Hashes   []map[string]string `json:"hashes,omitempty"`
}

func goModule(kind, path, version string) component {
	url := "pkg:golang/" + path + "@" + version
	return component{Type: kind, Ref: url, Name: path, Version: version, PURL: url}
}

// sbom lists the modules that a program was linked from, as the program itself tells, in CycloneDX.
func (r *release) sbom(b binary) error {
	info, err := buildinfo.ReadFile(b.path)
	if err != nil {
		return fmt.Errorf("reading what the program for %s is made of: %w", b, err)
	}
	program := goModule("application", module, r.version)
	program.Licenses = []map[string]any{{"license": map[string]string{"id": "Apache-2.0"}}}
	components := []component{goModule("library", "std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		part, err := linked(dependency)
		if err != nil {
			return err
		}
		components = append(components, part)
	}
	refs := make([]string, len(components))
	for n, c := range components {
		refs[n] = c.Ref
	}
	return r.writeJSON(fmt.Sprintf("%s_%s_%s.cdx.json", project, r.version, b), map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"timestamp": r.made.Format("2006-01-02T15:04:05Z"), "component": program},
		"components": components,
		// The program does not tell which module needs which.
		"dependencies": []map[string]any{{"ref": program.Ref, "dependsOn": refs}},
	})
}

// linked is a module with the hash by which the Go checksum database knows it: SHA-256 over its files' list.
func linked(m *debug.Module) (component, error) {
	c := goModule("library", m.Path, m.Version)
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) != sha256.Size {
		return c, fmt.Errorf("module %s has no checksum but %q", m.Path, m.Sum)
	}
	c.Hashes = []map[string]string{{"alg": "SHA-256", "content": hex.EncodeToString(sum)}}
	return c, nil
}

// krew writes the manifest by which krew installs the plugin.
func (r *release) krew() error {
	type file struct{ OS, Arch, Archive, SHA256, Program string }
	var files []file
	for _, p := range r.platforms {
		sum, err := digestOf(filepath.Join(r.out, r.archiveName(p)))
		if err != nil {
			return err
		}
		files = append(files, file{p.os, p.arch, r.archiveName(p), sum, p.pluginFile()})
	}
	form, err := template.New("krew").Parse(krewTemplate)
	if err != nil {
		return fmt.Errorf("reading krew.yaml.tmpl: %w", err)
	}
	var text strings.Builder
	if err := form.Execute(&text, map[string]any{"Version": r.version, "Repository": repository, "Files": files}); err != nil {
		return fmt.Errorf("filling krew.yaml.tmpl: %w", err)
	}
	return os.WriteFile(filepath.Join(r.out, "mta-sts.yaml"), []byte(text.String()), 0o644)
}

// provenance writes who made what of what: an in-toto statement with the predicate of SLSA 1.
func (r *release) provenance(ctx context.Context, imageDigest string) error {
	subjects := []map[string]any{{"name": reference, "digest": sha256Of(strings.TrimPrefix(imageDigest, "sha256:"))}}
	names, err := r.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		sum, err := digestOf(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		subjects = append(subjects, map[string]any{"name": name, "digest": sha256Of(sum)})
	}
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	source := map[string]any{"uri": "git+" + repository, "digest": map[string]string{"gitCommit": r.commit}}
	if changed != "" {
		source["annotations"] = map[string]bool{"changed": true}
	}
	return r.writeJSON("provenance.intoto.json", map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects,
		"predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            repository + "/blob/main/docs/releasing.md#what-is-built",
				"externalParameters":   map[string]any{"version": r.version, "source": source},
				"internalParameters":   map[string]string{"go": runtime.Version()},
				"resolvedDependencies": []any{source},
			},
			"runDetails": map[string]any{"builder": map[string]string{"id": r.builder}},
		},
	})
}

func sha256Of(sum string) map[string]string { return map[string]string{"sha256": sum} }

// checksums writes those of all files, in the form of sha256sum.
func (r *release) checksums() error {
	names, err := r.files()
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range names {
		sum, err := digestOf(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(r.out, "checksums.txt"), []byte(text.String()), 0o644)
}

// files are the names of what was written so far, in order; the image is not among them, its digest is.
func (r *release) files() ([]string, error) {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return nil, fmt.Errorf("listing what was made: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (r *release) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(r.out, name), append(text, '\n'), 0o644)
}

func digestOf(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("computing a checksum: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}
