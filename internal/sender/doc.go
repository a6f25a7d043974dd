// Package sender is the world as a strict MTA-STS sender sees it (RFC 8461
// §3.1, §3.3): the TXT record, the addresses of the policy host, the policy each
// of those addresses serves, the domain's MX hosts, and how each of those starts
// TLS (§4.2).
//
// It observes and never decides. Every observation is tri-state, so that "could
// not tell" is never taken for "is not there", and carries a [Reason] from a
// fixed set and a message that is the same whenever the observation is the same.
// Messages may be shown to tenants: what a peer sent appears in them only
// shortened and with everything but printable ASCII replaced. An observation
// whose context was cancelled says nothing about the world.
//
// The names that are looked up belong to users, so the addresses behind them do
// too. Policy hosts and authoritative name servers are resolved once, checked,
// and dialled at exactly the checked address; see [Config.AllowPrivate] and [Config.Deny].
package sender
