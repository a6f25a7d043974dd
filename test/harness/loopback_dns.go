package harness

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/miekg/dns"
)

// dnsListener serves a DNS on one port of 127.0.0.1, UDP and TCP.
type dnsListener struct {
	servers []*dns.Server
	address *net.UDPAddr
}

// portAttempts is how often a free UDP port is tried whose TCP twin is taken.
const portAttempts = 20

func serveDNS(ctx context.Context, records *DNS) (*dnsListener, error) {
	var err error
	for range portAttempts {
		var udp net.PacketConn
		var tcp net.Listener
		udp, err = new(net.ListenConfig).ListenPacket(ctx, "udp4", "127.0.0.1:0")
		if err != nil {
			break
		}
		tcp, err = new(net.ListenConfig).Listen(ctx, "tcp4", udp.LocalAddr().String())
		if err != nil {
			_ = udp.Close()
			continue
		}
		l := &dnsListener{
			servers: []*dns.Server{
				{PacketConn: udp, Handler: dnsHandler(records)},
				{Listener: tcp, Handler: dnsHandler(records)},
			},
			address: udp.LocalAddr().(*net.UDPAddr),
		}
		return l, l.start()
	}
	return nil, fmt.Errorf("listening for DNS on loopback: %w", err)
}

// start waits until both servers run: one that does not yet cannot be shut down.
func (l *dnsListener) start() error {
	failed := make(chan error, len(l.servers))
	started := make(chan struct{}, len(l.servers))
	for _, server := range l.servers {
		server.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() { failed <- server.ActivateAndServe() }()
	}
	for range l.servers {
		select {
		case <-started:
		case err := <-failed:
			return fmt.Errorf("serving DNS: %w", err)
		}
	}
	return nil
}

func (l *dnsListener) close() error {
	errs := make([]error, 0, len(l.servers))
	for _, server := range l.servers {
		errs = append(errs, server.Shutdown())
	}
	return errors.Join(errs...)
}

func dnsHandler(records *DNS) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := records.Answer(question)
		if answer == nil {
			return
		}
		if _, isUDP := w.RemoteAddr().(*net.UDPAddr); isUDP {
			size := dns.MinMsgSize
			if opt := question.IsEdns0(); opt != nil {
				size = max(size, int(opt.UDPSize()))
			}
			answer.Truncate(size)
		}
		_ = w.WriteMsg(answer) // nobody to tell
	})
}
