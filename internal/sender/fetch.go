package sender

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	// maxBody is the largest body a sender reads (RFC 8461 §3.3 suggests 64 KB).
	maxBody = 64 << 10
	// maxAnswer bounds all that is read, header and chunk sizes included.
	maxAnswer = 1 << 20
	idHeader  = "X-MTA-STS-ID"
	userAgent = "mta-sts-operator"
)

var idSyntax = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// problem is why there is no policy to judge.
type problem struct {
	outcome Outcome
	reason  Reason
	message string
}

// fetched is a valid policy and how it names its id.
type fetched struct {
	answer *Answer // also with a problem, if there was an answer
	seen   SeenPolicy
	hasID  bool // the header is present, whatever its value
}

func (s *Sender) lookAddress(
	ctx context.Context, domain string, address netip.Addr, guarded bool, path string, want *Instance,
) AddressLook {
	look := AddressLook{Address: address}
	conn, notAfter, failure := s.connect(ctx, mtasts.PolicyHost(domain), address, guarded)
	look.NotAfter = notAfter
	if failure != nil {
		look.Outcome, look.Reason, look.Message = failure.outcome, failure.reason, failure.message
		return look
	}
	defer func() { _ = conn.Close() }()
	got, failure := get(ctx, conn, "https://"+mtasts.PolicyHost(domain)+path)
	look.Answer = got.answer
	if failure != nil {
		look.Outcome, look.Reason, look.Message = failure.outcome, failure.reason, failure.message
		return look
	}
	look.Seen = &got.seen
	if message := got.differs(want); message != "" {
		look.Outcome, look.Reason, look.Message = WrongBody, OtherPolicy, message
		return look
	}
	look.Outcome = Pass
	return look
}

// connect returns a connection whose certificate is valid for the host, with
// TLS 1.2 or newer (RFC 8461 §3.3, §7.1), and the end of that certificate, even
// if it is not accepted.
func (s *Sender) connect(
	ctx context.Context, host string, address netip.Addr, guarded bool,
) (*tls.Conn, time.Time, *problem) {
	dialer := s.vouchedDialer()
	if guarded {
		dialer = s.guardedDialer()
	}
	raw, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(address, s.httpsPort).String())
	if err != nil {
		return nil, time.Time{}, dialProblem(err, s.httpsPort)
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: host,
		RootCAs:    s.roots,
		MinVersion: tls.VersionTLS12,
		Time:       s.now,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		var notAfter time.Time
		if rejected, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			notAfter = leaf(rejected.UnverifiedCertificates).NotAfter
		}
		return nil, notAfter, s.handshakeProblem(err, host)
	}
	return conn, leaf(conn.ConnectionState().PeerCertificates).NotAfter, nil
}

func leaf(chain []*x509.Certificate) *x509.Certificate {
	if len(chain) == 0 {
		return &x509.Certificate{}
	}
	return chain[0]
}

// get asks for the policy over an established connection. It does without an
// http.Client so that nothing is followed, retried, unpacked, proxied or logged.
func get(ctx context.Context, conn net.Conn, url string) (fetched, *problem) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fetched{}, &problem{NoAnswer, ConnectionFailed, "cannot be asked for " + quote(url)}
	}
	request.Header.Set("User-Agent", userAgent)
	request.Close = true
	if err := request.Write(conn); err != nil {
		return fetched{}, answerProblem(err)
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	got, failure := readAnswer(bufio.NewReader(limited), request)
	if failure != nil && limited.N <= 0 {
		failure = &problem{Broken, HTTPFailed, "answers without end"}
	}
	return got, failure
}

func readAnswer(reader *bufio.Reader, request *http.Request) (fetched, *problem) {
	response, err := http.ReadResponse(reader, request)
	// RFC 9110 §15.2: interim responses come before the answer proper. They
	// have no body, and the reader's limit bounds their number.
	for err == nil && isInterim(response.StatusCode) {
		response, err = http.ReadResponse(reader, request)
	}
	if err != nil {
		return fetched{}, answerProblem(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := &Answer{
		Status:      response.StatusCode,
		ContentType: sanitize(response.Header.Get("Content-Type")),
		Location:    sanitize(response.Header.Get("Location")),
	}
	failure := checkHeader(response)
	if response.StatusCode != http.StatusOK {
		return fetched{answer: answer}, failure
	}
	// A body of the wrong type is worth a look, too, though not an error.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	answer.Body = string(body[:min(len(body), maxBody)])
	switch {
	case failure != nil:
		return fetched{answer: answer}, failure
	case err != nil:
		return fetched{answer: answer}, answerProblem(err)
	}
	got, failure := readPolicy(response.Header, body)
	got.answer = answer
	return got, failure
}

func isInterim(status int) bool {
	return status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols
}

func checkHeader(response *http.Response) *problem {
	status := response.StatusCode
	if status >= 300 && status <= 399 {
		return &problem{Broken, Redirect, fmt.Sprintf(
			"redirects (status %d), which senders do not follow", status)}
	}
	if status != http.StatusOK {
		return &problem{Broken, StatusNotOK, fmt.Sprintf(
			"answers with status %d, senders accept only 200", status)}
	}
	types := response.Header.Values("Content-Type")
	if len(types) != 1 {
		return &problem{Broken, WrongContentType, fmt.Sprintf(
			"answers with %d Content-Type headers, senders want text/plain", len(types))}
	}
	if mediaType, _, err := mime.ParseMediaType(types[0]); err != nil || mediaType != "text/plain" {
		return &problem{Broken, WrongContentType, fmt.Sprintf(
			"answers with Content-Type %s, senders want text/plain", quote(types[0]))}
	}
	return nil
}

func readPolicy(header http.Header, body []byte) (fetched, *problem) {
	if len(body) > maxBody {
		return fetched{}, &problem{Broken, BodyTooLarge, fmt.Sprintf(
			"answers with more than %d bytes", maxBody)}
	}
	policy, err := mtasts.ParsePolicy(body)
	if err != nil {
		return fetched{}, &problem{Broken, NotAPolicy, "answers with no valid policy: " + sanitize(err.Error())}
	}
	id := header.Get(idHeader)
	got := fetched{seen: SeenPolicy{Body: string(body), Policy: policy}, hasID: id != ""}
	if idSyntax.MatchString(id) {
		got.seen.ID = id
	}
	return got, nil
}

// differs says how the policy differs from the wanted instance, "" if it does
// not or none is wanted. Equal bytes do not make an instance: the same policy may
// have been published before, with another one in between.
func (f fetched) differs(want *Instance) string {
	if want == nil {
		return ""
	}
	underID := "without an id"
	if f.hasID {
		underID = "under the id " + quote(f.seen.ID)
	}
	switch {
	case f.seen.Body != want.Body:
		return fmt.Sprintf("serves another policy (mode %s) %s, want the id %s",
			f.seen.Policy.Mode, underID, quote(want.ID))
	case f.hasID && f.seen.ID != want.ID:
		return fmt.Sprintf("serves the same policy %s, want the id %s", underID, quote(want.ID))
	default:
		return ""
	}
}
