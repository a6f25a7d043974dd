package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
)

// policyCRD is what is installed in the cluster, so that no rule is known twice.
//
//go:embed config/crd/bases/mtasts.dev_mtastspolicies.yaml
var policyCRD []byte

// renderCommand shows what would be published for manifests, without a cluster.
func renderCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Print the policy and the DNS records of manifests, without a cluster",
		Long: "render validates MTASTSPolicy manifests as the cluster does and prints what would be published for them.\n" +
			"The id stays a placeholder: the operator mints it when every server has the policy. What a manifest leaves to the\n" +
			"operator's configuration is shown with the operator's own defaults. It ends with code 1 if a manifest is refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := readManifests(files, cmd.InOrStdin())
			if err != nil {
				return &exitError{exitUnknown, err}
			}
			return render(in, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	misunderstood(cmd, cobra.NoArgs)
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "file with manifests, several documents perhaps; - is the standard input; may be repeated")
	return cmd
}

// readManifests puts the documents of all files into one stream.
func readManifests(files []string, stdin io.Reader) (io.Reader, error) {
	if len(files) == 0 || slices.Contains(files, "") {
		return nil, errors.New("write -f and a file with manifests, or -f - for the standard input")
	}
	var all bytes.Buffer
	for i, file := range files {
		var text []byte
		var err error
		if file == "-" {
			text, err = io.ReadAll(stdin)
		} else {
			text, err = os.ReadFile(file) //nolint:gosec // the path is the caller's own
		}
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		if i > 0 {
			all.WriteString("\n---\n")
		}
		all.Write(text)
	}
	return &all, nil
}

func render(in io.Reader, out, notes io.Writer) error {
	schema, err := manifest.NewSchema(policyCRD)
	if err != nil {
		return err //nolint:wrapcheck // says what was being done
	}
	documents, refused := manifest.Read(in, schema)
	printed := 0
	for _, document := range documents {
		if document.Policy == nil {
			_, _ = fmt.Fprintf(notes, "document %d is of kind %.63q and passed over\n", document.Number, document.Kind)
			continue
		}
		if printed++; printed > 1 {
			_, _ = fmt.Fprintln(out) // Print below meets the same error, if there is one
		}
		if err := manifest.Print(out, document.Policy); err != nil {
			return err //nolint:wrapcheck // says what was being done
		}
	}
	if refused == nil && printed == 0 {
		refused = fmt.Errorf("there is no %s", manifest.Kind)
	}
	if refused != nil {
		return &exitError{exitFailed, refused}
	}
	return nil
}
