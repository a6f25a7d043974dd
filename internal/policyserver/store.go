package policyserver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// LoadReport says what one Load did. All numbers count hosts.
type LoadReport struct {
	// Hosts is how many hosts are served after the load.
	Hosts int
	// Added, Updated and Removed compare with the state before the load.
	Added, Updated, Removed int
	// KeptOlderID counts files whose id is smaller than the one being served.
	KeptOlderID int
	// KeptMalformed counts files that cannot be used: not an entry, or an id
	// that was minted for another body. Also counted when there was no earlier
	// entry to keep.
	KeptMalformed int
	// KeptImplausible counts files with an id from so far ahead that it was planted,
	// or this server's clock is very wrong.
	KeptImplausible int
	// KeptShardMissing counts hosts without a file that stay because a shard
	// is missing.
	KeptShardMissing int
	// MissingShards lists, sorted, the marker keys that were seen earlier and
	// are gone, or whose content is not MarkerValue.
	MissingShards []string
}

// Changed tells whether the load made any difference to requests.
func (r LoadReport) Changed() bool {
	return r.Added+r.Updated+r.Removed > 0
}

// Store holds the policies of one server process and the fences between them
// and the directory. Requests read it without locks; Load may be called from
// several goroutines.
type Store struct {
	logger  *slog.Logger
	metrics *metrics
	now     func() time.Time
	current atomic.Pointer[table]
	ready   atomic.Bool

	mu sync.Mutex
	// newest is the newest instance of every host ever loaded. It outlives the
	// removal of a host: should the file come back with an older id, going on
	// with the newest is the only answer that is neither a step back nor dark.
	newest map[string]*entry
	// before is what was the newest before an instance with an id from the future,
	// which is no fence.
	before map[string]*entry
	// lengths are the header values of Content-Length, by their number.
	lengths map[int][]string
	// markers are the markers ever seen, missing those the last load missed.
	markers map[string]bool
	missing []string
	// refused remembers the files refused by the last load, by the digest of
	// their content, so that each is logged once and not at every rescan.
	refused map[string][sha256.Size]byte
}

// NewStore returns an empty Store that is not ready. It registers its metrics
// with reg, which must not be shared with another Store; nil registers nothing.
// A nil logger discards. Ids are judged by now; nil is time.Now.
func NewStore(logger *slog.Logger, reg prometheus.Registerer, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		logger:  logger,
		metrics: newMetrics(reg),
		now:     now,
		newest:  map[string]*entry{},
		before:  map[string]*entry{},
		lengths: map[int][]string{},
		markers: map[string]bool{},
	}
	s.current.Store(newTable(nil))
	return s
}

// Ready tells whether some load has seen a shard. It never becomes false again:
// old policies are better than none.
func (s *Store) Ready() bool {
	return s.ready.Load()
}

// Load applies one consistent reading of the directory, file name to content,
// and makes the result visible to requests in one step. Names that start with
// MarkerPrefix are markers, all others are policy hosts.
func (s *Store) Load(files map[string]string) LoadReport {
	s.mu.Lock()
	defer s.mu.Unlock()

	report := LoadReport{MissingShards: s.readMarkers(files)}
	next := make(map[string]*entry, len(files))
	refused := map[string][sha256.Size]byte{}
	for name, value := range files {
		if isMarker(name) {
			continue
		}
		e, err := s.offer(name, value)
		if e != nil {
			next[e.host] = e // the name was made for this load only
		}
		if err != nil {
			report.countRefusal(err)
			refused[name] = s.logRefusal(name, value, err)
		}
	}
	s.refused = refused
	if s.mayUnload(report.MissingShards) {
		s.publish(next, &report)
		return report
	}
	for host, e := range s.current.Load().hosts {
		if next[host] == nil {
			next[host] = e
			report.KeptShardMissing++
		}
	}
	s.publish(next, &report)
	return report
}

// readMarkers remembers the shards of this reading and returns those that are
// missing or written in a format this server does not know.
func (s *Store) readMarkers(files map[string]string) []string {
	var missing []string
	for name, value := range files {
		switch {
		case !isMarker(name):
		case isKnownFormat(value):
			s.markers[name] = true
			s.ready.Store(true)
		case !s.markers[name]:
			missing = append(missing, name)
		}
	}
	for name := range s.markers {
		if !isKnownFormat(files[name]) {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	if !slices.Equal(missing, s.missing) {
		s.logMissing(missing)
		s.missing = missing
	}
	return missing
}

// mayUnload tells whether a host without a file may go. The directory is flat,
// so nothing says which shard a host came from: any missing shard may be the
// one. Before the first marker nothing is known about the shards at all.
func (s *Store) mayUnload(missing []string) bool {
	return len(missing) == 0 && len(s.markers) > 0
}

// These tell files that are refused for their id from malformed ones.
var (
	errOlderID     = errors.New("the id is smaller than the one being served")
	errImplausible = errors.New("the id is more than a year ahead of this server's clock")
)

// offer returns the entry to serve for a host that has a file. With an error
// the file was refused and the entry is the newest one known, nil if none is.
func (s *Store) offer(host, value string) (*entry, error) {
	known := s.newest[host]
	if known != nil && known.isFrom(value) {
		return known, nil
	}
	if host != strings.ToLower(host) {
		return nil, errors.New("the name of a policy host must be in lower case")
	}
	id, body, err := DecodeEntry(value)
	if err != nil {
		return known, fmt.Errorf("decoding the entry: %w", err)
	}
	if known != nil && id == known.id() {
		return known, nil
	}
	if stays, err := s.fence(host, id); err != nil {
		return stays, err
	}
	e := &entry{host: host, ids: [1]string{string(id)}, body: body, length: s.length(len(body))}
	s.newest[host] = e
	return e, nil
}

// fence says whether a host's instance may be replaced by the one with this id (I3):
// not by a smaller one, unless the greater one was planted; and not by one that was
// planted. One that is merely ahead of the clock is served, since that may be behind.
// With an error the entry is the one that stays.
func (s *Store) fence(host string, id mtasts.ID) (stays *entry, err error) {
	now, known := s.now(), s.newest[host]
	if known != nil && known.id().GivesWay(id, now) {
		if known = s.before[host]; known != nil {
			s.newest[host] = known
		}
		delete(s.before, host)
	}
	switch {
	case known == nil:
	case id.Compare(known.id()) < 0:
		return known, errOlderID
	case !id.Conceivable(now) && known.id().Conceivable(now):
		return known, errImplausible
	case !id.Plausible(now) && known.id().Plausible(now):
		s.before[host] = known
	}
	return stays, nil
}

// length returns n as a header value that all bodies of this length share.
func (s *Store) length(n int) []string {
	if s.lengths[n] == nil {
		s.lengths[n] = []string{strconv.Itoa(n)}
	}
	return s.lengths[n]
}

// publish compares hosts with what is being served, fills in the report and, if
// anything differs, swaps the table.
func (s *Store) publish(hosts map[string]*entry, report *LoadReport) {
	before := s.current.Load().hosts
	common := 0
	for host, e := range hosts {
		old := before[host]
		if old != nil {
			common++
		}
		switch {
		case old == nil:
			report.Added++
		case old != e:
			report.Updated++
		}
	}
	report.Removed = len(before) - common
	report.Hosts = len(hosts)
	s.metrics.report(*report)
	if report.Changed() {
		s.current.Store(newTable(hosts))
		s.logger.Info("policies loaded", "hosts", report.Hosts,
			"added", report.Added, "updated", report.Updated, "removed", report.Removed)
	}
}

func (r *LoadReport) countRefusal(err error) {
	switch {
	case errors.Is(err, errOlderID):
		r.KeptOlderID++
	case errors.Is(err, errImplausible):
		r.KeptImplausible++
	default:
		r.KeptMalformed++
	}
}

// logRefusal logs a refused file unless the last load refused the same content,
// and returns the digest of the content.
func (s *Store) logRefusal(host, value string, err error) [sha256.Size]byte {
	sum := sha256.Sum256([]byte(value))
	if before, ok := s.refused[host]; ok && before == sum {
		return sum
	}
	serving := "nothing"
	if known := s.newest[host]; known != nil {
		serving = known.ids[0]
	}
	s.logger.Warn("policy entry refused", "host", host, "reason", err, "serving", serving)
	return sum
}

func (s *Store) logMissing(missing []string) {
	if len(missing) == 0 {
		s.logger.Info("all shards are present again")
		return
	}
	s.logger.Warn("shards are missing or in an unknown format, no host is unloaded", "shards", missing)
}
