package manifest

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// IDPlaceholder stands for the id, which only the operator mints, and only when
// every server has the policy.
const IDPlaceholder = "<id>"

// Record is one DNS record.
type Record struct {
	Name       string // fully qualified, with trailing dot
	TTLSeconds int32
	Type       string // several, if it depends on the address
	Value      string // in the form of a zone file
}

// Body is the exact text of the policy.
func Body(spec v1alpha1.MTASTSPolicySpec) string {
	return mtasts.Policy{Mode: mtasts.Mode(spec.Mode), MX: spec.MX, MaxAgeSeconds: int64(spec.MaxAgeSeconds)}.String()
}

// Records are those that belong to the policy. What the policy leaves to the
// operator's configuration is as it is without one.
func Records(spec v1alpha1.MTASTSPolicySpec) []Record {
	defaults := config.Default()
	ttl := cmp.Or(spec.DNS.TTLSeconds, defaults.DNS.TTLSeconds)
	records := hostRecords(spec, ttl)
	records = append(records, Record{
		Name: mtasts.RecordName(spec.Domain) + ".", TTLSeconds: ttl, Type: "TXT",
		Value: `"` + mtasts.Record{ID: IDPlaceholder}.String() + `"`,
	})
	if spec.TLSReporting != nil {
		records = append(records, Record{
			Name: tlsrpt.RecordName(spec.Domain) + ".", Type: "TXT",
			TTLSeconds: cmp.Or(spec.TLSReporting.TTLSeconds, defaults.TLSReporting.TTLSeconds),
			Value:      `"` + tlsrpt.Record{RUA: spec.TLSReporting.RUA}.String() + `"`,
		})
	}
	return records
}

func hostRecords(spec v1alpha1.MTASTSPolicySpec, ttl int32) []Record {
	name := mtasts.PolicyHost(spec.Domain) + "."
	if len(spec.DNS.Targets) == 0 {
		value := "<the address of the Ingress>"
		if spec.Exposure.Type == v1alpha1.ExposureNone {
			value = "<the address of your route>"
		}
		return []Record{{Name: name, TTLSeconds: ttl, Type: "A, AAAA or CNAME", Value: value}}
	}
	var records []Record
	for _, target := range slices.Sorted(slices.Values(spec.DNS.Targets)) {
		record := Record{Name: name, TTLSeconds: ttl, Type: "CNAME", Value: target + "."}
		if address, err := netip.ParseAddr(target); err == nil {
			record.Type, record.Value = "AAAA", target
			if address.Unmap().Is4() {
				record.Type, record.Value = "A", address.Unmap().String()
			}
		}
		records = append(records, record)
	}
	return records
}

// Print writes what would be published for a policy.
func Print(w io.Writer, policy *v1alpha1.MTASTSPolicy) error {
	spec := policy.Spec
	body := Body(spec)
	var b strings.Builder
	name := policy.Name
	if policy.Namespace != "" {
		name = policy.Namespace + "/" + name
	}
	fmt.Fprintf(&b, "# %s\n\n# The policy, at %s (%d bytes)\n%s\n# The DNS records", name, mtasts.PolicyURL(spec.Domain), len(body), body)
	if spec.DNS.Provider == v1alpha1.DNSManual {
		b.WriteString(", which you publish yourself, each when status.records says so")
	}
	b.WriteString("\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range Records(spec) {
		_, _ = fmt.Fprintf(table, "%s\t%d\tIN\t%s\t%s\n", r.Name, r.TTLSeconds, r.Type, r.Value) // into memory
	}
	_ = table.Flush() // into memory
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing what would be published: %w", err)
	}
	return nil
}
