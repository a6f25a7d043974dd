// Package simulation lets one domain live through months of edits and faults in a moment.
//
// The decisions are the product's own (package publication); around them stand models of what they
// meet: pods whose kubelets bring them what was written a while ago, name servers that follow late and
// one by one, resolvers that answer from their caches, a policy URL that fails, and senders that
// cache policies the way real ones do. Run checks the operator's promises all the time, and tells
// the story of the seed when one is broken. Not part of it yet are the real reconcilers: here a pass
// is never interrupted but by a crash right after its write, and reads what is true.
package simulation
