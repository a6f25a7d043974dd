package simulation

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// editTXT puts an older id, or one that nobody minted, into the record's object.
func (s *sim) editTXT(d *domain, ns, id string) {
	e, _ := s.store.get("DNSEndpoint", s.key(ns, "mta-sts-id."+d.name)).(*externaldnsv1alpha1.DNSEndpoint)
	if e == nil || len(e.Spec.Endpoints) != 1 {
		return
	}
	if s.chance(2) {
		id = d.greatest.Time().Add(time.Hour).Format("20060102150405") + "deadbeef"
	}
	s.tell("person: the id's record of %s/%s becomes %s", ns, d.name, id)
	s.excuse(d, 10*time.Minute)
	next := e.DeepCopy()
	next.Spec.Endpoints[0].Targets = []string{`"` + mtasts.Record{ID: id}.String() + `"`}
	_, _ = s.store.update(next, person) // it exists, and is the newest version
}

// editShard puts an older instance, nonsense or nothing into a shard.
func (s *sim) editShard(d *domain, ns, id string) {
	cm, _ := s.store.get("ConfigMap", s.key(ns, shardPrefix)).(*corev1.ConfigMap)
	if cm == nil {
		return
	}
	next := cm.DeepCopy()
	host := mtasts.PolicyHost(d.name)
	switch s.rnd.IntN(3) {
	case 0:
		s.tell("person: %s/%s loses %s", ns, cm.Name, d.name)
		delete(next.Data, host)
	case 1:
		s.tell("person: %s/%s gets nonsense for %s", ns, cm.Name, d.name)
		next.Data[host] = "version: STSv1\n"
	default:
		s.tell("person: %s/%s gets id %s of %s", ns, cm.Name, id, d.name)
		next.Data[host] = policyserver.EncodeEntry(mtasts.ID(id), d.minted[id])
	}
	s.excuse(d, 15*time.Minute)
	_, _ = s.store.update(next, person) // it exists, and is the newest version
}
