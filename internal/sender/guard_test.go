package sender

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func TestOnlyPublicAddressesPassTheGuard(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1":                  true,
		"9.255.255.255":            true,
		"11.0.0.0":                 true,
		"100.63.255.255":           true,
		"100.128.0.0":              true,
		"172.15.255.255":           true,
		"172.32.0.0":               true,
		"223.255.255.255":          true,
		"2606:4700:4700::1111":     true,
		"2a00:1450:4001:80b::200e": true,
		"::ffff:1.1.1.1":           true,
		"64:ff9b::101:101":         true,

		"0.0.0.0":                false,
		"0.1.2.3":                false,
		"10.0.0.1":               false,
		"100.64.0.1":             false,
		"100.100.100.200":        false,
		"100.127.255.255":        false,
		"127.0.0.1":              false,
		"127.255.255.254":        false,
		"168.63.129.16":          false,
		"169.254.169.254":        false,
		"172.16.0.1":             false,
		"172.31.255.255":         false,
		"192.0.0.192":            false,
		"192.0.2.1":              false,
		"192.168.1.1":            false,
		"198.18.0.1":             false,
		"198.19.255.255":         false,
		"198.51.100.1":           false,
		"203.0.113.1":            false,
		"224.0.0.1":              false,
		"240.0.0.1":              false,
		"255.255.255.255":        false,
		"::":                     false,
		"::1":                    false,
		"::10.0.0.1":             false,
		"::ffff:10.0.0.1":        false,
		"::ffff:127.0.0.1":       false,
		"::ffff:169.254.169.254": false,
		"64:ff9b::a00:1":         false,
		"64:ff9b::7f00:1":        false,
		"64:ff9b::a9fe:a9fe":     false,
		"64:ff9b:1::101:101":     false,
		"100::1":                 false,
		"2001::1":                false,
		"2001:2::1":              false,
		"2001:db8::1":            false,
		"2002:a00:1::1":          false,
		"3fff::1":                false,
		"fc00::1":                false,
		"fd00:ec2::254":          false,
		"fe80::1":                false,
		"2606:4700::1%eth0":      false,
		"fec0::1":                false,
		"ff02::1":                false,
	} {
		t.Run(address, func(t *testing.T) {
			if got := public(netip.MustParseAddr(address)); got != want {
				t.Errorf("public: %v, want %v", got, want)
			}
		})
	}
	if public(netip.Addr{}) {
		t.Error("the zero address passes")
	}
}

func TestAGuardedDiallerRefusesWhatANameMeansAtTheLastMoment(t *testing.T) {
	accepted := make(chan struct{}, 1)
	port := listen(t, func(net.Conn) { accepted <- struct{}{} })
	// The dialler is given a name, as if somebody had resolved it anew after the
	// check; only the socket knows the address.
	target := net.JoinHostPort("localhost", strconv.Itoa(int(port)))

	guarded := &Sender{}
	conn, err := guarded.guardedDialer().DialContext(t.Context(), "tcp4", target)
	if !errors.Is(err, errRefused) {
		t.Errorf("dialling localhost: %v, %v; want it refused", conn, err)
	}
	if len(accepted) > 0 {
		t.Error("a connection was made")
	}

	open := &Sender{allowPrivate: true}
	conn, err = open.guardedDialer().DialContext(t.Context(), "tcp4", target)
	if err != nil {
		t.Fatalf("dialling localhost when that is allowed: %v", err)
	}
	defer func() { _ = conn.Close() }()
	<-accepted
}

func TestADeniedNetworkIsRefusedInEveryGuise(t *testing.T) {
	for _, allowPrivate := range []bool{false, true} {
		s := &Sender{allowPrivate: allowPrivate, deny: prefixes("9.9.9.0/24", "10.0.0.0/8", "2606:4700::/32", "fe80::/10")}
		for address, want := range map[string]error{
			"9.9.9.9":           errDenied,
			"::ffff:9.9.9.9":    errDenied,
			"64:ff9b::909:909":  errDenied,
			"10.1.2.3":          errDenied,
			"2606:4700::1":      errDenied,
			"2606:4700::1%eth0": errDenied,
			"fe80::1%eth0":      errDenied,
			"9.9.8.9":           nil,
			"64:ff9b::909:809":  nil,
			"2606:4701::1":      nil,
		} {
			if got := s.refuses(netip.MustParseAddr(address)); !errors.Is(got, want) {
				t.Errorf("private addresses allowed %v, %s: %v, want %v", allowPrivate, address, got, want)
			}
		}
	}
}
