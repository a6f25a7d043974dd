package controllers

import (
	"context"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// timedWorld measures every look at the world.
type timedWorld struct {
	World

	took *prometheus.HistogramVec
}

// The kinds of looks, as a label.
const (
	lookTXT      = "txt"
	lookHost     = "host"
	lookMX       = "mx"
	lookPolicy   = "policy"
	lookSTARTTLS = "starttls"
)

func timed(w World, reg prometheus.Registerer) World {
	return timedWorld{w, promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name:    "mtasts_look_duration_seconds",
		Help:    "Time that looks at the world took, by what was looked at (txt, host, mx, policy, starttls) and what came of it.",
		Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 90},
	}, []string{"look", "outcome"})}
}

func (w timedWorld) note(look string, began time.Time, outcome string) {
	w.took.WithLabelValues(look, outcome).Observe(time.Since(began).Seconds())
}

// LookupTXT implements World.
func (w timedWorld) LookupTXT(ctx context.Context, name string) sender.TXT {
	began := time.Now()
	out := w.World.LookupTXT(ctx, name)
	w.note(lookTXT, began, string(out.Status))
	return out
}

// LookupHost implements World.
func (w timedWorld) LookupHost(ctx context.Context, name string) sender.Host {
	began := time.Now()
	out := w.World.LookupHost(ctx, name)
	w.note(lookHost, began, string(out.Status))
	return out
}

// LookupMX implements World.
func (w timedWorld) LookupMX(ctx context.Context, domain string) sender.MX {
	began := time.Now()
	out := w.World.LookupMX(ctx, domain)
	w.note(lookMX, began, string(out.Status))
	return out
}

// LookPolicy implements World.
func (w timedWorld) LookPolicy(ctx context.Context, domain string, want *sender.Instance) sender.Look {
	began := time.Now()
	out := w.World.LookPolicy(ctx, domain, want)
	w.note(lookPolicy, began, string(out.Outcome))
	return out
}

// LookPolicyAt implements World.
func (w timedWorld) LookPolicyAt(ctx context.Context, domain string, address netip.Addr, want *sender.Instance) sender.Look {
	began := time.Now()
	out := w.World.LookPolicyAt(ctx, domain, address, want)
	w.note(lookPolicy, began, string(out.Outcome))
	return out
}

// LookWay implements World.
func (w timedWorld) LookWay(ctx context.Context, domain string, way sender.Way, want *sender.Instance) sender.Look {
	began := time.Now()
	out := w.World.LookWay(ctx, domain, way, want)
	w.note(lookPolicy, began, string(out.Outcome))
	return out
}

// ProbeMXAddress implements World.
func (w timedWorld) ProbeMXAddress(ctx context.Context, host string, address netip.Addr) sender.MXAddress {
	began := time.Now()
	out := w.World.ProbeMXAddress(ctx, host, address)
	w.note(lookSTARTTLS, began, string(out.Outcome))
	return out
}

// passesWaiting has no label that a tenant could choose, such as the name of a namespace.
var passesWaiting = prometheus.NewDesc("mtasts_passes_waiting",
	"Passes over domains that wait for a worker, by how urgent they are.", []string{"priority"}, nil)

// Describe implements prometheus.Collector.
func (q *domainQueue) Describe(out chan<- *prometheus.Desc) { out <- passesWaiting }

// Collect implements prometheus.Collector.
func (q *domainQueue) Collect(out chan<- prometheus.Metric) {
	for at, priority := range [fair.Levels]string{
		fair.Rest: "rest", fair.First: "first", fair.Edit: "edit", fair.Leaving: "leaving",
	} {
		out <- prometheus.MustNewConstMetric(passesWaiting, prometheus.GaugeValue, float64(q.waiting(fair.Level(at))), priority)
	}
}
