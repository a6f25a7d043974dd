package harness

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Authority is a root certificate and its key, in memory only.
type Authority struct {
	now  func() time.Time
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a root that is valid for ten years.
func NewAuthority(clk clock.PassiveClock) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of the root: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "harness root"},
		NotBefore: clk.Now().Add(-time.Hour), NotAfter: clk.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the root: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the root: %w", err)
	}
	return &Authority{now: clk.Now, root: root, key: key}, nil
}

// Pool returns the root as a sender would trust it.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// PEM returns the root as a file for programs that are told whom to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Issue returns a certificate for these names and its key, both PEM. It is valid
// from now on; a lifetime below zero makes one that has expired.
func (a *Authority) Issue(lifetime time.Duration, dnsNames ...string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making the key of a certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("making a serial number: %w", err)
	}
	start := a.now()
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: dnsNames,
		NotBefore: start.Add(min(0, 2*lifetime)), NotAfter: start.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// IssuePair is Issue for a TLS listener.
func (a *Authority) IssuePair(lifetime time.Duration, dnsNames ...string) (*tls.Certificate, error) {
	certPEM, keyPEM, err := a.Issue(lifetime, dnsNames...)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading a new certificate: %w", err)
	}
	return &pair, nil
}

// parseLeaf returns the first certificate of PEM data, nil if there is none.
func parseLeaf(data []byte) *x509.Certificate {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}

// writeSecret issues a certificate into the Secret that a Certificate names.
func (c *CA) writeSecret(ctx context.Context, certificate *cmv1.Certificate) error {
	lifetime := c.lifetime
	if certificate.Spec.Duration != nil {
		lifetime = certificate.Spec.Duration.Duration
	}
	certPEM, keyPEM, err := c.Issue(lifetime, certificate.Spec.DNSNames...)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: certificate.Namespace, Name: certificate.Spec.SecretName,
			Labels: map[string]string{cmv1.PartOfCertManagerControllerLabelKey: "true"},
			Annotations: map[string]string{
				cmv1.CertificateNameKey:    certificate.Name,
				cmv1.AltNamesAnnotationKey: strings.Join(certificate.Spec.DNSNames, ","),
			},
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM,
			"ca.crt": c.PEM(),
		},
	}
	err = c.client.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		data, marshalErr := secretPatch(secret)
		if marshalErr != nil {
			return marshalErr
		}
		err = c.client.Patch(ctx, secret, data)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", secret.Name, err)
	}
	return nil
}

// secretPatch replaces content and marks of a Secret whatever it held.
func secretPatch(secret *corev1.Secret) (client.Patch, error) {
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}, Type: secret.Type}
	patch, err := client.MergeFrom(empty).Data(secret)
	if err != nil {
		return nil, fmt.Errorf("making a patch of Secret %s: %w", secret.Name, err)
	}
	return client.RawPatch(client.Merge.Type(), patch), nil
}
