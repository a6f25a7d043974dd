//go:build !unix

package policyserver

import "net"

// boundBuffers leaves the sizes to the system: servers run elsewhere.
func boundBuffers(net.Listener, int) error { return nil }
