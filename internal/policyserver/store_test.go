package policyserver

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	hostA = "mta-sts.a.example"
	hostB = "mta-sts.b.example"
)

func newTestStore(logger *slog.Logger) *Store {
	return NewStore(logger, prometheus.NewRegistry(), nil)
}

// served returns the body of every served host.
func served(s *Store) map[string]string {
	bodies := map[string]string{}
	for host, e := range s.current.Load().hosts {
		bodies[host] = e.body
	}
	return bodies
}

func TestLoadKeepsTheFences(t *testing.T) {
	type files = map[string]string
	one, two := testBody(testID(1)), testBody(testID(2))
	tests := map[string]struct {
		snapshots []files
		want      map[string]string
		report    LoadReport // of the last snapshot
		notReady  bool
	}{
		"a first load serves what it finds": {
			snapshots: []files{shards(1, files{hostA: value(1), hostB: value(2)})},
			want:      map[string]string{hostA: one, hostB: two},
			report:    LoadReport{Hosts: 2, Added: 2},
		},
		"an empty shard is a successful load": {
			snapshots: []files{shards(1, nil)},
			want:      map[string]string{},
		},
		"without a marker hosts are served, but the server is not ready": {
			snapshots: []files{{hostA: value(1)}},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, Added: 1},
			notReady:  true,
		},
		"without a marker nothing is unloaded": {
			snapshots: []files{{hostA: value(1)}, {}},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, KeptShardMissing: 1},
			notReady:  true,
		},
		"a marker of an unknown format does not make ready": {
			snapshots: []files{{MarkerKey(0): "mta-sts shard v2\n", hostA: value(1)}},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, Added: 1, MissingShards: []string{MarkerKey(0)}},
			notReady:  true,
		},
		"a greater id replaces a smaller one": {
			snapshots: []files{shards(1, files{hostA: value(1)}), shards(1, files{hostA: value(2)})},
			want:      map[string]string{hostA: two},
			report:    LoadReport{Hosts: 1, Updated: 1},
		},
		"a smaller id is refused": {
			snapshots: []files{shards(1, files{hostA: value(2)}), shards(1, files{hostA: value(1)})},
			want:      map[string]string{hostA: two},
			report:    LoadReport{Hosts: 1, KeptOlderID: 1},
		},
		"an equal id with another body is refused": {
			snapshots: []files{shards(1, files{hostA: value(1)}), shards(1, files{hostA: EncodeEntry(testID(1), two)})},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, KeptMalformed: 1},
		},
		"a body that its id was not minted for is not served even to begin with": {
			snapshots: []files{shards(1, files{hostA: EncodeEntry(testID(1), two), hostB: value(1)})},
			want:      map[string]string{hostB: one},
			report:    LoadReport{Hosts: 1, Added: 1, KeptMalformed: 1},
		},
		"the same entry again changes nothing": {
			snapshots: []files{shards(1, files{hostA: value(1)}), shards(1, files{hostA: value(1)})},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1},
		},
		"a malformed entry keeps the last good one": {
			snapshots: []files{shards(1, files{hostA: value(1)}), shards(1, files{hostA: "oops"})},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, KeptMalformed: 1},
		},
		"a malformed entry that never was good is not served, others are": {
			snapshots: []files{shards(1, files{hostA: "oops", hostB: value(1)})},
			want:      map[string]string{hostB: one},
			report:    LoadReport{Hosts: 1, Added: 1, KeptMalformed: 1},
		},
		"a name in upper case is malformed": {
			snapshots: []files{shards(1, files{"MTA-STS.a.example": value(1)})},
			want:      map[string]string{},
			report:    LoadReport{KeptMalformed: 1},
		},
		"a host that its shard no longer has is unloaded": {
			snapshots: []files{shards(2, files{hostA: value(1), hostB: value(2)}), shards(2, files{hostB: value(2)})},
			want:      map[string]string{hostB: two},
			report:    LoadReport{Hosts: 1, Removed: 1},
		},
		"a missing shard keeps its hosts, the others go on": {
			snapshots: []files{shards(2, files{hostA: value(1), hostB: value(1)}), shards(1, files{hostB: value(2)})},
			want:      map[string]string{hostA: one, hostB: two},
			report:    LoadReport{Hosts: 2, Updated: 1, KeptShardMissing: 1, MissingShards: []string{MarkerKey(1)}},
		},
		"a directory that became empty keeps everything": {
			snapshots: []files{shards(2, files{hostA: value(1), hostB: value(2)}), {}},
			want:      map[string]string{hostA: one, hostB: two},
			report:    LoadReport{Hosts: 2, KeptShardMissing: 2, MissingShards: []string{MarkerKey(0), MarkerKey(1)}},
		},
		"a missing marker keeps hosts even if its shard's files are there": {
			snapshots: []files{shards(1, files{hostA: value(1), hostB: value(2)}), {hostB: value(2)}},
			want:      map[string]string{hostA: one, hostB: two},
			report:    LoadReport{Hosts: 2, KeptShardMissing: 1, MissingShards: []string{MarkerKey(0)}},
		},
		"a marker that turned to an unknown format counts as missing": {
			snapshots: []files{shards(1, files{hostA: value(1)}), {MarkerKey(0): "v2"}},
			want:      map[string]string{hostA: one},
			report:    LoadReport{Hosts: 1, KeptShardMissing: 1, MissingShards: []string{MarkerKey(0)}},
		},
		"a shard that came back is unloaded from again": {
			snapshots: []files{shards(2, files{hostA: value(1)}), shards(1, nil), shards(2, nil)},
			want:      map[string]string{},
			report:    LoadReport{Removed: 1},
		},
		"a host that moved between shards with a greater id has it": {
			snapshots: []files{shards(2, files{hostA: value(1)}), shards(1, nil), shards(2, files{hostA: value(2)})},
			want:      map[string]string{hostA: two},
			report:    LoadReport{Hosts: 1, Updated: 1},
		},
		"a host that moved between shards with a smaller id keeps the greater": {
			snapshots: []files{shards(2, files{hostA: value(2)}), shards(1, nil), shards(2, files{hostA: value(1)})},
			want:      map[string]string{hostA: two},
			report:    LoadReport{Hosts: 1, KeptOlderID: 1},
		},
		"a host that was unloaded comes back with its greatest id": {
			snapshots: []files{shards(1, files{hostA: value(2)}), shards(1, nil), shards(1, files{hostA: value(1)})},
			want:      map[string]string{hostA: two},
			report:    LoadReport{Hosts: 1, Added: 1, KeptOlderID: 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(nil)
			var report LoadReport
			for _, files := range tt.snapshots {
				report = s.Load(files)
			}
			if diff := cmp.Diff(tt.want, served(s)); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.report, report, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if s.Ready() == tt.notReady {
				t.Errorf("ready: %t", s.Ready())
			}
		})
	}
}

func TestRefusalsAreLoggedOncePerChange(t *testing.T) {
	logs := &logBuffer{}
	s := newTestStore(logs.logger())
	s.Load(shards(2, map[string]string{hostA: value(3), hostB: value(3)}))
	want := func(refused, missing, back int) {
		t.Helper()
		got := []int{logs.count("policy entry refused"), logs.count("shards are missing"), logs.count("present again")}
		if diff := cmp.Diff([]int{refused, missing, back}, got); diff != "" {
			t.Errorf("log lines (-want +got):\n%s", diff)
		}
	}
	for range 3 {
		s.Load(shards(1, map[string]string{hostA: value(1), hostB: "oops"}))
	}
	want(2, 1, 0)
	s.Load(shards(1, map[string]string{hostA: value(2), hostB: "oops"}))
	want(3, 1, 0)
	s.Load(shards(2, map[string]string{hostA: value(3), hostB: value(3)}))
	want(3, 1, 1)
	s.Load(shards(2, map[string]string{hostA: value(2), hostB: value(3)}))
	want(4, 1, 1)
}

// TestRandomSnapshots feeds stores with random directories, most of which no
// healthy cluster would show, and looks at every host through the handler.
func TestRandomSnapshots(t *testing.T) {
	hosts := []string{hostA, hostB, "mta-sts.c.example"}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := newTestStore(nil)
		handler := NewHandler(s)
		watched := map[string]*observer{}
		for _, host := range hosts {
			watched[host] = &observer{bodies: map[string]string{}}
		}
		markers := map[string]bool{}
		for step := range 40 {
			files := randomSnapshot(random, hosts)
			s.Load(files)
			complete := seeMarkers(markers, files)
			for host, o := range watched {
				_, present := files[host]
				o.look(t, handler, host, complete && !present)
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d, snapshot %q", seed, step, files)
			}
		}
	}
}

// randomSnapshot returns mostly well-formed entries with ids that go up and
// down, some of them for another body, in up to three shards.
func randomSnapshot(random *rand.Rand, hosts []string) map[string]string {
	files := map[string]string{}
	for shard := range 3 {
		if random.IntN(4) > 0 {
			files[MarkerKey(shard)] = MarkerValue
		}
	}
	for _, host := range hosts {
		id := testID(random.IntN(8))
		switch random.IntN(8) {
		case 0: // no file
		case 1:
			files[host] = string(id)
		case 2:
			files[host] = EncodeEntry(id, testBody(id)+"x: other\r\n")
		default:
			files[host] = EncodeEntry(id, testBody(id))
		}
	}
	return files
}

// seeMarkers adds the markers of a snapshot and tells whether none is missing.
func seeMarkers(seen map[string]bool, files map[string]string) bool {
	for name := range files {
		if isMarker(name) {
			seen[name] = true
		}
	}
	for name := range seen {
		if _, ok := files[name]; !ok {
			return false
		}
	}
	return len(seen) > 0
}

// observer remembers what one host has ever answered.
type observer struct {
	last   string
	up     bool
	bodies map[string]string // by id
}

func (o *observer) look(t *testing.T, handler http.Handler, host string, mayGo bool) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "http://"+host+mtasts.PolicyPath, nil)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		if o.up && !mayGo {
			t.Errorf("%s went away", host)
		}
		o.up = false
		return
	}
	o.up = true
	id, body := recorder.Header().Get(HeaderID), recorder.Body.String()
	if id < o.last {
		t.Errorf("%s went back from %s to %s", host, o.last, id)
	}
	if known, ok := o.bodies[id]; ok && known != body {
		t.Errorf("%s: id %s names two bodies", host, id)
	}
	if body != testBody(mtasts.ID(id)) {
		t.Errorf("%s: body of another id than %s: %q", host, id, body)
	}
	o.last, o.bodies[id] = id, body
}

func TestInstancesMatchWhatIsServed(t *testing.T) {
	s := newTestStore(nil)
	before := s.current.Load().etag
	s.Load(shards(1, map[string]string{hostA: value(1), hostB: value(2)}))
	after := s.current.Load()
	var doc Instances
	if err := json.Unmarshal(after.instances, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]mtasts.ID{hostA: testID(1), hostB: testID(2)}
	if diff := cmp.Diff(want, doc.Hosts); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	if before == after.etag {
		t.Errorf("the entity tag %s did not change", before)
	}
	s.Load(shards(1, map[string]string{hostA: value(1), hostB: value(2)}))
	if s.current.Load() != after {
		t.Error("a load without a change encoded the table again")
	}
}
