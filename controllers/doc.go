// Package controllers makes one MTASTSPolicy come true: served, certified, announced, in that order.
//
// # One pass of the domain controller
//
// The key is the domain, so that one worker decides for it, whoever claims it.
//
//  1. observe: the claims on the domain, its publication, the children, what the server pods report,
//     and what is remembered of looks at DNS and at the policy URL. All of it comes from caches.
//  2. publication.Decide, a pure function, says what should be true from now on. If it needs to know
//     more (the live MX hosts, the policy URL, DNS, a confirmation by every pod) the pass looks, and
//     asks again.
//  3. apply: the publication first, with the resourceVersion it was read at; then the children, the id's
//     record before the others. A crash between any two writes is resumed by the next pass. A publication
//     that is new ends the pass: once the cache shows it, it shows every older one of the domain as well.
//  4. report: the status of every claim, written once and only if it differs, and events for what
//     happened.
//
// # The server controller
//
// Its key is the namespace. It keeps the policy server there, renders the shards from publications
// (never from policies), asks every pod which instance of which host it serves, and wakes the domains
// for which the answer changed.
//
// # The MX hosts
//
// Beside the controllers each mail server is asked for STARTTLS as a sender does, about once a day and one
// connection at a time, however many policies name it, and the domains for which the answer changed are
// woken. Namespaces take turns (I11): package fair says which host is asked next.
//
// # Fences
//
// Ids are fencing tokens: neither a shard nor a TXT record ever goes from a greater id to a smaller
// one. What cannot be undone (creating the TXT record, removing a key, a domain, the server) is preceded
// by live reads in the same pass: absence from a cache proves nothing.
package controllers
