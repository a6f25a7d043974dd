package resources_test

import (
	"math"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

func TestNamesFitForTheLongestDomain(t *testing.T) {
	label := strings.Repeat("a", 63)
	domain := strings.Join([]string{label, label, label, strings.Repeat("b", 50)}, ".")
	if len(domain) != 242 || mtasts.ValidateDomain(domain) != nil {
		t.Fatalf("%d is not the longest domain", len(domain))
	}
	for _, name := range []string{
		resources.IngressNames(domain)[0], resources.IngressNames(domain)[1], resources.CertificateName(domain), resources.TLSSecretName(domain),
		resources.HostEndpointName(domain), resources.TXTEndpointName(domain), resources.TLSRPTEndpointName(domain),
	} {
		if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
	for _, name := range []string{mtasts.RecordName(domain), tlsrpt.RecordName(domain), mtasts.PolicyHost(domain)} {
		if len(name) > 253 {
			t.Errorf("%s has %d bytes", name, len(name))
		}
	}
	for key, value := range resources.DomainLabels(domain) {
		if faults := validation.IsValidLabelValue(value); len(faults) > 0 {
			t.Errorf("%s: %v", key, faults)
		}
	}
	if faults := validation.IsConfigMapKey(mtasts.PolicyHost(domain)); len(faults) > 0 {
		t.Errorf("shard key: %v", faults)
	}
}

func TestNamesOfOneDomainDiffer(t *testing.T) {
	// Objects of one kind must not meet, also not those of example.com and a domain made to look alike.
	seen := map[string]string{}
	for _, domain := range []string{"example.com", "mta-sts.example.com", "mta-sts-id.example.com", "smtp-tls.example.com"} {
		for _, name := range []string{resources.HostEndpointName(domain), resources.TXTEndpointName(domain), resources.TLSRPTEndpointName(domain)} {
			if other, taken := seen[name]; taken {
				t.Errorf("%s is of %s and of %s", name, other, domain)
			}
			seen[name] = domain
		}
	}
}

func TestHash(t *testing.T) {
	if got := resources.Hash("example.com"); got != "a379a6f6ee" {
		t.Errorf("got %s: objects that exist would no longer be ours", got)
	}
}

func TestShardNames(t *testing.T) {
	for n, want := range map[int]string{
		0: "mta-sts-policies", 1: "mta-sts-policies-1", 10: "mta-sts-policies-10", resources.MostShards - 1: "mta-sts-policies-511",
	} {
		if got := resources.ShardName(n); got != want {
			t.Errorf("%d: got %s", n, got)
		}
		if got, ok := resources.ShardIndex(want); !ok || got != n {
			t.Errorf("%s: got %d, %v", want, got, ok)
		}
	}
	for _, name := range []string{
		"", "mta-sts-policies-", "mta-sts-policies-0", "mta-sts-policies-01", "mta-sts-policies-+1",
		"mta-sts-policies--1", "mta-sts-policies-x", "mta-sts-policies1", "my-mta-sts-policies", "1",
		"mta-sts-policies-512", "mta-sts-policies-3000", "mta-sts-policies-20000000", "mta-sts-policies-4611686018427387905",
		"mta-sts-policies-9223372036854775807", "mta-sts-policies-99999999999999999999999", "mta-sts-policies-1e2",
		"mta-sts-policies-0x1", "mta-sts-policies-1_0", "mta-sts-policies-\u0661", "mta-sts-policies-1 ", "mta-sts-policies-1.0",
	} {
		if n, ok := resources.ShardIndex(name); ok || n != 0 {
			t.Errorf("%q: got %d, %v", name, n, ok)
		}
	}
}

func TestDeclaredShards(t *testing.T) {
	for n, want := range map[int]int{
		0: 2, 1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 9: 16, 16: 16, 17: 32,
		resources.MostShards: resources.MostShards, 3000: resources.MostShards, 1<<62 + 1: resources.MostShards, math.MaxInt: resources.MostShards, -1: 2,
	} {
		if got := resources.DeclaredShards(n); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	}
}
