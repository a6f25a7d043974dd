package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/cgroup"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// serverProgram is internal/policyserver/mta-sts-server as it lies beside the operator in an image.
const serverProgram = "mta-sts-server"

func serveCommand() *cobra.Command {
	var o policyserver.Options
	var logLevel string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve policies from mounted shards (what the operator's Deployments run)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(logLevel)
			if err != nil {
				return err
			}
			if err := becomeServer(o, logLevel); err != nil {
				logger.Warn("serving with more memory than it takes", "error", err)
			}
			o.Logger, o.MemoryLimit = logger, cgroup.KeepWithinLimit(policyserver.HeapPercent)
			// Answering makes no garbage, so nothing else would give back what a load has used.
			o.Loaded = debug.FreeOSMemory
			return policyserver.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "shards", "/policies", "directory in which the shards are mounted")
	flags.StringVar(&o.Addr, "listen", ":8080", "address to serve policies at, in clear text")
	flags.StringVar(&o.AdminAddr, "metrics-listen", ":8081", "address of /instances, /metrics, /healthz and /readyz")
	flags.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// becomeServer replaces this process by the serverProgram beside it, which does the same in a quarter of the
// memory. It returns if there is none, without an error, or if it cannot be started.
func becomeServer(o policyserver.Options, logLevel string) error {
	own, err := os.Executable()
	if err != nil { // without /proc
		own = os.Args[0]
	}
	path := filepath.Join(filepath.Dir(own), serverProgram)
	err = syscall.Exec(path, []string{ //nolint:gosec // a program of the same image
		serverProgram, "--shards=" + o.Dir, "--listen=" + o.Addr, "--metrics-listen=" + o.AdminAddr, "--log-level=" + logLevel,
	}, os.Environ())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return fmt.Errorf("starting %s: %w", path, err)
}
