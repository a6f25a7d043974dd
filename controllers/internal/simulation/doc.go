// Package simulation lets one domain live through months of edits and faults in a moment.
//
// The decisions are the product's own (package publication); around them stand models of what they
// meet: pods whose kubelets bring them what was written a while ago, name servers that follow late and
// one by one, resolvers that answer from their caches, a policy URL that fails, clocks that are wrong,
// backups that are restored, admins who move the mail when the operator calls it safe, or sooner, and
// senders that cache policies the way real ones do. Run checks the operator's promises all the time,
// and tells the story of the seed when one is broken. That the checks see anything is shown by
// mutants: mistakes put into the product one by one, each of which some history must find.
//
// What a sender got by a fault is held against the operator only from when it has seen the fault, and
// not at all if nothing can tell: nobody remembers what was promised after the copy that was restored.
//
// Not part of it are the reconcilers: here a pass is never interrupted but by a crash right after its
// write, and reads what is true.
package simulation
