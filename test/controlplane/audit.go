package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// One event per request, at its end. A watch is an event only when it ends.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
`

func (c *ControlPlane) configureAudit(server *envtest.APIServer, log string) error {
	policy := filepath.Join(c.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	server.Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", log).
		Set("audit-log-maxsize", "4096"). // MiB: never rotated
		Set("audit-log-mode", "blocking")
	return nil
}

// AuditEvent is one finished request to the API.
type AuditEvent struct {
	// Verb is get, list, watch, create, update, patch, delete or deletecollection.
	Verb string
	User struct{ Username string }
	// ObjectRef is what the request was about; a creation names it only if the client did.
	ObjectRef struct {
		APIGroup    string
		Resource    string // plural, lower case
		Subresource string // such as status
		Namespace   string
		Name        string
	}
	ResponseStatus struct{ Code int32 }
	// RequestReceivedTimestamp is by the API server's clock, in microseconds.
	RequestReceivedTimestamp time.Time
}

// Writes reports whether the request asked for a change.
func (e AuditEvent) Writes() bool {
	switch e.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// ReadAudit returns the events of an audit log so far. A line is written just after its answer was
// sent, so that a client may read the log before its last request is in it.
func ReadAudit(path string) ([]AuditEvent, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	var events []AuditEvent
	for lines := json.NewDecoder(file); ; {
		var event AuditEvent
		err := lines.Decode(&event)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the end, or a line half written
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading event %d of the audit log: %w", len(events), err)
		}
		events = append(events, event)
	}
}
