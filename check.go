package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// checkCommand looks at a domain as senders do. base is empty but in tests.
func checkCommand(base sender.Config) *cobra.Command {
	var look lookFlags
	var output string
	var noSMTP bool
	cmd := &cobra.Command{
		Use:   "check DOMAIN",
		Short: "Look at any domain's MTA-STS as the world's senders see it",
		Long: "check looks at the DNS records, the policy and the mail servers of a domain, whoever publishes them.\n" +
			"It ends with code 0 if all is fine, 1 if senders would reject something, 2 if it could not tell.",
		RunE: func(cmd *cobra.Command, args []string) error {
			domain, err := check.ParseDomain(args[0])
			if err != nil {
				return &exitError{exitUnknown, err}
			}
			if output != "text" && output != "json" {
				return &exitError{exitUnknown, fmt.Errorf("-o %s: write text or json", output)}
			}
			tell, done := progress(cmd.ErrOrStderr())
			seen, err := look.look(cmd.Context(), domain, base, check.Options{SMTP: !noSMTP, Progress: tell})
			done()
			if err != nil {
				return err
			}
			return printReport(cmd.OutOrStdout(), check.Judge(seen), output)
		},
	}
	misunderstood(cmd, cobra.ExactArgs(1))
	look.register(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&noSMTP, "no-smtp", false, "do not talk to the mail servers, for example where port 25 is blocked")
	return cmd
}

func printReport(w io.Writer, report check.Report, output string) error {
	var err error
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		err = report.Print(w, coloured(w))
	}
	if err != nil {
		return &exitError{exitUnknown, fmt.Errorf("printing the report: %w", err)}
	}
	if code := report.ExitCode(); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
