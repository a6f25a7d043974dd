// Package resources builds every object the operator creates: the Ingress, the Certificate and the
// DNSEndpoints of a domain ([Domain]), and the policy server of a namespace ([Server]).
//
// It has no client and no clock. Equal input gives equal objects, so that whoever applies them can
// compare first and write only what differs: [Covers] says whether a live object has everything an
// object built here sets, [Stamp] leaves a mark by which a field that is no longer set is noticed.
//
// Most objects are apply configurations, which say only what the operator cares about. The shards
// and the DNSEndpoints are typed objects: they carry ids, an older id must never replace a newer
// one (I3), and only a write with a resourceVersion can promise that.
package resources
