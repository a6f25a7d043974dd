// Package check judges what the world's senders find of a mail domain: its
// MTA-STS record and policy (RFC 8461), its MX hosts and how they start TLS, and
// its TLS-RPT record (RFC 8460). It works for any domain, whoever publishes it.
//
// [Observe] looks, through a [World], and judges nothing. [Judge] is a pure
// function of what was seen. [Report] is its result, in JSON by its tags and as
// text for people; docs/check.md describes both.
package check
