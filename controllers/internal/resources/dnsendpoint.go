package resources

import (
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// HostEndpoint points the policy host at the targets: A and AAAA records if there are IP addresses
// among them, which must not lie beside a CNAME, else a CNAME to the first host name in alphabetical
// order, of which there can be only one. It is nil if there is no target.
func (d Domain) HostEndpoint(targets []string) *externaldnsv1alpha1.DNSEndpoint {
	var v4, v6, names []string
	for _, target := range targets {
		switch addr, err := netip.ParseAddr(target); {
		case err != nil && target != "":
			names = append(names, strings.ToLower(strings.TrimSuffix(target, ".")))
		case addr.Unmap().Is4():
			v4 = append(v4, addr.Unmap().String())
		case addr.Is6():
			v6 = append(v6, addr.String())
		}
	}
	host := mtasts.PolicyHost(d.Name)
	var endpoints []*endpoint.Endpoint
	if len(v4) > 0 {
		endpoints = append(endpoints, record(host, endpoint.RecordTypeA, d.TTLSeconds, v4...))
	}
	if len(v6) > 0 {
		endpoints = append(endpoints, record(host, endpoint.RecordTypeAAAA, d.TTLSeconds, v6...))
	}
	if len(endpoints) == 0 && len(names) > 0 {
		endpoints = append(endpoints, record(host, endpoint.RecordTypeCNAME, d.TTLSeconds, slices.Min(names)))
	}
	if len(endpoints) == 0 {
		return nil
	}
	return d.dnsEndpoint(HostEndpointName(d.Name), endpoints...)
}

// HostTargets is where a DNSEndpoint points the policy host; none for nil.
func HostTargets(e *externaldnsv1alpha1.DNSEndpoint) []string {
	if e == nil {
		return nil
	}
	var out []string
	for _, record := range e.Spec.Endpoints {
		if record != nil {
			out = append(out, record.Targets...)
		}
	}
	return out
}

// TXTEndpoint announces the id (RFC 8461 §3.1).
func (d Domain) TXTEndpoint(id string) *externaldnsv1alpha1.DNSEndpoint {
	txt := d.quote(mtasts.Record{ID: id}.String())
	return d.dnsEndpoint(TXTEndpointName(d.Name),
		record(mtasts.RecordName(d.Name), endpoint.RecordTypeTXT, d.TTLSeconds, txt))
}

// TLSRPTEndpoint asks senders for reports (RFC 8460 §3). It is nil if the policy asks for none.
func (d Domain) TLSRPTEndpoint() *externaldnsv1alpha1.DNSEndpoint {
	if len(d.RUA) == 0 {
		return nil
	}
	txt := d.quote(tlsrpt.Record{RUA: d.RUA}.String())
	return d.dnsEndpoint(TLSRPTEndpointName(d.Name),
		record(tlsrpt.RecordName(d.Name), endpoint.RecordTypeTXT, d.TLSRPTTTLSeconds, txt))
}

// TXTEndpointID reads the id back from what [Domain.TXTEndpoint] built, in either TXT format. It is
// not ok if somebody made something else of the object, such as two records.
func TXTEndpointID(e *externaldnsv1alpha1.DNSEndpoint) (id string, ok bool) {
	if len(e.Spec.Endpoints) != 1 || e.Spec.Endpoints[0] == nil {
		return "", false
	}
	record := e.Spec.Endpoints[0]
	if record.RecordType != endpoint.RecordTypeTXT || len(record.Targets) != 1 {
		return "", false
	}
	txt := record.Targets[0]
	if inner, quoted := strings.CutPrefix(txt, `"`); quoted {
		txt = strings.TrimSuffix(inner, `"`)
	}
	parsed, err := mtasts.ParseRecord(txt)
	return parsed.ID, err == nil
}

// dnsEndpoint is the object round the records. What the configuration adds can never replace what
// the operator knows its objects by.
func (d Domain) dnsEndpoint(name string, endpoints ...*endpoint.Endpoint) *externaldnsv1alpha1.DNSEndpoint {
	return &externaldnsv1alpha1.DNSEndpoint{
		TypeMeta: metav1.TypeMeta{
			APIVersion: externaldnsv1alpha1.GroupVersion.String(),
			Kind:       externaldnsv1alpha1.DNSEndpointKind,
		},
		ObjectMeta: metav1.ObjectMeta{
			Name:            name,
			Namespace:       d.Namespace,
			Labels:          over(d.EndpointLabels, DomainLabels(d.Name)),
			Annotations:     over(d.EndpointAnnotations, DomainAnnotations(d.Name)),
			OwnerReferences: []metav1.OwnerReference{d.owner()},
		},
		Spec: externaldnsv1alpha1.DNSEndpointSpec{Endpoints: endpoints},
	}
}

// record has its targets sorted and without repetition, so that equal sets make equal objects.
func record(name, recordType string, ttlSeconds int32, targets ...string) *endpoint.Endpoint {
	slices.Sort(targets)
	return &endpoint.Endpoint{
		DNSName:    name,
		RecordType: recordType,
		RecordTTL:  endpoint.TTL(ttlSeconds),
		Targets:    slices.Compact(targets),
	}
}

func (d Domain) quote(txt string) string {
	if d.TXTFormat == v1alpha1.TXTUnquoted {
		return txt
	}
	return `"` + txt + `"`
}
