package controllers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// labelsOfMetrics are the labels of everything that the registered collectors describe, by metric, and
// those that Prometheus adds to every target.
func labelsOfMetrics(t *testing.T) map[string][]string {
	t.Helper()
	own := prometheus.NewRegistry()
	own.MustRegister(newPolicyMetrics(nil, nil), &domainQueue{})
	timed(nil, own)
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		own.Describe(described)
		metrics.Registry.(prometheus.Collector).Describe(described)
	}()
	found := map[string][]string{}
	form := regexp.MustCompile(`fqName: "([^"]+)".* variableLabels: \{([^}]*)\}`)
	for d := range described {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s is described in another form", d)
		}
		found[m[1]] = strings.Split(m[2], ",")
	}
	// The servers' metrics are another process'; its own test compares them with this table.
	page := readText(t, "..", "docs", "metrics.md")
	for _, row := range regexp.MustCompile("(?m)^\\| `(mtasts_server_[a-z_]+)` \\|(?: `([a-z]+)`)? \\|").FindAllStringSubmatch(page, -1) {
		found[row[1]] = []string{row[2]}
	}
	for name := range found {
		found[name] = append(found[name], "namespace", "pod", "job")
	}
	return found
}

// question is one that the dashboard or an alert asks Prometheus, with the templates that show its answers.
type question struct{ where, expr, shown string }

func questions(t *testing.T) []question {
	t.Helper()
	chart := filepath.Join("..", "charts", "mta-sts-operator")
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal([]byte(readText(t, chart, "files", "dashboards", "mta-sts-operator.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var all []question
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, question{"panel " + p.Title, target.Expr, target.LegendFormat})
		}
	}
	for _, v := range dashboard.Templating.List {
		if asked := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Definition); asked != nil {
			all = append(all, question{"variable " + v.Name, asked[1], "{{" + asked[2] + "}}"})
		}
	}
	rules := readText(t, chart, "templates", "prometheusrule.yaml")
	for _, alert := range regexp.MustCompile(`- alert: (\w+)\n\s+expr: (.*)\n((?s:.*?)description: .*)\n`).FindAllStringSubmatch(rules, -1) {
		expr := regexp.MustCompile(`\{\{.*?\}\}`).ReplaceAllString(alert[2], `"x"`)
		all = append(all, question{"alert " + alert[1], expr, strings.ReplaceAll(alert[3], "$labels.", "")})
	}
	return all
}

// TestDashboardAndAlertsAskForMetricsThatExist compares names, labels and states: whether an expression
// says what it should, Prometheus has to tell.
func TestDashboardAndAlertsAskForMetricsThatExist(t *testing.T) {
	known := labelsOfMetrics(t)
	metric := regexp.MustCompile(`\b(?:mtasts|controller_runtime|workqueue|leader)_[a-z_]+`)
	matcher := regexp.MustCompile(`\b(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	list := regexp.MustCompile(`\b(?:by|on|without|ignoring) \(([^)]*)\)`)
	shown := regexp.MustCompile(`\{\{ ?"?(?:\{\{ )?(\w+)`)
	asked := questions(t)
	if len(asked) < 30 {
		t.Fatalf("only %d questions were found", len(asked))
	}
	for _, q := range asked {
		labels := []string{""}
		for _, name := range metric.FindAllString(q.expr, -1) {
			of, ok := known[name]
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && !ok {
					of, ok = append(slices.Clone(known[base]), "le"), known[base] != nil
				}
			}
			if !ok {
				t.Errorf("%s: there is no metric %s", q.where, name)
			}
			labels = append(labels, of...)
		}
		var used []string
		for _, m := range matcher.FindAllStringSubmatch(q.expr, -1) {
			used = append(used, m[1])
			for value := range strings.SplitSeq(m[2], "|") {
				if m[1] == "state" && !slices.Contains(v1alpha1.States(), v1alpha1.State(value)) {
					t.Errorf("%s: there is no state %s", q.where, value)
				}
			}
		}
		for _, m := range list.FindAllStringSubmatch(q.expr, -1) {
			used = append(used, strings.Split(strings.ReplaceAll(m[1], " ", ""), ",")...)
		}
		for _, m := range shown.FindAllStringSubmatch(q.shown, -1) {
			used = append(used, m[1])
		}
		for _, label := range used {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: nothing in %s has a label %q, but %q", q.where, q.expr, label, labels)
			}
		}
	}
}

func readText(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
