package sender

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

var (
	// errRefused is returned by a dialler whose address does not pass the guard.
	errRefused = errors.New("the address is not dialled")
	// errDenied is the one of an address that the configuration denies.
	errDenied = fmt.Errorf("%w: its network is denied", errRefused)
)

// Networks inside the IPv4 space that no public host has an address in, from
// the IANA special-purpose registry.
var reservedIPv4 = prefixes(
	"0.0.0.0/8",        // this network, unspecified
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT; also some clouds' metadata
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's host agent, reachable from every machine there
	"169.254.0.0/16",   // link-local, cloud metadata
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; also some clouds' metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
)

// Global unicast is all IPv6 that is assigned; loopback, unique local,
// link-local, multicast and local NAT64 lie outside.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

var reservedIPv6 = prefixes(
	"2001::/23",     // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: hides an IPv4 address, and nobody serves from it
	"3fff::/20",     // documentation
)

// nat64 holds public and private IPv4 addresses alike (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(texts ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		parsed[i] = netip.MustParsePrefix(text)
	}
	return parsed
}

// public reports whether address belongs to a host on the Internet.
func public(address netip.Addr) bool {
	if !address.IsValid() || address.Zone() != "" {
		return false
	}
	address = embeddedIPv4(address)
	if address.Is4() {
		return !within(reservedIPv4, address)
	}
	return globalIPv6.Contains(address) && !within(reservedIPv6, address)
}

// embeddedIPv4 returns the IPv4 address that packets to address reach in the
// end, or address itself.
func embeddedIPv4(address netip.Addr) netip.Addr {
	if nat64.Contains(address) {
		bytes := address.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return address.Unmap()
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// denied reports whether the address, or the one that packets to it reach in the end, is in a network that is never
// dialled. A zone says through which interface; the network is the same.
func (s *Sender) denied(address netip.Addr) bool {
	address = address.WithZone("")
	return within(s.deny, address) || within(s.deny, embeddedIPv4(address))
}

// refuses says why an address that a name leads to is not dialled; nil if it is.
func (s *Sender) refuses(address netip.Addr) error {
	switch {
	case s.denied(address):
		return errDenied
	case !s.allowPrivate && !public(address):
		return errRefused
	default:
		return nil
	}
}

// guardedDialer checks the address once more at the socket, where nothing can
// have been resolved anew in between.
func (s *Sender) guardedDialer() *net.Dialer { return dialerThat(s.refuses) }

// vouchedDialer is for an address that no name leads to: it may be private, and yet not denied.
func (s *Sender) vouchedDialer() *net.Dialer {
	return dialerThat(func(address netip.Addr) error {
		if s.denied(address) {
			return errDenied
		}
		return nil
	})
}

func dialerThat(refuses func(netip.Addr) error) *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		dialled, err := netip.ParseAddrPort(address)
		if err != nil {
			return errRefused
		}
		return refuses(dialled.Addr())
	}}
}
