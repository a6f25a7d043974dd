package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// Exit codes of the commands for people.
const (
	exitFailed  = 1 // something is as it should not be
	exitUnknown = 2 // it could not be told, or the command was not understood
)

// exitError ends the program with a code of its own. Without an error there is nothing more to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit tells what went wrong with a program and returns the code to end with.
func exit(program *cobra.Command, err error, stderr io.Writer) int {
	code := 1
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
	}
	if message := err.Error(); message != "" {
		_, _ = fmt.Fprintln(stderr, program.CommandPath()+":", message)
	}
	return code
}

// misunderstood makes cobra's own errors end with exitUnknown: a domain that was never looked at has not failed.
func misunderstood(cmd *cobra.Command, args cobra.PositionalArgs) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUnknown, err} })
	cmd.Args = func(cmd *cobra.Command, values []string) error {
		if err := args(cmd, values); err != nil {
			return &exitError{exitUnknown, fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// lookFlags say how the commands for people look at a domain.
type lookFlags struct {
	resolvers    []string
	ca           string
	allowPrivate bool
	timeout      time.Duration
}

func (f *lookFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.resolvers, "resolver", nil, "recursive DNS server to ask, an address with or without a port; may be repeated (default: those of this machine)")
	flags.StringVar(&f.ca, "ca", "", "PEM file of certificate authorities to trust besides the system's")
	flags.BoolVar(&f.allowPrivate, "allow-private", false, "connect to private, loopback and link-local addresses, too")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long to wait for one server (default: 10s, and 90s for a mail server, because many greet late on purpose)")
}

// look observes a domain as the flags say. base is empty but in tests.
func (f *lookFlags) look(ctx context.Context, domain string, base sender.Config, options check.Options) (check.Observation, error) {
	if f.timeout < 0 {
		return check.Observation{}, &exitError{exitUnknown, fmt.Errorf("--timeout %s: write a time above zero, such as 30s", f.timeout)}
	}
	if f.resolvers != nil && len(f.resolvers) == 0 { // a variable of the caller's that is not set, perhaps
		return check.Observation{}, &exitError{exitUnknown, errors.New("--resolver is empty: write an address, or leave it out")}
	}
	base.Resolvers = f.resolvers
	base.AllowPrivate = f.allowPrivate
	base.Timeout, base.SMTPTimeout = f.timeout, f.timeout
	var err error
	if f.ca != "" {
		if base.Roots, err = rootsWith(f.ca); err != nil {
			return check.Observation{}, &exitError{exitUnknown, fmt.Errorf("--ca: %w", err)}
		}
	}
	world, err := sender.New(base)
	if err != nil {
		return check.Observation{}, &exitError{exitUnknown, err}
	}
	now := time.Now
	if base.Now != nil {
		now = base.Now
	}
	seen := check.Observe(ctx, world, domain, now, options)
	if err := ctx.Err(); err != nil { // what was seen then says nothing
		return check.Observation{}, &exitError{exitUnknown, fmt.Errorf("looking at %s: %w", domain, err)}
	}
	return seen, nil
}

// rootsWith are the system's root certificates and those of a PEM file.
func rootsWith(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the path is the caller's own
	if err != nil {
		return nil, err //nolint:wrapcheck // says what and where
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's root certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return roots, nil
}

// progress shows on a terminal what is being looked at, and nothing elsewhere. done wipes it off.
func progress(w io.Writer) (tell func(what string), done func()) {
	const wipe = "\r\x1b[K"
	if !isTerminal(w) {
		return nil, func() {}
	}
	tell = func(what string) { _, _ = fmt.Fprintf(w, wipe+"looking at %.70s ...", what) }
	return tell, func() { _, _ = io.WriteString(w, wipe) }
}

// coloured says whether text for w may have colours (https://no-color.org).
func coloured(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || cmp.Or(os.Getenv("TERM"), "dumb") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
