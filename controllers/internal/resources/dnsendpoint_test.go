package resources_test

import (
	"testing"

	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

func TestTheIDReadsBackFromEitherFormat(t *testing.T) {
	for _, format := range []v1alpha1.TXTFormat{v1alpha1.TXTQuoted, v1alpha1.TXTUnquoted} {
		d := resources.Domain{Name: "example.com", Settings: resources.Settings{TXTFormat: format}}
		if got, ok := resources.TXTEndpointID(d.TXTEndpoint(id)); !ok || got != id {
			t.Errorf("%s: got %q, %v", format, got, ok)
		}
	}
}

func TestTheIDDoesNotReadBackFromSomethingElse(t *testing.T) {
	txt := func(targets ...string) []*endpoint.Endpoint {
		return []*endpoint.Endpoint{{DNSName: "_mta-sts.example.com", RecordType: "TXT", Targets: targets}}
	}
	for name, endpoints := range map[string][]*endpoint.Endpoint{
		"no endpoint":   nil,
		"a nil one":     {nil},
		"two endpoints": append(txt("v=STSv1; id=1;"), txt("v=STSv1; id=1;")...),
		"no target":     txt(),
		"two targets":   txt("v=STSv1; id=1;", "v=STSv1; id=2;"),
		"another type":  {{RecordType: "CNAME", Targets: endpoint.Targets{"v=STSv1; id=1;"}}},
		"another text":  txt("v=spf1 -all"),
		"no id":         txt("v=STSv1;"),
		"a quote alone": txt(`"`),
	} {
		e := &externaldnsv1alpha1.DNSEndpoint{Spec: externaldnsv1alpha1.DNSEndpointSpec{Endpoints: endpoints}}
		if got, ok := resources.TXTEndpointID(e); ok || got != "" {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
}

func TestWithoutTargetsOrReportsThereIsNoEndpoint(t *testing.T) {
	d := resources.Domain{Name: "example.com"}
	for name, got := range map[string]*externaldnsv1alpha1.DNSEndpoint{
		"no targets":    d.HostEndpoint(nil),
		"empty targets": d.HostEndpoint([]string{"", ""}),
		"no rua":        d.TLSRPTEndpoint(),
	} {
		if got != nil {
			t.Errorf("%s: got %+v", name, got.Spec)
		}
	}
}
