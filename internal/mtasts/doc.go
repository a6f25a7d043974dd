// Package mtasts holds what RFC 8461 (SMTP MTA Strict Transport Security) says
// about text: the policy, the TXT record that announces it, and the matching of
// MX hosts. It does no I/O and knows no clock.
//
// A mail domain publishes two things. At https://mta-sts.<domain>/ lies the
// policy: which MX hosts are genuine, whether senders must insist on verified
// TLS (enforce), only report (testing) or forget the policy (none), and how long
// to cache it. At _mta-sts.<domain> a TXT record carries an id. A sender looks
// at the id, fetches the policy only when the id is new to it, and caches both.
// Hence an id may name one policy only, for ever, and the text must be readable
// by every sender: [ParsePolicy] and [ParseRecord] accept no more than the
// strictest of them, and what the String methods write passes all of them.
package mtasts
