package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// compared are the figures that a change of the code can make worse and another machine cannot: counts and
// ratios. The value is how much of the recorded figure counts as noise at least.
var compared = map[string]float64{
	onboardingRatio: 0.15, onboardingServer: 0.1, onboardingWrites: 0.05, onboardingReads: 0.05, editWrites: 0.05, editReads: 0.05,
	massConfigMaps: 0.25, massWrites: 0.05, restartWrites: 0, restartReads: 0.1, idleWrites: 0, heapPerPolicy: 0.1,
}

// compare fails where a figure is worse than the recorded one by more than the noise: that of the recorded
// runs, that of these, or the least that counts.
func compare(recorded, now []result) error {
	_, before := medians(recorded)
	columns, after := medians(now)
	var errs []error
	found := false
	for _, c := range columns {
		for name, least := range compared {
			was, known := before[c][name]
			if !known {
				continue
			}
			found = true
			is := after[c][name]
			if noise := max(was.spread, is.spread, least*was.median); is.median > was.median+noise {
				errs = append(errs, fmt.Errorf("%d policies in %d namespaces: %s was %.2f and is %.2f, with a noise of %.2f",
					c.policies, c.namespaces, name, was.median, is.median, noise))
			}
		}
	}
	if !found {
		return errors.New("nothing was recorded for these numbers of policies and namespaces: record it first (-json)")
	}
	return errors.Join(errs...)
}

// readResults reads what -json has written.
func readResults(file string) ([]result, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading what was recorded: %w", err)
	}
	var all []result
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("reading what was recorded in %s: %w", file, err)
	}
	return all, nil
}

// writeResults writes every figure of every run; without a name of a file nothing.
func writeResults(file string, all []result) error {
	if file == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	if err := os.WriteFile(file, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}
