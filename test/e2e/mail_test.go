package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// mail is one message on its way through the sender.
type mail struct {
	s       *story
	subject string
	queue   string // id in Postfix' queue
	sent    time.Time
}

// send hands a message to Postfix.
func (s *story) send(subject string) *mail {
	s.t.Helper()
	m := &mail{s: s, subject: subject, sent: time.Now()}
	id := fmt.Sprintf("<%d@sender.test>", m.sent.UnixNano())
	text := fmt.Sprintf("From: alice@sender.test\nTo: bob@%s\nSubject: %s\nMessage-ID: %s\n\nHello.\n", s.domain, subject, id)
	s.eventually(short, "handing a message to Postfix", func(ctx context.Context) error {
		_, err := s.kubectl(ctx, text, "-n", home, "exec", "-i", "deployment/sender", "-c", "postfix", "--",
			"sendmail", "-f", "alice@sender.test", "bob@"+s.domain)
		return err
	})
	s.eventually(short, "finding it in Postfix' log", func(ctx context.Context) error {
		log, err := s.postfix(ctx)
		if err != nil {
			return err
		}
		match := regexp.MustCompile(`postfix/cleanup\[\d+\]: (\w+): message-id=` + regexp.QuoteMeta(id)).FindStringSubmatch(log)
		if match == nil {
			return fmt.Errorf("no message-id=%s", id)
		}
		m.queue = match[1]
		return nil
	})
	return m
}

func (s *story) postfix(ctx context.Context) (string, error) {
	return s.kubectl(ctx, "", "-n", home, "logs", "deployment/sender", "-c", "postfix")
}

// becomes waits until Postfix has logged the status for the message ("sent", "deferred"), and returns
// that line with the one about TLS before it, if there is one.
func (m *mail) becomes(status string) string {
	m.s.t.Helper()
	var lines string
	m.s.eventually(2*time.Minute, fmt.Sprintf("message %q becoming %s", m.subject, status), func(ctx context.Context) error {
		log, err := m.s.postfix(ctx)
		if err != nil {
			return err
		}
		tls, all := "", ""
		for line := range strings.Lines(log) {
			switch {
			case strings.Contains(line, "TLS connection established to ") && strings.Contains(line, "."+m.s.domain+"["):
				tls = line
			case strings.Contains(line, " "+m.queue+": to="):
				all += line
				if strings.Contains(line, "status="+status) {
					lines = tls + line
					return nil
				}
			}
		}
		return fmt.Errorf("so far:\n%s", all)
	})
	for line := range strings.Lines(lines) {
		m.s.say("postfix: %s", strings.TrimSpace(line))
	}
	return lines
}

// arrived says how the message came in at an MX host.
func (m *mail) arrived(mx string) (tls, serverName string) {
	m.s.t.Helper()
	var accepted []struct{ Data, TLS, ServerName string }
	content, err := m.s.get(m.s.ctx, m.s.namespace, "pods", mx+":8080", "mail")
	m.s.must(err)
	m.s.must(json.Unmarshal(content, &accepted))
	for _, a := range accepted {
		if strings.Contains(a.Data, "Subject: "+m.subject+"\n") {
			return a.TLS, a.ServerName
		}
	}
	m.s.t.Fatalf("%s accepted %d messages, but not %q", mx, len(accepted), m.subject)
	return "", ""
}

// enforced waits until Postfix would deliver only to these MX hosts; with none, until it demands
// nothing. Its resolver remembers an id for the record's TTL, as resolvers do.
func (s *story) enforced(mx ...string) {
	s.t.Helper()
	s.eventually(3*time.Minute, fmt.Sprintf("senders enforcing %v", mx), func(ctx context.Context) error {
		answer, err := s.kubectl(ctx, "", "-n", home, "exec", "deployment/sender", "-c", "postfix", "--",
			"postmap", "-q", s.domain, "socketmap:inet:127.0.0.1:8461:postfix")
		if len(mx) == 0 {
			if answer == "" && err != nil && strings.Contains(err.Error(), "exit code 1") { // not found
				return nil
			}
			return errors.Join(fmt.Errorf("it is told %q", answer), err)
		}
		for _, name := range mx {
			if !strings.Contains(answer, name+"."+s.domain) {
				return errors.Join(fmt.Errorf("it is told %q", answer), err)
			}
		}
		return nil
	})
}

// delivered expects the message at the MX host over a connection that Postfix calls verified or not.
// Verified is what a policy of mode enforce makes of it.
func (m *mail) delivered(mx, how string) {
	m.s.t.Helper()
	if lines := m.becomes("sent"); !strings.Contains(lines, how+" TLS connection established") {
		m.s.t.Fatalf("want a connection that is %s, but Postfix logged\n%s", how, lines)
	}
	if tls, _ := m.arrived(mx); tls == "" {
		m.s.t.Fatalf("%q came in clear", m.subject)
	}
}
