// Package simulation runs the real controllers through weeks of edits and faults in moments.
//
// The reconcilers are called as functions, with a virtual clock, on an API server in memory: with
// resource versions, generations, conflicts, merge patches, server-side apply and a garbage collector.
// Every operator reads caches that lag, each kind by itself; several operators may believe to lead;
// passes are interrupted between any two requests by whatever else there is, requests fail before or
// after they took effect, operators crash after any write. Around them stand models of pods (with the
// product's own policy server inside), kubelets, external-dns, name servers, resolvers, cert-manager and
// senders that cache policies the way real ones do. Run checks the promises (I1 to I9) all the time, and tells the story
// of the seed when one is broken.
//
// controllers/internal/simulation does the same to the decision alone: with thousands of seeds, and
// faults that need no API server, such as other publishers and pods that start with old mounts.
package simulation
