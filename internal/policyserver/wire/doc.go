// Package wire answers the one request that nearly all requests to a policy server are, and leaves every
// other one to net/http.
//
// The request it knows is a GET or HEAD of one fixed path with HTTP/1.1, a single plain Host, and fields
// that change nothing. It is recognized in the bytes of one read, so a connection needs neither a
// goroutine nor a buffer, and answered by one write:
//
//	connection --read--> parse --Config.Answer--> write
//	                       |
//	                       +-- anything else --> Accept, with the bytes read so far
//
// A Listener stands between a TCP listener and an http.Server. What parse does not know, or knows
// only in part, goes with its connection through Accept to the server, which never notices that
// somebody has read before it. So every unusual request, HTTP/2, everything malformed and everything slow is
// judged by net/http alone, and the two cannot differ on where a request ends: what parse accepts is a
// subset of what net/http does, which a fuzz test holds against it.
//
// The loop exists on Linux, where servers run; elsewhere Listen returns the listener that it was given.
package wire
