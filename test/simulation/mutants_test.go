package simulation

import (
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/test/mutation"
)

func TestEveryMutantStillFitsTheSource(t *testing.T) {
	suite().Fits(t)
}

// suite has the histories of this package look for mistakes in the controllers, and for those of the
// decision that only show with all that the controllers do around it.
func suite() mutation.Suite {
	return mutation.Suite{
		Root: "../..", Test: "TestWeeksOfFaultsBreakNoPromise", Seeds: "40",
		Mutants: mutants, Equivalents: equivalents,
	}
}

// mutants are the mistakes that the simulation must be able to see. `make mutants` tries them all.
var mutants = []mutation.Mutant{
	{Promise: "I1", Name: "no pod is asked, neither before nor at the announcement", Edits: []mutation.Edit{
		{File: "controllers/server_ask.go", Old: "servers := servedBy(reports, spec.Domain, spec.Current.ID, spec.AnnouncedID == spec.Current.ID)", New: "servers := publication.Servers{Known: true, Ready: 1}"},
		{File: "controllers/domain_looks.go", Old: "	s.observation.Servers = servers\n	if servers.All() {", New: "	_ = servers\n	{"},
	}},
	{Promise: "I1", Name: "a pod whose node is lost does not count, and the node comes back", Edits: []mutation.Edit{
		{File: "controllers/server_pods.go", Old: "	if !pod.DeletionTimestamp.IsZero() && !isReady(pod) {", New: "	if !isReady(pod) {"},
	}},
	{Promise: "I3", Name: "a stale leader may record: no lock on the publication", Edits: []mutation.Edit{
		{File: "controllers/domain_apply.go", Old: "client.MergeFromWithOptions(s.publication, client.MergeFromWithOptimisticLock{})", New: "client.MergeFrom(s.publication)"},
	}},
	{Promise: "I3", Name: "a stale leader may write a shard: no fence on its values, no lock on it", Edits: []mutation.Edit{
		{File: "controllers/server_shards.go", Old: "if err != nil || have.Compare(mtasts.ID(pub.Spec.Current.ID)) <= 0 {", New: "if _ = err; true {"},
		{File: "controllers/server_shards.go", Old: "	updated.BinaryData = nil\n", New: "	updated.BinaryData = nil\n	updated.ResourceVersion = \"\"\n"},
	}},
	{Promise: "I3", Name: "a stale leader follows the policy that its cache shows", Edits: []mutation.Edit{
		{File: "controllers/domain_claims.go", Old: "	if live.UID != p.UID || live.Generation > p.Generation || !live.DeletionTimestamp.IsZero() {", New: "	if false {"},
	}},
	{Promise: "I4", Name: "the children are written before the record", Edits: []mutation.Edit{
		{File: "controllers/domain_apply.go", Old: "	if err := r.record(ctx, s); err != nil {\n		return err\n	}\n	s.failed = r.ensureChildren(ctx, s)\n", New: "	if s.publication != nil { s.publication = s.publication.DeepCopy(); was := s.publication.Spec; s.publication.Spec = *d.Spec; s.failed = r.ensureChildren(ctx, s); s.publication.Spec = was }\n	if err := r.record(ctx, s); err != nil {\n		return err\n	}\n"},
	}},
	{Promise: "I4", Name: "a host leaves its shard because the cache lacks its publication", Edits: []mutation.Edit{
		{File: "controllers/server_shards.go", Old: "			if there {\n				continue\n			}\n", New: "			_ = there\n"},
	}},
	{Promise: "I5", Name: "what is superseded is not entered", Edits: []mutation.Edit{
		{File: "controllers/internal/publication/ledger.go", Old: "p.open(p.Spec.Current.ID, *current, v1alpha1.OriginSuperseded)", New: "_ = current"},
	}},
	{Promise: "I5", Name: "DNS three days late: entries are dated without asking it", Edits: []mutation.Edit{
		{File: "controllers/internal/publication/spread.go", Old: "	if p.Spec.InForceID == p.Spec.AnnouncedID {", New: "	if p.Spec.InForceID != p.Spec.AnnouncedID { p.Spec.InForceID = p.Spec.AnnouncedID }\n	if p.Spec.InForceID == p.Spec.AnnouncedID {"},
		{File: "controllers/internal/publication/ledger.go", Old: "p.o.DNS.Exactly(id) && p.o.Servers.All() &&", New: "p.o.Servers.All() &&"},
	}},
	{Promise: "I6", Name: "foreground deletion: the policy owns the domain's children", Edits: []mutation.Edit{
		{File: "controllers/domain_apply.go", Old: "	d := resources.NewDomain(s.publication, s.settings)\n", New: "	d := resources.NewDomain(s.publication, s.settings)\n	if s.winner != nil { d.UID = s.winner.UID }\n"},
	}},
	{Promise: "I6", Name: "the record goes although senders hold something", Edits: []mutation.Edit{
		{File: "controllers/internal/publication/retire.go", Old: "	if p.mayBeCached() || (p.doubted() && !p.stillNothing()) {\n", New: "	if false {\n"},
	}},
	{Promise: "I7", Name: "a policy of another namespace is followed like any", Edits: []mutation.Edit{
		{File: "controllers/claims_table.go", Old: "		if p.Namespace == namespace {\n", New: "		if _ = namespace; true {\n"},
	}},
	{Promise: "I7", Name: "another publication of the domain is made because the cache lacks the first", Edits: []mutation.Edit{
		{File: "controllers/domain_apply.go", Old: "	if err := r.trustClaims(ctx, s); err != nil {\n", New: "	if err := error(nil); err != nil {\n"},
	}},
	{Promise: "I6", Name: "the server goes because the cache lacks the namespace's publications", Edits: []mutation.Edit{
		{File: "controllers/server_objects.go", Old: "	if len(live.Items) > 0 {", New: "	if false {"},
	}},
	{Promise: "I9", Name: "every pass writes the status", Edits: []mutation.Edit{
		{File: "controllers/domain_report.go", Old: "	if apiequality.Semantic.DeepEqual(policy.Status, status) {", New: "	if false {"},
	}},
}

// equivalents are no mistakes by themselves: something else makes up for them, as their name says.
var equivalents = []mutation.Mutant{
	{Promise: "I6", Name: "a leader removes without asking the API server once more: Decide asked for its time, and with it for the newest publication, in the same pass", Edits: []mutation.Edit{
		{File: "controllers/domain_apply.go", Old: "	if err := r.trustTime(ctx, s); err != nil {\n		return err\n	}\n	if err := r.removeEndpoints", New: "	if err := r.removeEndpoints"},
		{File: "controllers/domain_apply.go", Old: "client.Preconditions{ResourceVersion: &version}", New: "client.Preconditions{}"},
		{File: "controllers/domain_apply.go", Old: "	version := s.publication.ResourceVersion\n", New: ""},
	}},
	{Promise: "I1", Name: "the live pods are not asked once more: what they said two seconds ago is still true here more often than not; the decision's own histories find it", Edits: []mutation.Edit{
		{File: "controllers/domain_looks.go", Old: "	s.observation.Servers = servers\n	if servers.All() {", New: "	_ = servers\n	{"},
	}},
}
