package controllers

import (
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/test/mutation"
)

func TestEveryMutantStillFitsTheSource(t *testing.T) {
	shardSuite().Fits(t)
}

// shardSuite has histories of shards look for mistakes in how hosts are brought to servers.
func shardSuite() mutation.Suite {
	return mutation.Suite{
		Root: "..", Test: "TestNoHistoryOfShardsLosesAHost", Seeds: "200",
		Mutants: []mutation.Mutant{
			{Promise: "stays", Name: "a host that has grown moves to the first shard with room", Edits: []mutation.Edit{
				{File: "controllers/server_plan.go", Old: "		if !placed {\n			if n, placed", New: "		if placed && len(value) > len(p.wanted[n][host]) { delete(p.wanted[n], host); delete(state.homes, host); p.changed[n], placed = true, false }\n		if !placed {\n			if n, placed"},
			}},
			{Promise: "stays", Name: "where hosts were is not remembered, and a shard is deleted by hand", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "			s.homes[host] = n\n", New: ""},
			}},
			{Promise: "stays", Name: "a shard that was deleted comes back with what the cache shows", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "	if lost {\n		live, err", New: "	if lost && false {\n		live, err"},
			}},
			{Promise: "stays", Name: "a host leaves its shard because the cache lacks its publication", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "			if there {\n				continue\n			}\n", New: "			_ = there\n"},
			}},
			{Promise: "stays", Name: "a leader that was deposed may write: no lock on a shard", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "	updated.BinaryData = nil\n", New: "	updated.BinaryData = nil\n	updated.ResourceVersion = \"\"\n"},
			}},
			{Promise: "stays", Name: "the marker rule: servers drop hosts although a shard is missing", Edits: []mutation.Edit{
				{File: "internal/policyserver/store.go", Old: "	return len(missing) == 0 && len(s.markers) > 0\n", New: "	return true\n"},
			}},
			{Promise: "goes", Name: "shards are written without their markers", Edits: []mutation.Edit{
				{File: "controllers/internal/resources/server.go", Old: "	data[policyserver.MarkerKey(n)] = policyserver.MarkerValue\n", New: "	_ = policyserver.MarkerKey(n)\n"},
			}},
			{Promise: "one home", Name: "a new leader believes its cache about shards", Edits: []mutation.Edit{
				{File: "controllers/server_refresh.go", Old: "	if state.shards == nil || state.doubtful {\n", New: "	if state.doubtful {\n"},
			}},
			{Promise: "one home", Name: "a write that timed out is taken not to have been made", Edits: []mutation.Edit{
				{File: "controllers/server_refresh.go", Old: "if state.shards == nil || state.doubtful {", New: "if state.shards == nil {"},
			}},
			{Promise: "never back", Name: "older instances replace newer ones, in shards and in servers", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "if err != nil || have.Compare(mtasts.ID(pub.Spec.Current.ID)) <= 0 {", New: "if _ = err; true {"},
				{File: "internal/policyserver/store.go", Old: "	case id.Compare(known.id()) < 0:\n", New: "	case false:\n"},
			}},
			{Promise: "fits", Name: "a shard takes as many hosts as fit while they are small", Edits: []mutation.Edit{
				{File: "controllers/server_plan.go", Old: "	maxShardHosts = 100\n", New: "	maxShardHosts = 512\n"},
			}},
			{Promise: "current", Name: "a value that is there is never replaced", Edits: []mutation.Edit{
				{File: "controllers/server_plan.go", Old: "		if allowed {\n", New: "		if allowed && len(value) < 9000 {\n"},
			}},
			{Promise: "quiet", Name: "every pass writes every shard", Edits: []mutation.Edit{
				{File: "controllers/server_shards.go", Old: "		if !complete(state.shards[n], server.Shard(n, nil)) {\n", New: "		if true {\n"},
			}},
			{Promise: "quiet", Name: "an edit writes every shard", Edits: []mutation.Edit{
				{File: "controllers/server_plan.go", Old: "	p.home[host] = n\n	p.changed[n] = true\n", New: "	p.home[host] = n\n	for k := range p.wanted { p.changed[k] = true }\n"},
			}},
		},
	}
}
