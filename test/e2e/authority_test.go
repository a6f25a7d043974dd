package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// authority is the API of the authoritative server, as a provider's customers use it.
type authority struct {
	cluster *cluster
}

const zonePath = "/api/v1/namespaces/" + home + "/services/authority:8081/proxy/api/v1/servers/localhost/zones/test."

// rrset is PowerDNS' form of the records of one name and type.
type rrset struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	TTL        int      `json:"ttl"`
	ChangeType string   `json:"changetype,omitempty"`
	Records    []record `json:"records"`
}

type record struct {
	Content string `json:"content"`
}

// setRecords replaces the records of a name and type; without values it removes them.
func (a authority) setRecords(ctx context.Context, name, kind string, values ...string) error {
	set := rrset{Name: name + ".", Type: kind, TTL: 5, ChangeType: "REPLACE", Records: []record{}}
	for _, value := range values {
		set.Records = append(set.Records, record{value})
	}
	if len(values) == 0 {
		set.ChangeType = "DELETE"
	}
	body, err := json.Marshal(map[string][]rrset{"rrsets": {set}})
	if err != nil {
		return err
	}
	// SQLite lets one writer in at a time and turns the others away.
	return until(ctx, time.Minute, func(ctx context.Context) error {
		answer := a.cluster.api.Patch(types.MergePatchType).AbsPath(zonePath).SetHeader("X-API-Key", "e2e").Body(body).Do(ctx)
		if err := answer.Error(); err != nil {
			content, _ := answer.Raw()
			return fmt.Errorf("setting %s %s: %w: %s", name, kind, err, content)
		}
		return nil
	})
}

// records are the values of a name and type.
func (a authority) records(ctx context.Context, name, kind string) ([]string, error) {
	content, err := a.cluster.api.Get().AbsPath(zonePath).SetHeader("X-API-Key", "e2e").Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("reading the zone: %w", err)
	}
	var zone struct {
		RRSets []rrset `json:"rrsets"`
	}
	if err := json.Unmarshal(content, &zone); err != nil {
		return nil, fmt.Errorf("reading the zone: %w", err)
	}
	var values []string
	for _, set := range zone.RRSets {
		if set.Name != name+"." || set.Type != kind {
			continue
		}
		for _, r := range set.Records {
			values = append(values, r.Content)
		}
	}
	return values, nil
}

// publishedID is the id in DNS; "" if there is none, an error if there are several.
func (a authority) publishedID(ctx context.Context, domain string) (string, error) {
	values, err := a.records(ctx, "_mta-sts."+domain, "TXT")
	if err != nil || len(values) == 0 {
		return "", err
	}
	if len(values) > 1 {
		return "", fmt.Errorf("DNS has %d ids: %q", len(values), values)
	}
	_, rest, _ := strings.Cut(values[0], "id=")
	return strings.TrimRight(rest, `;" `), nil
}
