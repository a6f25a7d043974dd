package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// importCommand makes a manifest of what is published. base is empty but in tests.
func importCommand(base sender.Config) *cobra.Command {
	var look lookFlags
	var options manifest.ImportOptions
	cmd := &cobra.Command{
		Use:   "import DOMAIN",
		Short: "Print a manifest of what a domain publishes today, ready for kubectl apply",
		Long: "import prints an MTASTSPolicy with comments on what could not be kept and how to hand the domain over.\n" +
			"It ends with code 1 if there is nothing to import, 2 if it could not tell.",
		RunE: func(cmd *cobra.Command, args []string) error {
			domain, err := check.ParseDomain(args[0])
			if err != nil {
				return &exitError{exitUnknown, err}
			}
			schema, err := manifest.NewSchema(policyCRD)
			if err != nil {
				return err //nolint:wrapcheck // says what was being done
			}
			tell, done := progress(cmd.ErrOrStderr())
			seen, err := look.look(cmd.Context(), domain, base, check.Options{Progress: tell})
			done()
			if err != nil {
				return err
			}
			text, err := manifest.Import(seen, options, schema)
			switch {
			case errors.Is(err, manifest.ErrUnknown):
				return &exitError{exitUnknown, err}
			case err != nil:
				return &exitError{exitFailed, err}
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
				return fmt.Errorf("writing the manifest: %w", err)
			}
			return nil
		},
	}
	misunderstood(cmd, cobra.ExactArgs(1))
	look.register(cmd)
	cmd.Flags().StringVarP(&options.Namespace, "namespace", "n", "", "namespace of the policy (default: left to kubectl)")
	cmd.Flags().StringVar(&options.Name, "name", "", "name of the policy (default: the domain with hyphens for dots)")
	return cmd
}
