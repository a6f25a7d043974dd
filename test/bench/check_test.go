package main

import (
	"strings"
	"testing"
)

func runsOf(name string, values ...float64) []result {
	var all []result
	for _, v := range values {
		all = append(all, result{setup: setup{Policies: 100, Namespaces: 1}, Values: map[string]float64{name: v}})
	}
	return all
}

func TestOnlyWhatExceedsTheNoiseIsARegression(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after []result
		want          string
	}{
		"the same":                          {runsOf(editWrites, 10, 10, 10), runsOf(editWrites, 10, 10, 10), ""},
		"less":                              {runsOf(editWrites, 10, 10, 10), runsOf(editWrites, 5), ""},
		"one more":                          {runsOf(editWrites, 10, 10, 10), runsOf(editWrites, 11, 11, 11), "edit: writes was 10.00 and is 11.00"},
		"one more, as one recorded run had": {runsOf(editWrites, 10, 10, 11), runsOf(editWrites, 11, 11, 11), ""},
		"a single write at rest":            {runsOf(idleWrites, 0, 0, 0), runsOf(idleWrites, 1, 1, 1), "idle: writes was 0.00 and is 1.00"},
		"seconds are the machine's":         {append(runsOf(editSeconds, 1), runsOf(editWrites, 10)...), append(runsOf(editSeconds, 9), runsOf(editWrites, 10)...), ""},
		"nothing recorded":                  {nil, runsOf(editWrites, 10), "record it first"},
	} {
		t.Run(name, func(t *testing.T) {
			err := compare(tt.before, tt.after)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("compare() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRequestsAreCountedByVerbAndResource(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/namespaces/mail/configmaps/shard": "configmaps",
		"/api/v1/pods": "pods",
		"/apis/mtasts.dev/v1alpha1/namespaces/mail/mtastspolicies/a/status": "mtastspolicies/status",
		"/apis/mtasts.dev/v1alpha1/mtastspublications":                      "mtastspublications",
		"/apis/apps/v1/namespaces/mail/deployments/mta-sts-server":          "deployments",
		"/apis/mtasts.dev/v1alpha1":                                         "discovery",
		"/api":                                                              "discovery",
	} {
		if got := resourceOf(path); got != want {
			t.Errorf("resourceOf(%s) = %s, want %s", path, got, want)
		}
	}
}
