package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// notes writes what a release's page says: where it is, and the commits since the tag before.
func (r *release) notes(ctx context.Context, imageDigest string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "Image: `%s:%s@%s`\n\nChart: `oci://%s/%s`\n\n", reference, r.version, imageDigest,
		filepath.Dir(reference)+"/charts", project)
	fmt.Fprintf(&text, "[How to verify what you install](%s/blob/%s/docs/verify.md)\n\n", repository, r.version)
	tags, err := r.git(ctx, "tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname")
	if err != nil {
		return err
	}
	before := ""
	for tag := range strings.FieldsSeq(tags) {
		if tag != r.version {
			before = tag
			break
		}
	}
	if before == "" {
		fmt.Fprintf(&text, "The first release. [README](%s/blob/%s/README.md) says what it does.\n", repository, r.version)
	} else {
		subjects, err := r.git(ctx, "log", "--no-merges", "--format=- %s (%h)", before+"..HEAD")
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "Changes since [%s](%s/compare/%s...%s):\n\n%s\n", before, repository, before, r.version, subjects)
	}
	return os.WriteFile(filepath.Join(r.out, "notes.md"), []byte(text.String()), 0o644)
}
