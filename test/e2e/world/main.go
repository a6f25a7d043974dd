// Command world plays the parts of the mail world that the end-to-end tests want to break at will: the
// server that receives the mail, and a sender that never stops looking. Everything else out there is
// the software that people run.
//
//	world mx     an SMTP server with STARTTLS whose certificate and faults are set over HTTP
//	world poll   a sender without a cache that pairs ids with policies and tells which pairs it saw
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"
)

// controlAddress is where both parts are controlled and asked.
const controlAddress = ":8080"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: world mx|poll [flags]")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "mx":
		err = runMX()
	case "poll":
		err = runPoll(os.Args[2:])
	default:
		err = fmt.Errorf("there is no part %q", os.Args[1])
	}
	fmt.Fprintf(os.Stderr, "world: %v\n", err)
	os.Exit(1)
}

func runMX() error {
	m := new(mx)
	go func() {
		fmt.Fprintf(os.Stderr, "world: %v\n", serve(m.control()))
		os.Exit(1)
	}()
	return m.listen(":2525")
}

func runPoll(args []string) error {
	flags := flag.NewFlagSet("poll", flag.ExitOnError)
	domain := flags.String("domain", "", "mail domain to look at")
	authority := flags.String("authority", "", "address of its authoritative name server, asked for ids")
	resolver := flags.String("resolver", "", "address of a resolver, asked for the policy host")
	roots := flags.String("roots", "", "file with the certificate authorities to trust")
	interval := flags.Duration("interval", 100*time.Millisecond, "time between two looks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := newPoller(*domain, *authority, *resolver, *roots)
	if err != nil {
		return err
	}
	go p.run(*interval)
	return serve(p.control())
}

func serve(handler http.Handler) error {
	server := &http.Server{Addr: controlAddress, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
