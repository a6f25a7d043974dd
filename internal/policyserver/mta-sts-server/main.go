// Command mta-sts-server is `mta-sts-operator serve` without the rest of the operator, whose Kubernetes
// packages take several times the memory that serving does before they are used. The operator becomes
// this program where both lie in one folder, as in the image.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/mta-sts-operator/mta-sts-operator/internal/cgroup"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

func main() {
	// Answering makes no garbage, so nothing else would give back what a load has used.
	o := policyserver.Options{Loaded: debug.FreeOSMemory, MemoryLimit: cgroup.KeepWithinLimit(policyserver.HeapPercent)}
	var level slog.Level
	flag.StringVar(&o.Dir, "shards", "/policies", "directory in which the shards are mounted")
	flag.StringVar(&o.Addr, "listen", ":8080", "address to serve policies at, in clear text")
	flag.StringVar(&o.AdminAddr, "metrics-listen", ":8081", "address of /instances, /metrics, /healthz and /readyz")
	flag.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.Parse()
	o.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := policyserver.Run(ctx, o)
	stop()
	if err != nil {
		o.Logger.Error("serving failed", "error", err)
		os.Exit(1)
	}
}
