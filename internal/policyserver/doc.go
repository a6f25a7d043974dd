// Package policyserver serves the MTA-STS policies of one namespace over
// cleartext HTTP, behind an Ingress or Gateway that terminates TLS
// (RFC 8461 §3.2, §3.3).
//
// The operator stores the policies in ConfigMaps ("shards"), the kubelet
// projects all shards into one flat directory, and a server process turns that
// directory into an immutable table that requests read without locks:
//
//	directory --readSnapshot--> files --Store.Load--> table --handler--> answers
//
// Nearly every request is the same, so package wire answers that one from the
// table without net/http; every other request, and HTTP/2, reaches the handler
// through net/http.
//
// What senders cached cannot be called back, so a server would rather keep
// something old than go backwards or go dark. Store.Load holds these fences per
// host, whatever order the kubelet, a restored backup or a late writer show
// things in:
//
//   - the id never becomes smaller, because ids are fencing tokens (I3);
//   - one id never changes its body, because an id names one instance for
//     ever (I3);
//   - a malformed entry keeps the last good one;
//   - a host disappears only when every shard ever seen is there without it.
//
// A second listener, for the operator and the kubelet only, tells which
// instance of each host is being served (I1: body before id), and readiness,
// liveness and metrics.
package policyserver
