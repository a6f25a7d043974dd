package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"
)

// Mail is a message that was accepted.
type Mail struct {
	From, To, Data string
	// TLS is the protocol version; "" if it came in clear.
	TLS string
	// ServerName is what the client asked for with SNI.
	ServerName string
	At         time.Time
}

// mx is an SMTP server that accepts every message (RFC 5321, RFC 3207).
type mx struct {
	mu       sync.Mutex
	cert     *tls.Certificate // nil: STARTTLS is not offered
	accepted []Mail
}

// control sets the certificate (PUT /certificate: PEM of chain and key; DELETE: no STARTTLS at all)
// and tells what was accepted (GET /mail).
func (m *mx) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /certificate", func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		cert, err := tls.X509KeyPair(content, content)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		m.setCertificate(&cert)
	})
	mux.HandleFunc("DELETE /certificate", func(http.ResponseWriter, *http.Request) { m.setCertificate(nil) })
	mux.HandleFunc("GET /mail", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		_ = json.NewEncoder(w).Encode(m.accepted) // who asked has gone: nobody to tell
	})
	return mux
}

func (m *mx) setCertificate(cert *tls.Certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cert = cert
}

func (m *mx) certificate() *tls.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cert
}

func (m *mx) listen(address string) error {
	listener, err := net.Listen("tcp", address) //nolint:noctx // for as long as the program runs
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := (&session{mx: m, conn: conn}).run(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", conn.RemoteAddr(), err)
			}
		}()
	}
}

// session is one connection of a client.
type session struct {
	mx   *mx
	conn net.Conn
	mail Mail
}

// run talks until the client leaves; a client that just closes is no error.
func (s *session) run() error {
	text := textproto.NewConn(s.conn)
	if err := text.PrintfLine("220 mx ESMTP"); err != nil {
		return err
	}
	for {
		line, err := text.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a command: %w", err)
		}
		verb, argument, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "QUIT":
			return text.PrintfLine("221 bye")
		case "STARTTLS":
			text, err = s.startTLS(text)
		case "DATA":
			err = s.data(text)
		default:
			err = text.PrintfLine("%s", s.answer(strings.ToUpper(verb), argument))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
	}
}

// answer is the reply to a command that needs nothing else.
func (s *session) answer(verb, argument string) string {
	switch verb {
	case "EHLO":
		if s.mx.certificate() != nil && s.mail.TLS == "" {
			return "250-mx\r\n250 STARTTLS"
		}
		return "250 mx"
	case "MAIL":
		s.mail.From = argument
	case "RCPT":
		s.mail.To = argument
	case "HELO", "RSET", "NOOP":
	default:
		return "502 not here"
	}
	return "250 ok"
}

func (s *session) startTLS(text *textproto.Conn) (*textproto.Conn, error) {
	cert := s.mx.certificate()
	if cert == nil || s.mail.TLS != "" {
		return text, text.PrintfLine("502 not here")
	}
	if err := text.PrintfLine("220 go ahead"); err != nil {
		return text, err
	}
	conn := tls.Server(s.conn, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	if err := conn.Handshake(); err != nil { //nolint:noctx // the client ends it if it takes too long
		return text, err
	}
	state := conn.ConnectionState()
	s.conn, s.mail = conn, Mail{TLS: tls.VersionName(state.Version), ServerName: state.ServerName}
	return textproto.NewConn(conn), nil
}

func (s *session) data(text *textproto.Conn) error {
	if err := text.PrintfLine("354 go ahead"); err != nil {
		return err
	}
	content, err := io.ReadAll(bufio.NewReader(text.DotReader()))
	if err != nil {
		return err
	}
	s.mail.Data, s.mail.At = string(content), time.Now()
	s.mx.mu.Lock()
	s.mx.accepted = append(s.mx.accepted, s.mail)
	s.mx.mu.Unlock()
	return text.PrintfLine("250 accepted")
}
