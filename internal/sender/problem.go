package sender

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// dialProblem explains why there is no connection.
func dialProblem(err error, port uint16) *problem {
	switch {
	case errors.Is(err, errDenied):
		return &problem{
			NoAnswer, AddressRefused,
			"is in a network that the operator's configuration denies; it was not dialled",
		}
	case errors.Is(err, errRefused):
		return &problem{
			NoAnswer, AddressRefused,
			"is a private or reserved address, which senders on the Internet cannot reach; it was not dialled",
		}
	case isTimeout(err):
		return &problem{NoAnswer, Timeout, fmt.Sprintf("does not accept a connection on port %d in time", port)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &problem{NoAnswer, ConnectionRefused, fmt.Sprintf("refuses connections on port %d", port)}
	case hasNoRoute(err):
		return &problem{NoAnswer, NoRoute, "cannot be reached from here, there is no route"}
	case isClosed(err):
		return &problem{NoAnswer, ConnectionClosed, fmt.Sprintf("closes connections on port %d", port)}
	default:
		return &problem{NoAnswer, ConnectionFailed, fmt.Sprintf("cannot be connected to on port %d", port)}
	}
}

// hasNoRoute covers what a host without an address of the family, without a
// route, or with a firewall of its own gets to see.
func hasNoRoute(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL,
		syscall.EAFNOSUPPORT, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// handshakeProblem explains why there is no TLS. Whatever the peer said itself
// makes it broken; silence does not.
func (s *Sender) handshakeProblem(err error, host string) *problem {
	if isTimeout(err) {
		return &problem{NoAnswer, Timeout, "accepts connections, but does not finish the TLS handshake in time"}
	}
	if isClosed(err) {
		return &problem{NoAnswer, ConnectionClosed, "closes the connection during the TLS handshake"}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return s.certificateProblem(err, host)
	}
	return &problem{Broken, TLSFailed, "fails the TLS handshake; it must offer TLS 1.2 or 1.3 for " + sanitize(host)}
}

// certificateProblem explains why the certificate is not accepted.
func (s *Sender) certificateProblem(err error, host string) *problem {
	if wrongName, ok := errors.AsType[x509.HostnameError](err); ok {
		return &problem{Broken, CertificateWrongName, fmt.Sprintf(
			"presents a certificate %s, not for %s", namesOf(wrongName.Certificate), sanitize(host))}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if s.now().Before(invalid.Cert.NotBefore) {
			return &problem{Broken, CertificateExpired, "presents a certificate that is not valid yet"}
		}
		return &problem{Broken, CertificateExpired, "presents an expired certificate"}
	}
	return &problem{
		Broken, CertificateUntrusted,
		"presents a certificate chain that does not lead to a trusted root: " +
			"a private or staging authority, or a missing intermediate certificate",
	}
}

func namesOf(certificate *x509.Certificate) string {
	switch names := certificate.DNSNames; len(names) {
	case 0:
		return "without DNS names"
	case 1:
		return "for " + quote(names[0])
	default:
		return fmt.Sprintf("for %s and %d more names", quote(names[0]), len(names)-1)
	}
}

// answerProblem explains why there is no complete HTTP answer.
func answerProblem(err error) *problem {
	if isTimeout(err) {
		return &problem{NoAnswer, Timeout, "accepts connections, but does not finish its answer in time"}
	}
	// In TLS 1.3 a server may refuse only after the client has finished.
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return &problem{Broken, TLSFailed, "ends TLS with an alert instead of an answer"}
	}
	if isClosed(err) {
		return &problem{NoAnswer, ConnectionClosed, "closes the connection before its answer is complete"}
	}
	return &problem{Broken, HTTPFailed, "answers with something that is not HTTP"}
}
