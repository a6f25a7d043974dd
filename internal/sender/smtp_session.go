package sender

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// maxTalk bounds all that a server may say before TLS, and after it.
	maxTalk = 64 << 10
	// quitTime is how long a server may take to say goodbye.
	quitTime = 2 * time.Second
)

var errNotSMTP = errors.New("not an SMTP reply")

// session is a conversation in SMTP (RFC 5321).
type session struct {
	conn    net.Conn
	limited *io.LimitedReader
	reader  *bufio.Reader
}

func newSession(conn net.Conn) *session {
	limited := &io.LimitedReader{R: conn, N: maxTalk}
	return &session{conn: conn, limited: limited, reader: bufio.NewReader(limited)}
}

// smtpReply is one answer of the server (RFC 5321 §4.2).
type smtpReply struct {
	code  string   // three digits; empty if there was none
	lines []string // without the code, one at least
}

func (r smtpReply) shown() string {
	if r.code == "" {
		return ""
	}
	return sanitize(r.code + " " + strings.Join(r.lines, " "))
}

// passing says whether a server puts this client off and says nothing about what it does for others: it is
// busy, or has never seen the client before (greylisting). 454 is none of these: a server whose certificate
// it cannot read itself goes on saying that (RFC 3207 §4).
func (r smtpReply) passing() bool {
	return slices.Contains([]string{"421", "450", "451", "452"}, r.code)
}

// startTLS goes as far as the server's consent to TLS (RFC 3207 §4). With a
// problem it returns the reply that refuses, if one does.
func (s *session) startTLS(ctx context.Context, greetingTime time.Duration, name string) (smtpReply, *problem) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if refusal, failure := s.awaitGreeting(ctx, greetingTime); failure != nil {
		return refusal, failure
	}
	hello, err := s.command("EHLO " + name)
	switch {
	case err != nil:
		return smtpReply{}, talkProblem(err, "answer EHLO")
	case hello.code != "250":
		return hello, &problem{NoAnswer, SessionRefused, "answers EHLO with " + hello.code}
	case !hello.offers("STARTTLS"):
		return hello, &problem{Broken, NoSTARTTLS, "does not offer STARTTLS"}
	}
	consent, err := s.command("STARTTLS")
	switch {
	case err != nil:
		return smtpReply{}, talkProblem(err, "answer STARTTLS")
	case consent.passing():
		return consent, &problem{NoAnswer, SessionRefused, "offers STARTTLS, but answers it with " + consent.code + " for now"}
	case consent.code != "220":
		return consent, &problem{Broken, STARTTLSRefused, "offers STARTTLS, but answers it with " + consent.code}
	}
	return smtpReply{}, nil
}

func (s *session) awaitGreeting(ctx context.Context, within time.Duration) (smtpReply, *problem) {
	_ = s.conn.SetReadDeadline(time.Now().Add(within))
	greeting, err := s.read()
	_ = s.conn.SetReadDeadline(time.Time{})
	// The end of the context may have set a deadline that was just removed.
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		return smtpReply{}, talkProblem(err, "greet")
	case greeting.code != "220":
		return greeting, &problem{NoAnswer, SessionRefused, "refuses sessions from here with " + greeting.code}
	}
	return greeting, nil
}

// offers reports whether the answer to EHLO names the extension (RFC 5321 §4.1.1.1).
func (r smtpReply) offers(extension string) bool {
	return slices.ContainsFunc(r.lines[1:], func(line string) bool {
		keyword, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(keyword, extension)
	})
}

func (s *session) command(line string) (smtpReply, error) {
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return smtpReply{}, err //nolint:wrapcheck // talkProblem says what was being done
	}
	return s.read()
}

func (s *session) read() (smtpReply, error) {
	var r smtpReply
	for {
		line, err := s.reader.ReadString('\n')
		if err != nil {
			if s.limited.N <= 0 {
				err = errNotSMTP
			}
			return smtpReply{}, err //nolint:wrapcheck // talkProblem says what was being done
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" || (len(line) > 3 && line[3] != ' ' && line[3] != '-') {
			return smtpReply{}, errNotSMTP
		}
		r.code = line[:3]
		r.lines = append(r.lines, line[min(4, len(line)):])
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
}

// quit says goodbye and waits for the answer, but not for long.
func (s *session) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(quitTime))
	_, _ = s.command("QUIT")
}

// talkProblem explains why there is no reply; what is such as "greet".
func talkProblem(err error, what string) *problem {
	switch {
	case isTimeout(err):
		return &problem{NoAnswer, Timeout, "accepts connections, but does not " + what + " in time"}
	case isClosed(err):
		return &problem{NoAnswer, ConnectionClosed, "closes the connection rather than " + what}
	default:
		return &problem{NoAnswer, NotSMTP, "does not " + what + " in SMTP"}
	}
}
