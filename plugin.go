package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// pluginFile is what kubectl runs as `kubectl mta-sts`: to it a hyphen in a file's name begins another word,
// and an underscore is a hyphen.
const pluginFile = "kubectl-mta_sts"

// commandOf is the command of the program by the name that its file was called by.
func commandOf(file string) *cobra.Command {
	if strings.TrimSuffix(filepath.Base(file), ".exe") == pluginFile {
		return pluginCommand(sender.Config{})
	}
	return rootCommand(sender.Config{})
}

// pluginCommand has what people do at a terminal, and nothing that belongs into a pod.
func pluginCommand(world sender.Config) *cobra.Command {
	root := &cobra.Command{
		Use:           pluginFile,
		Short:         "Look at MTA-STS and TLS-RPT of mail domains, and write policies for mta-sts-operator",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mta-sts"},
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(checkCommand(world), renderCommand(), importCommand(world))
	return root
}
