package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The figures, as the table has them.
const (
	onboardingRatio   = "onboarding: time / bare client's"
	onboardingServer  = "onboarding: API server's CPU / under the bare client"
	onboardingSeconds = "onboarding: s"
	bareSeconds       = "bare client: s"
	onboardingWrites  = "onboarding: writes per policy"
	onboardingReads   = "onboarding: reads per policy"
	onboardingCPU     = "onboarding: CPU ms per policy"
	editRatio         = "edit: time / the smallest fleet's"
	editSeconds       = "edit: s from accepted to DNS"
	editInForce       = "edit: s from accepted to status"
	editWrites        = "edit: writes"
	editReads         = "edit: reads"
	massSeconds       = "mass edit: s"
	massSingle        = "mass edit: s of a single edit meanwhile"
	massConfigMaps    = "mass edit: ConfigMap writes"
	massShards        = "mass edit: shards that changed"
	massWrites        = "mass edit: writes per policy"
	restartCaughtUp   = "restart: s until as many passes as domains"
	restartSeconds    = "restart: s until an edit is in DNS"
	restartWrites     = "restart: writes"
	restartReads      = "restart: reads"
	idleCPU           = "idle: % of a core"
	idleWatch         = "idle: bytes/s over watches"
	idleWrites        = "idle: writes"
	heapPerPolicy     = "memory: heap KiB per policy"
	rssMiB            = "memory: RSS MiB"
	goroutines        = "goroutines"
	storedKiB         = "objects: KiB of JSON per policy"
)

var order = []string{
	onboardingRatio, onboardingServer, onboardingSeconds, bareSeconds, onboardingWrites, onboardingReads, onboardingCPU,
	editRatio, editSeconds, editInForce, editWrites, editReads, massSeconds, massSingle, massConfigMaps, massShards, massWrites,
	restartCaughtUp, restartSeconds, restartWrites, restartReads, idleCPU, idleWatch, idleWrites, heapPerPolicy, rssMiB, goroutines, storedKiB,
}

func (r result) line() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d policies, %d namespaces:", r.Policies, r.Namespaces)
	for _, name := range order {
		fmt.Fprintf(&text, "\n  %-52s %10.2f", name, r.Values[name])
	}
	for _, phase := range []string{"onboarding", "idle", "edits", "mass edit", "restart"} {
		fmt.Fprintf(&text, "\n  requests, %s:", phase)
		for _, what := range slices.Sorted(maps.Keys(r.Requests[phase])) {
			fmt.Fprintf(&text, " %s %d;", what, r.Requests[phase][what])
		}
	}
	return text.String()
}

// column is what results are compared within.
type column struct{ policies, namespaces int }

// medians are the figures of all runs of each column, and the columns in the order in which they were run.
func medians(all []result) (columns []column, of map[column]map[string]figure) {
	values := map[column]map[string][]float64{}
	for _, r := range all {
		c := column{r.Policies, r.Namespaces}
		if values[c] == nil {
			columns = append(columns, c)
			values[c] = map[string][]float64{}
		}
		for name, value := range r.Values {
			values[c][name] = append(values[c][name], value)
		}
	}
	of = map[column]map[string]figure{}
	for c, byName := range values {
		of[c] = map[string]figure{}
		for name, v := range byName {
			of[c][name] = figure{median(v), slices.Max(v) - slices.Min(v)}
		}
	}
	return columns, of
}

// figure is the median of some runs, and how far these lie apart.
type figure struct{ median, spread float64 }

// relate adds the figures that compare a run with the smallest fleet's.
func relate(all []result) {
	columns, of := medians(all)
	smallest := slices.MinFunc(columns, func(a, b column) int { return a.policies - b.policies })
	for _, r := range all {
		r.Values[editRatio] = r.Values[editSeconds] / of[smallest][editSeconds].median
	}
}

// table has the medians of all runs, in Markdown.
func table(all []result) string {
	columns, of := medians(all)
	var text strings.Builder
	text.WriteString("| policies / namespaces |")
	for _, c := range columns {
		fmt.Fprintf(&text, " %d / %d |", c.policies, c.namespaces)
	}
	text.WriteString("\n|---|" + strings.Repeat("--:|", len(columns)) + "\n")
	for _, name := range order {
		fmt.Fprintf(&text, "| %s |", name)
		for _, c := range columns {
			fmt.Fprintf(&text, " %.2f |", of[c][name].median)
		}
		text.WriteString("\n")
	}
	return text.String()
}

func objectsOf(list client.ObjectList) ([]client.Object, error) {
	var out []client.Object
	err := meta.EachListItem(list, func(o runtime.Object) error {
		object, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", o)
		}
		out = append(out, object)
		return nil
	})
	return out, err
}
