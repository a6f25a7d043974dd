package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// shared is the world that all stories happen in; nil if there is none.
var shared *world

func TestMain(m *testing.M) {
	if os.Getenv("E2E") == "" {
		os.Exit(m.Run()) // without a world: the stories are skipped
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	shared, err = newWorld()
	if err == nil {
		defer shared.remove()
		err = shared.install(ctx)
	}
	collecting, stop := context.WithCancel(context.Background())
	defer stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		return 1
	}
	shared.collect(collecting, shared)
	return m.Run()
}
