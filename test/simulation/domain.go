package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// hosts are all MX hosts that anybody asks about; no policy covers the last one.
var hosts = []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "mx.example.net", "nobody.example.org"}

// domain is a mail domain: what the world knows of it, and what the operators have promised.
type domain struct {
	name     string
	mx       []string
	mxBroken bool
	fault    sender.Outcome
	// faultSince is when the policy URL became what it is.
	faultSince time.Time
	mailers    []*mailer

	// minted are the bodies of all ids that a publication ever recorded, greatest the greatest of them.
	minted   map[string]string
	greatest mtasts.ID
	// announced: an id went to DNS since there was no publication, or was left there by the last one; the
	// operator may not see DNS later on.
	announced bool
	// excusedUntil is until when somebody's hand explains what would be a breach.
	excusedUntil time.Time
	// copies are backups of the publication.
	copies []*v1alpha1.MTASTSPublication
}

func (s *sim) domain(name string) *domain {
	for _, d := range s.domains {
		if d.name == name {
			return d
		}
	}
	return &domain{name: name}
}

// excuse says that somebody's hand has broken something about a domain.
func (s *sim) excuse(d *domain, lasts time.Duration) {
	if until := s.now.Add(lasts); until.After(d.excusedUntil) {
		d.excusedUntil = until
	}
}

func (s *sim) excused(d *domain) bool { return s.now.Before(d.excusedUntil) }

// forced says that a person took the publication away or replaced it: nobody knows any more what is out there.
func (s *sim) forced(d *domain, lasts time.Duration) {
	s.excuse(d, lasts)
	for _, m := range d.mailers {
		m.excused = true
	}
}

// publications of a domain, live.
func (s *sim) publications(name string) []*v1alpha1.MTASTSPublication {
	var out []*v1alpha1.MTASTSPublication
	for _, o := range s.store.list("MTASTSPublication") {
		if p := o.(*v1alpha1.MTASTSPublication); p.Spec.Domain == name {
			out = append(out, p)
		}
	}
	return out
}
