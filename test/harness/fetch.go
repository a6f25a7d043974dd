package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	fetchTimeout = 5 * time.Second
	maxBody      = 1 << 20
)

// Response is what a policy host or a pod has answered.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Fetch gets the policy of a policy host as a strict sender does (RFC 8461 §3.3):
// it resolves the host in DNS, verifies the certificate against Roots, follows
// no redirect and accepts nothing but 200 and text/plain. The Response is there,
// beside an error, whenever there was one.
func (w *World) Fetch(ctx context.Context, host string) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	address, err := w.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: w.Roots()},
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			target := net.JoinHostPort(address, strconv.Itoa(int(w.HTTPSPort())))
			return new(net.Dialer).DialContext(ctx, network, target)
		},
	}
	response, err := get(ctx, transport, "https://"+host+mtasts.PolicyPath, host)
	if err != nil {
		return nil, fmt.Errorf("fetching the policy of %s: %w", host, err)
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.Status != http.StatusOK:
		return response, fmt.Errorf("fetching the policy of %s: status %d", host, response.Status)
	case err != nil || mediaType != "text/plain":
		return response, fmt.Errorf("fetching the policy of %s: media type %q", host, mediaType)
	}
	return response, nil
}

// AskPod gets the policy of a host from one pod, past Service and Ingress.
func (w *World) AskPod(ctx context.Context, pod *corev1.Pod, host string) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(namedPort(pod, HTTPPort)))) + mtasts.PolicyPath
	response, err := get(ctx, &http.Transport{DisableKeepAlives: true}, url, host)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s for the policy of %s: %w", pod.Name, host, err)
	}
	return response, nil
}

func namedPort(pod *corev1.Pod, name string) int32 {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return p.ContainerPort
			}
		}
	}
	return 0
}

func get(ctx context.Context, transport http.RoundTripper, url, host string) (*Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	request.Host = host
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was asked
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return &Response{Status: response.StatusCode, Header: response.Header, Body: string(body)}, nil
}

// resolve returns an IPv4 address of a host; the resolver follows aliases.
func (w *World) resolve(ctx context.Context, host string) (string, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(host), dns.TypeA)
	answer, _, err := new(dns.Client).ExchangeContext(ctx, question, w.Resolver())
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", host, err)
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), nil
		}
	}
	return "", fmt.Errorf("resolving %s: no address, %s", host, dns.RcodeToString[answer.Rcode])
}
