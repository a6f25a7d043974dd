package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
)

// ExternalDNSMode is what an external-dns may do with the records it owns.
type ExternalDNSMode int

// The modes of external-dns.
const (
	// Sync creates, updates and deletes: --policy=sync.
	Sync ExternalDNSMode = iota
	// UpsertOnly never deletes: --policy=upsert-only.
	UpsertOnly
	// CreateOnlyTXT creates TXT records and then cannot recognise them as its
	// own: the releases before v0.22 with the txt registry.
	CreateOnlyTXT
	// NoTXT ignores TXT records: the default --managed-record-types.
	NoTXT
	// Off does nothing, not even look.
	Off
)

// TXTProvider is what a DNS provider makes of the target of a TXT endpoint.
type TXTProvider int

// The providers' ways.
const (
	// Quoted wants quoted character-strings and refuses anything else, as
	// Route 53 does.
	Quoted TXTProvider = iota
	// Splitting reads the target as zone files are read, so that without quotes
	// every space starts a new character-string, as Google Cloud DNS does.
	Splitting
	// Verbatim takes the first target as it is, quotes included, as Azure does.
	Verbatim
)

// ExternalDNS plays external-dns with its sources crd and its txt registry: it
// carries DNSEndpoints into DNS, Lag after it has read them. Ownership is
// recorded in DNS itself, in a TXT record named after the type and the name
// ("txt-_mta-sts.example.com"), so it outlives the model.
type ExternalDNS struct {
	client client.Client
	dns    *DNS
	clock  clock.PassiveClock

	mu       sync.Mutex
	mode     ExternalDNSMode
	provider TXTProvider
	lag      time.Duration
	// read is what was read and is not applied yet.
	read   []desiredSet
	readAt time.Time
	// settled is the state of endpoints, configuration and DNS after which
	// nothing was left to do.
	settled string
	pending string
}

// NewExternalDNS returns external-dns in mode Sync in front of a Quoted provider.
func NewExternalDNS(c client.Client, records *DNS, clk clock.PassiveClock, lag time.Duration) *ExternalDNS {
	return &ExternalDNS{client: c, dns: records, clock: clk, lag: lag}
}

// SetMode changes the mode from the next step on.
func (e *ExternalDNS) SetMode(mode ExternalDNSMode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mode = mode
}

// SetProvider changes what happens to TXT targets from the next step on.
func (e *ExternalDNS) SetProvider(provider TXTProvider) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.provider = provider
}

// SetLag changes the time from reading to applying, also for what was read
// already.
func (e *ExternalDNS) SetLag(lag time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lag = lag
}

// Step reads the DNSEndpoints, or applies what it read Lag ago. What appears
// between the two is read after the apply, as in a sync loop.
func (e *ExternalDNS) Step(ctx context.Context) error {
	e.mu.Lock()
	mode, provider := e.mode, e.provider
	due := e.pending != "" && e.clock.Since(e.readAt) >= e.lag
	waiting := e.pending != "" && !due
	e.mu.Unlock()
	switch {
	case mode == Off || waiting:
		return nil
	case due:
		return e.apply(mode, provider)
	}
	return e.look(ctx, mode, provider)
}

// look reads the endpoints and reports them as seen, which says nothing about
// whether they will ever be applied.
func (e *ExternalDNS) look(ctx context.Context, mode ExternalDNSMode, provider TXTProvider) error {
	var list edns.DNSEndpointList
	if err := e.client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing DNSEndpoints: %w", err)
	}
	slices.SortFunc(list.Items, byKey)
	var errs []error
	state := new(strings.Builder)
	fmt.Fprintf(state, "%d/%d/%d", mode, provider, e.dns.currentVersion())
	for i := range list.Items {
		object := &list.Items[i]
		fmt.Fprintf(state, "/%s:%d", object.UID, object.Generation)
		errs = append(errs, e.markSeen(ctx, object))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if state.String() != e.settled {
		e.read, e.readAt, e.pending = mergeEndpoints(list.Items), e.clock.Now(), state.String()
	}
	return errors.Join(errs...)
}

func (e *ExternalDNS) markSeen(ctx context.Context, object *edns.DNSEndpoint) error {
	if object.Status.ObservedGeneration == object.Generation {
		return nil
	}
	seen := object.DeepCopy()
	seen.Status.ObservedGeneration = object.Generation
	err := e.client.Status().Patch(ctx, seen, client.MergeFrom(object))
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("marking DNSEndpoint %s as seen: %w", object.Name, err)
	}
	return nil
}

// apply carries out the plan without holding the lock, because changes of DNS
// run hooks that may call back.
func (e *ExternalDNS) apply(mode ExternalDNSMode, provider TXTProvider) error {
	e.mu.Lock()
	read, state := e.read, e.pending
	e.mu.Unlock()
	before := e.dns.currentVersion()
	err := plan{dns: e.dns, mode: mode, provider: provider}.run(read)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read, e.pending = nil, ""
	if before == e.dns.currentVersion() {
		e.settled = state
	}
	return err
}
