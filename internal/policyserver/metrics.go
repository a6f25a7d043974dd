package policyserver

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Reasons why a host is served with something else than its file says, or
// although it has no file.
const (
	reasonOlderID      = "older_id"
	reasonMalformed    = "malformed"
	reasonImplausible  = "implausible"
	reasonShardMissing = "shard_missing"
)

// Results of one look at the directory.
const (
	resultChanged   = "changed"
	resultUnchanged = "unchanged"
	resultError     = "error"
)

// metrics are the series of one server. No label carries a host name, a path or
// anything else a stranger can choose.
type metrics struct {
	requests map[int]prometheus.Counter
	hosts    prometheus.Gauge
	reloads  *prometheus.CounterVec
	kept     *prometheus.GaugeVec
	lastLoad prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	factory := promauto.With(reg)
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "mtasts_server_requests_total",
		Help: "Requests answered on the public listener by status code.",
	}, []string{"code"})
	m := &metrics{
		requests: map[int]prometheus.Counter{},
		hosts: factory.NewGauge(prometheus.GaugeOpts{
			Name: "mtasts_server_hosts",
			Help: "Policy hosts being served.",
		}),
		reloads: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "mtasts_server_reloads_total",
			Help: "Looks at the policy directory by result: changed, unchanged or error.",
		}, []string{"result"}),
		kept: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mtasts_server_entries_kept",
			Help: "Entries of the last load that a fence refused, by reason: older_id, malformed, implausible or shard_missing.",
		}, []string{"reason"}),
		lastLoad: factory.NewGauge(prometheus.GaugeOpts{
			Name: "mtasts_server_last_load_timestamp_seconds",
			Help: "Unix time of the last look at the policy directory that succeeded.",
		}),
	}
	for _, code := range []int{http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed} {
		m.requests[code] = requests.WithLabelValues(strconv.Itoa(code))
	}
	for _, result := range []string{resultChanged, resultUnchanged, resultError} {
		m.reloads.WithLabelValues(result)
	}
	m.report(LoadReport{})
	return m
}

// report shows the outcome of one load.
func (m *metrics) report(r LoadReport) {
	m.hosts.Set(float64(r.Hosts))
	m.kept.WithLabelValues(reasonOlderID).Set(float64(r.KeptOlderID))
	m.kept.WithLabelValues(reasonMalformed).Set(float64(r.KeptMalformed))
	m.kept.WithLabelValues(reasonImplausible).Set(float64(r.KeptImplausible))
	m.kept.WithLabelValues(reasonShardMissing).Set(float64(r.KeptShardMissing))
}
