package sender

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"
)

// authority is a certificate authority of one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func testCA(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return authority{certificate: certificate, key: key, pool: pool}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate for names that is valid until notAfter. Its common
// name is the policy host, which must not help.
func (a authority) issue(t *testing.T, notAfter time.Time, names ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "mta-sts.example.com"},
		NotBefore:    notAfter.Add(-48 * time.Hour),
		NotAfter:     notAfter,
		DNSNames:     names,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// listen starts accept loops on one port at 127.0.0.1, 127.0.0.2 and so on, one
// for each handler, and returns the port.
func listen(t *testing.T, handlers ...func(net.Conn)) uint16 {
	t.Helper()
	for range 20 {
		listeners, port := tryListen(t.Context(), len(handlers))
		if listeners == nil {
			continue
		}
		for i, listener := range listeners {
			t.Cleanup(func() { _ = listener.Close() })
			go acceptAll(listener, handlers[i])
		}
		return port
	}
	t.Skip("127.0.0.2 and its neighbours cannot be used here")
	return 0
}

func tryListen(ctx context.Context, n int) ([]net.Listener, uint16) {
	var listeners []net.Listener
	port := uint16(0)
	for i := range n {
		address := net.JoinHostPort("127.0.0."+strconv.Itoa(i+1), strconv.Itoa(int(port)))
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			for _, other := range listeners {
				_ = other.Close()
			}
			return nil, 0
		}
		port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
		listeners = append(listeners, listener)
	}
	return listeners, port
}

func acceptAll(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			handle(conn)
			_ = conn.Close()
		}()
	}
}
